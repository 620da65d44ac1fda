"""Opens a serial device as a port for pyserial-asyncio.

:class:`DevicePort` avoids three problems of pyserial 3.5 and pyserial-asyncio 0.6:

- ``Serial.read`` calls ``select`` each time, which fails for descriptors of 1024 and above. pyserial-asyncio requests at most
  1024 bytes. ``DevicePort.read`` immediately returns all received bytes.
- ``Serial.write`` loops without waiting while a device accepts no bytes, because an XOFF has arrived. ``DevicePort.write``
  raises the BlockingIOError that pyserial-asyncio expects.
- pyserial-asyncio's ``close`` never ends while bytes are unsent (a stuck XOFF), and its ``abort`` blocks the event loop in
  ``tcdrain``. ``DevicePort.flush`` does nothing; the line waits instead.

pyserial's ``exclusive`` takes a flock. Only programs that also take the flock respect it (another linesync, picocom).
:func:`open_device` therefore also sets TIOCEXCL: no process without root rights, such as getty or ``cat``, can then open the
device. TIOCEXCL would stay set while another process still has the device open, so the port clears it when it is closed.
"""

from __future__ import annotations

import fcntl
import os
import stat
import termios
from collections.abc import Callable
from typing import Any

import serial

from ..base_line import READ_SIZE
from ..endpoint import SerialEndpoint
from .open_errors import not_a_device, not_open
from .rates import set_rate

__all__ = ["DevicePort", "open_device", "port_settings"]


class DevicePort(serial.Serial):
    """A serial port that never blocks, and that reports the loss of its device to its line."""

    on_vanished: Callable[[], None]
    """Called when the device is gone. The line sets it before the first read or write."""
    rate_at_close: int | None = None
    """The rate to set before the port is closed, because a console or a getty behind the line expects it; None to keep
    the current one."""

    def read(self, size: int = 1, /) -> bytes:
        try:
            data = os.read(self.fileno(), READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError:
            data = b""
        if not data:
            self.on_vanished()
        return data

    def write(self, b: bytes, /) -> int:  # type: ignore[override]  # pyserial-asyncio writes only bytes
        try:
            return os.write(self.fileno(), b)
        except (BlockingIOError, InterruptedError):
            raise
        except OSError as error:
            self.on_vanished()
            raise BlockingIOError from error  # the line is ending, so pyserial-asyncio does not need the real error

    def flush(self) -> None:
        """Do nothing: the line has already waited."""

    def close(self) -> None:
        if self.is_open:
            if self.rate_at_close is not None:
                set_rate(self, self.rate_at_close)
            try:
                fcntl.ioctl(self.fileno(), termios.TIOCNXCL)
            except OSError:  # the device is gone
                pass
        super().close()


def port_settings(endpoint: SerialEndpoint) -> dict[str, Any]:
    """The endpoint as pyserial's keyword arguments."""
    return {
        "baudrate": endpoint.baud,
        "bytesize": endpoint.data_bits,
        "parity": endpoint.parity,
        "stopbits": endpoint.stop_bits,
        "rtscts": endpoint.rtscts,
        "xonxoff": endpoint.xonxoff,
        "exclusive": True,
    }


def open_device(endpoint: SerialEndpoint) -> DevicePort:
    """Open the path of a device. No other process can use the device at the same time.

    :raises BusyError: another process uses the device.
    :raises LinesyncFailed: there is no such device, it is not a serial device, this user may not open it, or it refuses
        a setting.
    """
    try:
        # Opening a FIFO would block, so the kind of the path is checked first.
        if not stat.S_ISCHR(os.stat(endpoint.url).st_mode):
            raise not_a_device(endpoint)
        port = DevicePort(endpoint.url, **port_settings(endpoint))
    except (OSError, ValueError, termios.error, serial.SerialException) as error:
        raise not_open(endpoint, error) from error
    _prepare(port)
    return port


def _prepare(port: DevicePort) -> None:
    """Make the settings that pyserial does not make. A device may refuse each of them."""
    try:
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
    except OSError:
        pass
    try:
        settings = termios.tcgetattr(port.fileno())
        settings[0] &= ~termios.BRKINT  # a BREAK must not send a signal to this process
        settings[2] &= ~termios.HUPCL  # without this, the close would drop DTR, which resets boards and hangs up modems
        termios.tcsetattr(port.fileno(), termios.TCSANOW, settings)
    except termios.error:
        pass
    try:
        port.set_low_latency_mode(True)  # some USB adapters hold received bytes for 16 ms otherwise
    except (OSError, ValueError, AttributeError):
        pass
