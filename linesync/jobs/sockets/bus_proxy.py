"""A proxy between clients of a bus and the bus, over lines of the protocol (docs/sockets.md).

A proxy has an *upstream*, where the bus is, and a *downstream*, where the clients are. Each of the two is a unix socket with one
connection for each client, or a *line* to another proxy. A line is a session of the protocol, in which each client has a
forwarded connection (docs/protocol.md, 8.8). The end that is nearer to the bus listens, and the other one calls.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from ... import protocol
from ...errors import LinesyncError, LinesyncFailed
from ...protocol import Connect, Wide, operations
from ...protocol.addresses import UnixAddress
from ...runtime.channels.relay import splice
from ...runtime.channels.streams import Stream
from ...runtime.peer import LineEnd, Peer
from ...runtime.reconnect import keep_connected
from ...runtime.user import User
from ...transports import Listener as LineListener
from ...transports import connect, listen
from ...wire.framing.frames import Lane
from ..serve import Tasks, answered, settle
from .connection import Connection
from .forwarding import Sockets
from .sockets import Listener, SocketEnd, carry, join, listen_at, open_socket, reset_socket

__all__ = ["BusProxy"]

_BUS = "bus"
_TO_ANSWER = 30.0  # seconds for which a client waits for the session of the upstream line
_FIRST = 1 << 12  # the maximum number of bytes of the first read from a client
_GOODBYE = "the proxy was stopped"


class BusProxy(User[Peer]):
    """One proxy.

    :param report: is called with each sentence for the log.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._tasks = Tasks("the proxy", report)
        self._sockets = Sockets(_BUS)
        self._bus: UnixAddress | None = None
        """The socket of the bus; None if the upstream is a line."""
        self._upstream: Peer | None = None
        """The session of the upstream line."""
        self._downstream: list[Peer] = []  # bound: bus_proxy._LINES
        self._accepted: set[Peer] = set()  # bound: bus_proxy._LINES
        """The downstream lines that other programs have connected."""
        self._listeners: list[Listener | LineListener] = []  # bound: fixed
        self.lines: list[asyncio.Task[None]] = []  # bound: fixed
        """The tasks that keep the lines open. A task ends only with an error, or if the line was stdin and stdout."""

    # -- upstream and downstream --------------------------------------------------------------------------------------

    def bus_at(self, path: str) -> None:
        """The bus listens on a unix socket of this machine."""
        self._bus = UnixAddress(path)

    def bus_beyond(self, endpoint: str, *, once: bool) -> None:
        """The bus is beyond a line.

        :param once: the line cannot be opened again after its end.
        """
        self._upstream = Peer(self, "c")
        self._keep(self._upstream, endpoint, once=once)

    def clients_beyond(self, endpoint: str, *, once: bool) -> None:
        """The clients are beyond a line. The parameters are those of :meth:`bus_beyond`."""
        peer = Peer(self, "l")
        self._downstream.append(peer)
        self._keep(peer, endpoint, once=once)

    async def clients_at(self, path: str) -> None:
        """Listen on a unix socket for clients."""
        self._listeners.append(await listen_at(UnixAddress(path), "dbus-proxy", self._begin))

    async def lines_at(self, path: str) -> None:
        """Listen on a unix socket for a program that connects a line to it, such as qemu."""
        self._listeners.append(await listen(f"unix:{path}", self._accept))

    def _keep(self, peer: Peer, endpoint: str, *, once: bool) -> None:
        work = _until_lost(peer, endpoint) if once else keep_connected(peer.receiver, endpoint, self._report)
        self.lines.append(asyncio.ensure_future(work))

    def _accept(self) -> LineEnd:
        if len(self._downstream) >= _LINES:
            self._downstream[0].dismiss("another line was connected")
        peer = Peer(self, "l")
        self._accepted.add(peer)
        self._downstream.append(peer)
        return peer.receiver()

    def line_lost(self, peer: Peer, error: LinesyncError | None) -> None:
        if peer in self._accepted:
            self._accepted.discard(peer)
            self._downstream.remove(peer)
            peer.abandon("the line was closed at its other end")

    async def aclose(self) -> None:
        """Stop the proxy."""
        for listener in self._listeners:
            await listener.aclose()
        for line in self.lines:
            line.cancel()
        await asyncio.gather(*self.lines, return_exceptions=True)
        for peer in (self._upstream, *self._downstream):
            if peer is not None:
                await peer.aclose(_GOODBYE)
        await self._tasks.stop(1.0, _GOODBYE)

    # -- clients ------------------------------------------------------------------------------------------------------

    async def _begin(self, sock: socket.socket) -> None:
        self._tasks.start(self._serve_client(sock))

    async def _serve_client(self, sock: socket.socket) -> None:
        """Connect a client with the bus after its first bytes, because a bus disconnects a client that is silent."""
        loop = asyncio.get_running_loop()
        try:
            first = await loop.sock_recv(sock, _FIRST)
            if self._bus is not None:
                await join(SocketEnd(sock), SocketEnd(await open_socket(self._bus, "dbus-proxy")), first)
                return
            upstream = await self._ready()
            stream = upstream.open(protocol.encode(Connect(to=_BUS, address=f"unix:@{_BUS}")), Lane.PROMPT)
            connection = Connection(stream, widen=lambda key: upstream.open(protocol.encode(Wide(to=_BUS, key=key))))
            await carry(SocketEnd(sock), connection, first)
        except OSError:
            pass  # the client has closed the connection
        except LinesyncError as error:
            self._report(f"the connection of a client was closed: {error.message}")
        finally:
            reset_socket(sock)

    async def _ready(self) -> Peer:
        """The session of the upstream line.

        :raises LinesyncFailed: there is none within 30 s.
        """
        assert self._upstream is not None
        with suppress(TimeoutError):
            await asyncio.wait_for(self._upstream.ready(), _TO_ANSWER)
        if not self._upstream.up:
            raise LinesyncFailed(
                "no proxy answers on the upstream line; start dbus-proxy --downstream at its other end"
            )
        return self._upstream

    # -- lines from clients -------------------------------------------------------------------------------------------

    def channel(self, peer: Peer, stream: Stream) -> None:
        if peer is self._upstream:
            stream.reset("the end of a line that is nearer to the bus opens no channels")
            return
        self._tasks.start(answered(stream, self._serve_channel))

    async def _serve_channel(self, stream: Stream) -> None:
        """Serve a channel of another proxy.

        :raises LinesyncError: the bus cannot be reached, or the channel is not a connection.
        """
        request = operations.read_opening(stream.words)
        if not isinstance(request, Connect | Wide):
            raise LinesyncFailed(f"dbus-proxy does not serve '{request.VERB}'; use a hub")
        if self._bus is None:
            upstream = await self._ready()
            await splice(stream, upstream.open(stream.words, stream.lane))
            return
        if isinstance(request, Connect):
            request = request.but(address=str(self._bus))  # this end chooses the target
        await self._sockets.serve(stream, request)
        await settle(stream)

    def trouble(self, peer: Peer, sentence: str) -> None:
        self._report(sentence)


async def _until_lost(peer: Peer, endpoint: str) -> None:
    """Open a line that cannot be opened again, and wait for its end.

    :raises LinesyncError: the line cannot be opened.
    """
    await connect(endpoint, peer.receiver)
    await peer.lost()


_LINES = 16  # the maximum number of lines that are connected at the same time; above it, the oldest one is closed
