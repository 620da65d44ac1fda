"""The asyncio client."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from .. import messages
from ..errors import LinesyncError, LinesyncFailed
from ..messages import Note
from ..runtime.conversation import Conversation, User
from ..runtime.peer import Peer
from ..transports import connect as open_line
from .files import FileOperations

__all__ = ["Client", "connect"]

_GREETING = 10.0  # seconds in which whoever listens there must have answered


class _Notices(User):
    def __init__(self) -> None:
        self.last = ""

    def request(self, peer: Conversation, number: str, text: str) -> None:
        try:
            note = messages.decode(text, Note)
        except LinesyncError:
            return
        assert isinstance(note, Note)
        self.last = note.text


class Client(FileOperations):
    """A connection to a hub, or to this host's agent. Use it as ``async with``; close it otherwise.

    :ivar peer: the conversation, for those who open channels of their own.
    """

    def __init__(self, peer: Peer, notices: _Notices) -> None:
        super().__init__(peer)
        self._peer = peer
        self._notices = notices

    @property
    def notice(self) -> str:
        """The last thing that the agent in between had to say (``waiting for the hub ...``), empty for nothing."""
        return self._notices.last

    async def aclose(self) -> None:
        """Say goodbye and close the connection; what still waits is withdrawn."""
        await self._peer.aclose("the script is done")
        self._peer.abandon("the connection was closed here")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def connect(endpoint: str) -> Client:
    """Connect to the hub or the agent that listens on ``endpoint``.

    :raises UsageError: the endpoint is not written right.
    :raises LinesyncFailed: nobody listens there, or whoever does is no linesync.
    """
    notices = _Notices()
    peer = Peer(notices, "c")
    line = await open_line(endpoint, peer.receiver)
    try:
        ready, lost = asyncio.ensure_future(peer.ready()), asyncio.ensure_future(peer.lost())
        await asyncio.wait({ready, lost}, timeout=_GREETING, return_when=asyncio.FIRST_COMPLETED)
        if not peer.up:
            line.abort()
            raise LinesyncFailed(
                f"nobody at {endpoint} speaks linesync; check that this is the endpoint of a hub or an agent"
            )
    finally:
        ready.cancel()
        lost.cancel()
    return Client(peer, notices)
