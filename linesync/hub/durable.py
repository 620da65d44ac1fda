"""Stores the hub's memory: the hub commits each change to a store before it sends the replies that depend on the change.

1. After each iteration of the event loop, one commit contains all marked rows. The store uses group commit: one fsync serves
   all commits that wait.
2. If the disk is full, the model keeps the changes, and the rows wait in :class:`Durable`. As soon as there is free space, the
   hub stores all these rows together, and then sends the replies that depend on them. Until then the hub accepts no new
   arrivals, for the reason in :attr:`Durable.refusal`. Requests that already wait continue to wait. Later rows also wait,
   because they may depend on earlier rows.
3. If a write or an fsync fails, it is not known which rows are stored. The hub then sends no more replies, and must end. The
   next hub starts from the rows on the disk, and continues the sessions.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable

from ..errors import LinesyncFailed
from ..limits import LEASE
from ..model.sync.services import SyncServices
from ..runtime.listening.reports import Report
from ..store.state import NotStored, Row, State
from .memory import OPEN, REPLY, SERIALS, SESSION, Memory

__all__ = ["Durable", "restore"]

_RETRY_INTERVAL = 1.0  # seconds between attempts to store while the disk is full
_SESSIONS = frozenset((SESSION, OPEN, REPLY, SERIALS))
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
        self._in_flight: deque[_Commit] = deque()  # bound: waits.WAITS
        """The commits whose results have not been processed, in the order of the commits."""
        self._unstored: dict[tuple[str, str], str | None] = {}  # bound: waits.WAITS
        """While the disk is full: the rows of the failed commits. Each row is here once, so there are never more rows than in
        the memory."""
        self._failed_callbacks: list[Callable[[], None]] = []  # bound: waits.WAITS
        """The callbacks of the failed commits; they run after `_unstored` is stored."""
        self._later_callbacks: list[Callable[[], None]] = []  # bound: waits.WAITS
        """Callbacks that were added while the disk was full; they run after the changes made since then are stored."""
        self._disk_full: NotStored | None = None
        """The error of the last failed commit while the disk is full, or None."""
        self._again: asyncio.TimerHandle | None = None

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
        self._collect()
        if self._disk_full is not None:
            self._later_callbacks.append(done)  # the journal keeps the marks
        elif rows := self._take():
            self._put(rows, [done])
        elif self._in_flight:
            self._in_flight[-1].done.append(done)
        elif self.state.failed is None:
            done()

    async def close(self) -> None:
        """Store all changes, and close the state.

        :raises StateFailed: a write or an fsync failed, so some changes are not stored.
        :raises NotStored: the disk is full, so the last changes are not stored.
        """
        self.commit(lambda: None)
        if self._disk_full is not None:
            self._try_again()
        await self.state.close()
        self._collect()
        if self._again is not None:
            self._again.cancel()
        if self._disk_full is not None:
            raise self._disk_full

    def _take(self) -> dict[tuple[str, str], str | None]:
        """The current values of the rows that have changed."""
        return {
            (kind, key): None if row is None else _encode(row.as_json())
            for kind, key, row in self.memory.journal.take()
        }

    def _put(self, rows: dict[tuple[str, str], str | None], done: list[Callable[[], None]]) -> None:
        commit = _Commit(self.state.commit([(*row, value) for row, value in rows.items()]), rows, done)
        self._in_flight.append(commit)
        commit.future.add_done_callback(self._collect)

    def _collect(self, _: object = None) -> None:
        """Process the results of the finished commits, in the order of the commits.

        This runs before each new commit, because the new commit must include the rows of failed commits.
        """
        while self._in_flight and self._in_flight[0].future.done():
            commit = self._in_flight.popleft()
            error = commit.future.exception()
            if error is None:
                self._stored(commit)
            elif isinstance(error, NotStored):
                self._unstored.update(commit.rows)
                self._failed_callbacks += commit.done
                self._wait_for_room(error)
            elif not isinstance(error, LinesyncFailed):
                raise error

    def _stored(self, commit: _Commit) -> None:
        had_room = self._disk_full is None
        self._disk_full = None
        _call(commit.done)
        if not had_room:
            self._report("the disk has free space again, and the hub has stored its state")
            later, self._later_callbacks = self._later_callbacks, []
            self.commit(lambda: _call(later))

    def _wait_for_room(self, error: NotStored) -> None:
        if self._disk_full is None:
            self._disk_full = error
            self._report(
                f"the disk of {error.path} is full; the hub refuses requests that change its state until there is free space"
            )
        if self._again is None:
            self._again = self._loop.call_later(_RETRY_INTERVAL, self._try_again)

    def _try_again(self) -> None:
        self._again = None
        if self._in_flight:  # wait for the results of these commits, because the next attempt must include failed rows
            self._again = self._loop.call_later(_RETRY_INTERVAL, self._try_again)
            return
        rows, self._unstored = {**self._unstored, **self._take()}, {}
        done, self._failed_callbacks, self._later_callbacks = [*self._failed_callbacks, *self._later_callbacks], [], []
        self._put(rows, done)


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
        (session_rows if row[0] in _SESSIONS else model_rows).append(row)
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


def _call(callbacks: Iterable[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()


class _Commit:
    """A commit whose result has not been processed."""

    __slots__ = ("done", "future", "rows")

    def __init__(
        self,
        future: asyncio.Future[None],
        rows: dict[tuple[str, str], str | None],
        done: list[Callable[[], None]],
    ) -> None:
        self.future = future
        self.rows = rows
        self.done = done
