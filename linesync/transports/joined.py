"""Joins two lines: each writes the bytes that the other receives."""

from __future__ import annotations

import asyncio

from ..errors import LinesyncError
from . import connect
from .interface import Line

__all__ = ["join"]


class _End:
    """The receiver of one of the two lines. It reads only while the other line accepts bytes."""

    def __init__(self) -> None:
        self.line: Line | None = None
        self.other: _End | None = None
        self.lost = asyncio.Event()

    def _other_line(self) -> Line | None:
        return self.other.line if self.other is not None else None

    def line_made(self, line: Line) -> None:
        self.line = line
        other = self._other_line()
        if other is None:
            line.pause_reading()
        else:
            other.resume_reading()

    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        other = self._other_line()
        if other is not None:
            other.write(bytes(data))

    def eof_received(self) -> None:
        """Do nothing: ``line_lost`` follows."""

    def pause_writing(self) -> None:
        other = self._other_line()
        if other is not None:
            other.pause_reading()

    def resume_writing(self) -> None:
        other = self._other_line()
        if other is not None:
            other.resume_reading()

    def line_lost(self, error: LinesyncError | None) -> None:
        other = self._other_line()
        if other is not None:
            other.close()
        self.lost.set()


async def join(first: str, second: str) -> None:
    """Join the lines of two endpoints until both have ended. The end of one line closes the other line.

    The second line opens after the first. Both must be lines whose source can be stopped, such as pipes and sockets.

    :raises LinesyncError: one of the lines cannot be opened.
    """
    near, far = _End(), _End()
    near.other, far.other = far, near
    await connect(first, lambda: near)
    try:
        await connect(second, lambda: far)
    except BaseException:
        if near.line is not None:
            near.line.abort()
        raise
    await near.lost.wait()
    await far.lost.wait()
