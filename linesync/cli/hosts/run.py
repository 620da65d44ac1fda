"""``linesync run``."""

from __future__ import annotations

import argparse
import os
import sys

from ...client.deadlines import Deadline
from ...errors import LinesyncError, LinesyncFailed, UsageError
from ..common import connection, print_json, seconds
from .passed_signals import PassedSignals
from .prefixes import host_prefixes
from .running import NO_PREFIX, Feeder, Job, drive, exit_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...client.blocking import BlockingClient
    from ...model.state.hosts import HostState

HELP = "run a command on one or more hosts, print its output as it arrives, and exit with its exit code"
EXAMPLES = """\
  linesync run sut -- uname -r
  linesync run sut1,sut2 -- dmesg -w            each line begins with the host
  linesync run sut[1-8] -- poweroff             on eight hosts, or on none if one is missing
  linesync run sut -i -- tar xf - < rootfs.tar  pass stdin to the command
  linesync run sut -t -- htop                   on a terminal
  linesync run sut --wait 120 -- dmesg          wait until sut is up
  linesync run sut -u tester -e DISPLAY -- xterm
      as another user, with a variable from here
  linesync run sut -C /tmp -e LANG=C --timeout 60 -- make check
  linesync run sut --detach -- make check       print a handle, such as sut/3, and end; see 'linesync proc --help'
"""
HINT = "write -- before the remote command, as in: linesync run sut -- uname -r"
_NAMED = 12  # hosts that one error names


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = """\
linesync run HOST[,HOST...] [-i] [-t] [-u USER] [-C DIR] [-e K[=V]]...
                    [--clear-env] [--no-prefix] [--timeout S] [--wait S]
                    [--detach] -- CMD [ARG ...]"""
    parser.add_argument("hosts", metavar="HOST[,HOST...]", help="the hosts, as in sut[1-8]; 'hub' is the controller")
    parser.add_argument("argv", metavar="CMD", nargs="*", default=[], help="the command and its arguments, after --")
    parser.add_argument("-i", dest="stdin", action="store_true", help="pass stdin to the command")
    parser.add_argument("-t", dest="terminal", action="store_true", help="run the command on a terminal; includes -i")
    parser.add_argument("-C", dest="cwd", metavar="DIR", default="", help="run the command in this directory")
    parser.add_argument(
        "-e",
        dest="env",
        metavar="K[=V]",
        action="append",
        default=[],
        help="set an environment variable; -e K uses the value of the local variable; may be repeated",
    )
    parser.add_argument(
        "--clear-env",
        action="store_true",
        help="pass only HOME, USER, LOGNAME, SHELL and PATH of the agent's environment to the command",
    )
    parser.add_argument(
        "-u",
        dest="user",
        metavar="USER",
        default="",
        help="run the command as this user of the host, in the home directory and with the environment of the user",
    )
    parser.add_argument(
        "--no-prefix",
        dest="prefix",
        action="store_false",
        help="with several hosts, do not begin each line of output with the host",
    )
    parser.add_argument("--timeout", type=seconds, metavar="S", help="end the command after S seconds")
    parser.add_argument(
        "--wait", type=seconds, metavar="S", help="if a host is not up, wait for it for up to S seconds"
    )
    parser.add_argument(
        "--detach",
        action="store_true",
        help="start the command as a detached process, print its handle, and do not wait for its end; with -i, 'linesync proc"
        " attach -i' can reach its stdin",
    )


def run(args: argparse.Namespace) -> int:
    argv = args.argv
    if not argv:
        raise UsageError("there is no remote command; write it after --, as in: linesync run sut -- uname -r")
    hosts = _hosts(args.hosts)
    if args.terminal and args.detach:
        raise UsageError(
            "-t and --detach exclude each other, because a detached process has no terminal; omit one of them"
        )
    if args.terminal:
        from .on_terminal import check_terminal

        check_terminal("-t", "omit -t", as_json=args.json)
        if len(hosts) > 1:
            raise UsageError(
                "-t needs exactly one host, because a terminal shows one command; name one host, or omit -t"
            )
        args.stdin = True
    env = inherited() | dict(pair for item in args.env if (pair := _pair(item)) is not None)
    with connection(args) as client:
        if args.wait is not None:
            wait_for_hosts(client, hosts, args.wait)
        if len(hosts) > 1:
            check_available(hosts, client.hosts(timeout=args.deadline.left))
        if args.detach:
            return _detach(client, hosts, args, env)
        if args.terminal:
            from .on_terminal import run_on_terminal

            return run_on_terminal(client, hosts[0], argv, args, env)
        shown = host_prefixes(hosts) if len(hosts) > 1 and args.prefix else [NO_PREFIX] * len(hosts)
        jobs = [
            Job(client, host, argv, args, env, prefixes=prefixes, several=len(hosts) > 1)
            for host, prefixes in zip(hosts, shown, strict=True)
        ]
        with PassedSignals(client.peer, lambda: [job.stream for job in jobs]) as passed:
            if args.stdin:
                Feeder(client, jobs)
            drive(client, jobs, passed.left)
    if args.json:
        for job in jobs:
            print_json(job.as_json())
    passed.end_like([job.signal for job in jobs])
    return next((job.exit_code for job in jobs if job.exit_code), 0)


def _detach(client: BlockingClient, hosts: Sequence[str], args: argparse.Namespace, env: dict[str, str]) -> int:
    """Start a detached process on each host, and print the handles. Returns the exit code of the first failure."""
    codes = []
    for host in hosts:
        result: dict[str, object] = {"host": host}
        try:
            result["process"] = client.start_detached(
                host,
                args.argv,
                cwd=args.cwd,
                env=env,
                stdin=args.stdin,
                end_after=args.timeout,
                user=args.user,
                clear_env=args.clear_env,
            )
            codes.append(0)
        except LinesyncError as error:
            codes.append(exit_code(error))
            result |= {"error": error.code, "message": error.message}
            if not args.json:
                print(f"linesync: {error.message}", file=sys.stderr)
        if args.json:
            print_json(result)
        elif "process" in result:
            print(result["process"], flush=True)
    return next((code for code in codes if code), 0)


def wait_for_hosts(client: BlockingClient, hosts: Sequence[str], patience: float) -> None:
    """Wait until all hosts are up.

    :param patience: the longest time for all of them, in seconds.
    """
    deadline = Deadline(patience)
    for host in hosts:
        if host != "hub":
            client.wait_host(host, timeout=deadline.left)


def _hosts(text: str) -> list[str]:
    """The hosts of a folded list."""
    if not all(text.split(",")):
        raise UsageError(f"{text!r} contains an empty host name; write HOST or HOST,HOST")
    if not set(text) & set(",["):
        return [text]
    from ...model.hosts.members import unfold
    from ...model.names import check_host

    hosts = list(unfold(text))
    for host in hosts:
        check_host(host)
    return hosts


def check_available(hosts: Sequence[str], known: Sequence[HostState]) -> None:
    """Raise LinesyncFailed if one of the hosts cannot run a command, so that it is started on all of them or on none.

    :param known: the hosts that the hub knows.
    """
    lost = {host.name: f"is lost ({host.cause})" for host in known if host.state == "lost"}
    available = [host.name for host in known if host.state != "lost"]
    absent = [
        f"host {host} {lost.get(host, 'has not registered')}"
        for host in hosts
        if host != "hub" and host not in available
    ]
    if absent:
        more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
        raise LinesyncFailed(
            f"the command was not started on any host: {', '.join(absent[:_NAMED])}{more}; "
            f"hosts now: {', '.join(available) or 'none'}"
        )


def inherited() -> dict[str, str]:
    """The variables that the remote command inherits: it belongs to the same run."""
    name = "LINESYNC_NAMESPACE"
    return {name: os.environ[name]} if name in os.environ else {}


def _pair(item: str) -> tuple[str, str] | None:
    """The name and the value of a variable; None if there is no value and no local variable of this name."""
    key, equals, value = item.partition("=")
    if not key:
        raise UsageError(f"invalid value for -e {item}: expected K=V, or K for the value here")
    if equals:
        return key, value
    return (key, os.environ[key]) if key in os.environ else None
