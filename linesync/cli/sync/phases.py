"""``linesync phases``."""

from __future__ import annotations

import argparse

from ...errors import LinesyncFailed, UsageError
from ...model.groups.declarations import HEALTHY
from ..common import namespace_option, print_json, table, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...model.groups.declarations_file import ServicesFile
    from ...model.groups.order import Place

HELP = "start the services of a group on all its hosts in order"
EXAMPLES = """\
  linesync phases check nfs.toml         check the declarations and print the order
  linesync phases run nfs.toml           on each host: run its services until the
                                         group is stopped
  linesync phases run nfs.toml --hosts sut[1-3]
      on the controller: run the commands on hosts that have only an agent
  linesync phases status storage         the state of each service on each host
  linesync phases status storage --watch
  linesync phases log storage            the last rounds
  linesync phases rerun storage          begin a new round
  linesync phases rerun storage nfs-client
  linesync phases stop storage           stop the services, the last one first
"""
_ACTIONS = ("check", "run", "status", "log", "rerun", "stop")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="|".join(_ACTIONS), choices=_ACTIONS, help="the action")
    parser.add_argument("target", metavar="FILE|GROUP", help="for check and run: the declarations; otherwise the group")
    parser.add_argument("service", metavar="SERVICE", nargs="?", help="for rerun: the only service to run again")
    parser.add_argument(
        "--hosts", metavar="A,B,...", help="for run: run the commands on these hosts, through their agents"
    )
    parser.add_argument("--tag", metavar="TAG", help="for run: join as HOST#TAG, to have a second member on this host")
    parser.add_argument("-w", "--watch", action="store_true", help="for status: follow the changes until Ctrl-C")
    timeout_option(parser)
    namespace_option(parser, "phases")


def run(args: argparse.Namespace) -> int:
    for name, action in (("service", "rerun"), ("hosts", "run"), ("tag", "run"), ("watch", "status")):
        if getattr(args, name) not in (None, False) and args.action != action:
            shown = "SERVICE" if name == "service" else f"--{name}"
            raise UsageError(f"{shown} is for 'phases {action}' only, not for 'phases {args.action}'")
    if args.action == "check":
        return _check(args)
    if args.action == "run":
        return _run(args)
    from . import phases_state

    return {
        "status": phases_state.status,
        "log": phases_state.log,
        "rerun": phases_state.rerun,
        "stop": phases_state.stop,
    }[args.action](args)


def _run(args: argparse.Namespace) -> int:
    file = read_file(args.target)
    if args.hosts is not None and args.tag is not None:
        raise UsageError("--hosts and --tag were both given; the tags of the members are the names of the hosts")
    hosts: tuple[str, ...] = ()
    if args.hosts is not None:
        from ...model.hosts.members import unfold
        from ...model.names import check_host

        hosts = unfold(args.hosts)
        for host in hosts:
            check_host(host)
        if not hosts:
            raise UsageError("the list of --hosts is empty; name at least one host")
    from .phases_running import run_services

    return run_services(args, file, hosts)


def read_file(path: str) -> ServicesFile:
    """Read the declarations of the services in a file.

    :raises LinesyncFailed: the file cannot be read.
    :raises UsageError: the declarations are invalid.
    """
    from ...model.groups.declarations_file import read_services

    try:
        with open(path, encoding="utf-8") as file:
            return read_services(file.read(), path)
    except UnicodeDecodeError:
        raise LinesyncFailed(f"{path} cannot be read: it is not UTF-8; correct the file") from None
    except OSError as error:
        raise LinesyncFailed(f"{path} cannot be read: {error.strerror}; check the path") from None


def _check(args: argparse.Namespace) -> int:
    from ...model.groups.order import places

    file = read_file(args.target)
    ordered = places(file.services)
    if args.json:
        terms = {name: value for name, value in file.as_dict().items() if name not in ("services", "commands")}
        print_json({**terms, "services": [_as_json(place, file) for place in ordered]})
        return 0
    print(f"the group {file.group} with {len(file.services)} services; after a failure: {file.on_failure}")
    if ordered:
        print()
        table(("ID", "SERVICE", "HOSTS", "NEEDS", "STEPS"), [_row(place, file) for place in ordered])
    return 0


def _row(place: Place, file: ServicesFile) -> tuple[object, ...]:
    from ...model.hosts.members import fold

    declared = place.declaration
    hosts = fold(declared.hosts) if declared.hosts else "all"
    if place.gate:
        return place.id, place.name, hosts, "-", "check" if place.gate == HEALTHY else "-"
    needs = ", ".join(f"{name} {state}" for name, state in declared.needs.items())
    steps = " ".join(step for step in file.commands[declared.name] if step != "check")
    return place.id, place.name, hosts, needs or "-", steps or "-"


def _as_json(place: Place, file: ServicesFile) -> dict[str, object]:
    declared = place.declaration
    about: dict[str, object] = {"id": place.id, "name": place.name, "hosts": declared.hosts or None}
    if place.gate == HEALTHY:
        return {
            **about,
            "check": file.commands[declared.name]["check"],
            "timeout": declared.timeout("check"),
            "check_interval": declared.interval,
            "check_timeout": declared.check_timeout,
        }
    if place.gate:
        return about
    commands = {step: argv for step, argv in file.commands[declared.name].items() if step != "check"}
    return {
        **about,
        "needs": declared.needs,
        "version": declared.version,
        "serialize": declared.serialize,
        "keystone": declared.keystone,
        "on_failure": declared.on_failure or file.on_failure,
        "timeouts": {step: declared.timeout(step) for step in commands},
        "commands": commands,
    }
