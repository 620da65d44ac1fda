"""A line over this process's own stdin and stdout, as ssh, inetd or ``exec:`` provide them.

The line uses private copies of the two descriptors. For the rest of the process, descriptor 0 becomes ``/dev/null`` and
descriptor 1 becomes stderr. So the output of a ``print``, of a library or of a child process never reaches the line. The
descriptors are not restored when the line closes, because the peer must then see the end of the line. A terminal is put
into raw mode. It is restored when the line closes, or at the latest when the process exits.
"""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
import weakref

from ..errors import BusyError, LinesyncFailed
from .endpoint import StdioEndpoint
from .fd_line import FdLine, open_end
from .interface import LineInfo, ReceiverFactory

__all__ = ["StdioLine", "connect_stdio"]

_taken = False


class StdioLine(FdLine):
    """The line. It restores the terminal, if there is one."""

    restore: weakref.finalize[[int, list[object]], StdioLine] | None = None

    def _close_ends(self) -> None:
        if self.restore is not None:
            self.restore()
        super()._close_ends()


async def connect_stdio(endpoint: StdioEndpoint, factory: ReceiverFactory) -> StdioLine:
    """Make a line of stdin and stdout. A process can do this only once.

    :raises BusyError: the process has done this before.
    :raises LinesyncFailed: stdin or stdout is closed.
    """
    global _taken
    if _taken:
        raise BusyError(
            "this process already uses stdin and stdout for a line; choose another endpoint for the second line"
        )
    # If Python found one of them closed at its start, descriptor 0 or 1 may be some other file now.
    if sys.__stdin__ is None or sys.__stdout__ is None:
        raise LinesyncFailed("stdio: needs stdin and stdout, but one of them is closed; start linesync with both open")
    source = open_end(os.dup(0), os.O_RDONLY)
    sink = open_end(os.dup(1), os.O_WRONLY)
    _taken = True
    _divert()
    shared = os.isatty(source.descriptor)
    info = LineInfo(endpoint=endpoint.text, kind="stdio", peer="stdin and stdout", shared=shared, eight_bit=not shared)
    line = StdioLine(asyncio.get_running_loop(), info, factory(), source, sink)
    try:
        if shared:
            _make_raw(line, source.descriptor)
        line.start()
    except BaseException:  # a signal may end this process now, and no other code owns the line yet
        if line.restore is not None:
            line.restore()
        raise
    return line


def _divert() -> None:
    """Give the rest of this process and its children ``/dev/null`` as stdin and stderr as stdout."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # stderr is closed
        os.dup2(null, 1)
    os.close(null)
    if sys.stdout is not None:
        sys.stdout.flush()  # what an earlier print left in the buffer goes to stderr too
    sys.stdout = sys.stderr


def _make_raw(line: StdioLine, descriptor: int) -> None:
    before = termios.tcgetattr(descriptor)
    line.restore = weakref.finalize(line, _restore, descriptor, before)  # a signal may come right after the next line
    tty.setraw(descriptor, termios.TCSANOW)


def _restore(descriptor: int, attributes: list[object]) -> None:
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)  # type: ignore[arg-type]
    except termios.error:  # the terminal is gone
        pass
