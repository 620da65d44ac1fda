"""Accepts lines on TCP and unix sockets.

Only its owner can use a unix socket, unless a Unix group is named. The permissions are set between bind and listen, when no
process can connect yet. The socket is therefore never open to other users, and the umask of the process does not change. The
socket file of a dead process is replaced. A socket on which a process listens is never replaced.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from ..errors import BusyError, Hung, LinesyncError, LinesyncFailed
from ..workers import run_blocking
from .accepting import Acceptor
from .base_line import reason
from .endpoint import TcpEndpoint, UnixEndpoint, absolute
from .interface import Door, ReceiverFactory
from .sockets import SocketLine, address_text

__all__ = ["SocketListener", "accept_tcp", "accept_unix", "listen_tcp", "listen_unix"]

Begin = Callable[[socket.socket], Coroutine[Any, Any, object]]
"""Makes the coroutine that begins to use a new connection (:class:`~linesync.transports.accepting.Acceptor`)."""

_BACKLOG = 1024
"""The maximum number of connections that wait to be accepted. It is large because asyncio reports a connection to a unix
socket as made even if the backlog of the socket is full."""
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""The errors if the system has no IPv6 although its name service knows an IPv6 address of a name such as ``localhost``."""
_LOCK_SECONDS = 1.0
"""The longest wait for another process that replaces a stale socket in the same directory, in seconds."""


class SocketListener:
    """One listening socket, or several if the endpoint's name has more than one address.

    :param owned: the path, the device and the inode of the unix socket to remove at the close.
    :param replaced: whether it has replaced the unix socket of a dead process.
    """

    def __init__(
        self, endpoint: str, acceptor: Acceptor, owned: tuple[str, int, int] | None = None, replaced: bool = False
    ) -> None:
        self._endpoint = endpoint
        self._acceptor = acceptor
        self._owned = owned
        self._replaced = replaced

    @property
    def endpoint(self) -> str:
        return self._endpoint

    @property
    def replaced(self) -> bool:
        return self._replaced

    def pause(self) -> None:
        """Accept no connections until :meth:`resume`."""
        self._acceptor.pause()

    def resume(self) -> None:
        """Accept connections again."""
        self._acceptor.resume()

    async def aclose(self, *, leave: bool = False) -> None:
        if self._owned is not None and not leave:
            owned, self._owned = self._owned, None
            with suppress(TimeoutError, Hung):
                async with asyncio.timeout(_LOCK_SECONDS):
                    await run_blocking(lambda: _remove(*owned), owned[0])
        await self._acceptor.aclose()


def _remove(path: str, device: int, inode: int) -> None:
    """Remove a socket of this process, unless another process has removed or replaced it."""
    with suppress(OSError):
        found = os.stat(path)
        if (found.st_dev, found.st_ino) == (device, inode):
            os.unlink(path)


def _lines(endpoint: TcpEndpoint | UnixEndpoint, kind: str, factory: ReceiverFactory) -> Begin:
    """The function that makes a line of each new connection."""
    loop = asyncio.get_running_loop()

    def begin(connection: socket.socket) -> Coroutine[Any, Any, object]:
        line = SocketLine(loop, endpoint.text, kind, factory())
        return loop.connect_accepted_socket(lambda: line, connection)

    return begin


async def listen_tcp(endpoint: TcpEndpoint, factory: ReceiverFactory, door: Door | None = None) -> SocketListener:
    """Accept lines at a TCP endpoint. Raises the errors of :func:`accept_tcp`."""
    return await accept_tcp(endpoint, _lines(endpoint, "tcp", factory), door)


async def accept_tcp(endpoint: TcpEndpoint, begin: Begin, door: Door | None = None) -> SocketListener:
    """Listen on all addresses of the endpoint's host. With port 0, listen on a free port of the first address only.

    :raises BusyError: the port is in use.
    :raises LinesyncFailed: the host is unknown or not this machine, or the port is not permitted.
    """
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    try:
        found = await loop.getaddrinfo(
            endpoint.host or None, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        for family, address in addresses:
            if sockets and not endpoint.port:
                break
            try:
                sockets.append(_bound_tcp(family, address))
            except OSError as error:
                last = address is addresses[-1][1]
                if error.errno not in _NOT_HERE or (last and not sockets):
                    raise
    except (OSError, UnicodeError) as error:
        for sock in sockets:
            sock.close()
        raise _not_listening(endpoint, error) from error
    port = sockets[0].getsockname()[1]
    acceptor = Acceptor(sockets, begin, door)
    return SocketListener(f"tcp://{address_text((endpoint.host, port))}", acceptor)


def _bound_tcp(family: int, address: tuple[Any, ...]) -> socket.socket:
    """Make a listening socket at an address."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # the IPv4 address of the same host has its own socket
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _not_listening(endpoint: TcpEndpoint, error: Exception) -> LinesyncError:
    start = f"cannot listen on {endpoint}: "
    match error:
        case OSError(errno=errno.EADDRINUSE):
            return BusyError(f"{start}another process uses the port {endpoint.port}; choose another port")
        case OSError(errno=errno.EADDRNOTAVAIL):
            return LinesyncFailed(f"{start}{endpoint.host} is not an address of this machine; name one that is")
        case PermissionError():
            return LinesyncFailed(f"{start}only root may use ports below 1024; choose a higher port")
        case socket.gaierror() | UnicodeError():
            return LinesyncFailed(f"{start}the host {endpoint.host!r} is unknown; name an address of this machine")
    return LinesyncFailed(f"{start}{reason(error)}; choose another address")


async def listen_unix(
    endpoint: UnixEndpoint,
    factory: ReceiverFactory,
    *,
    mode: int = 0o600,
    group: str | None = None,
    door: Door | None = None,
) -> SocketListener:
    """Accept lines at a unix socket. The parameters are those of :func:`linesync.transports.listen`. Raises the errors of
    :func:`accept_unix`."""
    return await accept_unix(endpoint, _lines(endpoint, "unix", factory), mode=mode, group=group, door=door)


async def accept_unix(
    endpoint: UnixEndpoint, begin: Begin, *, mode: int = 0o600, group: str | None = None, door: Door | None = None
) -> SocketListener:
    """Listen on a unix socket, and replace a stale socket. The parameters are those of :func:`linesync.transports.listen`.

    :raises BusyError: another process listens on it.
    :raises LinesyncFailed: its directory is missing or not writable, the path is too long or names another kind of file,
        or the group does not exist.
    """
    try:
        sock, owned, replaced = await run_blocking(lambda: _bound(endpoint, mode, group), endpoint.path, _unbind)
    except (OSError, ValueError) as error:
        raise _no_socket(endpoint, error) from error
    acceptor = Acceptor([sock], begin, door)
    return SocketListener(absolute(endpoint.text), acceptor, owned, replaced)


def _bound(endpoint: UnixEndpoint, mode: int, group: str | None) -> tuple[socket.socket, tuple[str, int, int], bool]:
    """Make a listening socket. Return the socket, the path, device and inode of its file, and whether it has replaced a stale
    socket."""
    gid = -1 if group is None else _group_id(endpoint, group)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        directory = _lock_directory(endpoint.path)
        try:
            replaced = _remove_stale(endpoint)
            sock.bind(endpoint.path)
            try:
                found = os.stat(endpoint.path)
                if group is not None:
                    mode = 0o660
                    os.chown(endpoint.path, -1, gid)
                os.chmod(endpoint.path, mode)
                sock.listen(_BACKLOG)
            except BaseException:
                os.unlink(endpoint.path)
                raise
        finally:
            os.close(directory)
    except BaseException:
        sock.close()
        raise
    return sock, (endpoint.path, found.st_dev, found.st_ino), replaced


def _unbind(made: tuple[socket.socket, tuple[str, int, int], bool]) -> None:
    _remove(*made[1])
    made[0].close()


def _lock_directory(path: str) -> int:
    """Lock the directory of a socket, and return its descriptor. Without the lock, two processes that start at the same time
    could mistake each other's socket for a stale socket.

    The lock is advisory. Any process that can read the directory could hold it, so the wait ends after a second.
    """
    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    deadline = time.monotonic() + _LOCK_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            time.sleep(0.02)
    return descriptor


def _remove_stale(endpoint: UnixEndpoint) -> bool:
    """Remove a socket on which no process listens. Return whether there was such a socket."""
    try:
        found = os.lstat(endpoint.path)
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise LinesyncFailed(
            f"cannot listen on {endpoint}: {endpoint.path} exists and is not a socket; remove it or choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(endpoint.path)
        except (ConnectionRefusedError, FileNotFoundError):
            os.unlink(endpoint.path)
            return True
        except BlockingIOError:  # a process listens, and its backlog is full
            pass
    raise BusyError(
        f"cannot listen on {endpoint}: another process already listens there; stop it or choose another path"
    )


def _group_id(endpoint: UnixEndpoint, group: str) -> int:
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise LinesyncFailed(
            f"cannot listen on {endpoint}: this machine has no group {group!r}; create it or name another"
        ) from None


def _no_socket(endpoint: UnixEndpoint, error: Exception) -> LinesyncError:
    start = f"cannot listen on {endpoint}: "
    directory = os.path.dirname(endpoint.path) or "."
    if "too long" in str(error):
        return LinesyncFailed(f"{start}a socket's path has at most 107 bytes; choose a shorter one")
    match error:
        case FileNotFoundError(filename=str()):  # the directory could not be opened
            return LinesyncFailed(f"{start}there is no directory {directory}; create it or choose another path")
        case FileNotFoundError():
            return LinesyncFailed(f"{start}a socket cannot be created in {directory}; choose another path")
        case NotADirectoryError():
            return LinesyncFailed(f"{start}{directory} is not a directory; choose another path")
        case PermissionError():
            return LinesyncFailed(f"{start}no permission for {endpoint.path} in {directory}; choose a path of your own")
        case OSError(errno=errno.EADDRINUSE):
            return BusyError(f"{start}another process took {endpoint.path} just now; choose another path")
    return LinesyncFailed(f"{start}{reason(error)}; choose another path")
