"""``linesync event``."""

from __future__ import annotations

import argparse

from ...errors import UsageError
from ..common import connection, namespace_option, print_json, timeout_option

HELP = "set, clear or wait for events; an event stays set until it is cleared"
EXAMPLES = """\
  linesync event set server-up
  linesync event wait server-up client-up    wait until both are set
  linesync event wait --any passed failed    wait until one is set, and print it
  linesync event clear server-up
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="set|wait|clear", choices=("set", "wait", "clear"), help="the action")
    parser.add_argument("names", metavar="NAME", nargs="+", help="the events' names; the first use creates an event")
    parser.add_argument("--any", action="store_true", help="wait for any of the events instead of all")
    timeout_option(parser, "event")
    namespace_option(parser, "event")


def run(args: argparse.Namespace) -> int:
    if args.any and args.action != "wait":
        raise UsageError(f"--any is for 'event wait' only; 'event {args.action}' changes all the events that it names")
    with connection(args) as client:
        if args.action == "set":
            client.set_events(*args.names, timeout=args.deadline.left, namespace=args.namespace)
            found = tuple(args.names)
        elif args.action == "clear":
            client.clear_events(*args.names, timeout=args.deadline.left, namespace=args.namespace)
            found = tuple(args.names)
        else:
            found = client.wait_events(*args.names, any=args.any, timeout=args.deadline.left, namespace=args.namespace)
    if args.json:
        print_json({"cleared" if args.action == "clear" else "set": list(found)})
    elif args.any:
        print("\n".join(found))
    return 0
