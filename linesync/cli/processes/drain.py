"""``linesync drain``."""

from __future__ import annotations

import argparse

from ...errors import TimedOut
from ..common import connection, print_json, print_notice, timeout_option

HELP = (
    "stop the hub for an upgrade: refuse new work, wait for the end of running commands, copies and exchanges, and keep all"
    " waits and holds for the next hub"
)
EXAMPLES = """\
  linesync drain
      wait without limit
  linesync drain --timeout 600
      give up after ten minutes; the hub then accepts work again
  linesync drain --timeout 0
      stop the hub only if no command, copy or exchange runs
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        try:
            client.drain(timeout=0)
        except TimedOut as error:
            if args.timeout == 0:
                raise
            waits = error.details.get("waits_for")
            if isinstance(waits, list):  # otherwise the line to the hub is down
                print_notice(f"the hub waits for {', '.join(map(str, waits))}", as_json=args.json)
            client.drain(timeout=args.deadline.left)
    if args.json:
        print_json({"drained": True})
    return 0
