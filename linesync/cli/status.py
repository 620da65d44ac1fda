"""``linesync status``."""

from __future__ import annotations

import argparse
from typing import Any

from .common import connection, print_json, table

HELP = "show hosts, barriers and semaphores: who has arrived, who is missing, who waits for units"
EXAMPLES = """\
  linesync status
  linesync status --json | jq .barriers
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        status = client.status()
    if args.json:
        print_json(status)
        return 0
    up = sum(row["state"] == "up" for row in status["hosts"])
    print(f"{up} of {len(status['hosts'])} hosts up: " + (_states(status["hosts"]) or "none has registered"))
    if status["barriers"]:
        print()
        table(("BARRIER", "ARRIVED", "OF", "WHO", "GONE"), [_barrier(row) for row in status["barriers"]])
    if status["semaphores"]:
        print()
        table(("SEMAPHORE", "VALUE", "WAITING"), [_semaphore(row) for row in status["semaphores"]])
    return 0


def _states(rows: list[dict[str, Any]]) -> str:
    return ", ".join(row["name"] if row["state"] == "up" else f"{row['name']} ({row['state']})" for row in rows)


def _name(row: dict[str, Any]) -> str:
    return row["name"] if row["namespace"] == "default" else f"{row['namespace']}/{row['name']}"


def _barrier(row: dict[str, Any]) -> tuple[object, ...]:
    who = ", ".join(f"{party['name']} ({party['waiting']:.0f}s)" for party in row["arrived"])
    gone = ", ".join(f"{name} ({cause})" for name, cause in row["gone"].items())
    return _name(row), len(row["arrived"]), row["count"], who, gone or "-"


def _semaphore(row: dict[str, Any]) -> tuple[object, ...]:
    waiting = ", ".join(f"{one['name']} wants {one['wants']} ({one['waiting']:.0f}s)" for one in row["queue"])
    return _name(row), row["value"], waiting or "-"
