"""A simulated disk for the state of a hub: the next hub gets the changes that were committed when the hub died."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence

from linesync.store.state import Change, NotStored, Row, State, StateFailed

__all__ = ["Disk"]

_SYNC = (0.0, 0.0, 0.001, 0.02)  # durations of a commit in seconds


class Disk:
    """Keeps rows and blobs. All commits that wait share one sync.

    :param events: the events that the hub has reported. Events that no commit contains have not happened.
    :ivar stuck_after: the number of commits after which the disk accepts no more commits until the hub is started again.
    :ivar is_full: whether commits fail, because the disk is full.
    """

    def __init__(self, chance: random.Random, events: list[tuple[str, str, str]]) -> None:
        self._chance = chance
        self.offset = 1e6 * chance.random()
        self.rows: dict[tuple[str, str], str] = {}
        self.blobs: dict[int, bytearray] = {}
        self.stuck_after: int | None = None
        self.is_full = False
        self.commits = 0
        self._life = 0
        self._waiting: list[_Commit] = []
        self._busy = False
        self._events = events
        self._happened = 0
        """How many of the events the last commit contains."""

    def kill(self) -> None:
        """Handle the death of the hub: uncommitted changes are lost."""
        self._life += 1
        self._waiting, self._busy, self.stuck_after = [], False, None
        del self._events[self._happened :]

    def open(self) -> tuple[State, list[Row]]:
        """The state for a hub that starts now, and its rows."""
        return _State(self, self._life), [(*row, value) for row, value in sorted(self.rows.items())]

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

    def put(self, life: int, commit: _Commit) -> None:
        """Add a commit, unless the hub is dead."""
        if life == self._life:
            commit.events = len(self._events)
            self._waiting.append(commit)
            if not self._busy:
                self._write()

    def _write(self) -> None:
        self._busy = True
        batch, self._waiting = self._waiting, []
        if self.stuck_after != 0:
            asyncio.get_running_loop().call_later(self._chance.choice(_SYNC), self._written, self._life, batch)

    def _written(self, life: int, batch: list[_Commit]) -> None:
        if life != self._life:
            return
        if self.is_full:
            batch, self._waiting = batch + self._waiting, []
        for commit in batch:
            self._finish(commit)
        if self.stuck_after is not None:
            self.stuck_after -= 1
        self._busy = False
        if self._waiting:
            self._write()

    def _finish(self, commit: _Commit) -> None:
        if self.is_full:
            commit.future.set_exception(NotStored("the hub's disk is full; make room"))
            return
        self.commits += 1
        for kind, key, value in commit.changes:
            if value is None:
                self.rows.pop((kind, key), None)
            else:
                self.rows[kind, key] = value
        for number in commit.remove:
            self.blobs.pop(number, None)
        for number, offset, data in commit.pieces:
            blob = self.blobs.setdefault(number, bytearray())
            blob[offset : offset + len(data)] = data
        self._happened = max(self._happened, commit.events)
        commit.future.set_result(None)


class _State:
    """A :class:`linesync.store.state.State` for one life of a hub."""

    hub = "0123456789abcdef"
    full = False
    failed: StateFailed | None = None

    def __init__(self, disk: Disk, life: int) -> None:
        self.offset = disk.offset
        self._disk = disk
        self._life = life

    async def room(self) -> None:
        return

    def commit(self, changes: Sequence[Change], *, remove: Iterable[int] = ()) -> asyncio.Future[None]:
        return self._put(_Commit(list(changes), list(remove), []))

    def append(self, number: int, offset: int, data: bytes) -> asyncio.Future[None]:
        return self._put(_Commit([], [], [(number, offset, data)]))

    def read(self, number: int, offset: int, count: int) -> asyncio.Future[bytes]:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        future.set_result(bytes(self._disk.blobs.get(number, b"")[offset : offset + count]))
        return future

    async def close(self) -> None:
        return

    def _put(self, commit: _Commit) -> asyncio.Future[None]:
        self._disk.put(self._life, commit)
        return commit.future


class _Commit:
    def __init__(self, changes: list[Change], remove: list[int], pieces: list[tuple[int, int, bytes]]) -> None:
        self.changes = changes
        self.remove = remove
        self.pieces = pieces
        self.events = 0
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
