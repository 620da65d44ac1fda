"""``linesync hosts``."""

from __future__ import annotations

import argparse

from ..common import connection, print_json, table, timeout_option

HELP = "list the hosts that the hub knows, and why hosts were lost"
EXAMPLES = """\
  linesync hosts
  linesync hosts --json | jq -r '.[] | select(.state == "up") | .name'
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        rows = client.hosts(timeout=args.deadline.left)
    if args.json:
        print_json(rows)
        return 0
    table(
        ("HOST", "STATE", "HEARD", "BOOT", "LINE", "CAPABILITIES", "PUBLISHED", "WHY"),
        [
            (
                row["name"],
                row["state"],
                f"{row['heard']:.1f}s ago",
                row["boot"],
                row["line"],
                ",".join(row["capabilities"]) or "-",
                " ".join(f"{key}={value}" for key, value in row["published"].items()) or "-",
                row["why"],
            )
            for row in rows
        ],
    )
    return 0
