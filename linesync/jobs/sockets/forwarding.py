"""The host's side of forwarded connections: it connects to targets, and listens for clients (docs/protocol.md, 8.8)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

from ... import protocol
from ...errors import EndOfStream, LinesyncError, LinesyncFailed
from ...protocol import Accept, Accepted, Connect, Connected, Listen, Listening, Message, RefuseConnection, Wide
from ...protocol.addresses import read_address
from ...runtime.channels.streams import MESSAGE, Stream
from ...runtime.identity import token
from ...transports.sockets import address_text
from .connection import Connection
from .sockets import Listener, SocketEnd, carry, listen_at, open_socket, reset_socket, tune, until_broken

__all__ = ["Sockets"]

_WAITING = 128  # accepted connections of one listener that wait for their client; further ones wait in the kernel


class _Listener:
    """A listening socket on this host, for one client."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiting: dict[int, socket.socket] = {}  # bound: forwarding._WAITING
        """The accepted connections that their client has not taken or refused, by number."""
        self._count = 0
        self.socket: Listener | None = None

    async def begin(self, connection: socket.socket) -> None:
        """Report an accepted connection to the client."""
        self._count += 1
        number = self._count
        self._waiting[number] = connection
        tune(connection)
        peer = address_text(connection.getpeername()) if connection.family != socket.AF_UNIX else ""
        try:
            self._stream.send_message(protocol.encode(Accepted(number=number, peer=peer)))
        except LinesyncError:  # the listener is being closed
            self.drop(number)
        if len(self._waiting) >= _WAITING and self.socket is not None:
            self.socket.pause()

    def take(self, number: int) -> socket.socket | None:
        """Give an accepted connection to its client. None if there is no such connection."""
        connection = self._waiting.pop(number, None)
        if len(self._waiting) == _WAITING - 1 and self.socket is not None:
            self.socket.resume()
        return connection

    def drop(self, number: int) -> None:
        """Reset an accepted connection."""
        connection = self.take(number)
        if connection is not None:
            reset_socket(connection)

    async def close(self) -> None:
        """Stop listening, and reset the connections that wait. The client keeps those that it has taken."""
        if self.socket is not None:
            listening, self.socket = self.socket, None
            await listening.aclose()
        for number in list(self._waiting):
            self.drop(number)


class Sockets:
    """The sockets of this host that clients use.

    :param host: the name of this host.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._listeners: dict[str, _Listener] = {}  # bound: serve.HOST_CONNECTIONS
        """The listening sockets by id."""
        self._offered: dict[str, tuple[Connection, asyncio.Event]] = {}  # bound: serve.HOST_CONNECTIONS
        """The connections whose client may open a bulk channel, by key. The event is set when the connection is over."""

    def serve(self, stream: Stream, request: Message) -> Coroutine[Any, Any, None]:
        """The work for a channel of a forwarded connection or a listening socket."""
        match request:
            case Connect():
                return self._connect(stream, request)
            case Listen():
                return self._listen(stream, request)
            case Accept():
                return self._accept(stream, request)
        assert isinstance(request, Wide)
        return self._wide(stream, request)

    async def _connect(self, stream: Stream, request: Connect) -> None:
        """Connect to a target for a client, and carry the bytes.

        :raises LinesyncError: the target cannot be reached, or the connection was reset.
        """
        sock = await until_broken(stream, open_socket(read_address(request.address), self._host))
        stream.send_message(protocol.encode(Connected()))
        await self._carry(stream, sock)

    async def _carry(self, stream: Stream, sock: socket.socket) -> None:
        over, key = asyncio.Event(), ""

        def offer(connection: Connection) -> str:
            nonlocal key
            key = token()
            self._offered[key] = connection, over
            return key

        try:
            await carry(SocketEnd(sock), Connection(stream, offer=offer))
        finally:
            over.set()
            self._offered.pop(key, None)

    async def _wide(self, stream: Stream, request: Wide) -> None:
        """Use a channel as the bulk channel of a connection, until the connection is over.

        :raises LinesyncFailed: there is no such connection.
        """
        offered = self._offered.pop(request.key, None)
        if offered is None:
            raise LinesyncFailed(f"this connection on {self._host} is over; connect again")
        connection, over = offered
        connection.join(stream)
        await over.wait()

    async def _listen(self, stream: Stream, request: Listen) -> None:
        """Listen until the client ends the channel.

        :raises LinesyncError: this host cannot listen at the address.
        """
        listener = _Listener(stream)
        name = token()
        try:
            listener.socket = await listen_at(read_address(request.address), self._host, listener.begin)
            self._listeners[name] = listener
            reply = Listening(listener=name, address=listener.socket.address)
            stream.send_message(protocol.encode(reply))
            while True:
                item = await stream.receive()
                if item.stream == MESSAGE:
                    refused = protocol.decode(item.data.decode("utf-8", "replace"), RefuseConnection)
                    assert isinstance(refused, RefuseConnection)
                    listener.drop(refused.number)
        except EndOfStream:
            stream.end()
        finally:
            self._listeners.pop(name, None)
            await asyncio.shield(listener.close())

    async def _accept(self, stream: Stream, request: Accept) -> None:
        """Carry the bytes of an accepted connection.

        :raises LinesyncFailed: there is no such connection.
        """
        listener = self._listeners.get(request.listener)
        connection = listener.take(request.number) if listener is not None else None
        if connection is None:
            raise LinesyncFailed(f"connection {request.number} of this listener on {self._host} is over; connect again")
        await self._carry(stream, connection)
