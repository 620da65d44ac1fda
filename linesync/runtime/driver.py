"""The interface of a driver of conversations. A driver sends and receives bytes and runs timers, with or without asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .channels.streams import Stream
from .pending import Pending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    from .desk import Work
else:
    Protocol = object

__all__ = ["Driver", "Timeout"]


class Timeout(Protocol):
    """Limits the time of a block, as :func:`asyncio.timeout` does. When the time has passed, the block is cancelled and raises
    TimeoutError."""

    def reschedule(self, when: float | None) -> None:
        """Set another end time, in seconds of :meth:`Driver.now`; None for no limit."""

    def expired(self) -> bool:
        """Whether the time had passed before the block ended."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...


class Driver:
    """The driver of one conversation."""

    def kick(self) -> None:
        """Send the queued bytes soon."""
        raise NotImplementedError

    def wait(self, key: Stream | Pending | Self) -> Awaitable[None]:
        """Wait until :meth:`wake` was called for this key."""
        raise NotImplementedError

    def wake(self, key: Stream | Pending | Self) -> None:
        """Wake the tasks that wait for this key. They check their conditions again."""
        raise NotImplementedError

    def now(self) -> float:
        """The current time in monotonic seconds."""
        raise NotImplementedError

    def timeout(self, seconds: float | None) -> Timeout:
        """Limit the time of a block of a coroutine that this driver runs; None for no limit."""
        raise NotImplementedError

    def start_work(self, key: Stream | Self, job: Callable[[], object], about: str, *, spool: bool = False) -> Work:
        """Start a job that may block, so that it does not block an event loop. The end of the job wakes ``key``.

        :param about: the path that the job uses.
        :param spool: whether this path is a temporary file of linesync.
        """
        raise NotImplementedError

    def bytes_outside_frames(self, data: bytes) -> None:
        """Handle bytes outside frames. A driver may use them to find out which program is at the other end."""

    def set_rate(self, baud: int) -> None:
        """Set the port to this baud rate, and notify the link. Only a driver of serial lines gets this call."""
