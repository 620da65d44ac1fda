"""A connection without an event loop: a pair of descriptors, for commands that must start quickly.

It supports what such a command needs: unix sockets, TCP, and a command's pipes. The error messages are those of the asyncio
transports, whose module is imported only when there is an error.
"""

from __future__ import annotations

import os
import socket

from ..errors import LinesyncFailed, UsageError
from .endpoint import ExecEndpoint, TcpEndpoint, UnixEndpoint, parse_endpoint

__all__ = ["FdPair", "open_fd_pair"]

_CONNECT_SECONDS = 10.0


class FdPair:
    """A non-blocking descriptor to read and one to write, which may be the same.

    :param keeper: the socket that owns the descriptors; None if the pair owns them itself.
    :param child: the process id of the command behind the descriptors; 0 for none.
    """

    def __init__(
        self, endpoint: str, reader: int, writer: int, keeper: socket.socket | None = None, child: int = 0
    ) -> None:
        self.endpoint = endpoint
        self.reader = reader
        self.writer = writer
        self._keeper = keeper
        self._child = child

    def close(self) -> None:
        """Close the descriptors. A command then reads the end of its input; wait for it to end."""
        if self._keeper is not None:
            self._keeper.close()
            return
        os.close(self.writer)
        os.close(self.reader)
        if self._child:
            try:
                os.waitpid(self._child, 0)
            except ChildProcessError:
                pass


def open_fd_pair(text: str) -> FdPair:
    """Connect to an endpoint.

    :raises UsageError: the endpoint is not valid, or only a hub or an agent can open its kind.
    :raises LinesyncFailed: it cannot be reached; the message says why and what to do.
    """
    endpoint = parse_endpoint(text)
    if isinstance(endpoint, ExecEndpoint):
        return _open_exec(endpoint)
    if not isinstance(endpoint, TcpEndpoint | UnixEndpoint):
        raise UsageError(
            f"a script cannot reach a hub through {text}; name the hub's socket (unix:/path) or address (tcp://host:port)"
        )
    try:
        if isinstance(endpoint, UnixEndpoint):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(endpoint.path)
        else:
            sock = socket.create_connection((endpoint.host, endpoint.port), _CONNECT_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, ValueError) as error:
        from .sockets import not_connected

        raise not_connected(endpoint, error) from None
    sock.setblocking(False)
    return FdPair(text, sock.fileno(), sock.fileno(), sock)


def _open_exec(endpoint: ExecEndpoint) -> FdPair:
    import subprocess

    try:
        child = subprocess.Popen(endpoint.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except OSError as error:
        raise LinesyncFailed(f"cannot start {endpoint.argv[0]}: {error.strerror}; check the command") from None
    assert child.stdin is not None and child.stdout is not None
    reader, writer = os.dup(child.stdout.fileno()), os.dup(child.stdin.fileno())
    child.stdin.close()
    child.stdout.close()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    child.returncode = 0  # close() waits for it, not subprocess
    return FdPair(endpoint.text, reader, writer, None, child.pid)
