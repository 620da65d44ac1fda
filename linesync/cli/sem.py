"""``linesync sem``."""

from __future__ import annotations

import argparse

from ..errors import UsageError
from .common import connection, namespace_option, print_json, timeout_option

HELP = "change a semaphore: -N takes N units and waits for them, +N gives N, 0 prints the value"
EXAMPLES = """\
  linesync sem flash +1                  one unit more; whoever waits first gets it
  linesync sem flash -1 --timeout 300    take it, or exit 124 after five minutes
  linesync sem flash 0                   how many are there
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the semaphore's name; it starts at 0")
    parser.add_argument("delta", metavar="DELTA", help="-N, +N or 0")
    timeout_option(parser, "sem")
    namespace_option(parser, "sem")


def run(args: argparse.Namespace) -> int:
    try:
        delta = int(args.delta)
    except ValueError:
        raise UsageError(f"{args.delta!r} is no change of a semaphore; give -N, +N or 0") from None
    with connection(args) as client:
        value = client.semaphore(args.name, delta, timeout=args.timeout, namespace=args.namespace)
    if args.json:
        print_json({"name": args.name, "value": value})
    elif delta == 0:
        print(value)
    return 0
