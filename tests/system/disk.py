"""A disk for the memory of a hub: what was committed when the hub died is what the next hub gets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from copy import deepcopy

from linesync.hub.memory import Memory
from linesync.model.sync.services import SyncServices

__all__ = ["Disk"]

_SYNC = (0.0, 0.0, 0.001, 0.02)  # durations of a commit in seconds


class Disk:
    """Keeps a copy of the memory as it was at the begin of the last complete commit.

    :param lease: the hub's lease in seconds.
    :param events: the events that the hub has reported; those that no commit contains have not happened.
    """

    def __init__(self, lease: float, chance: random.Random, events: list[tuple[str, str, str]]) -> None:
        self._chance = chance
        self._saved = Memory(SyncServices(lease=lease))
        self._memory = self._saved
        self._life = 0
        self._waiting: list[Callable[[], None]] = []
        self._busy = False
        self._events = events
        self._happened = 0
        """How many of the events the last commit contains."""

    def load(self) -> Memory:
        """What a hub that starts now finds. Commits of an earlier hub have no effect any more."""
        self._life += 1
        self._waiting, self._busy = [], False
        self._memory = deepcopy(self._saved)
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
        """Save the memory as it is now. All calls during a commit share the next one."""
        self._waiting.append(done)
        if not self._busy:
            self._write()

    def _write(self) -> None:
        self._busy = True
        self._memory.take_changes()
        waiting, self._waiting = self._waiting, []
        # The data of exchanges is not part of the memory.
        dropped = self._memory.services.exchanges.dropped
        copy = deepcopy(self._memory, {id(dropped): None})
        asyncio.get_running_loop().call_later(
            self._chance.choice(_SYNC), self._written, self._life, copy, waiting, len(self._events)
        )

    def _written(self, life: int, copy: Memory, waiting: list[Callable[[], None]], happened: int) -> None:
        if life != self._life:
            return
        self._saved, self._busy, self._happened = copy, False, happened
        for done in waiting:
            done()
        if self._waiting and not self._busy:
            self._write()
