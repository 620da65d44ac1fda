"""A line over a serial device, with pyserial-asyncio.

The port never waits for unsent bytes (``DevicePort.flush``), so :class:`DeviceLine` waits for them. When it is closed, it
waits without blocking, for at most a second, until the kernel's queue is empty. Then it discards the remaining bytes.
"""

from __future__ import annotations

import asyncio
import termios
from collections.abc import Callable
from typing import cast

import serial
import serial_asyncio

from ...errors import BrokenError
from ..base_line import CLOSE_SECONDS, HIGH_WATER, LOW_WATER, BaseLine
from ..interface import LineInfo, LineReceiver, ReceiverFactory
from .device import DevicePort
from .rates import set_rate

__all__ = ["DeviceLine", "connect_device"]

_DRAIN_POLL_SECONDS = 0.01
_BREAK_SECONDS = 0.25


class DeviceLine(BaseLine, asyncio.Protocol):
    """A serial device as a line."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, info: LineInfo, receiver: LineReceiver, port: DevicePort
    ) -> None:
        super().__init__(loop, info, receiver)
        self._port = port
        port.on_vanished = self._vanished
        self._transport: asyncio.Transport | None = None
        self._held: bytearray | None = None
        """The bytes that were written during a BREAK; None while there is no BREAK."""
        self.opened: asyncio.Future[None] = loop.create_future()

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        if self._held is None:
            self._transport.write(data)
        else:
            self._held += data

    def _count_unsent(self) -> int:
        return len(self._held or b"") + self._not_on_the_wire()

    def _not_on_the_wire(self) -> int:
        """The number of bytes in the transport and in the kernel."""
        if self._transport is None:
            return 0
        return self._transport.get_write_buffer_size() + self._unsent_in_kernel()

    def _unsent_in_kernel(self) -> int:
        try:
            return self._port.out_waiting
        except (OSError, serial.SerialException):
            return 0

    def send_break(self) -> bool:
        """Send the bytes that were written so far, and then a BREAK of a quarter of a second. Bytes that are written during
        this time are sent after the BREAK."""
        if self._closing:
            return False
        if self._held is None:
            self._held = bytearray()
            self._loop.call_soon(self._begin_break, self._loop.time() + CLOSE_SECONDS)
        return True

    def _begin_break(self, deadline: float) -> None:
        if self._dropped:
            return
        if self._not_on_the_wire() and self._loop.time() < deadline:
            self._loop.call_later(_DRAIN_POLL_SECONDS, self._begin_break, deadline)
            return
        self._set_break(True)
        self._loop.call_later(_BREAK_SECONDS, self._end_break)

    def _end_break(self) -> None:
        if self._dropped:
            return
        self._set_break(False)
        held, self._held = self._held, None
        if held:
            self._send(bytes(held))

    def _set_break(self, on: bool) -> None:
        try:
            self._port.break_condition = on
        except (OSError, serial.SerialException):  # the device cannot send a BREAK
            pass

    def set_baud(self, baud: int, done: Callable[[int], None]) -> None:
        self._set_baud(baud, done, self._loop.time() + CLOSE_SECONDS)

    def _set_baud(self, baud: int, done: Callable[[int], None], deadline: float) -> None:
        if self._closing:
            return
        # A pty always reports an empty queue, so the caller itself computes the time at which the last byte leaves.
        if self._not_on_the_wire() and self._loop.time() < deadline:
            self._loop.call_later(_DRAIN_POLL_SECONDS / 4, self._set_baud, baud, done, deadline)
            return
        done(set_rate(self._port, baud))

    def _vanished(self) -> None:
        """End the line, because the device is gone."""
        self._break(
            BrokenError(
                f"the device of line {self._info.endpoint} is gone; plug it in again or check which process removed it"
            )
        )

    def _finish(self) -> None:
        if self.unsent():
            self._loop.call_later(_DRAIN_POLL_SECONDS, self._finish_later)
        else:
            self._loop.call_soon(self.abort)

    def _finish_later(self) -> None:
        if not self._dropped:
            self._finish()

    def _drop(self) -> None:
        assert self._transport is not None
        if self._unsent_in_kernel():  # closing the descriptor would wait until a stuck line has sent it
            try:
                self._port.reset_output_buffer()
            except (OSError, termios.error):
                pass
        self._transport.abort()

    def _pause_reads(self) -> None:
        assert self._transport is not None
        self._transport.pause_reading()

    def _resume_reads(self) -> None:
        assert self._transport is not None
        self._transport.resume_reading()

    # -- pyserial-asyncio's side -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        self._made()
        self.opened.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._deliver(data)

    def pause_writing(self) -> None:
        self._pause()

    def resume_writing(self) -> None:
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(None)


async def connect_device(info: LineInfo, factory: ReceiverFactory, port: DevicePort) -> DeviceLine:
    """Make a line of an open port, and return it after ``line_made``."""
    loop = asyncio.get_running_loop()
    line = DeviceLine(loop, info, factory(), port)
    await serial_asyncio.connection_for_serial(loop, lambda: line, port)
    try:
        await line.opened
    except asyncio.CancelledError:
        loop.call_soon(line.abort)
        raise
    return line
