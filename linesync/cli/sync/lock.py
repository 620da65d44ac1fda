"""``linesync lock``."""

from __future__ import annotations

import argparse

from ...errors import UsageError
from ..common import connection, namespace_option, print_json, timeout_option, whole

HELP = "take a lock: for the command after --, or for this host until it is released"
EXAMPLES = """\
  linesync lock flash -- ./flash.sh      nobody else has it while the command runs; it sees LINESYNC_FENCING_TOKEN
  token=$(linesync lock flash)           for this host, over the end of the script that took it ...
  linesync lock flash --release $token   ... until it is released, or the host is lost
  linesync lock flash --timeout 0        exit 124 and say who has it
"""
HINT = "a command and its options come after --"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the lock's name; nobody has to create it")
    timeout_option(parser, "lock")
    parser.add_argument("--release", metavar="TOKEN", help="give back what this host took under this fencing token")
    namespace_option(parser, "lock")


def run(args: argparse.Namespace) -> int:
    if args.release is not None:
        return _release(args)
    with connection(args) as client:
        held = client.lock(args.name, timeout=args.timeout, namespace=args.namespace, keep=not args.tail)
        if args.tail:
            from .holding import run_holding

            extra = {"LINESYNC_FENCING_TOKEN": str(held.value)}
            return run_holding(client, held, args.tail, extra)
    if args.json:
        print_json({"name": args.name, "token": held.value})
    else:
        print(held.value)
    return 0


def _release(args: argparse.Namespace) -> int:
    if args.tail:
        raise UsageError("--release takes no command; a lock that is held for a command goes back by itself")
    token = whole(args.release)
    if token is None or token < 0:
        raise UsageError(f"{args.release[:32]!r} is no fencing token; give the number that 'linesync lock' printed")
    with connection(args) as client:
        client.unlock(args.name, token, namespace=args.namespace)
    return 0
