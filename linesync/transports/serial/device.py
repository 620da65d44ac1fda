"""Opening a serial device: alone, raw and quick, and with a sentence for everything that can be wrong.

pyserial's ``exclusive`` is flock, which other programs that ask for it respect (a second linesync, picocom);
it does not set TIOCEXCL, so that is done here as well: it keeps out everybody but root, getty and plain
``cat`` included. TIOCEXCL stays on a device that somebody else still has open, so it is taken back at the
close.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import termios
from typing import TYPE_CHECKING, Any

import serial

from ... import limits
from ...errors import BusyError, LinesyncError, LinesyncFailed
from ..base_line import reason
from ..endpoint import SerialEndpoint

if TYPE_CHECKING:
    from .line import Device

__all__ = ["holder_text", "not_open", "open_device", "port_settings", "set_port", "takes"]


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


def open_device(kind: type[Device], endpoint: SerialEndpoint) -> Device:
    """Open a device's path as a port of class ``kind``.

    :raises BusyError: another process holds the device.
    :raises LinesyncFailed: no such device, no permission, not a serial device, or a setting it refuses.
    """
    try:
        _must_be_a_tty(endpoint)
        port = kind(endpoint.url, **port_settings(endpoint))
    except (OSError, ValueError, termios.error, serial.SerialException) as error:
        raise not_open(endpoint, error) from error
    _prepare(port)
    return port


def set_port(port: serial.SerialBase, baud: int) -> int:
    """Set an open port's rate.

    :returns: the rate that it then has, bits a second: the old one where it does not take the new.
    """
    before = int(port.baudrate)
    try:
        port.baudrate = baud
    except Exception:  # every kind of pyserial port raises what it pleases
        port.baudrate = before
        return before
    if not isinstance(port, serial.Serial) or _has(port, baud):
        return baud
    port.baudrate = before
    return before


def _has(port: serial.Serial, baud: int) -> bool:
    """The driver has really taken this rate: one that cannot puts the nearest one into the settings."""
    constant = port.BAUDRATE_CONSTANTS.get(baud)
    try:
        settings = termios.tcgetattr(port.fileno())
    except (OSError, termios.error):
        return False
    return constant is None or settings[5] == constant


def takes(port: serial.Serial) -> tuple[int, ...]:
    """Which of the rates for climbing a port takes, found by setting it; it has its own again afterwards."""
    before = int(port.baudrate)
    found = tuple(rate for rate in limits.CLIMB_RATES if set_port(port, rate) == rate)
    set_port(port, before)
    return found


def _must_be_a_tty(endpoint: SerialEndpoint) -> None:
    """Tell a wrong path from a device without opening it, which would block on a FIFO."""
    mode = os.stat(endpoint.url).st_mode
    if not stat.S_ISCHR(mode):
        raise LinesyncFailed(f"cannot open {endpoint}: {endpoint.url} is not a device; {_ports()}")


def _prepare(port: Device) -> None:
    """Refinements that a device may lack: nobody else, no hangup at close, no BREAK signals, no 16 ms of
    latency."""
    try:
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
    except OSError:
        pass
    try:
        settings = termios.tcgetattr(port.fileno())
        settings[0] &= ~termios.BRKINT
        settings[2] &= ~termios.HUPCL  # a dropped DTR resets boards and hangs up modems
        termios.tcsetattr(port.fileno(), termios.TCSANOW, settings)
    except termios.error:
        pass
    try:
        port.set_low_latency_mode(True)
    except (OSError, ValueError, AttributeError):
        pass


def not_open(endpoint: SerialEndpoint, error: Exception) -> LinesyncError:
    """The sentence for a port that could not be opened."""
    if isinstance(error, LinesyncError):
        return error
    start = f"cannot open {endpoint}: "
    if not endpoint.is_device and isinstance(error, OSError) and error.errno in (errno.EBUSY, errno.EAGAIN):
        return BusyError(f"{start}the device is in use by another process; stop it or choose another port")
    if not endpoint.is_device:
        return LinesyncFailed(f"{start}{reason(error)}; check the URL and what it leads to")
    path = endpoint.url
    match error:
        case OSError(errno=errno.ENOENT):
            return LinesyncFailed(f"{start}there is no device {path}; {_ports()}")
        case OSError(errno=errno.EACCES | errno.EPERM):
            return LinesyncFailed(f"{start}you may not use {path}; {_who_may(path)}")
        case OSError(errno=errno.EBUSY | errno.EAGAIN):
            return BusyError(f"{start}{path} is in use by {holder_text(path)}; stop it or choose another port")
        case OSError(errno=errno.ENXIO | errno.EIO | errno.ENODEV):
            return LinesyncFailed(f"{start}no hardware answers behind {path}; {_ports()}")
    if "Could not configure port" in str(error) or isinstance(error, termios.error):
        return LinesyncFailed(f"{start}{path} is not a serial device; {_ports()}")
    if isinstance(error, ValueError):
        return LinesyncFailed(f"{start}the device refuses these settings ({error}); choose others")
    return LinesyncFailed(f"{start}{reason(error)}; check the device")


def _ports() -> str:
    from serial.tools import list_ports

    found = sorted(port.device for port in list_ports.comports())
    return f"ports on this machine: {', '.join(found) or 'none'}"


def _who_may(path: str) -> str:
    """The device's group is dialout on most systems, uucp on others; a group without rights is no help."""
    import grp

    try:
        found = os.stat(path)
        if found.st_gid and found.st_mode & 0o060 == 0o060:
            return f"join its group {grp.getgrgid(found.st_gid).gr_name} or be root"
    except (OSError, KeyError):
        pass
    return "be root, or have it given to your group"


def holder_text(path: str) -> str:
    """Who has the device open: ``another process (pid 12, minicom)``, as far as ``/proc`` lets us see."""
    found = _lockers(path) or _openers(path)
    if not found:
        return "another process"
    pid = found[0]
    if pid == os.getpid():
        return f"this process itself (pid {pid})"
    try:
        with open(f"/proc/{pid}/comm") as file:
            return f"another process (pid {pid}, {file.read().strip()})"
    except OSError:
        return f"another process (pid {pid})"


def _lockers(path: str) -> list[int]:
    """The processes that hold a flock on the device: the one that is really in the way comes from here."""
    try:
        device = os.stat(path)
        place = f"{os.major(device.st_dev):02x}:{os.minor(device.st_dev):02x}:{device.st_ino}"
        with open("/proc/locks") as file:
            rows = [line.split() for line in file]
    except OSError:
        return []
    return [int(row[4]) for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5] == place]


def _openers(path: str) -> list[int]:
    """The processes that have the device open, of those whose descriptors we may see."""
    real = os.path.realpath(path)
    found: list[int] = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{name}") == real:
                    found.append(int(pid))
                    break
        except OSError:  # it ended, or is not ours to see
            continue
    return found
