"""``linesync shell``."""

from __future__ import annotations

import argparse

from ..common import connection, seconds
from .run import inherited, wait_for_hosts

HELP = "start a login shell on a host"
EXAMPLES = """\
  linesync shell sut              the shell of the agent's user
  linesync shell sut -u tester    the shell of another user
  linesync shell sut --wait 60    wait until sut is up

Escapes, at the start of a line: ~. leaves, and the shell ends; ~? lists the escapes; ~~ types a tilde.
"""
_LOGIN_SHELL = ("sh", "-c", 'exec "${SHELL:-sh}" -l')


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", help="the host; 'hub' is the controller")
    parser.add_argument("-u", dest="user", metavar="USER", default="", help="start the shell of this user of the host")
    parser.add_argument(
        "-C", dest="cwd", metavar="DIR", default="", help="start in this directory, not in the home directory"
    )
    parser.add_argument(
        "--wait", type=seconds, metavar="S", help="if the host is not up, wait for it for up to S seconds"
    )


def run(args: argparse.Namespace) -> int:
    from .on_terminal import check_terminal, run_on_terminal

    check_terminal("shell", f"use 'linesync run {args.host} -- CMD'", as_json=args.json)
    args.clear_env, args.stdin = False, True
    args.cwd = args.cwd or ("" if args.user else "~")  # another user always begins in the home directory
    with connection(args) as client:
        if args.wait is not None:
            wait_for_hosts(client, [args.host], args.wait)
        return run_on_terminal(client, args.host, _LOGIN_SHELL, args, inherited())
