"""``linesync trace``."""

from __future__ import annotations

import argparse
import re
import sys
import time

from ...timestamps import utc
from ..common import connection, print_json, timeout_option
from .console import copy_out

HELP = "show the decoded frames on a host's line as they pass, until Ctrl-C"
EXAMPLES = """\
  linesync trace sut       "<" marks a received frame, ">" a sent frame; then the
                           length in bytes
  linesync trace sut | grep prompt
  linesync trace sut --json
"""
_FRAME = re.compile(r"(\S+Z) ([<>]) +(\d+) (.*)", re.DOTALL)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", help="a host, or a port of the hub")
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        stream = client.trace(args.host)
        return copy_out(client, stream, f"the trace of {args.host}", args.deadline, _Lines() if args.json else None)


class _Lines:
    """Prints the trace as JSON, one line for each frame."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            print_json(frame_of(line.decode("utf-8", "replace")))
        sys.stdout.flush()


def frame_of(line: str) -> dict[str, object]:
    """The JSON fields for a line of the trace."""
    found = _FRAME.fullmatch(line)
    if found is None:  # "... 5 frames not shown"
        return {"time": utc(time.time()), "direction": None, "length": None, "text": line}
    timestamp, arrow, length, text = found.groups()
    return {"time": timestamp, "direction": "in" if arrow == "<" else "out", "length": int(length), "text": text}
