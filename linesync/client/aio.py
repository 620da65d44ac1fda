"""The asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self

from .. import protocol
from ..errors import LinesyncError, LinesyncFailed
from ..protocol import Note
from ..runtime.conversation import Conversation, User
from ..runtime.peer import Peer
from ..transports import connect as open_line
from .exchange_operations import ExchangeOperations
from .files import FileOperations
from .sync import Held, SyncOperations

__all__ = ["Client", "connect"]

_GREETING = 10.0  # seconds within which the hub or agent must answer


class _Notices(User):
    def __init__(self) -> None:
        self.last = ""
        self.operations: SyncOperations | None = None

    def request(self, peer: Conversation, number: str, text: str) -> None:
        if self.operations is not None and self.operations.heard_revoked(text):
            return
        try:
            note = protocol.decode(text, Note)
        except LinesyncError:
            return
        assert isinstance(note, Note)
        self.last = note.text

    def line_lost(self, peer: Conversation, error: LinesyncError | None) -> None:
        why = error.message if error is not None else "it was closed at the other end"
        peer.abandon(f"the connection was lost ({why})")


class Client(FileOperations, ExchangeOperations):
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
        """The last notice of the agent in between, such as ``waiting for the hub ...``; empty if there was none."""
        return self._notices.last

    @asynccontextmanager
    async def locked(
        self, name: str, *, timeout: float | None = None, namespace: str = "default"
    ) -> AsyncIterator[Held]:
        """Hold a lock during a block: ``async with client.locked("flash") as lock``; ``lock.value`` is the fencing token.

        Raises the errors of :meth:`lock`, and those of :meth:`give_back` if the lock was lost before the end of the block.
        """
        held = await self.lock(name, timeout=timeout, namespace=namespace)
        async with self._until_given_back(held):
            yield held

    @asynccontextmanager
    async def holding(
        self, name: str, units: int = 1, *, timeout: float | None = None, namespace: str = "default", bound: int = 0
    ) -> AsyncIterator[Held]:
        """Hold units of a semaphore during a block. Raises the errors of :meth:`hold` and :meth:`give_back`."""
        held = await self.hold(name, units, timeout=timeout, namespace=namespace, bound=bound)
        async with self._until_given_back(held):
            yield held

    @asynccontextmanager
    async def namespace(self, name: str = "") -> AsyncIterator[str]:
        """Use a namespace of our own during a block: ``async with client.namespace() as ns``, then ``namespace=ns`` in each
        call.

        At the end of the block, or of this connection, everything in it is deleted. Raises the errors of
        :meth:`begin_namespace`.
        """
        name = await self.begin_namespace(name)
        try:
            yield name
        finally:
            with suppress(LinesyncError):  # it has ended already, or ends with the connection
                await self.end_namespace(name)

    @asynccontextmanager
    async def _until_given_back(self, held: Held) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            with suppress(LinesyncError):  # the error of the block is more important
                await self.give_back(held)
            raise
        await self.give_back(held)

    async def aclose(self) -> None:
        """End the session and close the connection. Requests that still wait are withdrawn and fail."""
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

    :raises UsageError: the endpoint is invalid.
    :raises LinesyncFailed: nothing listens there, or no hub or agent answered within 10 s.
    """
    notices = _Notices()
    peer = Peer(notices, "c")
    line = await open_line(endpoint, peer.receiver)
    try:
        ready, lost = asyncio.ensure_future(peer.ready()), asyncio.ensure_future(peer.lost())
        await asyncio.wait({ready, lost}, timeout=_GREETING, return_when=asyncio.FIRST_COMPLETED)
        if not peer.up:
            line.abort()
            if peer.refused:
                raise LinesyncFailed(f"cannot connect to {endpoint}: {peer.refused}")
            raise LinesyncFailed(
                f"no linesync hub or agent answered at {endpoint}; check that this is the endpoint of a hub or an agent"
            )
    finally:
        ready.cancel()
        lost.cancel()
    peer.note(protocol.encode(protocol.Concurrent()))
    return Client(peer, notices)
