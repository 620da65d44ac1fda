"""``linesync hosts``."""

from __future__ import annotations

import argparse

from ..common import connection, print_json, table, timeout_option

HELP = "list the hosts that the hub knows, and the reason for each lost host"
EXAMPLES = """\
  linesync hosts
  linesync hosts --json | jq -r '.[] | select(.state == "up") | .name'
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        hosts = client.hosts(timeout=args.deadline.left)
    if args.json:
        print_json([host.as_json() for host in hosts])
        return 0
    table(
        ("HOST", "STATE", "HEARD", "BOOT", "SYSTEM", "LINE", "CAPABILITIES", "PUBLISHED", "WHY"),
        [
            (
                host.name,
                host.state,
                f"{host.heard:.1f}s ago",
                host.boot,
                host.system[:8] or "-",
                host.line,
                ",".join(host.capabilities) or "-",
                " ".join(f"{key}={value}" for key, value in host.published.items()) or "-",
                host.why,
            )
            for host in hosts
        ],
    )
    return 0
