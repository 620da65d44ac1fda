"""A wire of the tester on a line of :mod:`linesync.transports`, with an event loop that runs only while the tester waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ...errors import LinesyncError
from ...transports.interface import Line, LineReceiver, ReceiverFactory

__all__ = ["LoopWire"]


class LoopWire:
    """The wire.

    A line that the endpoint closes is opened again. If the tester listens, the newest line of the endpoint is used.

    :param loop: a loop that does not run.
    :param connect: opens the line; None if :meth:`receiver` makes the receivers of a listener.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connect: Callable[[ReceiverFactory], Awaitable[Line]] | None,
        *,
        shared: bool,
    ) -> None:
        self.shared = shared
        self.line: Line | None = None
        """The current line; None while there is no line."""
        self.check: Callable[[], None] = lambda: None
        """Called before each wait; it may raise an error that ends the test."""
        self._loop = loop
        self._connect = connect
        self._data = bytearray()
        self._arrived = asyncio.Event()

    def now(self) -> float:
        return self._loop.time()

    def send(self, data: bytes) -> None:
        self._loop.run_until_complete(self._send(data))

    def receive(self, seconds: float) -> bytes:
        self.check()
        if not self._data:
            self._loop.run_until_complete(self._wait(seconds))
        data = bytes(self._data)
        self._data.clear()
        return data

    def open(self) -> None:
        """Open the line.

        :raises LinesyncError: the line cannot be opened.
        """
        self._loop.run_until_complete(self._open())

    def close(self) -> None:
        """Close the line."""
        if self.line is not None:
            self.line.close()
            self.line = None

    async def _open(self) -> None:
        if self.line is None and self._connect is not None:
            self.line = await self._connect(self.receiver)

    async def _send(self, data: bytes) -> None:
        await self._open()
        if self.line is not None:
            self.line.write(data)

    async def _wait(self, seconds: float) -> None:
        self._arrived.clear()
        try:
            await asyncio.wait_for(self._arrived.wait(), seconds)
        except TimeoutError:
            pass

    def receiver(self) -> LineReceiver:
        """Make the receiver of a new line."""
        return _Receiver(self)

    def made(self, line: Line) -> None:
        if self.line is not None and self._connect is None:
            self.line.close()
        self.line = line

    def arrived(self, line: Line | None, data: bytes) -> None:
        if line is self.line:
            self._data += data
            self._arrived.set()

    def lost(self, line: Line | None) -> None:
        if line is self.line:
            self.line = None


class _Receiver:
    """The receiver of one line."""

    def __init__(self, wire: LoopWire) -> None:
        self._wire = wire
        self._line: Line | None = None

    def line_made(self, line: Line) -> None:
        self._line = line
        self._wire.made(line)

    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        self._wire.arrived(self._line, bytes(data))

    def eof_received(self) -> None:
        """Do nothing: ``line_lost`` follows."""

    def pause_writing(self) -> None:
        """Do nothing: the tester sends little."""

    def resume_writing(self) -> None:
        """Do nothing: the tester does not pause."""

    def line_lost(self, error: LinesyncError | None) -> None:
        self._wire.lost(self._line)
