"""The methods that a driver of conversations implements: it moves bytes and time, with asyncio or without."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .pending import Pending
from .streams import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    from .desk import Work
else:
    Protocol = object

__all__ = ["Driver", "Timeout"]


class Timeout(Protocol):
    """Limits the time of a block, as :func:`asyncio.timeout` does: when the time is over, the block is cancelled, and then
    TimeoutError is raised."""

    def reschedule(self, when: float | None) -> None:
        """Set another time, in seconds of :meth:`Driver.now`; None for no limit."""

    def expired(self) -> bool:
        """Whether the time was over before the block had ended."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...


class Driver:
    """The driver of one conversation."""

    def kick(self) -> None:
        """There is something to send."""
        raise NotImplementedError

    def wait(self, key: Stream | Pending | Self) -> Awaitable[None]:
        """Wait until :meth:`wake` was called for this key."""
        raise NotImplementedError

    def wake(self, key: Stream | Pending | Self) -> None:
        """Wake the tasks that wait for this key: something has changed."""
        raise NotImplementedError

    def now(self) -> float:
        """The time in monotonic seconds."""
        raise NotImplementedError

    def timeout(self, seconds: float | None) -> Timeout:
        """Limit the time of a block of a coroutine that this driver runs; None for no limit."""
        raise NotImplementedError

    def start_work(self, key: Stream | Self, job: Callable[[], object], about: str, *, spool: bool = False) -> Work:
        """Run a job that may block, at a place where it blocks nothing else. ``key`` is woken when the job has ended.

        :param about: the path that the job uses.
        :param spool: it uses a temporary file of our own.
        """
        raise NotImplementedError

    def bytes_outside_frames(self, data: bytes) -> None:
        """Bytes outside frames have arrived. A driver may use them to find out what is at the other end."""

    def set_rate(self, baud: int) -> None:
        """Set the port to this baud rate, and notify the link. Only a driver of serial lines gets this call."""
