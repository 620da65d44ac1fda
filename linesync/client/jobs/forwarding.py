"""Forwarded sockets: listening sockets here or on a host, whose connections end on the other side.

::

    async with await linesync.connect(endpoint) as client:
        async with Forwarding(client, "sut", print) as forwarding:
            address = await forwarding.local("localhost:0", "localhost:80")
            print(address)  # localhost:45678
            await forwarding.until_over()
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from ... import protocol
from ...errors import LinesyncError, LinesyncFailed, NotAllowed
from ...jobs.sockets.connection import Connection
from ...jobs.sockets.sockets import RESET, Listener, SocketEnd, carry, listen_at, open_socket, reset_socket, tune
from ...protocol import Accept, Accepted, Connect, Listen, Listening, Message, RefuseConnection, Wide
from ...protocol.addresses import read_address
from ...protocol.operations import given_up
from ...runtime.channels.streams import Stream
from ...transports.sockets import address_text
from ...wire.framing.frames import Lane
from ..addresses import address_of
from ..aio import Client
from ..deadlines import limit, silence
from .socks import SocksServer

__all__ = ["Forwarding"]

_HERE = "this machine"
_HANDSHAKE = 30.0  # seconds within which a client of the SOCKS server must send its request
_CHUNK = 1 << 12  # bytes of one read from a SOCKS client


class Forwarding:
    """The forwarded sockets between this machine and one host. They end with this object, or with the client's connection.

    :param client: the connection to the hub or agent.
    :param report: called with a sentence for each connection that cannot be forwarded.
    """

    def __init__(self, client: Client, host: str, report: Callable[[str], None]) -> None:
        self._peer = client.peer
        self._host = host
        self._report = report
        self._listeners: list[Listener] = []
        self._remote: list[asyncio.Task[None]] = []
        """The tasks that handle the listening sockets on the host."""
        self._tasks: set[asyncio.Task[None]] = set()  # bound: serve.CONNECTIONS
        """The tasks of the connections."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop listening, and reset all connections."""
        for listener in self._listeners:
            await listener.aclose()
        tasks = [*self._remote, *self._tasks]
        for task in tasks:
            task.cancel("the forwarding was stopped")
        if tasks:
            await asyncio.wait(tasks)

    async def begin(
        self, pairs: Iterable[tuple[str, str, str]], socks: Iterable[str], timeout: float | None = None
    ) -> list[tuple[str, str, str]]:
        """Begin several forwards.

        :param pairs: ``-L`` (:meth:`local`) or ``-R`` (:meth:`remote`), the listening address, and the target.
        :param socks: the listening addresses of :meth:`socks`.
        :param timeout: seconds within which all of them must listen.
        :returns: the same as ``pairs``, with the actual addresses; ``-D`` stands for a SOCKS5 proxy.
        :raises TimedOut: the host did not listen in time.
        :raises LinesyncError: as the three methods do.
        """
        event = f"the forwarding with {self._host} did not begin"
        async with limit(
            self._peer, timeout, lambda after: given_up(f"{event}: {silence(after)}", "", deadline=timeout), 0.0
        ):
            begun = []
            for option, listen, target in pairs:
                method = self.local if option == "-L" else self.remote
                place = address_of(target, local=option == "-R")
                begun.append((option, await method(listen, target), place))
            return begun + [("-D", await self.socks(listen), "") for listen in socks]

    async def until_over(self) -> None:
        """Wait until the connection to the hub or agent, or a listening socket on the host, is lost.

        :raises LinesyncError: with the reason. This method does not return.
        """
        lost = asyncio.ensure_future(self._until_lost())
        try:
            done, _ = await asyncio.wait([lost, *self._remote], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            lost.cancel()
        raise LinesyncFailed(f"the forwarding with {self._host} is over; start it again")

    async def _until_lost(self) -> None:
        while self._peer.asks:
            await self._peer.wait(self._peer)
        raise LinesyncFailed(f"the forwarding with {self._host} is over: {self._peer.end_reason}; start it again")

    # -- listening sockets --------------------------------------------------------------------------------------------

    async def local(self, listen: str, target: str) -> str:
        """Listen on this machine, and connect from the host to a target.

        :param listen: the address here. With port 0, the system chooses a port.
        :param target: the address as seen from the host.
        :returns: the address here, with its port.
        :raises UsageError: an address is invalid.
        :raises LinesyncFailed: this process cannot listen at the address.
        """
        address = address_of(target)
        return await self._listen(listen, lambda sock: self._connect(sock, address))

    async def socks(self, listen: str) -> str:
        """Listen on this machine as a SOCKS5 proxy. The host connects to the targets. The parameter, the result and the errors
        are those of :meth:`local`."""
        return await self._listen(listen, self._serve_socks)

    async def remote(self, listen: str, target: str) -> str:
        """Listen on the host, and connect from this machine to a target.

        :param listen: the address on the host.
        :param target: the address as seen from this machine.
        :returns: the address on the host, with its port.
        :raises UsageError: an address is invalid.
        :raises LinesyncError: the host cannot listen at the address, or the policy of the hub denies it.
        """
        place = address_of(target, local=True)
        stream = self._peer.open(protocol.encode(Listen(to=self._host, address=address_of(listen))), Lane.PROMPT)
        try:
            listening = await _message(stream, Listening)
        except BaseException:
            stream.reset("the client gave up")
            raise
        assert isinstance(listening, Listening)
        self._remote.append(asyncio.ensure_future(self._serve_remote(stream, listening, place)))
        return listening.address

    async def _listen(self, listen: str, work: Callable[[socket.socket], Coroutine[Any, Any, None]]) -> str:
        async def begin(sock: socket.socket) -> None:
            tune(sock)
            self._start(work(sock))

        listener = await listen_at(read_address(address_of(listen, local=True)), _HERE, begin)
        self._listeners.append(listener)
        return listener.address

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, LinesyncError):
            task.get_loop().call_exception_handler({"message": "a forwarded connection failed", "exception": error})

    # -- connections --------------------------------------------------------------------------------------------------

    async def _connect(self, sock: socket.socket, address: str) -> None:
        """Connect from the host to an address, and carry the bytes of a connection that was accepted here."""
        source = _peer_of(sock)
        try:
            connection = self._open(Connect(to=self._host, address=address))
        except LinesyncError as error:
            reset_socket(sock)
            self._failed(source, address, error)
            return
        await self._carry(sock, connection, source, address)

    def _open(self, message: Connect | Accept) -> Connection:
        stream = self._peer.open(protocol.encode(message), Lane.PROMPT)
        return Connection(stream, connected=isinstance(message, Accept), widen=self._widen)

    def _widen(self, key: str) -> Stream:
        """Open the bulk channel of a connection."""
        return self._peer.open(protocol.encode(Wide(to=self._host, key=key)))

    async def _carry(
        self, sock: socket.socket, connection: Connection, source: str, target: str, begin: bytes = b""
    ) -> None:
        try:
            await carry(SocketEnd(sock), connection, begin)
        except LinesyncError as error:
            if not (connection.connected and error.message.startswith(RESET)):
                self._failed(source, target, error)

    def _failed(self, source: str, target: str, error: LinesyncError) -> None:
        self._report(f"the connection{source} to {target} was closed: {error.message}")

    async def _serve_socks(self, sock: socket.socket) -> None:
        """Handle a client of the SOCKS server."""
        source, server, loop = _peer_of(sock), SocksServer(), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_HANDSHAKE):
                while not server.target and not server.failed and (data := await loop.sock_recv(sock, _CHUNK)):
                    await loop.sock_sendall(sock, server.receive(data))
            if not server.target:
                self._report(f"a SOCKS client{source} was refused: {server.failed or 'it sent no request'}")
                sock.close()
                return
            connection = self._open(Connect(to=self._host, address=str(read_address(server.target))))
            await connection.until_connected()
            await loop.sock_sendall(sock, server.connected())
        except LinesyncError as error:
            self._failed(source, server.target, error)
            reason = "denied" if isinstance(error, NotAllowed) else str(error.details.get("reason", ""))
            with suppress(OSError):
                await loop.sock_sendall(sock, server.refused(reason))
            sock.close()
        except OSError:  # also a timeout
            reset_socket(sock)
        except BaseException:
            reset_socket(sock)
            raise
        else:
            await self._carry(sock, connection, source, server.target, server.rest)

    async def _serve_remote(self, stream: Stream, listening: Listening, target: str) -> None:
        """Handle the connections that a listening socket on the host accepts.

        :raises LinesyncFailed: the listening socket is lost.
        """
        try:
            while True:
                accepted = await _message(stream, Accepted)
                assert isinstance(accepted, Accepted)
                self._start(self._take(stream, listening, accepted, target))
        except LinesyncError as error:
            raise LinesyncFailed(
                f"{self._host} does not listen on {listening.address} any more: {error.message}; start the forwarding again"
            ) from None
        finally:
            stream.reset("the forwarding was stopped")

    async def _take(self, stream: Stream, listening: Listening, accepted: Accepted, target: str) -> None:
        """Connect to the target on this machine for a connection that the host has accepted."""
        source = f" from {self._host}{f' {accepted.peer}' if accepted.peer else ''}"
        try:
            sock = await open_socket(read_address(target), _HERE)
        except LinesyncError as error:
            self._failed(source, target, error)
            with suppress(LinesyncError):
                stream.send_message(protocol.encode(RefuseConnection(number=accepted.number)))
            return
        message = Accept(to=self._host, listener=listening.listener, number=accepted.number)
        try:
            connection = self._open(message)
        except LinesyncError as error:
            reset_socket(sock)
            self._failed(source, target, error)
            return
        await self._carry(sock, connection, source, target)


async def _message(stream: Stream, kind: type[Message]) -> Message:
    """Wait for a message of this kind. An error message is raised as an exception."""
    text = await stream.receive_message()
    error = protocol.read_error(text)
    if error is not None:
        stream.end()
        raise error
    return protocol.decode(text, kind)


def _peer_of(sock: socket.socket) -> str:
    """The other end of an accepted connection for a sentence; empty if it has no address."""
    if sock.family == socket.AF_UNIX:
        return ""
    with suppress(OSError):  # the peer is already gone
        return f" from {address_text(sock.getpeername())}"
    return ""
