"""``linesync rsh``: ``linesync run`` with the command line of ssh, for programs that start other programs through ssh."""

from __future__ import annotations

import argparse

from ...errors import UsageError
from ..common import connection, print_json
from .passed_signals import PassedSignals
from .run import inherited
from .running import Feeder, Job, drive

HELP = "run a command line on a host as ssh does, for rsync -e, GIT_SSH_COMMAND, tar and similar programs"
EXAMPLES = """\
  linesync rsh sut 'cd /var/log && tar c .' > log.tar
  rsync -a -e 'linesync rsh' site/ sut:/srv/site
  GIT_SSH_COMMAND='linesync rsh' git clone sut:/srv/repo.git
"""
VERBATIM = True  # all arguments after the host belong to the command, including options and --
_IN_SHELL = ("sh", "-c", 'exec "${SHELL:-sh}" -c "$1"', "rsh")
"""The command that passes its next argument to the user's shell."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "linesync rsh [-l USER] [-n] [USER@]HOST CMD [ARG ...]"
    parser.add_argument("host", metavar="[USER@]HOST", help="the host; 'hub' is the controller")
    parser.add_argument(
        "command_line",
        metavar="CMD",
        nargs=argparse.REMAINDER,
        help="the command line: all arguments, joined with blanks, for the user's shell in the home directory",
    )
    parser.add_argument(
        "-l", dest="user", metavar="USER", default="", help="run the command line as this user of the host"
    )
    parser.add_argument("-n", dest="stdin", action="store_false", help="give the command an empty stdin")
    for name in ("-T", "-q", "-x"):
        parser.add_argument(name, action="store_true", help=argparse.SUPPRESS)  # options of ssh that need no effect
    parser.add_argument("-o", metavar="OPTION", action="append", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    user, at, host = args.host.rpartition("@")
    if at and not user:
        raise UsageError(f"invalid host {args.host!r}: expected HOST or USER@HOST")
    if not args.command_line:
        raise UsageError(
            f"there is no command line; write it after the host, or start a shell with: linesync shell {host}"
        )
    args.user = args.user or user
    args.cwd, args.clear_env = "" if args.user else "~", False  # another user always begins in the home directory
    with connection(args) as client:
        job = Job(client, host, [*_IN_SHELL, " ".join(args.command_line)], args, inherited())
        with PassedSignals(client.peer, lambda: [job.stream]) as passed:
            if args.stdin:
                Feeder(client, [job])
            drive(client, [job], passed.left)
    if args.json:
        print_json(job.as_json())
    passed.end_like([job.signal])
    return job.exit_code
