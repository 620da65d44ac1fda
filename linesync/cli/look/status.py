"""``linesync status``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from ..common import connection, print_json, table, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HELP = "show hosts and who waits for what: barriers, semaphores, locks, exchanges, events, messages"
EXAMPLES = """\
  linesync status
  linesync status --json | jq .barriers
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        status = client.status(timeout=args.deadline.left)
    if args.json:
        print_json(status)
        return 0
    up = sum(row["state"] == "up" for row in status["hosts"])
    print(f"{up} of {len(status['hosts'])} hosts up: " + (_states(status["hosts"]) or "none has registered"))
    for kind, (heads, line) in _TABLES.items():
        rows = status.get(kind)
        if rows:
            print()
            table(heads, [line(row) for row in rows])
    return 0


def _states(rows: list[dict[str, Any]]) -> str:
    return ", ".join(row["name"] if row["state"] == "up" else f"{row['name']} ({row['state']})" for row in rows)


def _name(row: dict[str, Any], key: str = "name") -> str:
    return row[key] if row["namespace"] == "default" else f"{row['namespace']}/{row[key]}"


def _waiting(rows: Iterable[dict[str, Any]], what: str = "") -> str:
    waiting = (f"{one['name']}{f' wants {one[what]}' if what else ''} ({one['waiting']:.0f}s)" for one in rows)
    return ", ".join(waiting) or "-"


def _barrier(row: dict[str, Any]) -> tuple[object, ...]:
    absent = dict(row["gone"])
    if row["members"] is not None:
        absent = row["missing"]
    if row["unheard"]:
        absent = dict.fromkeys(row["unheard"], "silent; asked whether it is alive")
    reasons = ", ".join(f"{name} ({why})" for name, why in absent.items())
    return _name(row), len(row["arrived"]), row["count"], _waiting(row["arrived"]), reasons or "-"


def _semaphore(row: dict[str, Any]) -> tuple[object, ...]:
    held = ", ".join(f"{one['name']} holds {one['units']}" for one in row["holders"])
    return _name(row), row["value"], held or "-", _waiting(row["queue"], "wants")


def _lock(row: dict[str, Any]) -> tuple[object, ...]:
    owner = row["owner"]
    holder = f"{owner['name']} ({owner['since']:.0f}s)" if owner else "-"
    return _name(row), row["token"], holder, _waiting(row["queue"])


def _exchange(row: dict[str, Any]) -> tuple[object, ...]:
    missing = row["missing"]
    absent = ", ".join(f"{name} ({why})" for name, why in missing.items()) if isinstance(missing, dict) else missing
    return _name(row), len(row["given"]), row["count"], ", ".join(row["given"]) or "-", absent or "-"


def _event(row: dict[str, Any]) -> tuple[object, ...]:
    return _name(row), "set" if row["set"] else "not set", _waiting(row["waiting"])


def _topic(row: dict[str, Any]) -> tuple[object, ...]:
    return _name(row), row["messages"], ", ".join(row["senders"]) or "-", _waiting(row["waiting"])


_TABLES = {
    "barriers": (("BARRIER", "ARRIVED", "OF", "WHO", "ABSENT"), _barrier),
    "semaphores": (("SEMAPHORE", "VALUE", "HELD", "WAITING"), _semaphore),
    "locks": (("LOCK", "TOKEN", "OWNER", "WAITING"), _lock),
    "exchanges": (("EXCHANGE", "GAVE", "OF", "WHO", "ABSENT"), _exchange),
    "events": (("EVENT", "STATE", "WAITING"), _event),
    "topics": (("MESSAGES", "COUNT", "FROM", "WAITING"), _topic),
}
