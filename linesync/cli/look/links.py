"""``linesync links``."""

from __future__ import annotations

import argparse

from ..common import connection, print_json, table, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HELP = "show each line: its state, its traffic, repeated frames, and bytes outside frames"
EXAMPLES = """\
  linesync links
  linesync links --json

END is the process at this end of the line, PEER the one at the other end.
FRAME is the longest bulk frame in use, RTT the round-trip time. IN and OUT
count bytes. RESENT counts frames that were sent again. TEXT counts bytes of
foreign text, NOISE bytes of damaged frames, ECHO bytes of our own frames that
came back.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        rows = client.links(timeout=args.deadline.left)
    if args.json:
        print_json(rows)
        return 0
    lines = [row for row in rows if row["kind"] != "unix" or row.get("host")]  # not the scripts' own connections
    table(
        ("LINE", "END", "PEER", "STATE", "BAUD", "FRAME", "RTT", "IN", "OUT", "RESENT", "TEXT", "NOISE", "ECHO"),
        [_row(row) for row in lines],
    )
    for row in lines:
        if row.get("trouble"):
            print(f"\n{row['line']}: {row['trouble']}")
    return 0


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    trip = row.get("round_trip_ms")
    return (
        row["line"],
        row["end"],
        row.get("host") or "-",
        row["state"],
        row["baud"] or "-",
        row.get("frame_now", "-"),
        "-" if trip is None else f"{trip:.1f}ms",
        row.get("bytes_in", 0),
        row.get("bytes_out", 0),
        row.get("repeated", 0),
        row.get("text", 0),
        row.get("noise", 0),
        row.get("echo", 0),
    )
