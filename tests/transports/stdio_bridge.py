"""A program for tests: joins its ``stdio:`` line to the unix socket that its argument names."""

from __future__ import annotations

import asyncio
import sys

from linesync.errors import LinesyncError
from linesync.transports import Line, connect


class Relay:
    """Writes the bytes that it receives to the line of the other relay."""

    def __init__(self) -> None:
        self.line: Line | None = None
        self.other: Relay | None = None
        self.lost = asyncio.Event()

    def line_made(self, line: Line) -> None:
        self.line = line

    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        assert self.other is not None and self.other.line is not None
        self.other.line.write(bytes(data))

    def eof_received(self) -> None:
        pass

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass

    def line_lost(self, error: LinesyncError | None) -> None:
        assert self.other is not None
        if self.other.line is not None:
            self.other.line.close()
        self.lost.set()


async def main() -> None:
    near, far = Relay(), Relay()
    near.other, far.other = far, near
    await connect(f"unix:{sys.argv[1]}", lambda: far)
    await connect("stdio:", lambda: near)
    print("a stray print")
    await near.lost.wait()
    await far.lost.wait()


asyncio.run(main())
