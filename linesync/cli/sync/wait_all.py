"""``linesync wait-all``."""

from __future__ import annotations

import argparse

from ..common import connection, member_option, namespace_option, print_messages, timeout_option

HELP = (
    "wait for a message under an ID from every other host of the published group; print the last message of each host"
)
EXAMPLES = """\
  linesync wait-all ready
      wait for all other hosts whose agents publish the same group= as this one
  linesync wait-all ready client
      wait only for the hosts in this group that publish role=client
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="ID", help="the ID of the message")
    parser.add_argument(
        "role", metavar="ROLE", nargs="?", default="", help="wait only for hosts that publish this role"
    )
    timeout_option(parser, "wait-all")
    member_option(parser, "wait-all", "wait")
    namespace_option(parser, "wait-all")


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        found = client.receive_all(
            args.topic, role=args.role, timeout=args.deadline.left, namespace=args.namespace, member=args.member
        )
    print_messages(found, as_json=args.json)
    return 0
