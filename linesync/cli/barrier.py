"""``linesync barrier``."""

from __future__ import annotations

import argparse

from ..errors import UsageError
from .common import connection, namespace_option, option, print_json, timeout_option

HELP = "wait at a barrier until COUNT parties have arrived; each call is one party"
EXAMPLES = """\
  linesync barrier booted 3                    on three machines: all go on together
  linesync barrier booted 3 --timeout 60       exit 124 and say who is missing after a minute
  linesync barrier phase2 2 --as sut#upgrade   arrive under a name of your own
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the barrier's name; nobody has to create it")
    parser.add_argument("count", metavar="COUNT", help="how many parties it takes")
    timeout_option(parser, "barrier")
    option(parser, "barrier", "as", metavar="MEMBER", dest="member", fallback="", help="arrive as this member")
    namespace_option(parser, "barrier")


def run(args: argparse.Namespace) -> int:
    try:
        count = int(args.count)
    except ValueError:
        raise UsageError(f"the count {args.count!r} is not a number; give how many parties the barrier takes") from None
    with connection(args) as client:
        result = client.barrier(args.name, count, timeout=args.timeout, namespace=args.namespace, member=args.member)
    if args.json:
        print_json({"generation": result.generation, "position": result.position, "parties": list(result.parties)})
    return 0
