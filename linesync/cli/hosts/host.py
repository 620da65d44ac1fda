"""``linesync host``."""

from __future__ import annotations

import argparse

from ...errors import LinesyncFailed, UsageError
from ..common import connection, print_json, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...model.state.hosts import HostState

HELP = "wait until a host is up, reboot a host, or show its state"
EXAMPLES = """\
  linesync host wait sut --timeout 60
      wait until sut is up
  linesync host wait sut --boot-after 5c1b2f9e
      wait until sut is up and its boot id is not this id (see SYSTEM in 'linesync hosts')
  linesync host reboot sut --wait --timeout 300
      reboot sut, and wait until it is up again
  linesync host reboot board --cmd 'echo b > /proc/sysrq-trigger' --wait
      reboot board with another command
  linesync host show sut
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="wait|reboot|show", choices=("wait", "reboot", "show"), help="the action")
    parser.add_argument("host", metavar="HOST", help="the host")
    parser.add_argument(
        "--boot-after",
        metavar="BOOT",
        default="",
        help="with wait: an id in the column BOOT or SYSTEM of 'linesync hosts'; the host must have another id",
    )
    parser.add_argument("--wait", action="store_true", help="with reboot: wait until the host is up again")
    parser.add_argument(
        "--cmd", metavar="COMMAND", help="with reboot: the shell command that reboots the host (default: 'reboot')"
    )
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    for option, action in (("boot_after", "wait"), ("wait", "reboot"), ("cmd", "reboot")):
        if getattr(args, option) and args.action != action:
            raise UsageError(f"--{option.replace('_', '-')} is only for 'linesync host {action}'")
    return {"wait": _wait, "reboot": _reboot, "show": _show}[args.action](args)


def _wait(args: argparse.Namespace) -> int:
    with connection(args) as client:
        state = client.wait_host(args.host, boot_after=args.boot_after, timeout=args.timeout)
    if args.json:
        print_json(state.as_json())
    return 0


def _reboot(args: argparse.Namespace) -> int:
    from ...client.operations import REBOOT

    argv = ["sh", "-c", args.cmd] if args.cmd else [*REBOOT]
    with connection(args) as client:
        if not args.wait:
            client.run(args.host, argv, check=True, timeout=args.deadline.left)
            return 0
        state = client.reboot_host(args.host, argv, timeout=args.timeout)
    if args.json:
        print_json(state.as_json())
    return 0


def _show(args: argparse.Namespace) -> int:
    with connection(args) as client:
        hosts = client.hosts(timeout=args.deadline.left)
    state = next((host for host in hosts if host.name == args.host), None)
    if state is None:
        known = ", ".join(host.name for host in hosts) or "none"
        raise LinesyncFailed(
            f"there is no host {args.host}: no agent with this name has registered; hosts now: {known}"
        )
    if args.json:
        print_json(state.as_json())
    else:
        for name, value in _facts(state):
            print(f"{name:13} {value}".rstrip())
    return 0


def _facts(state: HostState) -> list[tuple[str, str]]:
    return [
        ("host", state.name),
        ("state", f"{state.state} for {state.since:.0f} s"),
        *((("why", state.why or state.cause or ""),) if state.why or state.cause else ()),
        ("heard", f"{state.heard:.1f} s ago"),
        ("line", state.line),
        ("session", state.session),
        ("boot", state.boot),
        ("system", state.system or "-"),
        ("capabilities", ", ".join(state.capabilities) or "-"),
        ("published", " ".join(f"{key}={value}" for key, value in state.published.items()) or "-"),
    ]
