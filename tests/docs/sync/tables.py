"""All tables of states in docs/sync.md, by their names on the page."""

from __future__ import annotations

from tests.docs.sync.tables_barriers import COUNT, EXCHANGE, LINGER, MEMBERS, ONCE
from tests.docs.sync.tables_messages import EVENT, GATHER, HOST, TOPIC
from tests.docs.sync.tables_ownership import ARRIVAL, CYCLE, LOCK, SEMAPHORE

__all__ = ["TABLES"]

TABLES = {
    "arrival": ARRIVAL,
    "members": MEMBERS,
    "count": COUNT,
    "once": ONCE,
    "linger": LINGER,
    "semaphore": SEMAPHORE,
    "lock": LOCK,
    "event": EVENT,
    "topic": TOPIC,
    "gather": GATHER,
    "exchange": EXCHANGE,
    "cycle": CYCLE,
    "host": HOST,
}
