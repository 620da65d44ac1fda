"""The operations of clients that connect to sockets of a host."""

from __future__ import annotations

from ... import protocol
from ...errors import BrokenError, LinesyncFailed
from ...protocol.operations import given_up
from ...wire.framing.frames import Lane
from ..arguments import checked
from ..deadlines import limit, silence
from .files import FileOperations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...jobs.sockets.connection import Connection

__all__ = ["SocketOperations"]


class SocketOperations(FileOperations):
    """Operations that connect to sockets of a host."""

    @checked()
    async def open_connection(self, host: str, address: str, *, timeout: float | None = None) -> Connection:
        """Connect from a host to an address, such as a server that only this host can reach.

        ::

            try:
                connection = await client.open_connection("sut", "localhost:1")
            except linesync.errors.LinesyncFailed as error:
                print(error.details["reason"])  # refused
            else:
                await connection.send(b"GET / HTTP/1.0\\r\\n\\r\\n")
                print(await connection.receive())

        :param address: ``PORT``, ``HOST:PORT``, ``unix:/PATH`` or ``unix:@NAME``, as seen from the host.
        :param timeout: seconds within which the connection must be made.
        :returns: the connection. It ends with this client.
        :raises LinesyncFailed: the host cannot connect to the address, or the host is lost.
        :raises NotAllowed: the policy of the hub denies it.
        :raises TimedOut: the connection was not made in time.
        """
        from ...jobs.sockets.connection import Connection  # imported late, because only few scripts need it

        message = protocol.Connect(to=host, address=address)
        event = f"the connection from {host} to {address} was given up"
        async with limit(
            self.peer, timeout, lambda after: given_up(f"{event}: {silence(after)}", "", deadline=timeout), 0.0
        ):
            stream = self.peer.open(protocol.encode(message), Lane.PROMPT)
            connection = Connection(
                stream, widen=lambda key: self.peer.open(protocol.encode(protocol.Wide(to=host, key=key)))
            )
            try:
                await connection.until_connected()
            except BrokenError as error:
                raise LinesyncFailed(f"there is no connection from {host} to {address}: {error.message}") from None
            except BaseException:
                stream.reset("the client gave up")
                raise
        return connection
