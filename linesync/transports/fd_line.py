"""Lines over two file descriptors, one for reading and one for writing; the base of ``stdio`` and ``exec``.

asyncio's own pipe transports accept neither regular files nor ``/dev/null``, and they set O_NONBLOCK on their descriptors.
This flag belongs to the open file. A descriptor from a shell or from sshd shares the open file with other processes, and the
flag would break their writes. This module therefore avoids blocking in another way for each kind of file. It opens a pipe or
a tty again through ``/proc``, and uses MSG_DONTWAIT with a socket. If neither works (no ``/proc``, a pipe of another user),
it sets the flag, and clears it at the close.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import stat

from ..errors import BrokenError
from .base_line import HIGH_WATER, LOW_WATER, READ_SIZE, BaseLine, reason
from .interface import LineInfo, LineReceiver

__all__ = ["FdEnd", "FdLine", "open_end", "widen_pipe"]

_PIPE_BYTES = 1 << 18
"""The buffer size in bytes of a pipe that carries a line: enough for two frames. The usual 64 KiB are enough for only one
frame, and then the two processes wait for each other."""


class FdEnd:
    """The owner of one descriptor, which it reads or writes without blocking.

    :param restore: whether to make the open file blocking again at the close.
    """

    def __init__(self, descriptor: int, *, restore: bool = False) -> None:
        self.descriptor = descriptor
        self._restore = restore

    def read(self, size: int) -> bytes:
        return os.read(self.descriptor, size)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        return os.write(self.descriptor, data)

    def close(self) -> None:
        """Close the descriptor. A second call does nothing."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            if self._restore:
                os.set_blocking(descriptor, True)
            os.close(descriptor)


class _SocketFdEnd(FdEnd):
    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        super().__init__(descriptor)

    def read(self, size: int) -> bytes:
        return self._socket.recv(size, socket.MSG_DONTWAIT)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self.descriptor = -1
        self._socket.close()


def widen_pipe(descriptor: int) -> None:
    """Enlarge the buffer of a pipe. Do nothing if the system refuses or the descriptor is not a pipe."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (OSError, AttributeError):
        pass


def open_end(descriptor: int, flags: int) -> FdEnd:
    """Make the owner of a descriptor, for reading or writing without blocking.

    The new owner may open the file again with a new descriptor; ``descriptor`` is then closed.

    :param flags: ``os.O_RDONLY`` or ``os.O_WRONLY``.
    """
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(kind):
        return _SocketFdEnd(descriptor)
    if stat.S_ISREG(kind):
        return FdEnd(descriptor)
    try:
        again = os.open(f"/proc/self/fd/{descriptor}", flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        restore = os.get_blocking(descriptor)
        os.set_blocking(descriptor, False)
        return FdEnd(descriptor, restore=restore)
    os.close(descriptor)
    widen_pipe(again)
    return FdEnd(again)


class FdLine(BaseLine):
    """A line that reads one descriptor and writes another."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, info: LineInfo, receiver: LineReceiver, source: FdEnd, sink: FdEnd
    ) -> None:
        super().__init__(loop, info, receiver)
        self._source = source
        self._sink = sink
        self._buffer = bytearray()
        self._polling: asyncio.Handle | None = None
        self._writing = False

    def start(self) -> None:
        """Call ``line_made``, then start to read."""
        self._made()
        if not self._dropped and not self._reads_paused:
            self._watch_source()

    def _watch_source(self) -> None:
        try:
            self._loop.add_reader(self._source.descriptor, self._readable)
        except PermissionError:  # a regular file or /dev/null: always ready, so the selector does not accept it
            self._polling = self._loop.call_soon(self._poll)

    def _poll(self) -> None:
        self._readable()
        if self._source.descriptor >= 0 and not self._reads_paused:
            self._polling = self._loop.call_soon(self._poll)

    def _readable(self) -> None:
        try:
            data = self._source.read(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._failed(error)
            return
        if data:
            self._deliver(data)
        else:
            self._close_source()
            self._source_ended()

    def _send(self, data: bytes) -> None:
        if self._sink.descriptor < 0:
            return
        if not self._buffer:
            sent = self._write(data)
            if sent == len(data):
                return
            data = data[sent:]
        self._buffer += data
        self._watch_sink()
        if len(self._buffer) > HIGH_WATER:
            self._pause()

    def _write(self, data: bytes | bytearray) -> int:
        try:
            return self._sink.write(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._failed(error)
            return len(data)

    def _watch_sink(self) -> None:
        if self._writing or self._sink.descriptor < 0:
            return
        self._writing = True
        try:
            self._loop.add_writer(self._sink.descriptor, self._writable)
        except PermissionError:  # a regular file that accepted only a part
            self._writing = False
            self._loop.call_soon(self._writable)

    def _writable(self) -> None:
        if self._sink.descriptor < 0:
            return
        if self._buffer:
            del self._buffer[: self._write(self._buffer)]
        if self._sink.descriptor < 0:  # the write failed and ended the line
            return
        if len(self._buffer) <= LOW_WATER:
            self._resume()
        if not self._buffer and self._sink.descriptor >= 0:
            self._unwatch_sink()
            if self._closing:
                self._sent()

    def _count_unsent(self) -> int:
        return len(self._buffer)

    def _finish(self) -> None:
        if not self._buffer:
            self._loop.call_soon(self._sent)

    def _drop(self) -> None:
        self._buffer.clear()
        self._close_ends()
        self._lost()

    def _pause_reads(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
        if self._source.descriptor >= 0:
            self._loop.remove_reader(self._source.descriptor)

    def _resume_reads(self) -> None:
        if self._source.descriptor >= 0:
            self._watch_source()

    def _close_ends(self) -> None:
        self._close_source()
        self._close_sink()

    def _close_source(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
        if self._source.descriptor >= 0:
            self._loop.remove_reader(self._source.descriptor)
            self._source.close()

    def _close_sink(self) -> None:
        self._unwatch_sink()
        self._sink.close()

    def _unwatch_sink(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._sink.descriptor)

    # -- a subclass may override these -----------------------------------------------------------------------

    def _source_ended(self) -> None:
        """Handle the end of the source."""
        self._eof()

    def _sent(self) -> None:
        """Finish a line that is closing, because all bytes are sent."""
        self._break(None)

    def _failed(self, error: OSError) -> None:
        """Handle a failed read or write."""
        problem = reason(error)
        self._break(BrokenError(f"the line {self._info.endpoint} broke ({problem}); start the other side again"))
