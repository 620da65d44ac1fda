"""Sockets of forwarded connections: connecting, listening, and the bytes between a socket and its channel.

The host and the client use the same code. A connection has one or two channels (docs/protocol.md, 8.8). The message ``eof``
ends the bytes of one direction. A reset of the socket resets the channel, and a reset of the channel resets the socket.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from ...errors import BrokenError, LinesyncError, LinesyncFailed
from ...protocol.addresses import TcpAddress, UnixAddress
from ...runtime.channels.streams import Stream
from ...transports.accepting import Acceptor
from ...transports.endpoint import TcpEndpoint, UnixEndpoint
from ...transports.listeners import SocketListener, accept_tcp, accept_unix
from ...workers import run_blocking
from .connection import Connection
from .guard import SocketGuard

__all__ = [
    "CONNECT_SECONDS",
    "RESET",
    "Begin",
    "ByteEnd",
    "Listener",
    "SocketEnd",
    "carry",
    "join",
    "listen_at",
    "open_socket",
    "reset_socket",
    "tune",
    "until_broken",
]

CONNECT_SECONDS = 10.0
"""Seconds after which a target that does not answer counts as unreachable."""
RESET = "the connection was reset"
"""The beginning of the reason of a reset that the peer of one of the two sockets has caused."""
_RETRY = 0.05  # seconds between attempts to connect to a unix socket whose queue is full
_CHUNK = 1 << 14  # the maximum number of bytes of one read
_LINGER = struct.pack("ii", 1, 0)  # closing a socket with this option resets the connection
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
T = TypeVar("T")
Begin = Callable[[socket.socket], Coroutine[Any, Any, object]]
"""Makes the coroutine that begins to use an accepted connection."""


# -- connecting and listening -----------------------------------------------------------------------------------------


async def open_socket(address: TcpAddress | UnixAddress, host: str) -> socket.socket:
    """Connect to an address.

    :param host: the name of this host, for errors.
    :raises LinesyncFailed: the target cannot be reached. ``details["reason"]`` is ``refused``, ``unknown``, ``timeout``,
        ``unreachable`` or ``failed``.
    """
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await (_connect_unix(address) if isinstance(address, UnixAddress) else _connect_tcp(address))
    except (OSError, UnicodeError, ValueError) as error:  # TimeoutError is an OSError
        raise _not_connected(address, host, error) from None


async def _connect_tcp(address: TcpAddress) -> socket.socket:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    failed: OSError | None = None
    for family, kind, number, _, place in found:
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, place)
        except OSError as error:
            sock.close()
            failed = failed or error
            continue
        except BaseException:
            sock.close()
            raise
        tune(sock)
        return sock
    raise failed or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))


async def _connect_unix(address: UnixAddress) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        while True:
            try:
                await run_blocking(lambda: sock.connect(_path(address)), address.path)
                return sock
            except BlockingIOError:  # the queue of the listening socket is full
                await asyncio.sleep(_RETRY)
    except BaseException:
        sock.close()
        raise


def _path(address: UnixAddress) -> str:
    return f"\0{address.path[1:]}" if address.path.startswith("@") else address.path


def tune(sock: socket.socket) -> None:
    """Send small pieces immediately, and detect a peer that has ended without a message."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _not_connected(address: TcpAddress | UnixAddress, host: str, error: Exception) -> LinesyncFailed:
    number = error.errno if isinstance(error, OSError) else None
    unix = isinstance(address, UnixAddress)
    if isinstance(error, TimeoutError):
        why, problem = "timeout", f"there was no answer within {CONNECT_SECONDS:g} s; check that it is up"
    elif isinstance(error, ConnectionRefusedError):
        why, problem = "refused", "the connection was refused; start the program that listens there"
    elif unix and number in (errno.ENOENT, errno.ENOTDIR):
        why, problem = "refused", "there is no such socket; start the program that makes it"
    elif isinstance(error, socket.gaierror | UnicodeError):
        why, problem = "unknown", "the name is unknown there; check the name, or write an address"
    elif number in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        why, problem = "unreachable", f"{_text(error)}; check the address and the network of {host}"
    else:
        why, problem = "failed", f"{_text(error)}; check the address"
    return LinesyncFailed(f"{host} cannot connect to {address}: {problem}", details={"reason": why})


def _text(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    return text[0].lower() + text[1:]


class Listener:
    """A listening socket.

    :ivar address: its address in the normal form, with the port that the system chose.
    """

    def __init__(self, address: str, listener: SocketListener, guard: SocketGuard | None) -> None:
        self.address = address
        self._listener = listener
        self._guard = guard

    def pause(self) -> None:
        """Accept no connections until :meth:`resume`. Further clients wait in the queue of the kernel."""
        self._listener.pause()

    def resume(self) -> None:
        """Accept connections again."""
        self._listener.resume()

    async def aclose(self) -> None:
        """Stop accepting connections, and remove the file of a unix socket."""
        await self._listener.aclose()
        if self._guard is not None:
            await self._guard.release()


async def listen_at(address: TcpAddress | UnixAddress, host: str, begin: Begin) -> Listener:
    """Listen at an address. Only this user can connect to a unix socket in the file system.

    :param host: the name of this host, for errors.
    :param begin: is called with each connection.
    :raises LinesyncFailed, BusyError: the address is in use, or it cannot be used.
    """
    try:
        if isinstance(address, TcpAddress):
            tcp = await accept_tcp(TcpEndpoint(text=str(address), host=address.host, port=address.port), begin)
            return Listener(tcp.endpoint.removeprefix("tcp://"), tcp, None)
        if address.path.startswith("@"):
            return Listener(str(address), _listen_abstract(address, begin), None)
        unix = await accept_unix(UnixEndpoint(text=str(address), path=address.path), begin)
        return Listener(str(address), unix, await SocketGuard.begin(address.path))
    except LinesyncError as error:
        raise type(error)(f"{host} {error.message}") from None


def _listen_abstract(address: UnixAddress, begin: Begin) -> SocketListener:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(_path(address))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise LinesyncFailed(f"cannot listen on {address}: {_text(error)}; choose another name") from None
    return SocketListener(str(address), Acceptor([sock], begin))


# -- bytes ------------------------------------------------------------------------------------------------------------


async def until_broken(stream: Stream, work: Coroutine[Any, Any, T]) -> T:
    """Run work for a channel. If the channel breaks, cancel the work.

    :raises BrokenError: the channel broke.
    """
    task = asyncio.ensure_future(work)

    def stop() -> None:
        task.cancel()

    stream.on_broken = stop
    try:
        if stream.broken is not None:
            task.cancel()
        return await task
    except asyncio.CancelledError:
        if stream.broken is None or not task.cancelled():
            raise
        raise BrokenError(stream.broken) from None
    finally:
        stream.on_broken = None
        task.cancel()


def reset_socket(sock: socket.socket) -> None:
    """Close a socket, and reset its connection if the kind of socket can do that."""
    with suppress(OSError):
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    sock.close()


class ByteEnd(Protocol):
    """One end of a connection on this machine. Its methods raise OSError."""

    async def read(self, most: int) -> bytes:
        """Wait for bytes, and return at most this number; b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Wait until all bytes are written."""

    def end(self) -> None:
        """End the direction of :meth:`write`."""

    def close(self) -> None:
        """Close both directions. A second call does nothing."""

    def reset(self) -> None:
        """Close both directions, and show the peer that bytes are missing, if this kind of end can do that. After
        :meth:`close`, do nothing."""


class SocketEnd(ByteEnd):
    """A connected socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def read(self, most: int) -> bytes:
        return await self._loop.sock_recv(self._sock, most)

    async def write(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    def end(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._sock.close()

    def reset(self) -> None:
        reset_socket(self._sock)


async def carry(end: ByteEnd, connection: Connection, begin: bytes = b"") -> None:
    """Copy bytes between an end on this machine and a connection until both directions have ended. Then both are closed.

    :param begin: bytes that were already read from the end.
    :raises LinesyncError: one of the two was reset, or the other end has refused the connection. The other one was reset,
        too.
    """
    tasks = [asyncio.ensure_future(work) for work in (_send(end, connection, begin), _receive(end, connection))]

    def stop() -> None:
        for task in tasks:
            task.cancel()

    connection.on_broken(stop)
    try:
        if connection.broken is not None:
            stop()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()
        if not connection.over:
            raise BrokenError(connection.broken or "the channel of the connection is over")
        end.close()
        await connection.settle()
    except OSError as error:
        reason = f"{RESET}: {_text(error)}"
        connection.reset(reason)
        raise BrokenError(reason) from None
    except BaseException as error:
        connection.reset(error.message if isinstance(error, LinesyncError) else _reason_of(error))
        raise
    finally:
        connection.on_broken(None)
        stop()
        await asyncio.wait(tasks)
        end.reset()


def _reason_of(error: BaseException) -> str:
    """The reason for the cancellation of a task."""
    return str(error.args[0]) if error.args and error.args[0] else "the connection was closed"


async def _send(end: ByteEnd, connection: Connection, begin: bytes) -> None:
    """Send the bytes of an end on the channel.

    :param begin: the bytes that were already read.
    """
    await connection.send(begin)
    while data := await end.read(min(await connection.room(), _CHUNK)):
        await connection.send(data)
    connection.end()


async def _receive(end: ByteEnd, connection: Connection) -> None:
    """Write the bytes of the channel to an end."""
    while data := await connection.receive():
        await end.write(data)
    with suppress(OSError):  # the peer has closed the socket
        end.end()


async def join(left: ByteEnd, right: ByteEnd, begin: bytes = b"") -> None:
    """Copy bytes between two ends on this machine until both directions have ended. Then both are closed.

    :param begin: bytes that were already read from the left end.
    :raises OSError: one of the two was reset. The other one was reset, too.
    """
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(left, right, begin))
            group.create_task(_copy(right, left))
        left.close()
        right.close()
    except* OSError as errors:
        raise errors.exceptions[0] from None
    finally:
        left.reset()
        right.reset()


async def _copy(source: ByteEnd, sink: ByteEnd, begin: bytes = b"") -> None:
    data = begin or await source.read(_CHUNK)
    while data:
        await sink.write(data)
        data = await source.read(_CHUNK)
    sink.end()
