"""``linesync links``."""

from __future__ import annotations

import argparse

from ..common import connection, print_json, table, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...runtime.lines.link_state import LinkState

HELP = "show each line: its state, its traffic, resent frames, and bytes outside frames"
EXAMPLES = """\
  linesync links
  linesync links --json

END is the process at this end of the line. PEER is the process at the other
end. FRAME is the length in bytes of the longest bulk frame in use, and RTT is
the round-trip time. IN and OUT count bytes. RESENT counts resent frames. TEXT
counts bytes of foreign text, NOISE counts bytes of damaged frames, and ECHO
counts bytes of our own frames that the line returned.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        links = client.links(timeout=args.deadline.left)
    if args.json:
        print_json([link.as_json() for link in links])
        return 0
    lines = [link for link in links if link.kind != "unix" or link.host]  # without the connections of scripts
    table(
        ("LINE", "END", "PEER", "STATE", "BAUD", "FRAME", "RTT", "IN", "OUT", "RESENT", "TEXT", "NOISE", "ECHO"),
        [_row(link) for link in lines],
    )
    for link in lines:
        if link.trouble:
            print(f"\n{link.line}: {link.trouble}")
    return 0


def _row(link: LinkState) -> tuple[object, ...]:
    traffic, session = link.traffic, link.session
    trip = session.round_trip_ms if session else None
    return (
        link.line,
        link.end,
        link.host or "-",
        link.state,
        link.baud or "-",
        session.frame_now if session else "-",
        "-" if trip is None else f"{trip:.1f}ms",
        traffic.bytes_in if traffic else 0,
        traffic.bytes_out if traffic else 0,
        session.repeated if session else 0,
        traffic.text if traffic else 0,
        traffic.noise if traffic else 0,
        traffic.echo if traffic else 0,
    )
