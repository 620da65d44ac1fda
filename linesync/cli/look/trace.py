"""``linesync trace``."""

from __future__ import annotations

import argparse

from ..common import connection, timeout_option
from .console import copy_out

HELP = "show the frames on a host's line as they pass, decoded, until Ctrl-C"
EXAMPLES = """\
  linesync trace sut       "<" came in, ">" went out; then the length in bytes
  linesync trace sut | grep prompt
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", help="a host, or a port of the hub")
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        return copy_out(client, client.trace(args.host), f"the trace of {args.host}", args.deadline)
