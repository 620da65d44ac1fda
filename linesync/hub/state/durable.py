"""Stores the hub's memory: the hub commits each change to a store before it sends the replies that depend on the change.

1. One commit runs at a time. It contains all rows that are marked when it begins. The next commit contains all changes that
   are made during this commit, so a busy hub syncs its disk once for many requests.
2. If the disk is full, the rows of the failed commit are marked again, and their replies wait. As soon as there is free space,
   the hub stores all marked rows together. Until then the hub accepts no new arrivals, for the reason in
   :attr:`Durable.refusal`. Requests that already wait continue to wait.
3. If a write or an fsync fails, it is not known which rows are stored. The hub then sends no more replies, and must end. The
   next hub starts from the rows on the disk, and continues the sessions.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable

from ...errors import LinesyncFailed
from ...limits import LEASE
from ...model.state.record import State as Record
from ...model.sync.services import SyncServices
from ...runtime.listening.reports import Report
from ...store.state import NotStored, Row, State
from .memory import DATA, KINDS, Memory

__all__ = ["Durable", "restore"]

_RETRY_INTERVAL = 1.0  # seconds between attempts to store while the disk is full
_COUNTED = ("host", "session", "wait", "semaphore", "lock", "barrier", "event", "message", "exchange", "namespace")
"""The kinds of rows whose numbers the hub logs when it starts."""
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Durable:
    """Commits the changes of a memory to a state file.

    :param state: the open state file.
    :param report: is called with each sentence for the log.
    """

    def __init__(self, state: State, memory: Memory, report: Report) -> None:
        self.state = state
        self.memory = memory
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._storing: list[Callable[[], None]] = []  # bound: waits.WAITS
        """The callbacks of the running commit."""
        self._waiting: list[Callable[[], None]] = []  # bound: waits.WAITS
        """The callbacks of the next commit."""
        self._running: asyncio.Future[None] | None = None
        """The running commit."""
        self._disk_full: NotStored | None = None
        """The error of the last failed commit while the disk is full, or None."""
        self._retry_timer: asyncio.TimerHandle | None = None

    @property
    def refusal(self) -> str:
        """The reason for which new arrivals are refused; empty if they are accepted."""
        return self._disk_full.message if self._disk_full is not None else ""

    @property
    def offset(self) -> float:
        """Seconds to add to the clock of the event loop to get the time of the model."""
        return self.state.offset

    @property
    def congested(self) -> bool:
        """Whether too many bytes wait for the disk. Then peers must wait until :meth:`room` returns."""
        return self.state.full

    async def room(self) -> None:
        """Wait until :attr:`congested` is false."""
        await self.state.room()

    def commit(self, done: Callable[[], None]) -> None:
        """Commit all marked rows, and call ``done`` when they and all earlier commits are stored."""
        self._waiting.append(done)
        if self._running is None and self._disk_full is None:
            self._begin()

    async def close(self) -> None:
        """Store all changes, and close the state.

        :raises StateFailed: a write or an fsync failed, so some changes are not stored.
        :raises NotStored: the disk is full, so the last changes are not stored.
        """
        await self._idle()
        self._begin()  # if the disk was full, try again
        await self._idle()
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        await self.state.close()
        if self._disk_full is not None:
            raise self._disk_full

    async def _idle(self) -> None:
        while self._running is not None:
            await asyncio.wait([self._running])

    def _begin(self) -> None:
        """Begin a commit of all marked rows."""
        rows = self.memory.journal.take()
        self._storing, self._waiting = self._waiting, []
        if rows:
            removed = [int(key) for kind, key, record in rows if kind == DATA and record is None]
            self._running = self.state.commit(
                [(kind, key, _text(record)) for kind, key, record in rows], remove=removed
            )
            self._running.add_done_callback(self._ended)
        elif self.state.failed is None:
            self._stored()

    def _ended(self, commit: asyncio.Future[None]) -> None:
        self._running = None
        error = commit.exception()
        if error is None:
            self._stored()
        elif isinstance(error, NotStored):
            self.memory.journal.put_back()
            self._waiting[:0] = self._storing
            self._wait_for_room(error)
        elif not isinstance(error, LinesyncFailed):
            raise error

    def _stored(self) -> None:
        if self._disk_full is not None:
            self._disk_full = None
            self._report("the disk has free space again, and the hub has stored its state")
        storing, self._storing = self._storing, []
        for done in storing:
            done()
        if self._waiting and self._running is None:
            self._begin()

    def _wait_for_room(self, error: NotStored) -> None:
        if self._disk_full is None:
            self._disk_full = error
            self._report(
                f"the disk of {error.path} is full; the hub refuses requests that change its state until there is free space"
            )
        self._retry_timer = self._loop.call_later(_RETRY_INTERVAL, self._begin)


def restore(
    state: State, rows: Iterable[Row], report: Report, *, lease: float = LEASE, first_token: int = 1
) -> Durable:
    """Make the memory of a hub from the rows of a state file, and log the number of rows of each kind.

    :param lease: the hub's lease in seconds.
    :param first_token: the smallest fencing token that the hub may give.
    :raises LinesyncFailed: a row is not valid.
    """
    session_rows: list[Row] = []
    model_rows: list[Row] = []
    count: Counter[str] = Counter()
    for row in rows:
        (session_rows if row[0] in KINDS else model_rows).append(row)
        count[row[0]] += 1
    now = asyncio.get_running_loop().time() + state.offset
    services = SyncServices.restore(model_rows, 0.0, now, lease=lease, first_token=first_token)
    memory = Memory(services)
    try:
        memory.load(session_rows)
    except (ValueError, RecursionError) as error:
        raise LinesyncFailed(
            f"cannot restore the sessions of the hub: {error}; restore a backup of the state, or start the hub with an empty"
            " state"
        ) from None
    parts = [f"{count[kind]} {kind}{'s' if count[kind] > 1 else ''}" for kind in _COUNTED if count[kind]]
    if parts:
        report(f"restored {', '.join(parts)}")
    return Durable(state, memory, report)


def _text(record: Record | None) -> str | None:
    return None if record is None else _encode(record.as_json())
