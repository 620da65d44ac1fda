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
    """

    def __init__(self, lease: float, chance: random.Random) -> None:
        self._chance = chance
        self._saved = Memory(SyncServices(lease=lease))
        self._memory = self._saved
        self._life = 0
        self._waiting: list[Callable[[], None]] = []
        self._busy = False
        self.commits = 0

    def load(self) -> Memory:
        """What a hub that starts now finds. Commits of an earlier hub have no effect any more."""
        self._life += 1
        self._waiting, self._busy = [], False
        self._memory = deepcopy(self._saved)
        return self._memory

    def commit(self, done: Callable[[], None]) -> None:
        """Save the memory as it is now. All calls during a commit share the next one."""
        self._waiting.append(done)
        if not self._busy:
            self._write()

    def _write(self) -> None:
        self._busy = True
        self._memory.take_marked()
        waiting, self._waiting = self._waiting, []
        # The data of exchanges is not part of the memory.
        dropped = self._memory.services.exchanges.dropped
        copy = deepcopy(self._memory, {id(dropped): None})
        asyncio.get_running_loop().call_later(self._chance.choice(_SYNC), self._written, self._life, copy, waiting)

    def _written(self, life: int, copy: Memory, waiting: list[Callable[[], None]]) -> None:
        if life != self._life:
            return
        self.commits += 1
        self._saved, self._busy = copy, False
        for done in waiting:
            done()
        if self._waiting and not self._busy:
            self._write()
