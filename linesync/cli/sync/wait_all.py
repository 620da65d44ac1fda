"""``linesync wait-all``."""

from __future__ import annotations

import argparse

from ..common import connection, namespace_option, option, print_messages, timeout_option

HELP = "wait until every other host of this one's group has sent a message under an ID, and print the last of each"
EXAMPLES = """\
  linesync wait-all ready             all other hosts of the group that this host's agent publishes
  linesync wait-all ready client      those whose agents publish role=client
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="ID", help="what to wait for")
    parser.add_argument("role", metavar="ROLE", nargs="?", default="", help="only hosts of this role")
    timeout_option(parser, "wait-all")
    option(parser, "wait-all", "as", metavar="MEMBER", dest="member", fallback="", help="wait as this member")
    namespace_option(parser, "wait-all")


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        found = client.receive_all(
            args.topic, role=args.role, timeout=args.timeout, namespace=args.namespace, member=args.member
        )
    print_messages(found, as_json=args.json)
    return 0
