"""What all lines share: the order of calls to the receiver, and how a line ends.

Every transport derives its line from :class:`BaseLine` and adds only how bytes travel. What holds for all of
them is kept here, once:

- The order is ``line_made``, then data, then perhaps ``eof_received``, then ``line_lost``; the first and the
  last come exactly once, and ``line_lost`` never from within a call of the line's own methods.
- The first cause decides what ``line_lost`` says. Once we closed the line, whatever breaks afterwards is no
  error.
- Nothing is delivered after ``close`` or ``abort``. ``pause_writing`` and ``resume_writing`` alternate;
  ``line_lost`` ends a pause as well.
- When the peer ends its direction, what was written until ``eof_received`` returns is still sent, as by
  ``close``.
- An exception in the receiver is a bug above us. It goes to the event loop's exception handler with its
  traceback, and the line is aborted: ``line_lost`` tells a :class:`~linesync.errors.BrokenError`. A receiver
  in an unknown state is not fed any further, and nobody waits for ever on a line that has silently stopped.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from ..errors import BrokenError, LinesyncError
from .interface import LineInfo, LineReceiver

__all__ = ["CLOSE_SECONDS", "HIGH_WATER", "LOW_WATER", "READ_SIZE", "BaseLine", "reason"]

CLOSE_SECONDS = 1.0
"""Seconds that ``close`` gives to what was written."""
HIGH_WATER = 64 * 1024
"""Bytes in a line's own buffer above which the receiver is asked to pause."""
LOW_WATER = 16 * 1024
"""Bytes in a line's own buffer at or below which the receiver may go on."""
READ_SIZE = 128 * 1024
"""Bytes taken from the system at once, at most."""


class BaseLine:
    """A line without its byte pipe. A subclass gives ``_send`` to ``_drop``, and calls the
    others."""

    def __init__(self, loop: asyncio.AbstractEventLoop, info: LineInfo, receiver: LineReceiver) -> None:
        self._loop = loop
        self._info = info
        self._receiver = receiver
        self._error: LinesyncError | None = None
        self._paused = False
        self._closing = False
        self._dropped = False
        self._lost_told = False
        self._deadline: asyncio.TimerHandle | None = None

    # -- the Line protocol -----------------------------------------------------------------------------------

    @property
    def info(self) -> LineInfo:
        return self._info

    def write(self, data: bytes) -> None:
        if data and not self._closing:
            self._send(data)

    def unsent(self) -> int:
        return 0 if self._lost_told else self._count_unsent()

    def send_break(self) -> bool:
        return False

    def set_baud(self, baud: int, done: Callable[[int], None]) -> None:
        self._loop.call_soon(done, self._info.baud or 0)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._deadline = self._loop.call_later(CLOSE_SECONDS, self.abort)
            self._finish()

    def abort(self) -> None:
        self._break(None)

    # -- what a subclass gives -------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        """Queue bytes; the line is open."""
        raise NotImplementedError

    def _count_unsent(self) -> int:
        """Bytes that were written and are still here."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Start to send what is left, then call ``_lost``. A deadline is running; it ends in ``_drop``."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Let go of everything at once and call ``_lost`` when that is done. Called once at most."""
        raise NotImplementedError

    # -- what a subclass calls -------------------------------------------------------------------------------

    def _made(self) -> None:
        self._call(self._receiver.line_made, self)

    def _deliver(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._call(self._receiver.data_received, data)

    def _eof(self) -> None:
        """The peer will send no more: tell it, and close."""
        if not self._closing:
            self._call(self._receiver.eof_received)
            self.close()

    def _pause(self) -> None:
        if not self._paused and not self._lost_told:
            self._paused = True
            self._call(self._receiver.pause_writing)

    def _resume(self) -> None:
        if self._paused and not self._lost_told:
            self._paused = False
            self._call(self._receiver.resume_writing)

    def _break(self, error: LinesyncError | None) -> None:
        """End the line at once; ``error`` is told unless the line was already closing."""
        if self._dropped or self._lost_told:
            return
        if not self._closing:
            self._error = error
        self._closing = self._dropped = True
        self._drop()

    def _lost(self, error: LinesyncError | None = None) -> None:
        """Everything is closed: tell it in a later turn of the loop, once."""
        if self._lost_told:
            return
        if not self._closing:
            self._error = error
        self._closing = self._lost_told = True
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
                    f"{type(failure).__name__}: {failure}; this is a bug, its traceback is in the log"
                )
            )


def reason(error: BaseException) -> str:
    """What an error says, in a few words: the operating system's, where it has a number of that."""
    number = error.errno if isinstance(error, OSError) else None
    text = os.strerror(number) if number and number > 0 else str(error) or type(error).__name__
    return text[0].lower() + text[1:]
