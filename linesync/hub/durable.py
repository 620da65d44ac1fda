"""The hub's memory in a store: what has changed is committed, and then what depends on it leaves the hub.

1. After each turn of the event loop, all marked rows go into one commit. The store lets commits that wait share one sync.
2. If the disk is full, the model keeps what has changed, and the rows wait here. They are stored together as soon as there
   is room, and only then do the replies leave that depend on them. Until then :attr:`Durable.refusal` is the reason why the
   hub accepts no new arrivals. Waits stay. Later rows wait too, because they may depend on the earlier ones.
3. If a write or a sync fails, it is not known what is stored. Then no reply leaves any more, and the hub must end. The next
   hub begins with what is on the disk, and the sessions continue there.
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

_AGAIN = 1.0  # seconds between attempts to store while the disk is full
_SESSIONS = frozenset((SESSION, OPEN, REPLY, SERIALS))
_COUNTED = ("host", "session", "wait", "semaphore", "lock", "barrier", "event", "message", "exchange", "namespace")
"""The kinds of rows that the hub counts in its log when it starts."""
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Durable:
    """Commits a memory to a state.

    :param report: is called with each sentence for the log.
    """

    def __init__(self, state: State, memory: Memory, report: Report) -> None:
        self.state = state
        self.memory = memory
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._flying: deque[_Commit] = deque()  # bound: waits.WAITS
        """The commits that are under way, in their order."""
        self._unstored: dict[tuple[str, str], str | None] = {}  # bound: waits.WAITS
        """While the disk is full: the rows of commits that failed; each once, so they are not more than the memory has."""
        self._owed: list[Callable[[], None]] = []  # bound: waits.WAITS
        """What happens when these are stored."""
        self._late: list[Callable[[], None]] = []  # bound: waits.WAITS
        """What happens when that which has changed since then is stored, too."""
        self._full: NotStored | None = None
        self._again: asyncio.TimerHandle | None = None

    @property
    def refusal(self) -> str:
        """Why new arrivals are refused; empty if they are not."""
        return self._full.message if self._full is not None else ""

    @property
    def offset(self) -> float:
        """Seconds to add to the clock of the event loop to get the time of the model."""
        return self.state.offset

    @property
    def full(self) -> bool:
        """Whether so much waits for the disk that peers must wait until :meth:`room` returns."""
        return self.state.full

    async def room(self) -> None:
        """Wait until the state is not full."""
        await self.state.room()

    def commit(self, done: Callable[[], None]) -> None:
        """Commit all rows that are marked, and call ``done`` after that and after all earlier calls."""
        self._collect()
        if self._full is not None:
            self._late.append(done)  # the marks stay where they are
        elif rows := self._take():
            self._put(rows, [done])
        elif self._flying:
            self._flying[-1].done.append(done)
        elif self.state.failed is None:
            done()

    async def close(self) -> None:
        """Store what has changed, and close the state.

        :raises StateFailed: something is not stored.
        :raises NotStored: the disk is full, so the last changes are not stored.
        """
        self.commit(lambda: None)
        if self._full is not None:
            self._try_again()
        await self.state.close()
        self._collect()
        if self._again is not None:
            self._again.cancel()
        if self._full is not None:
            raise self._full

    def _take(self) -> dict[tuple[str, str], str | None]:
        """The rows that have changed, as they are now."""
        return {
            (kind, key): None if row is None else _encode(row.as_json())
            for kind, key, row in self.memory.take_changed()
        }

    def _put(self, rows: dict[tuple[str, str], str | None], done: list[Callable[[], None]]) -> None:
        commit = _Commit(self.state.commit([(*row, value) for row, value in rows.items()]), rows, done)
        self._flying.append(commit)
        commit.future.add_done_callback(self._collect)

    def _collect(self, _: object = None) -> None:
        """Take the outcomes of commits, in their order. A new commit may only be made when those of all earlier ones that are
        known were taken: it must contain the rows that were not stored."""
        while self._flying and self._flying[0].future.done():
            commit = self._flying.popleft()
            error = commit.future.exception()
            if error is None:
                self._stored(commit)
            elif isinstance(error, NotStored):
                self._unstored.update(commit.rows)
                self._owed += commit.done
                self._wait_for_room(error)
            elif not isinstance(error, LinesyncFailed):
                raise error

    def _stored(self, commit: _Commit) -> None:
        had_room = self._full is None
        self._full = None
        _call(commit.done)
        if not had_room:
            self._report("the disk has room again, and the hub has stored its state")
            late, self._late = self._late, []
            self.commit(lambda: _call(late))

    def _wait_for_room(self, error: NotStored) -> None:
        if self._full is None:
            self._full = error
            self._report(f"{error.message}; until then, the hub refuses new requests that change its state")
        if self._again is None:
            self._again = self._loop.call_later(_AGAIN, self._try_again)

    def _try_again(self) -> None:
        self._again = None
        if self._flying:  # the rows of these belong to the next attempt
            self._again = self._loop.call_later(_AGAIN, self._try_again)
            return
        rows, self._unstored = {**self._unstored, **self._take()}, {}
        done, self._owed, self._late = [*self._owed, *self._late], [], []
        self._put(rows, done)


def restore(
    state: State, rows: Iterable[Row], report: Report, *, lease: float = LEASE, first_token: int = 1
) -> Durable:
    """Make the memory of a hub from the rows of a state, and report what it has.

    :param lease: the hub's lease in seconds.
    :param first_token: no fencing token below it will be given.
    :raises LinesyncFailed: a row is not valid.
    """
    ours: list[Row] = []
    theirs: list[Row] = []
    count: Counter[str] = Counter()
    for row in rows:
        (ours if row[0] in _SESSIONS else theirs).append(row)
        count[row[0]] += 1
    now = asyncio.get_running_loop().time() + state.offset
    services = SyncServices.restore(theirs, 0.0, now, lease=lease, first_token=first_token)
    memory = Memory(services)
    try:
        memory.load(ours)
    except (ValueError, RecursionError) as error:
        raise LinesyncFailed(
            f"cannot restore the sessions of the hub: {error}; restore a backup of the state, or start the hub with an empty"
            " one"
        ) from None
    parts = [f"{count[kind]} {kind}{'s' if count[kind] > 1 else ''}" for kind in _COUNTED if count[kind]]
    if parts:
        report(f"restored {', '.join(parts)}")
    return Durable(state, memory, report)


def _call(late: Iterable[Callable[[], None]]) -> None:
    for done in late:
        done()


class _Commit:
    """A commit that is under way."""

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
