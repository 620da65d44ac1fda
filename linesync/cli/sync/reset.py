"""``linesync reset``."""

from __future__ import annotations

import argparse

from ..common import connection, namespace_option, print_json, timeout_option

HELP = "remove everything that a crashed run left in a namespace; requests that still wait there fail"
EXAMPLES = """\
  linesync reset                     everything in the namespace 'default'
  linesync reset booted flash        barriers, locks, events ... of these names
  linesync reset --namespace run17   everything in the namespace 'run17'
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="remove only these names, of every kind")
    timeout_option(parser, "reset")
    namespace_option(parser, "reset")


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        forgotten, failed = client.reset(*args.names, timeout=args.deadline.left, namespace=args.namespace)
    if args.json:
        print_json({"forgotten": forgotten, "failed": failed})
    else:
        print(f"removed: {forgotten}; failed waits: {failed}")
    return 0
