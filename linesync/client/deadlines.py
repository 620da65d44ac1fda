"""Deadlines of the client, which are effective even if the hub, the agent or the line is silent.

Normally the hub ends a wait at its timeout, because only the hub knows the missing members. (For a remote command, the host
ends it.) The answer needs some time on the line, so the client waits :data:`GRACE` longer before it gives up.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ..errors import LinesyncError, TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..runtime.conversation import Conversation
    from ..runtime.driver import Timeout

__all__ = ["GRACE", "Deadline", "limit", "remaining", "silence"]

GRACE = 3.0
"""Seconds after a timeout in which the answer may still arrive. An agent waits one second less for the hub. The script
therefore gets the answer of the agent, which knows the state of the line."""
_IGNORED = 1.0  # seconds, for example for connecting, that are not subtracted from a timeout; GRACE is longer
_CONNECT_LEAST = 3.0  # the least seconds to connect, even for a timeout of 0


class Deadline:
    """One timeout for several calls, such as connecting and then an operation. It begins when the object is created.

    :param timeout: seconds from now, or None for no limit.
    """

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self._begin = time.monotonic()

    @property
    def to_connect(self) -> float | None:
        """The timeout for connecting, in seconds, or None for no limit."""
        return None if self.timeout is None else max(self.timeout, _CONNECT_LEAST)

    @property
    def over(self) -> bool:
        """Whether the timeout has passed."""
        return self.timeout is not None and time.monotonic() - self._begin >= self.timeout

    def check(self, output_name: str) -> None:
        """Raise TimedOut if the timeout has passed.

        :param output_name: the name of the output that the caller prints, for the error.
        """
        if self.over:
            raise TimedOut(
                f"timed out after {self.timeout:g} s while showing {output_name}; use a longer timeout to see more"
            )

    @property
    def left(self) -> float | None:
        """The timeout for the next call in seconds, or None for no limit; see :func:`remaining`."""
        return remaining(self.timeout, time.monotonic() - self._begin)


@asynccontextmanager
async def limit(
    peer: Conversation, timeout: float | None, make_error: Callable[[float], LinesyncError], grace: float | None = None
) -> AsyncIterator[Timeout]:
    """Cancel a block that still waits after its timeout and the grace. The block then raises the error of ``make_error``.

    :param timeout: seconds, or None for no limit.
    :param make_error: makes the error; it is called with the seconds since the start of the block.
    :param grace: seconds after the timeout; None for :data:`GRACE`.
    """
    begin = peer.now()
    scope = peer.timeout(None if timeout is None else timeout + (GRACE if grace is None else grace))
    try:
        async with scope:
            yield scope
    except TimeoutError:
        if not scope.expired():  # an error of the operating system
            raise
        raise make_error(peer.now() - begin) from None


def remaining(timeout: float | None, passed: float) -> float | None:
    """The remaining part of a timeout for the request to the hub, in seconds, or None for no limit.

    :param passed: the seconds that have passed. If they are less than one second, the whole timeout is returned, so that
        error messages show the timeout that the user chose.
    """
    if timeout is None or timeout == 0 or passed < _IGNORED:
        return timeout
    return max(timeout - passed, 0.001)  # 0 would be a poll


def silence(seconds: float) -> str:
    """The reason for giving up a request, as a clause."""
    return f"no answer from the hub or agent in {seconds:.3g} s"
