"""A forwarded connection, for scripts without asyncio."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...jobs.sockets.connection import Connection
    from ..blocking import BlockingClient

__all__ = ["BlockingConnection"]


class BlockingConnection:
    """A connection from a host to one of its sockets. Its methods are those of
    :class:`linesync.jobs.sockets.connection.Connection`, and raise the same errors."""

    def __init__(self, client: BlockingClient, connection: Connection) -> None:
        self._client = client
        self._connection = connection

    def send(self, data: bytes) -> None:
        """Send bytes, and wait until they are on their way."""
        self._client.run_coroutine(self._connection.send(data))

    def receive(self) -> bytes:
        """Wait for bytes, and return them; b"" at the end."""
        return self._client.run_coroutine(self._connection.receive())

    def end(self) -> None:
        """End the bytes of this end. It can still receive."""
        self._connection.end()

    def reset(self, reason: str) -> None:
        """End both directions immediately. The other end gets an error."""
        self._connection.reset(reason)
