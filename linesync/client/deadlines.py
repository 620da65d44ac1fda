"""Deadlines of the client, which are effective even if the hub, the agent or the line is silent.

The hub or the host normally ends a wait at its timeout, because only the hub or the host knows the missing members. Its
answer may need some time on the line, so the client waits :data:`GRACE` longer before it gives up itself.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ..errors import LinesyncError, TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..runtime.conversation import Conversation, Timeout

__all__ = ["GRACE", "Deadline", "limit", "remaining", "silence"]

GRACE = 3.0
"""Seconds after a timeout in which the answer may still arrive: one second more than an agent gives the hub, so that
the answer of the agent, which knows the state of the line, comes first."""
_IGNORED = 1.0  # seconds for connecting and reading a file, which the grace covers
_CONNECT_LEAST = 3.0  # seconds to connect, for a poll too


class Deadline:
    """One timeout for several calls: for connecting, and then for the operation.

    :param timeout: seconds from now, or None for no limit.
    """

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self._begin = time.monotonic()

    @property
    def to_connect(self) -> float | None:
        """The timeout for connecting."""
        return None if self.timeout is None else max(self.timeout, _CONNECT_LEAST)

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self.timeout is not None and time.monotonic() - self._begin >= self.timeout

    def check(self, what: str) -> None:
        """Raise TimedOut if the time is over.

        :param what: the thing that the caller was showing.
        """
        if self.over:
            raise TimedOut(f"timed out after {self.timeout:g} s while showing {what}; use a longer timeout to see more")

    @property
    def left(self) -> float | None:
        """The timeout for the next call; see :func:`remaining`."""
        return remaining(self.timeout, time.monotonic() - self._begin)


@asynccontextmanager
async def limit(
    peer: Conversation, timeout: float | None, late: Callable[[float], LinesyncError], grace: float | None = None
) -> AsyncIterator[Timeout]:
    """End a block that still waits after its timeout and the grace. It ends as if it were cancelled.

    :param timeout: seconds, or None for no limit.
    :param late: makes the error of the block; it is called with the seconds that have passed.
    :param grace: seconds; None for :data:`GRACE`.
    """
    begin = peer.now()
    scope = peer.timeout(None if timeout is None else timeout + (GRACE if grace is None else grace))
    try:
        async with scope:
            yield scope
    except TimeoutError:
        if not scope.expired():  # an error of the operating system
            raise
        raise late(peer.now() - begin) from None


def remaining(timeout: float | None, passed: float) -> float | None:
    """The part of a timeout that is left for the hub.

    :param passed: the seconds that have passed; one second is ignored, so that messages mostly show the whole timeout.
    """
    if timeout is None or timeout == 0 or passed < _IGNORED:
        return timeout
    return max(timeout - passed, 0.001)  # 0 would be a poll


def silence(seconds: float) -> str:
    """The reason for giving up a request, as a clause."""
    return f"no answer from the hub or agent in {seconds:.3g} s"
