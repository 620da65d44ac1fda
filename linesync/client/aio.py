"""The asyncio client."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from .. import protocol
from ..errors import LinesyncError, LinesyncFailed
from ..runtime.peer import Peer
from ..runtime.reconnect import bring_back
from ..transports import connect as open_line
from ..transports.fd_pair import not_answered
from ..wire.framing.frames import Hello
from .arguments import checked
from .notices import Notices
from .operations import Operations

__all__ = ["Client", "connect"]

_GREETING = 10.0  # seconds within which the hub or agent must answer


class _Notices(Notices[Peer]):
    """Handles the events of the session, and stores the last notice."""

    def __init__(self, endpoint: str, *, concurrent: bool = True) -> None:
        super().__init__()
        self.last = ""
        self.returning: asyncio.Task[None] | None = None
        """The task that connects again after the hub has restarted."""
        self._endpoint = endpoint
        self._concurrent = concurrent

    def notice(self, text: str) -> None:
        self.last = text

    def session_up(self, peer: Peer, hello: Hello) -> None:
        if self._concurrent:
            peer.note(protocol.encode(protocol.Concurrent()))

    def session_interrupted(self, peer: Peer, reason: str) -> None:
        super().session_interrupted(peer, reason)
        if self.returning is None or self.returning.done():
            self.returning = asyncio.ensure_future(bring_back(peer, self._endpoint, open_line))

    def line_lost(self, peer: Peer, error: LinesyncError | None) -> None:
        why = error.message if error is not None else "it was closed at the other end"
        if not peer.interrupt(f"the connection was lost ({why})"):
            peer.abandon(f"the connection was lost ({why})")


class Client(Operations):
    """A connection to a hub, or to the agent on this host. Use it with ``async with``, or call :meth:`aclose`.

    :ivar peer: the conversation, for programs that open their own channels.
    """

    def __init__(self, peer: Peer, notices: _Notices) -> None:
        super().__init__(peer)
        self._peer = peer
        self._notices = notices
        notices.operations = self

    @property
    def notice(self) -> str:
        """The last notice of the agent on this host, such as ``waiting for the hub ...``; empty if there was none."""
        return self._notices.last

    async def aclose(self) -> None:
        """End the session and close the connection. Requests that still wait are withdrawn and fail."""
        await self._peer.aclose("the script is done")
        self._peer.abandon("the connection was closed here")
        if self._notices.returning is not None:
            self._notices.returning.cancel()
            await asyncio.wait({self._notices.returning})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


@checked()
async def connect(endpoint: str, *, timeout: float | None = None) -> Client:
    """Connect to the hub or the agent that listens on ``endpoint``.

    :param timeout: seconds within which the hub or agent must answer; by default, 10 s for the connection and 10 s for the
        answer.
    :raises UsageError: the endpoint is invalid.
    :raises TimedOut: no hub or agent answered within ``timeout``.
    :raises LinesyncFailed: no process listens at the endpoint, or no hub or agent answered within 10 s.
    """
    notices = _Notices(endpoint)
    peer = Peer(notices, "c")
    peer.keeping = peer.starts_over = True
    scope = asyncio.timeout(timeout)
    try:
        async with scope:
            await _begin(peer, endpoint)
    except TimeoutError:
        if not scope.expired():
            raise
        raise not_answered(endpoint, timeout or 0.0) from None
    return Client(peer, notices)


async def _begin(peer: Peer, endpoint: str) -> None:
    """Open the line and wait for a session on it."""
    line = await open_line(endpoint, peer.receiver)
    ready, lost = asyncio.ensure_future(peer.ready()), asyncio.ensure_future(peer.lost())
    try:
        await asyncio.wait({ready, lost}, timeout=_GREETING, return_when=asyncio.FIRST_COMPLETED)
        if not peer.up:
            if peer.refused:
                raise LinesyncFailed(f"cannot connect to {endpoint}: {peer.refused}")
            raise LinesyncFailed(
                f"no linesync hub or agent answered at {endpoint}; check that this is the endpoint of a hub or an agent"
            )
    except BaseException:
        line.abort()
        raise
    finally:
        ready.cancel()
        lost.cancel()
        await asyncio.wait({ready, lost})
