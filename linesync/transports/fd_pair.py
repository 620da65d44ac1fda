"""A connection without an event loop: a pair of descriptors, for commands that must start quickly.

It supports unix sockets, TCP, and the pipes of a command. The error messages are those of the asyncio transports. Their module
is imported only after an error.
"""

from __future__ import annotations

import os
import signal
import socket
import time

from ..errors import LinesyncError, LinesyncFailed, TimedOut, UsageError
from .endpoint import ExecEndpoint, TcpEndpoint, UnixEndpoint, parse_endpoint

__all__ = ["FdPair", "not_answered", "open_fd_pair"]

_CONNECT_SECONDS = 10.0
_END_SECONDS = 2.0  # seconds in which a command may end by itself after its input has ended
_CHECK_INTERVAL = 0.01  # seconds between two checks whether the command has ended


class FdPair:
    """Two non-blocking descriptors, one for reading and one for writing. They may be the same.

    :param owner: the socket that owns the descriptors; None if the pair owns them itself.
    :param child: the process id of the command behind the descriptors; 0 for none.
    """

    def __init__(
        self, endpoint: str, reader: int, writer: int, owner: socket.socket | None = None, child: int = 0
    ) -> None:
        self.endpoint = endpoint
        self.reader = reader
        self.writer = writer
        self._owner = owner
        self._child = child

    def close(self) -> None:
        """Close the descriptors, wait for the end of the command behind them, and kill it after 2 s."""
        if self._owner is not None:
            self._owner.close()
            return
        os.close(self.writer)
        os.close(self.reader)
        if self._child:
            try:
                _await_end(self._child)
            except ChildProcessError:
                pass


def _await_end(child: int) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        time.sleep(_CHECK_INTERVAL)


def not_answered(endpoint: str, seconds: float) -> TimedOut:
    """The error if no hub or agent answered at an endpoint within this time."""
    return TimedOut(
        f"timed out after {seconds:g} s: no linesync hub or agent answered at {endpoint}; nothing was changed, so check that"
        " it runs"
    )


def open_fd_pair(text: str, seconds: float | None = None) -> FdPair:
    """Connect to an endpoint.

    :param seconds: the longest time for the connection in seconds, or None for 10 s.
    :raises UsageError: the endpoint is not valid, or only a hub or an agent can open its kind.
    :raises TimedOut: no process accepted the connection within ``seconds``.
    :raises LinesyncFailed: the endpoint cannot be reached. The message contains the reason and an instruction.
    """
    endpoint = parse_endpoint(text)
    if isinstance(endpoint, ExecEndpoint):
        return _open_exec(endpoint)
    if not isinstance(endpoint, TcpEndpoint | UnixEndpoint):
        raise UsageError(
            f"a script cannot reach a hub through {text}; name the hub's socket (unix:/path) or address (tcp://host:port)"
        )
    longest = _CONNECT_SECONDS if seconds is None else seconds
    try:
        if isinstance(endpoint, UnixEndpoint):
            sock = socket.socket(socket.AF_UNIX)
            # With settimeout(), connect() would fail immediately while the queue of a busy hub is full.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(longest))
            sock.connect(endpoint.path)
        else:
            sock = socket.create_connection((endpoint.host, endpoint.port), longest)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (BlockingIOError, TimeoutError) as error:
        if seconds is not None:
            raise not_answered(text, seconds) from None
        raise _not_connected(endpoint, error) from None
    except (OSError, ValueError) as error:
        raise _not_connected(endpoint, error) from None
    sock.setblocking(False)
    return FdPair(text, sock.fileno(), sock.fileno(), sock)


def _not_connected(endpoint: TcpEndpoint | UnixEndpoint, error: Exception) -> LinesyncError:
    from .sockets import not_connected

    return not_connected(endpoint, error)


def _timeval(seconds: float) -> bytes:
    """A struct timeval for a number of seconds."""
    from struct import pack

    return pack("@ll", int(seconds), max(int(seconds % 1 * 1e6), 1))


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
