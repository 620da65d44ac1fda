"""The common part of all lines: the order of calls to the receiver, and the end of a line.

Every transport derives its line from :class:`BaseLine` and adds only the transfer of bytes. These rules hold for all lines:

- The receiver gets ``line_made``, then data, then possibly ``eof_received``, then ``line_lost``. It gets ``line_made`` and
  ``line_lost`` exactly once. A method of the line never calls ``line_lost`` before it has returned.
- The first cause decides the error of ``line_lost``. A failure after this end has closed the line is not an error.
- No data is delivered after ``close`` or ``abort``. ``pause_writing`` and ``resume_writing`` alternate; ``line_lost`` also
  ends a pause.
- When the peer ends its direction, the line still sends the bytes that were written before ``eof_received`` returned, like
  ``close``.
- An exception in the receiver is a bug above this layer. The event loop's exception handler gets it with its traceback, and
  the line is aborted: ``line_lost`` gets a :class:`~linesync.errors.BrokenError`. A receiver in an unknown state therefore
  gets no more data, and no task waits forever for a line that has silently stopped.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from ..errors import BrokenError, LinesyncError
from .interface import LineInfo, LineReceiver

__all__ = ["CLOSE_SECONDS", "HIGH_WATER", "LOW_WATER", "READ_SIZE", "BaseLine", "reason"]

CLOSE_SECONDS = 1.0
"""The longest time that ``close`` waits for unsent bytes, in seconds."""
HIGH_WATER = 64 * 1024
"""The number of bytes in a line's own buffer above which the receiver must pause."""
LOW_WATER = 16 * 1024
"""The number of bytes in a line's own buffer up to which the receiver may write again."""
READ_SIZE = 128 * 1024
"""The maximum number of bytes of one read."""


class BaseLine:
    """The base class of all lines, without the byte pipe.

    A subclass defines ``_send``, ``_count_unsent``, ``_finish`` and ``_drop``, and also ``_pause_reads`` and
    ``_resume_reads`` if it can stop its source. It calls ``_made``, ``_deliver``, ``_eof``, ``_pause``, ``_resume``,
    ``_break`` and ``_lost``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, info: LineInfo, receiver: LineReceiver) -> None:
        self._loop = loop
        self._info = info
        self._receiver = receiver
        self._error: LinesyncError | None = None
        self._paused = False
        self._reads_paused = False
        self._closing = False
        self._dropped = False
        self._lost_reported = False
        self._deadline: asyncio.TimerHandle | None = None

    # -- the Line protocol -----------------------------------------------------------------------------------

    @property
    def info(self) -> LineInfo:
        return self._info

    def write(self, data: bytes) -> None:
        if data and not self._closing:
            self._send(data)

    def unsent(self) -> int:
        return 0 if self._lost_reported else self._count_unsent()

    def send_break(self) -> bool:
        return False

    def set_baud(self, baud: int, done: Callable[[int], None]) -> None:
        self._loop.call_soon(done, self._info.baud or 0)

    def pause_reading(self) -> None:
        if not self._reads_paused and not self._closing:
            self._reads_paused = True
            self._pause_reads()

    def resume_reading(self) -> None:
        if self._reads_paused:
            self._reads_paused = False
            if not self._dropped and not self._lost_reported:
                self._resume_reads()

    def close(self) -> None:
        if not self._closing:
            self.resume_reading()  # reading shows when the peer closes
            self._closing = True
            self._deadline = self._loop.call_later(CLOSE_SECONDS, self.abort)
            self._finish()

    def abort(self) -> None:
        self._break(None)

    # -- defined by a subclass -------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        """Queue bytes for sending. The line is open."""
        raise NotImplementedError

    def _count_unsent(self) -> int:
        """The number of written bytes that have not left this machine."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Start to send the remaining bytes, and call ``_lost`` after that. If this takes too long, ``_drop`` is called."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Release all resources immediately, and call ``_lost`` after that. This is called at most once."""
        raise NotImplementedError

    def _pause_reads(self) -> None:
        """Stop reading from the source. A line whose source cannot be stopped does not override this method."""

    def _resume_reads(self) -> None:
        """Read from the source again."""

    # -- called by a subclass --------------------------------------------------------------------------------

    def _made(self) -> None:
        self._call(self._receiver.line_made, self)

    def _deliver(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._call(self._receiver.data_received, data)

    def _eof(self) -> None:
        """Report that the peer will send no more, and close the line."""
        if not self._closing:
            self._call(self._receiver.eof_received)
            self.close()

    def _pause(self) -> None:
        if not self._paused and not self._lost_reported:
            self._paused = True
            self._call(self._receiver.pause_writing)

    def _resume(self) -> None:
        if self._paused and not self._lost_reported:
            self._paused = False
            self._call(self._receiver.resume_writing)

    def _break(self, error: LinesyncError | None) -> None:
        """End the line immediately, with ``error`` unless the line was already closing."""
        if self._dropped or self._lost_reported:
            return
        if not self._closing:
            self._error = error
        self._closing = self._dropped = True
        self._drop()

    def _lost(self, error: LinesyncError | None = None) -> None:
        """Report the end of the line once, in a later iteration of the event loop. All resources are released."""
        if self._lost_reported:
            return
        if not self._closing:
            self._error = error
        self._closing = self._lost_reported = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._loop.call_soon(self._call, self._receiver.line_lost, self._error)

    def _call(self, method: Callable[..., None], *arguments: object) -> None:
        try:
            method(*arguments)
        except Exception as failure:
            self._loop.call_exception_handler(
                {"message": f"the receiver of line {self._info.endpoint} failed", "exception": failure}
            )
            self._break(
                BrokenError(
                    f"the line {self._info.endpoint} was closed because its receiver failed with "
                    f"{type(failure).__name__}: {failure}; this is a bug in linesync, please report the traceback in the log"
                )
            )


def reason(error: BaseException) -> str:
    """A short text about an error for use inside a sentence: the operating system's text if the error has an errno."""
    number = error.errno if isinstance(error, OSError) else None
    text = os.strerror(number) if number and number > 0 else str(error) or type(error).__name__
    return text[0].lower() + text[1:]
