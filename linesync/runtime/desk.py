"""A desk runs the calls of one transfer that may block, such as a read of a file. It runs one call at a time. When the channel
ends, it stops waiting for the call.

The driver starts the calls (``start_work``): the asyncio driver in a thread, the blocking driver immediately.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ..errors import BrokenError, Hung

__all__ = ["Behind", "Desk", "Done", "Starter", "Work"]

_HELD = 1 << 20  # the number of bytes waiting for the disk at which a writer waits


class Work(Protocol):
    """A call that was started."""

    def done(self) -> bool: ...
    def result(self) -> Any: ...
    def leave(self, after: Callable[[], object]) -> None:
        """Stop waiting for the call. When the call has ended, ``after`` runs."""


class Starter(Protocol):
    """The part of a driver that a desk uses."""

    def wait(self, key: Any, /) -> Awaitable[None]: ...
    def start_work(self, key: Any, job: Callable[[], object], about: str, /, *, spool: bool) -> Work: ...


class Done:
    """A call that the constructor runs, so that it has ended when the object exists."""

    def __init__(self, job: Callable[[], Any]) -> None:
        self._value: Any = None
        self._error: Exception | None = None
        try:
            self._value = job()
        except Exception as error:
            self._error = error

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value

    def leave(self, after: Callable[[], object]) -> None:
        after()


class Desk:
    """The calls of one transfer.

    :param owner: the driver that starts the calls.
    :param key: the channel. Its end also ends the wait for a call. Without a channel, the conversation.
    :param about: the path on which the calls work.
    :param spool: whether this path is a temporary file of linesync.
    :ivar around: makes the function that a thread runs for a call, for example with the rights of another user.
    """

    def __init__(self, owner: Starter, key: object, about: str, *, spool: bool = False) -> None:
        self._owner = owner
        self._key = key
        self._about = about
        self._spool = spool
        self._work: Work | None = None
        self.around: Callable[[Callable[[], object]], Callable[[], object]] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call runs."""
        return self._work is not None and not self._work.done()

    def start(self, job: Callable[[], object]) -> None:
        """Start a call. The previous call must have ended. If it raised an error, this method raises that error."""
        work, self._work = self._work, None
        if work is not None:
            work.result()
        if self.around is not None:
            job = self.around(job)
        self._work = self._owner.start_work(self._key, job, self._about, spool=self._spool)

    async def finish(self, meanwhile: Callable[[], None] | None = None) -> Any:
        """Wait for the end of the last started call, and return its value, or None if there is no call.

        :param meanwhile: called during the wait, whenever something may have arrived on the channel.
        :raises BrokenError: the channel broke; the call may still run.
        """
        work = self._work
        if work is None:
            return None
        while not work.done():
            broken = getattr(self._key, "broken", None)
            if broken is not None:
                raise BrokenError(broken)
            if meanwhile is not None:
                meanwhile()
            await self._owner.wait(self._key)
        self._work = None
        return work.result()

    async def do(self, job: Callable[[], object]) -> Any:
        """Start a call, wait for its end, and return its value. Raises the errors of :meth:`finish` and of the call."""
        self.start(job)
        return await self.finish()

    async def move(self, key: object) -> None:
        """Continue on another channel, after the call that still runs. Its value and its error stay for :meth:`finish`."""
        while self.busy:
            await self._owner.wait(self._key)
        self._key = key

    async def close(self, job: Callable[[], object]) -> None:
        """Run a cleanup now. If a call still runs, the cleanup runs after that call, and this method does not wait for it."""
        work, self._work = self._work, None
        if self.around is not None:
            job = self.around(job)
        if work is not None and not work.done():
            work.leave(job)
            return
        work = self._owner.start_work(self._key, job, self._about, spool=self._spool)
        while not work.done():
            await self._owner.wait(self._key)
        try:
            work.result()
        except Hung:
            work.leave(job)  # no thread is free now, so the cleanup runs later


class Behind:
    """Writes bytes with calls of a desk, and accepts more bytes during a call.

    :param write: writes bytes; the desk runs one call at a time.
    :param most: the number of waiting bytes at which :meth:`put` waits.
    """

    def __init__(self, desk: Desk, write: Callable[[bytes], object], most: int = _HELD) -> None:
        self._desk = desk
        self._write = write
        self._most = most
        self._pieces: list[bytes] = []  # bound: desk._HELD
        self._held = 0

    async def put(self, data: bytes) -> None:
        """Accept bytes, and wait if too many bytes wait to be written. Raises the errors of :meth:`Desk.finish` and of
        ``write``."""
        self._pieces.append(data)
        self._held += len(data)
        if self._desk.busy:
            if self._held < self._most:
                return
            await self._desk.finish()
        self._next()

    async def flush(self) -> None:
        """Wait until all bytes are written. Raises the errors of :meth:`put`."""
        await self._desk.finish()
        if self._pieces:
            self._next()
            await self._desk.finish()

    def _next(self) -> None:
        data = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
        self._pieces, self._held = [], 0
        self._desk.start(lambda: self._write(data))
