"""A line over this process's own stdin and stdout, as ssh, inetd or ``exec:`` provide them.

The line uses private copies of the two descriptors. For all other code, descriptor 0 becomes ``/dev/null`` and descriptor 1
becomes stderr. The output of a ``print``, of a library or of a child process therefore never reaches the line. The
descriptors are not restored when the line closes, because the peer must then see the end of the line. A terminal is put
into raw mode. Its mode is restored when the line closes, or at the latest when the process ends.
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
    """The line over stdin and stdout. It restores the mode of a terminal."""

    restore: weakref.finalize[[int, list[object]], StdioLine] | None = None

    def _close_ends(self) -> None:
        if self.restore is not None:
            self.restore()
        super()._close_ends()


async def connect_stdio(endpoint: StdioEndpoint, factory: ReceiverFactory) -> StdioLine:
    """Make a line of stdin and stdout. A process can make only one such line.

    :raises BusyError: the process has already made this line.
    :raises LinesyncFailed: stdin or stdout is closed.
    """
    global _taken
    if _taken:
        raise BusyError(
            "this process already uses stdin and stdout for a line; choose another endpoint for the second line"
        )
    # If Python found one of them closed at its start, descriptor 0 or 1 may now belong to another file.
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
    """Replace stdin by ``/dev/null`` and stdout by stderr, for all other code of this process and for its children."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # stderr is closed
        os.dup2(null, 1)
    os.close(null)
    if sys.stdout is not None:
        sys.stdout.flush()  # the output of an earlier print is then written to stderr too
    sys.stdout = sys.stderr


def _make_raw(line: StdioLine, descriptor: int) -> None:
    before = termios.tcgetattr(descriptor)
    line.restore = weakref.finalize(
        line, _restore, descriptor, before
    )  # before setraw, because a signal may end this process directly after it
    tty.setraw(descriptor, termios.TCSANOW)


def _restore(descriptor: int, attributes: list[object]) -> None:
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)  # type: ignore[arg-type]
    except termios.error:  # the terminal is gone
        pass
