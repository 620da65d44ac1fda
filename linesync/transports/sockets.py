"""Lines over TCP and unix sockets: the line and the connecting side. The accepting side is in ``listeners``.

Both kinds of sockets use one class on asyncio's buffered protocol. All lines of a thread share one read buffer, because each
line delivers its bytes before the next read. When a line is closed, it first ends its own direction (a half close), and then
reads until the peer has closed too. Closing a socket with unread bytes would reset the connection, and the peer could then
lose the last written bytes.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import socket
import stat
import struct
import threading
from typing import cast

from ..errors import BrokenError, LinesyncError, LinesyncFailed, UsageError
from ..workers import run_blocking
from .base_line import HIGH_WATER, LOW_WATER, READ_SIZE, BaseLine, reason
from .endpoint import TcpEndpoint, UnixEndpoint
from .interface import LineInfo, LineReceiver, ReceiverFactory

__all__ = ["CONNECT_SECONDS", "SocketLine", "address_text", "connect_tcp", "connect_unix", "not_connected"]

CONNECT_SECONDS = 10.0
"""Seconds after which a host without an answer counts as unreachable."""
_UNSENT_IN_KERNEL = 128 * 1024
"""The maximum number of bytes that the kernel accepts beyond the peer's window. More bytes would only delay control frames."""
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""The options of TCP keepalive in seconds and probes. A line ends within a minute after its peer has ended without a message."""
_SIOCOUTQNSD = 0x894B
"""The ioctl of Linux for the number of unsent bytes in the send queue of a TCP socket."""


class _Shared(threading.local):
    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(READ_SIZE))


_shared = _Shared()


class SocketLine(BaseLine, asyncio.BufferedProtocol):
    """One connected socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop, endpoint: str, kind: str, receiver: LineReceiver) -> None:
        super().__init__(loop, LineInfo(endpoint=endpoint, kind=kind, eight_bit=True), receiver)
        self._transport: asyncio.Transport | None = None

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def _count_unsent(self) -> int:
        if self._transport is None:
            return 0
        return self._transport.get_write_buffer_size() + self._unsent_in_kernel()

    def _unsent_in_kernel(self) -> int:
        """The number of unsent bytes in the kernel; 0 for a unix socket, for which the kernel counts other bytes."""
        assert self._transport is not None
        sock = self._transport.get_extra_info("socket")
        if self._info.kind != "tcp" or sock.fileno() < 0:
            return 0
        try:
            return cast(int, struct.unpack("i", fcntl.ioctl(sock.fileno(), _SIOCOUTQNSD, b"\0" * 4))[0])
        except OSError:
            return 0

    def _finish(self) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        try:
            self._transport.write_eof()
        except OSError:  # the peer is already gone
            self._transport.close()

    def _drop(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def _read_rest(self) -> None:
        """Deliver the last bytes of a peer that has closed the socket, such as the reason. A write has failed before."""
        assert self._transport is not None
        sock = self._transport.get_extra_info("socket")
        try:
            data = os.read(sock.fileno(), READ_SIZE)
        except (OSError, ValueError):
            return
        if data:
            self._deliver(data)

    def _pause_reads(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_reads(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # -- asyncio's side --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        sock = transport.get_extra_info("socket")
        if self._info.kind == "tcp":
            _tune(sock)
        peer, uid = _peer_of(sock)
        self._info = self._info.but(peer=peer, uid=uid)
        self._made()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._deliver(_shared.buffer[:nbytes])

    def eof_received(self) -> bool:
        self._eof()
        return False  # asyncio then sends the remaining bytes and closes the socket

    def pause_writing(self) -> None:
        self._pause()

    def resume_writing(self) -> None:
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, BrokenPipeError | ConnectionResetError):
            self._read_rest()
        self._lost(_broken(self._info, exc) if exc else None)


def _tune(sock: socket.socket) -> None:
    """Set the options of a socket: send each frame immediately, detect a peer that has ended without a message, and limit the
    waiting bytes in the kernel."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (*_KEEPALIVE, (socket.TCP_NOTSENT_LOWAT, _UNSENT_IN_KERNEL)):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        except OSError:  # this kernel does not have the option
            pass


def _peer_of(sock: socket.socket) -> tuple[str, int | None]:
    """A text about the other end, and its user id if the kernel reports it."""
    if sock.family != socket.AF_UNIX:
        try:
            return address_text(sock.getpeername()), None
        except OSError:  # the peer is already gone
            return "", None
    pid, uid, _gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return f"pid {pid}, uid {uid}", uid


def address_text(address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """``host:port``, with an IPv6 host in brackets."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _broken(info: LineInfo, error: Exception) -> BrokenError:
    match error:
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            problem = "was reset by the other side; check whether linesync is still running there"
        case TimeoutError():
            problem = "timed out: the peer acknowledged nothing; check the network and the other machine"
        case _:
            problem = f"failed ({reason(error)}); check the network and the other machine"
    return BrokenError(f"the line {info.endpoint} to {info.peer or 'its peer'} {problem}")


async def connect_tcp(endpoint: TcpEndpoint, factory: ReceiverFactory) -> SocketLine:
    """Connect to a TCP endpoint.

    :raises LinesyncFailed: the connection was refused, or the host is unreachable, is unknown, or did not answer within
        10 s.
    """
    if endpoint.port == 0:
        raise UsageError(f"cannot connect to {endpoint}: port 0 is only for listening; name the hub's or agent's port")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _transport, line = await loop.create_connection(
                lambda: SocketLine(loop, endpoint.text, "tcp", factory()),
                endpoint.host,
                endpoint.port,
                happy_eyeballs_delay=0.25,
            )
    except (OSError, UnicodeError) as error:  # UnicodeError: the host name has an impossible form
        raise not_connected(endpoint, error) from error
    return line


async def connect_unix(endpoint: UnixEndpoint, factory: ReceiverFactory) -> SocketLine:
    """Connect to a unix socket.

    :raises LinesyncFailed: there is no such socket, no process listens on it, or this user may not use it.
    """
    loop = asyncio.get_running_loop()
    sock = await run_blocking(lambda: _connected(endpoint), endpoint.path, lambda sock: sock.close())
    _transport, line = await loop.create_unix_connection(
        lambda: SocketLine(loop, endpoint.text, "unix", factory()), sock=sock
    )
    return line


def _connected(endpoint: UnixEndpoint) -> socket.socket:
    """Make a connected socket.

    :raises LinesyncFailed: the error of :func:`not_connected`.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(endpoint.path)
        sock.setblocking(False)
    except (OSError, ValueError) as error:
        sock.close()
        raise not_connected(endpoint, error) from error
    return sock


def not_connected(endpoint: TcpEndpoint | UnixEndpoint, error: Exception) -> LinesyncError:
    """The error for a failed connection. The message contains the reason and an instruction."""
    start = f"cannot connect to {endpoint}: "
    if isinstance(endpoint, UnixEndpoint):
        path = endpoint.path
        code = error.errno if isinstance(error, OSError) else None
        if "too long" in str(error):
            return LinesyncFailed(f"{start}a socket's path has at most 107 bytes; choose a shorter one")
        match code:
            case errno.ENOENT:
                return LinesyncFailed(f"{start}there is no socket {path}; start the hub or agent that makes it")
            case errno.ECONNREFUSED if os.path.exists(path) and not _is_socket(path):
                return LinesyncFailed(f"{start}{path} is not a socket; name the socket of a hub or agent")
            case errno.ECONNREFUSED:
                return LinesyncFailed(f"{start}no process listens on {path}; start its hub or agent again")
            case errno.EACCES | errno.EPERM:
                return LinesyncFailed(
                    f"{start}you may not use {path}; run as its owner, or start its hub or agent with --socket-group"
                )
        return LinesyncFailed(f"{start}{reason(error)}; check the path")
    host, port = endpoint.host, endpoint.port
    match _first_of(error):
        case ConnectionRefusedError():
            problem = f"the connection was refused; start linesync on {host} or check the port {port}"
        case socket.gaierror() | UnicodeError():
            problem = f"the host {host!r} is unknown; check its name or write its address"
        case TimeoutError():
            problem = f"{host} did not answer within {CONNECT_SECONDS:g} s; check that it is up and that no firewall blocks it"
        case _:
            problem = f"{reason(error)}; check the network and the address"
    return LinesyncFailed(start + problem)


def _first_of(error: Exception) -> Exception:
    """The first error for a host name with several addresses. asyncio joins the errors of all addresses into one text."""
    numbers = re.findall(r"\[Errno (\d+)\]", str(error)) if type(error) is OSError else []
    return OSError(int(numbers[0]), os.strerror(int(numbers[0]))) if numbers else error


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
