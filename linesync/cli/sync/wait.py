"""``linesync wait``."""

from __future__ import annotations

import argparse

from ...numbers import read_whole
from ..common import connection, member_option, namespace_option, print_messages, timeout_option

HELP = "wait until another member has sent a message under an ID, and print the messages of all others"
EXAMPLES = """\
  linesync wait server-ready
      prints the lines sut:ip=10.0.0.2 and sut:port=5001
  linesync wait round --after 2
      prints the third message from others, and the later messages
  linesync wait server-ready --timeout 60
      exit 124 after a minute
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="ID", help="the ID of the message")
    parser.add_argument("--after", metavar="N", default="0", help="skip the first N messages from others (default: 0)")
    timeout_option(parser, "wait")
    member_option(parser, "wait", "wait")
    namespace_option(parser, "wait")


def run(args: argparse.Namespace) -> int:
    after = read_whole(args.after, "value of --after", 0, 9_999, "messages")
    with connection(args) as client:
        found = client.receive(
            args.topic,
            after + 1,
            others=True,
            most=1000,
            timeout=args.deadline.left,
            namespace=args.namespace,
            member=args.member,
        )
    print_messages(found, as_json=args.json)
    return 0
