"""A line over this process's own stdin and stdout, as ssh, inetd or ``exec:`` give them.

The line takes the two descriptors away from the rest of the process: they move to private ones, descriptor 0
becomes ``/dev/null`` and descriptor 1 becomes stderr, so that a stray ``print``, a library's warning or a
child's output can never reach the wire. They are not put back when the line closes: the peer must see its end
then. A terminal is put into raw mode and restored at the close, or at the process's exit at the latest.
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
    """The line; it restores the terminal, if there was one."""

    restore: weakref.finalize[[int, list[object]], StdioLine] | None = None

    def _close_ends(self) -> None:
        if self.restore is not None:
            self.restore()
        super()._close_ends()


async def connect_stdio(endpoint: StdioEndpoint, factory: ReceiverFactory) -> StdioLine:
    """Make a line of stdin and stdout. A process can do this once.

    :raises BusyError: it was done before.
    :raises LinesyncFailed: stdin or stdout is closed.
    """
    global _taken
    if _taken:
        raise BusyError("stdin and stdout already serve a line of this process; give the other line another endpoint")
    if sys.__stdin__ is None or sys.__stdout__ is None:  # closed at our start: 0 or 1 may be anything by now
        raise LinesyncFailed("stdio: needs an open stdin and stdout, but one of them is closed; do not close it")
    source = open_end(os.dup(0), os.O_RDONLY)
    sink = open_end(os.dup(1), os.O_WRONLY)
    _taken = True
    _divert()
    shared = os.isatty(source.descriptor)
    info = LineInfo(endpoint=endpoint.text, kind="stdio", peer="stdin and stdout", shared=shared, eight_bit=not shared)
    line = StdioLine(asyncio.get_running_loop(), info, factory(), source, sink)
    if shared:
        _make_raw(line, source.descriptor)
    line.start()
    return line


def _divert() -> None:
    """Leave ``/dev/null`` as stdin and stderr as stdout to everybody else in this process and to its
    children."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # stderr is closed
        os.dup2(null, 1)
    os.close(null)
    if sys.stdout is not None:
        sys.stdout.flush()  # what an earlier print left in it belongs to stderr now as well
    sys.stdout = sys.stderr


def _make_raw(line: StdioLine, descriptor: int) -> None:
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSANOW)
    line.restore = weakref.finalize(line, _restore, descriptor, before)


def _restore(descriptor: int, attributes: list[object]) -> None:
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)  # type: ignore[arg-type]
    except termios.error:  # the terminal is gone
        pass
