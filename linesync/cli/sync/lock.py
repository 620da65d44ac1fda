"""``linesync lock``."""

from __future__ import annotations

import argparse
import sys

from ...errors import UsageError
from ...numbers import read_whole
from ...program import OutputFailed
from ..common import connection, namespace_option, print_json, timeout_option

HELP = "take a lock: while the command after -- runs, or for this host until it is released"
EXAMPLES = """\
  linesync lock flash -- ./flash.sh
      hold the lock while the command runs; the command gets the fencing token
      in LINESYNC_FENCING_TOKEN
  token=$(linesync lock flash)
      hold the lock for this host, even after the script has ended, ...
  linesync lock flash --release $token
      ... until it is released or the host is lost
  linesync lock flash --timeout 0
      exit 124 if the lock has an owner, and print the owner
"""
HINT = "write -- before the command, as in: linesync lock NAME -- COMMAND [ARG ...]"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = """\
linesync lock NAME [--timeout S] [--namespace NS] [-- CMD [ARG ...]]
       linesync lock NAME --release TOKEN [--timeout S] [--namespace NS]"""
    parser.add_argument("name", metavar="NAME", help="the lock's name; the first use creates it")
    timeout_option(parser, "lock")
    parser.add_argument(
        "--release", metavar="TOKEN", help="release a lock of this host; 'linesync lock' has printed its TOKEN"
    )
    namespace_option(parser, "lock")
    parser.add_argument("command", metavar="CMD", nargs="*", default=[], help="the command and its arguments, after --")


def run(args: argparse.Namespace) -> int:
    if args.release is not None:
        return _release(args)
    with connection(args) as client:
        held = client.lock(args.name, timeout=args.deadline.left, namespace=args.namespace, keep=not args.command)
        if args.command:
            from .holding import run_holding

            extra = {"LINESYNC_FENCING_TOKEN": str(held.value)}
            return run_holding(client, held, args.command, extra, timeout=args.timeout, as_json=args.json)
        try:
            print_json({"name": args.name, "token": held.value}) if args.json else print(held.value)
            sys.stdout.flush()
        except OutputFailed:  # without the token, the lock could not be released
            client.unlock(args.name, held.value, timeout=args.timeout, namespace=args.namespace)
            raise
    return 0


def _release(args: argparse.Namespace) -> int:
    if args.command:
        raise UsageError("--release takes no command; linesync itself releases a lock when the command under it ends")
    token = read_whole(args.release, "fencing token", 0, 10**18, expected="the number that 'linesync lock' printed")
    with connection(args) as client:
        client.unlock(args.name, token, timeout=args.deadline.left, namespace=args.namespace)
    if args.json:
        print_json({"name": args.name, "token": token})
    return 0
