"""``linesync reset``."""

from __future__ import annotations

import argparse

from ..common import connection, namespace_option, print_json

HELP = "forget what a crashed run left in a namespace, failing who still waits"
EXAMPLES = """\
  linesync reset                       everything in the namespace 'default'
  linesync reset booted flash          barriers, semaphores, locks, events ... of these names
  linesync reset --namespace run17
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these; of every kind")
    namespace_option(parser, "reset")


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        forgotten, failed = client.reset(*args.names, namespace=args.namespace)
    if args.json:
        print_json({"forgotten": forgotten, "failed": failed})
    else:
        print(f"forgot {forgotten}, failed {failed} {'wait' if failed == 1 else 'waits'}")
    return 0
