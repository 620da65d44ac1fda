"""Lines over serial devices and pyserial's URLs.

A device goes through pyserial (its setup) and pyserial-asyncio 0.6 (its event loop glue), with three of their
habits worked around, all of them in :class:`Device`, the serial port we hand to pyserial-asyncio:

- ``Serial.read`` asks ``select`` on every call, which fails with descriptors from 1024 up, and
  pyserial-asyncio asks it for 1024 bytes at a time. ``Device.read`` takes what is there, at once.
- ``Serial.write`` spins while a device that was ready takes nothing (an XOFF came in between).
  ``Device.write`` raises the BlockingIOError that pyserial-asyncio waits for.
- pyserial-asyncio's close never ends while bytes are unsent (a stuck XOFF), and even its abort waits in
  ``tcdrain`` with the whole event loop. ``Device.flush`` does nothing; :class:`SerialLine` itself waits, for
  a second at most and without blocking, until the kernel's queue is empty, and else empties it.

pyserial-asyncio needs a descriptor of a real tty. Every URL whose port is not exactly that (``loop://``,
``rfc2217://``, ``socket://``, ``spy://`` ...) goes through the thread bridge in ``serial_thread``.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import termios
from collections.abc import Callable
from typing import cast

import serial
import serial_asyncio

from ... import limits
from ...errors import BrokenError
from ...workers import run_blocking
from ..base_line import CLOSE_SECONDS, HIGH_WATER, LOW_WATER, READ_SIZE, BaseLine
from ..endpoint import SerialEndpoint
from ..interface import LineInfo, LineReceiver, ReceiverFactory
from .device import not_open, open_device, port_settings, set_port, takes

__all__ = ["Device", "SerialLine", "connect_serial"]

_DRAIN_POLL_SECONDS = 0.01
_BREAK_SECONDS = 0.25


class Device(serial.Serial):
    """A serial port as pyserial-asyncio expects one: reading and writing never block, and failures reach the
    line."""

    line: SerialLine
    first_baud: int | None = None
    """What the port is set to when it is closed: a console or a getty behind us expects it."""

    def read(self, size: int = 1, /) -> bytes:
        try:
            data = os.read(self.fileno(), READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError:
            data = b""
        if not data:
            self.line.vanished()
        return data

    def write(self, b: bytes, /) -> int:  # type: ignore[override]  # pyserial-asyncio writes nothing but bytes
        try:
            return os.write(self.fileno(), b)
        except (BlockingIOError, InterruptedError):
            raise
        except OSError as error:
            self.line.vanished()
            raise BlockingIOError from error  # the line is ending; pyserial-asyncio need not know why

    def flush(self) -> None:
        """Nothing: the line has waited already."""

    def close(self) -> None:
        if self.is_open:
            if self.first_baud is not None:
                set_port(self, self.first_baud)
            try:
                fcntl.ioctl(self.fileno(), termios.TIOCNXCL)
            except OSError:  # it has gone
                pass
        super().close()


class SerialLine(BaseLine, asyncio.Protocol):
    """A serial device."""

    def __init__(self, loop: asyncio.AbstractEventLoop, info: LineInfo, receiver: LineReceiver, port: Device) -> None:
        super().__init__(loop, info, receiver)
        self._port = port
        port.line = self
        self._transport: asyncio.Transport | None = None
        self._held: bytearray | None = None
        """What was written during a BREAK."""
        self.opened: asyncio.Future[None] = loop.create_future()

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        if self._held is None:
            self._transport.write(data)
        else:
            self._held += data

    def _count_unsent(self) -> int:
        return len(self._held or b"") + self._unsent_by_us()

    def _unsent_by_us(self) -> int:
        if self._transport is None:
            return 0
        return self._transport.get_write_buffer_size() + self._unsent_in_kernel()

    def _unsent_in_kernel(self) -> int:
        try:
            return self._port.out_waiting
        except (OSError, serial.SerialException):
            return 0

    def send_break(self) -> bool:
        """Send what was written so far, then hold the line at space for a quarter of a second; what is
        written in the meantime follows it."""
        if self._closing:
            return False
        if self._held is None:
            self._held = bytearray()
            self._loop.call_soon(self._begin_break, self._loop.time() + CLOSE_SECONDS)
        return True

    def _begin_break(self, deadline: float) -> None:
        if self._dropped:
            return
        if self._unsent_by_us() and self._loop.time() < deadline:
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
        except (OSError, serial.SerialException):  # a device that has no BREAK
            pass

    def set_baud(self, baud: int, done: Callable[[int], None]) -> None:
        self._set_baud(baud, done, self._loop.time() + CLOSE_SECONDS)

    def _set_baud(self, baud: int, done: Callable[[int], None], deadline: float) -> None:
        if self._closing:
            return
        # A pty shows nothing that waits: whoever asks has reckoned when the last byte leaves.
        if self._unsent_by_us() and self._loop.time() < deadline:
            self._loop.call_later(_DRAIN_POLL_SECONDS / 4, self._set_baud, baud, done, deadline)
            return
        done(set_port(self._port, baud))

    def vanished(self) -> None:
        """The device has gone."""
        self._break(
            BrokenError(f"the device of line {self._info.endpoint} has gone; plug it in again or see who took it away")
        )

    def _finish(self) -> None:
        if self.unsent():
            self._loop.call_later(_DRAIN_POLL_SECONDS, self._drained)
        else:
            self._loop.call_soon(self.abort)

    def _drained(self) -> None:
        if not self._dropped:
            self._finish()

    def _drop(self) -> None:
        assert self._transport is not None
        if self._unsent_in_kernel():  # else closing the descriptor would wait for a line that does not move
            try:
                self._port.reset_output_buffer()
            except (OSError, termios.error):
                pass
        self._transport.abort()

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


async def connect_serial(endpoint: SerialEndpoint, factory: ReceiverFactory) -> BaseLine:
    """Open a serial device or URL, for this process alone.

    :raises BusyError: another process holds the device.
    :raises LinesyncFailed: no such device, no permission, not a serial device, or what the URL's kind says.
    """
    loop = asyncio.get_running_loop()
    info = LineInfo(
        endpoint=endpoint.text,
        kind="serial",
        peer=endpoint.url,
        baud=endpoint.baud,
        byte_rate=endpoint.byte_rate,
        shared=True,
        eight_bit=False,
    )
    if endpoint.is_device:
        port = await run_blocking(lambda: open_device(Device, endpoint), endpoint.url, lambda port: port.close())
        if endpoint.climbs:
            port.first_baud = endpoint.baud
            info = _with_rates(info, takes(port))
        line = SerialLine(loop, info, factory(), port)
        await serial_asyncio.connection_for_serial(loop, lambda: line, port)
        try:
            await line.opened
        except asyncio.CancelledError:
            loop.call_soon(line.abort)
            raise
        return line
    from .thread import ThreadLine

    if endpoint.climbs:
        info = _with_rates(info, limits.CLIMB_RATES)  # a port that does not take one says so when it is set
    bridge = ThreadLine(loop, info, factory(), await _open_url(endpoint))
    bridge.start()
    return bridge


def _with_rates(info: LineInfo, rates: tuple[int, ...]) -> LineInfo:
    return LineInfo(
        endpoint=info.endpoint,
        kind=info.kind,
        peer=info.peer,
        baud=info.baud,
        byte_rate=info.byte_rate,
        rates=tuple(rate for rate in rates if rate != info.baud),
        shared=info.shared,
        eight_bit=info.eight_bit,
    )


async def _open_url(endpoint: SerialEndpoint) -> serial.SerialBase:
    """Open a URL in a thread: connecting and agreeing with a server may take seconds."""
    from .thread import READ_SECONDS

    def work() -> serial.SerialBase:
        return serial.serial_for_url(endpoint.url, timeout=READ_SECONDS, **port_settings(endpoint))

    try:
        return await run_blocking(work, endpoint.url, lambda port: port.close())
    except Exception as error:  # every kind of pyserial URL raises what it pleases
        raise not_open(endpoint, error) from error
