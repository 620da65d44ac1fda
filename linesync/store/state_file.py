"""A hub's state in a file, for an event loop. One thread uses the file.

Commits that arrive during the sync of a transaction wait. The next transaction stores all of them with one sync.
:mod:`linesync.store.state` describes the guarantees of a commit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from ..errors import LinesyncError, LinesyncFailed
from .state import LONGEST, Change, NotStored, Row, State, StateFailed, check_change
from .state_database import BlobChange, Database
from .state_memory import MemoryState

__all__ = ["MEMORY", "StateFile", "default_path", "open_state"]

MEMORY = ":memory:"
"""The value that replaces the path of the file if the state is kept only in memory."""
BOUND = 16 << 20  # the number of waiting bytes from which the state counts as full
_BATCH = 4 << 20  # the size of a transaction in bytes from which no more commits are added to it


def default_path(socket: str | None, folder: str) -> str:
    """The path of a hub's state file.

    :param socket: the path of the hub's socket; None for the default socket.
    :param folder: the state directory of this user.
    """
    return f"{folder}/hub.db" if socket is None else f"{socket}.db"


async def open_state(
    path: str,
    *,
    make_folder: bool = False,
    bound: int = BOUND,
    on_failure: Callable[[StateFailed], object] | None = None,
) -> tuple[State, list[Row]]:
    """Open the state of a hub, or create it if the file is missing.

    :param path: the path of the file; :data:`MEMORY` for a state without a file.
    :param make_folder: whether the directory of the file is also created if it is missing.
    :param bound: the number of waiting bytes from which the state counts as full.
    :param on_failure: called once, after a write or a sync has failed.
    :return: the state and its rows, sorted by kind and key in the order of code points.
    :raises BusyError: another process has the file open.
    :raises LinesyncFailed: the file cannot be used: it is damaged, is newer, or belongs to another user. It was not changed.
    """
    if path == MEMORY:
        return MemoryState(), []
    state = StateFile(path, bound, on_failure)
    return state, await state.start(make_folder)


class _Commit:
    """Changes of rows and blobs that are stored together.

    :ivar age: the number of times that the disk was full before this commit.
    :ivar size: the approximate size in bytes.
    """

    __slots__ = ("age", "blobs", "changes", "future", "size")

    def __init__(self, future: asyncio.Future[None], age: int, size: int) -> None:
        self.future = future
        self.age = age
        self.size = size
        self.changes: Sequence[Change] = ()
        self.blobs: Sequence[BlobChange] = ()


class _Read:
    """A request for a piece of a blob."""

    __slots__ = ("count", "future", "number", "offset")

    def __init__(self, future: asyncio.Future[bytes], number: int, offset: int, count: int) -> None:
        self.future = future
        self.number = number
        self.offset = offset
        self.count = count


_Task: TypeAlias = "_Commit | _Read | None"
"""A task for the thread; None ends the thread."""


class StateFile:
    """A state in a file; see :class:`linesync.store.state.State`. :func:`open_state` makes the object.

    The event loop and the thread share only the queue. The thread reports the results to the loop in order.
    """

    def __init__(self, path: str, bound: int, on_failure: Callable[[StateFailed], object] | None) -> None:
        self._path = path
        self._bound = bound
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Task] = SimpleQueue()
        self._database: Database | None = None
        # -- used by the loop
        self._waiting = 0  # bytes of commits that are not done
        self._age = 0  # the number of times that the disk was full
        self._room: list[asyncio.Future[None]] = []
        self._failed: StateFailed | None = None
        self._opened: asyncio.Future[list[Row]] | None = None
        self._ended: asyncio.Future[None] | None = None
        # -- used by the thread
        self._full: tuple[int, NotStored] | None = (
            None  # the age of the commits that fail because of a full disk; the error
        )
        self._broken: StateFailed | None = None
        self._left: _Commit | _Read | None = None  # the next task, which was already taken from the queue

    # -- for the event loop -------------------------------------------------------------------------------------------

    async def start(self, make_folder: bool) -> list[Row]:
        """Open the file in the thread, and return its rows. After a cancelled call, the thread closes the file."""
        self._opened = self._loop.create_future()
        ended: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._work, args=(ended, make_folder), name="linesync_state", daemon=True).start()
        try:
            rows = await self._opened
        except BaseException:
            self._queue.put(None)
            raise
        finally:
            self._opened = None  # the future refers to the rows, which must not stay in memory
        self._ended = ended
        return rows

    @property
    def hub(self) -> str:
        assert self._database is not None
        return self._database.hub

    @property
    def offset(self) -> float:
        assert self._database is not None
        return self._database.offset

    @property
    def full(self) -> bool:
        return self._waiting >= self._bound

    @property
    def failed(self) -> StateFailed | None:
        return self._failed

    async def room(self) -> None:
        while self.full:
            future = self._loop.create_future()
            self._room.append(future)
            await future

    def commit(self, changes: Sequence[Change], *, remove: Iterable[int] = ()) -> asyncio.Future[None]:
        task = self._new(100 + sum(map(check_change, changes)))
        task.changes = tuple(changes)
        task.blobs = tuple(remove)
        return self._put(task)

    def append(self, number: int, offset: int, data: bytes) -> asyncio.Future[None]:
        if len(data) > LONGEST:
            raise ValueError(f"a piece has {len(data):,} bytes: expected at most {LONGEST:,}")
        task = self._new(100 + len(data))
        task.blobs = ((number, offset, data),)
        return self._put(task)

    def read(self, number: int, offset: int, count: int) -> asyncio.Future[bytes]:
        future: asyncio.Future[bytes] = self._loop.create_future()
        if self._ended is None:
            future.set_exception(self._closed())
        else:
            self._queue.put(_Read(future, number, offset, count))
        return future

    async def close(self) -> None:
        if self._ended is not None:
            ended, self._ended = self._ended, None
            self._queue.put(None)
            await ended

    def _new(self, size: int) -> _Commit:
        return _Commit(self._loop.create_future(), self._age, size)

    def _put(self, task: _Commit) -> asyncio.Future[None]:
        if self._failed is not None:
            task.future.set_exception(self._failed)
        elif self._ended is None:
            task.future.set_exception(self._closed())
        else:
            self._waiting += task.size
            self._queue.put(task)
        return task.future

    def _closed(self) -> LinesyncFailed:
        return LinesyncFailed(f"the state file {self._path} is closed; start the hub again")

    def _begin(self, error: Exception | None, rows: list[Row]) -> None:
        """Receive the rows of the opened file from the thread."""
        if self._opened is not None:
            _settle(self._opened, error, rows)

    def _done(self, commits: list[_Commit], error: LinesyncError | None) -> None:
        """Receive the outcome of commits from the thread."""
        if isinstance(error, NotStored) and commits[0].age == self._age:
            self._age += 1
        failure = error if isinstance(error, StateFailed) and self._failed is None else None
        self._failed = self._failed or failure
        for commit in commits:
            self._waiting -= commit.size
            _settle(commit.future, error, None)
        if not self.full:
            room, self._room = self._room, []
            for future in room:
                _settle(future, None, None)
        if failure is not None and self._on_failure is not None:
            self._on_failure(failure)

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _work(self, ended: asyncio.Future[None], make_folder: bool) -> None:
        try:
            self._database = database = Database(self._path, folder=make_folder)
        except Exception as error:
            self._call(self._begin, error, [])
            return
        try:
            self._call(self._begin, None, database.rows())
        except Exception as error:
            self._call(self._begin, error, [])
            database.close(broken=True)
            return
        while (task := self._next()) is not None:
            self._serve(database, task)
            del task  # frees its rows, which may be large, because the next task may come much later
        outcome: Exception | None = None
        try:
            database.close(broken=self._broken is not None)
        except StateFailed as error:
            outcome = error
        self._call(_settle, ended, outcome or self._broken, None)

    def _next(self) -> _Task:
        task, self._left = self._left, None
        return task or self._queue.get()

    def _serve(self, database: Database, task: _Commit | _Read) -> None:
        """Do a task. A commit is stored together with the commits behind it in the queue."""
        if isinstance(task, _Read):
            self._read(database, task)
            return
        batch, size = [task], task.size
        while size < _BATCH:
            try:
                following = self._queue.get_nowait()
            except Empty:
                break
            if following is None:
                self._queue.put(None)  # None is the last task
                break
            if isinstance(following, _Read) or following.age != task.age:
                self._left = following
                break
            batch.append(following)
            size += following.size
        self._store(database, batch)

    def _store(self, database: Database, batch: list[_Commit]) -> None:
        """Commit a batch, and report the outcome to the loop. After that, move pages from the log into the file."""
        error: LinesyncError | None = self._broken
        if error is None and self._full is not None and self._full[0] == batch[0].age:
            error = self._full[1]
        if error is None:
            rows = {(kind, key): value for commit in batch for kind, key, value in commit.changes}
            error = self._attempt(lambda: database.apply(rows, [change for commit in batch for change in commit.blobs]))
            if isinstance(error, NotStored):
                self._full = batch[0].age, error
        self._call(self._done, batch, error)
        if self._broken is None:
            tidy_error = self._attempt(database.tidy)
            if tidy_error is not None:
                self._call(self._done, [], tidy_error)

    def _attempt(self, job: Callable[[], object]) -> LinesyncError | None:
        """Run a job of the database, and return its error. After a job with an unknown outcome, no job is run any more."""
        try:
            job()
        except NotStored as error:
            return error
        except StateFailed as error:
            self._broken = error
            return error
        except Exception as error:  # a bug in linesync; it is unknown whether the commit was stored
            self._broken = StateFailed(
                f"the hub cannot store its state in {self._path}: {error!r}; report this bug, and start the hub again"
            )
            return self._broken
        return None

    def _read(self, database: Database, task: _Read) -> None:
        data: bytes | None = None
        failed: Exception | None = None
        try:
            data = database.read(task.number, task.offset, task.count)
        except Exception as error:
            failed = error
        self._call(_settle, task.future, failed, data)
        if isinstance(failed, StateFailed) and self._broken is None:
            self._broken = failed
            self._call(self._done, [], failed)

    def _call(self, function: Callable[..., object], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed, so no code waits for the result
            self._loop.call_soon_threadsafe(function, *args)


def _settle(future: asyncio.Future[Any], error: Exception | None, value: Any) -> None:
    if future.done():  # cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
