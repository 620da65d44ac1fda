"""A disk for the memory of a hub: what was committed when the hub died is what the next hub gets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from linesync.hub.memory import Memory

__all__ = ["Disk"]

_SYNC = (0.0, 0.0, 0.001, 0.02)  # durations of a commit in seconds

_Change = tuple[str, str, str | None]


class Disk:
    """Keeps the rows of the last complete commit.

    :param lease: the hub's lease in seconds.
    :param events: the events that the hub has reported; those that no commit contains have not happened.
    """

    def __init__(self, lease: float, chance: random.Random, events: list[tuple[str, str, str]]) -> None:
        self._lease = lease
        self._chance = chance
        self._rows: dict[tuple[str, str], str] = {}
        self._memory: Memory | None = None
        self._life = 0
        self._waiting: list[Callable[[], None]] = []
        self._busy = False
        self._events = events
        self._happened = 0
        """How many of the events the last commit contains."""

    def load(self, now: float) -> Memory:
        """What a hub that starts now finds. Commits of an earlier hub have no effect any more."""
        self._life += 1
        self._waiting, self._busy = [], False
        rows = [(kind, key, text) for (kind, key), text in self._rows.items()]
        self._memory = Memory.restore(rows, 0.0, now, lease=self._lease)
        del self._events[self._happened :]
        return self._memory

    @property
    def idle(self) -> bool:
        """Whether no commit is under way."""
        return not self._busy

    def take_events(self) -> list[tuple[str, str, str]]:
        """The events since the last call; all of them are in a commit."""
        events = self._events[:]
        self._events.clear()
        self._happened = 0
        return events

    def commit(self, done: Callable[[], None]) -> None:
        """Save what has changed until now. All calls during a commit share the next one."""
        self._waiting.append(done)
        if not self._busy:
            self._write()

    def _write(self) -> None:
        assert self._memory is not None
        self._busy = True
        waiting, self._waiting = self._waiting, []
        changes = self._memory.take_changes()
        asyncio.get_running_loop().call_later(
            self._chance.choice(_SYNC), self._written, self._life, changes, waiting, len(self._events)
        )

    def _written(self, life: int, changes: list[_Change], waiting: list[Callable[[], None]], happened: int) -> None:
        if life != self._life:
            return
        self._busy, self._happened = False, happened
        for kind, key, text in changes:
            if text is None:
                self._rows.pop((kind, key), None)
            else:
                self._rows[kind, key] = text
        for done in waiting:
            done()
        if self._waiting and not self._busy:
            self._write()
