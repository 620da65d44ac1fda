"""The errors of a serial port that cannot be opened."""

from __future__ import annotations

import errno
import os
import termios

from ...errors import BusyError, LinesyncError, LinesyncFailed
from ..base_line import reason
from ..endpoint import SerialEndpoint

__all__ = ["holder_text", "not_a_device", "not_open"]


def not_a_device(endpoint: SerialEndpoint) -> LinesyncError:
    """The error for a path that is not a device."""
    return LinesyncFailed(f"cannot open {endpoint}: {endpoint.url} is not a device; {_ports()}")


def not_open(endpoint: SerialEndpoint, error: Exception) -> LinesyncError:
    """The error for a port that could not be opened.

    :param error: the exception of pyserial or of the system.
    """
    if isinstance(error, LinesyncError):
        return error
    start = f"cannot open {endpoint}: "
    if not endpoint.is_device and isinstance(error, OSError) and error.errno in (errno.EBUSY, errno.EAGAIN):
        return BusyError(f"{start}another process is using the device; stop it or choose another port")
    if not endpoint.is_device:
        return LinesyncFailed(f"{start}{reason(error)}; check the URL and the device or server that it names")
    path = endpoint.url
    match error:
        case OSError(errno=errno.ENOENT):
            return LinesyncFailed(f"{start}there is no device {path}; {_ports()}")
        case OSError(errno=errno.EACCES | errno.EPERM):
            return LinesyncFailed(f"{start}you may not use {path}; {_how_to_get_access(path)}")
        case OSError(errno=errno.EBUSY | errno.EAGAIN):
            return BusyError(f"{start}{path} is in use by {holder_text(path)}; stop it or choose another port")
        case OSError(errno=errno.ENXIO | errno.EIO | errno.ENODEV):
            return LinesyncFailed(f"{start}there is no hardware behind {path}; {_ports()}")
    if "Could not configure port" in str(error) or isinstance(error, termios.error):
        return LinesyncFailed(f"{start}{path} is not a serial device; {_ports()}")
    if isinstance(error, ValueError):
        return LinesyncFailed(f"{start}the device refuses these settings ({error}); choose others")
    return LinesyncFailed(f"{start}{reason(error)}; check the device")


def _ports() -> str:
    from serial.tools import list_ports

    found = sorted(port.device for port in list_ports.comports())
    return f"ports on this machine: {', '.join(found) or 'none'}"


def _how_to_get_access(path: str) -> str:
    """An instruction to get access to a device. Joining its group (dialout or uucp) is named only if the group has access."""
    import grp

    try:
        found = os.stat(path)
        if found.st_gid and found.st_mode & 0o060 == 0o060:
            return f"join its group {grp.getgrgid(found.st_gid).gr_name} or be root"
    except (OSError, KeyError):
        pass
    return "be root, or ask for access for your group"


def holder_text(path: str) -> str:
    """A text about the process that has the device open, as far as ``/proc`` shows it: ``another process (pid 12,
    minicom)``."""
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
    """The pids of the processes that hold a flock on the device. Such a flock is the most likely cause of the failure."""
    try:
        device = os.stat(path)
        place = f"{os.major(device.st_dev):02x}:{os.minor(device.st_dev):02x}:{device.st_ino}"
        with open("/proc/locks") as file:
            rows = [line.split() for line in file]
    except OSError:
        return []
    return [int(row[4]) for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5] == place]


def _openers(path: str) -> list[int]:
    """The pids of the processes that have the device open, as far as this user may list their descriptors."""
    real = os.path.realpath(path)
    found: list[int] = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{name}") == real:
                    found.append(int(pid))
                    break
        except OSError:  # the process has ended, or this user may not list its descriptors
            continue
    return found
