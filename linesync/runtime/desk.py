"""Where a transfer does what may block: one call after the other, under any driver, given up with its channel.

A driver starts the calls (``start_work``): the asyncio one in a thread, the blocking one on the spot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import BrokenError, Hung

if TYPE_CHECKING:
    from .conversation import Conversation
    from .streams import Owner, Stream

__all__ = ["Behind", "Desk", "Done", "Work"]

_HELD = 1 << 20


class Work(Protocol):
    """A call that was started."""

    def done(self) -> bool: ...
    def result(self) -> Any: ...
    def leave(self, after: Callable[[], object]) -> None:
        """Nobody waits for it any more: run this when it is over."""


class Done:
    """A call that is over."""

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

    :param key: the channel; its end ends the waiting for a call. A conversation where there is no channel.
    :param about: the path that they are about.
    :param spool: they are about a temporary file of our own.
    """

    def __init__(self, owner: Any, key: Stream | Conversation, about: str, *, spool: bool = False) -> None:
        self._owner: Owner = owner
        self._key: Any = key
        self._about = about
        self._spool = spool
        self._work: Work | None = None

    @property
    def busy(self) -> bool:
        """A call runs."""
        return self._work is not None and not self._work.done()

    def start(self, job: Callable[[], object]) -> None:
        """Start a call; the one before must be over. Raises what that one raised."""
        work, self._work = self._work, None
        if work is not None:
            work.result()
        self._work = self._owner.start_work(self._key, job, self._about, spool=self._spool)

    async def finish(self, meanwhile: Callable[[], None] | None = None) -> Any:
        """Wait for the call that was started last; its value, None where there is none.

        :param meanwhile: called when anything may have come on the channel.
        :raises BrokenError: the channel is over; the call may still run.
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
        """Start a call and wait for it. Raises as :meth:`finish`, and what the call raises."""
        self.start(job)
        return await self.finish()

    async def close(self, job: Callable[[], object]) -> None:
        """Clean up: now, or when the call that still runs is over, for which nobody waits."""
        work, self._work = self._work, None
        if work is not None and not work.done():
            work.leave(job)
            return
        work = self._owner.start_work(self._key, job, self._about, spool=self._spool)
        while not work.done():
            await self._owner.wait(self._key)
        try:
            work.result()
        except Hung:
            work.leave(job)  # later, then


class Behind:
    """Bytes that are written while more of them come.

    :param write: writes bytes; called at the desk, never twice at a time.
    :param most: bytes that wait while others are written.
    """

    def __init__(self, desk: Desk, write: Callable[[bytes], object], most: int = _HELD) -> None:
        self._desk = desk
        self._write = write
        self._most = most
        self._pieces: list[bytes] = []
        self._held = 0

    async def put(self, data: bytes) -> None:
        """Take bytes; waits while too many are held. Raises as :meth:`Desk.finish`, and what writing raises."""
        self._pieces.append(data)
        self._held += len(data)
        if self._desk.busy:
            if self._held < self._most:
                return
            await self._desk.finish()
        self._next()

    async def flush(self) -> None:
        """Wait until all is written. Raises as :meth:`put`."""
        await self._desk.finish()
        if self._pieces:
            self._next()
            await self._desk.finish()

    def _next(self) -> None:
        data = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
        self._pieces, self._held = [], 0
        self._desk.start(lambda: self._write(data))
