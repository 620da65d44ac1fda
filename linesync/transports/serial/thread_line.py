"""A line over any pyserial port, served by two threads, for ports that an event loop cannot watch.

``loop://`` and ``rfc2217://`` have no descriptor. ``socket://`` and ``spy://`` have a descriptor, but their ``read`` and
``write`` also do other work. A reader thread and a writer thread therefore use the port with pyserial's blocking calls. The
queue of the writer is limited by the water marks that pause the receiver. The queue of the reader is limited by the number of
chunks that the event loop has not delivered yet. The reader thread closes the port, if possible after the end of the writer
thread. The close takes up to 0.3 s, because pyserial sleeps in it. On some ports only the close ends a stuck write.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import BrokenError
from ..base_line import HIGH_WATER, LOW_WATER, BaseLine, reason
from ..interface import LineInfo, LineReceiver
from .rates import set_rate

if TYPE_CHECKING:
    import serial

__all__ = ["READ_SECONDS", "ThreadLine"]

READ_SECONDS = 0.2
"""The timeout in seconds of a read of a port without a descriptor. The reader thread detects a close within this time."""
_CHUNK = 4096
"""The maximum number of bytes of one read or one write."""
_WRITE_SECONDS = 0.5
"""The longest duration of one write on the line, in seconds. ``rfc2217://`` fails if a write lasts 5 s."""
_UNDELIVERED = 16
"""The maximum number of chunks that the reader thread may be ahead of the event loop."""
_FREE_SECONDS = 3.0
"""The longest time for which the reader thread tries to free a stuck writer, in seconds. After that, the writer's daemon
thread continues alone."""


class ThreadLine(BaseLine):
    """A pyserial port that two threads read and write."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, info: LineInfo, receiver: LineReceiver, port: serial.SerialBase
    ) -> None:
        super().__init__(loop, info, receiver)
        self._port = port
        self._descriptor = _descriptor(port)
        if self._descriptor is not None:
            port.timeout = 0  # the reader thread waits for the descriptor instead
        self._wake_read, self._wake_write = os.pipe()
        self._lock = threading.Condition()
        self._buffer = bytearray()
        self._in_writer = 0
        self._to_set: tuple[int, Callable[[int], None]] | None = (
            None  # the rate to set when the buffer is empty, and the function that gets the result
        )
        self._finishing = False
        self._stop = threading.Event()
        self._write_size = min(_CHUNK, max(64, int((info.byte_rate or _CHUNK) * _WRITE_SECONDS)))
        self._credit = threading.Semaphore(_UNDELIVERED)
        self._delivered = 0  # the number of chunks that were delivered while reading is paused
        name = f"linesync {info.endpoint}"
        self._reader = threading.Thread(target=self._read_loop, name=f"{name} reader", daemon=True)
        self._writer = threading.Thread(target=self._write_loop, name=f"{name} writer", daemon=True)

    def start(self) -> None:
        """Call ``line_made``, then start the threads."""
        self._made()
        self._reader.start()
        self._writer.start()

    # -- in the event loop's thread --------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        with self._lock:
            self._buffer += data
            above = len(self._buffer) > HIGH_WATER
            self._lock.notify()
        if above:
            self._pause()

    def _count_unsent(self) -> int:
        with self._lock:
            return len(self._buffer) + self._in_writer

    def set_baud(self, baud: int, done: Callable[[int], None]) -> None:
        with self._lock:
            self._to_set = baud, done
            self._lock.notify()

    def _finish(self) -> None:
        with self._lock:
            self._finishing = True
            self._lock.notify()

    def _drop(self) -> None:
        with self._lock:
            self._stop.set()
            self._buffer.clear()
            self._lock.notify()
        os.write(self._wake_write, b"x")

    def _written(self) -> None:
        with self._lock:
            low = len(self._buffer) <= LOW_WATER
        if low:
            self._resume()

    def _deliver_chunk(self, data: bytes) -> None:
        if self._reads_paused:
            self._delivered += 1  # without its credit, the reader thread soon stops
        else:
            self._credit.release()
        self._deliver(data)

    def _resume_reads(self) -> None:
        for _ in range(self._delivered):
            self._credit.release()
        self._delivered = 0

    def _failed(self, error: Exception) -> None:
        self._break(
            BrokenError(f"the line {self._info.endpoint} broke ({reason(error)}); check the other end and the cable")
        )

    def _closed(self) -> None:
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._lost()

    # -- in the threads --------------------------------------------------------------------------------------

    def _call_in_loop(self, method: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(method, *arguments)
        except RuntimeError:  # the event loop was closed before the line
            self._stop.set()

    def _read_loop(self) -> None:
        while not self._stop.is_set():
            if not self._credit.acquire(timeout=READ_SECONDS):
                continue
            try:
                data = self._read()
            except Exception as error:  # pyserial's ports raise errors of many classes
                if "socket disconnected" in str(error):  # this is how socket:// reports a clean end
                    self._call_in_loop(self._eof)
                else:
                    self._call_in_loop(self._failed, error)
                self._stop.wait()
                break
            if data:
                self._call_in_loop(self._deliver_chunk, data)
            else:
                self._credit.release()
        self._free_writer()
        try:
            self._port.close()
        except Exception:  # closing a broken port may fail
            pass
        self._call_in_loop(self._closed)

    def _read(self) -> bytes:
        port: Any = self._port
        if self._descriptor is None:
            data: bytes = port.read(1)
            if data and (more := port.in_waiting):
                data += port.read(min(more, _CHUNK))
            return data
        ready, _, _ = select.select([self._descriptor, self._wake_read], [], [])
        return port.read(_CHUNK) if self._descriptor in ready else b""

    def _write_loop(self) -> None:
        while (data := self._next_chunk()) is not None:
            try:
                if data:
                    self._port.write(data)
                else:
                    self._set_port()
            except Exception as error:
                if not self._stop.is_set():
                    self._call_in_loop(self._failed, error)
                return
            with self._lock:
                self._in_writer = 0
            self._call_in_loop(self._written)
        if not self._stop.is_set():
            try:
                self._port.flush()
                if self._info.rates and self._info.baud:
                    set_rate(self._port, self._info.baud)  # a console or a getty behind the line expects it
            except Exception:  # the port broke while it was closing
                pass
            self._call_in_loop(self._break, None)

    def _set_port(self) -> None:
        with self._lock:
            to_set, self._to_set = self._to_set, None
        if to_set is not None:
            self._port.flush()
            self._call_in_loop(to_set[1], set_rate(self._port, to_set[0]))

    def _next_chunk(self) -> bytes | None:
        """The next bytes to write; empty to set the port's rate; None when the line ends."""
        with self._lock:
            while not (self._buffer or self._to_set or self._finishing or self._stop.is_set()):
                self._lock.wait()
            if self._stop.is_set() or not (self._buffer or self._to_set):
                return None
            if not self._buffer:
                return b""
            data = bytes(self._buffer[: self._write_size])
            del self._buffer[: self._write_size]
            self._in_writer = len(data)
            return data

    def _free_writer(self) -> None:
        """End a write of the writer thread that does not end by itself.

        ``spy://`` and ``loop://`` can cancel a write, and an empty output buffer keeps the next write from blocking. For the
        other ports (sockets), closing the port ends the write. With ``rfc2217://``, a request to empty the output buffer
        would wait for the stuck write.
        """
        port: Any = self._port
        deadline = time.monotonic() + _FREE_SECONDS
        while self._writer.is_alive() and time.monotonic() < deadline:
            try:
                if hasattr(port, "cancel_write"):
                    port.cancel_write()
                    port.reset_output_buffer()
                else:
                    port.close()
            except Exception:  # the port is already broken, or the writer has just ended
                pass
            self._writer.join(0.05)


def _descriptor(port: serial.SerialBase) -> int | None:
    try:
        return port.fileno()
    except Exception:  # UnsupportedOperation, AttributeError ...: the port has no descriptor
        return None
