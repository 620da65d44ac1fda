"""``linesync send``."""

from __future__ import annotations

import argparse

from ..common import connection, member_option, namespace_option, print_json, timeout_option

HELP = "send a message under an ID; the hub keeps it for all scripts that wait for it, now or later"
EXAMPLES = """\
  linesync send server-ready ip=10.0.0.2 port=5001
  linesync send done
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="ID", help="the ID of the message")
    parser.add_argument("items", metavar="K=V", nargs="*", default=[], help="the contents of the message")
    timeout_option(parser, "send")
    member_option(parser, "send", "send")
    namespace_option(parser, "send")


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        number = client.send(
            args.topic, *args.items, timeout=args.deadline.left, namespace=args.namespace, member=args.member
        )
    if args.json:
        print_json({"id": args.topic, "number": number})
    return 0
