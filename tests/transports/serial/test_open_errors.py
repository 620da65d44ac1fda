"""A serial port that cannot be opened is an error with the reason in a sentence."""

from __future__ import annotations

import asyncio
import errno
import grp
import os
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import serial

from linesync.errors import BusyError, LinesyncError, LinesyncFailed
from linesync.testing.recorder import Recorder
from linesync.transports import SerialEndpoint, connect, parse_endpoint
from linesync.transports.serial.open_errors import not_open
from tests.real import free_port, pty_pair


def failure(endpoint: str) -> LinesyncError:
    """Return the error that is raised when the endpoint is opened."""

    async def attempt() -> None:
        await connect(endpoint, lambda: Recorder("never"))

    with pytest.raises(LinesyncError) as caught:
        asyncio.run(attempt())
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        ("/dev/ttyS99", "there is no device /dev/ttyS99; ports on this machine: "),
        ("/etc/passwd", "/etc/passwd is not a device; ports on this machine"),
        ("loop://?x=1", "check the URL and the device or server that it names"),
        ("spy:///dev/ttyS99", "no such file or directory"),
        ("cp2110://0001:0002", "protocol 'cp2110' not known"),
        ("hwgrep://no-such-port", "no ports found matching regexp"),
    ],
)
def test_opening_a_port_fails_with_the_reason(endpoint: str, sentence: str) -> None:
    error = failure(endpoint)
    assert type(error) is LinesyncFailed
    assert str(error).startswith(f"cannot open {endpoint}: ") and sentence in str(error)


@pytest.mark.parametrize(
    ("cause", "kind", "sentence"),
    [
        (
            serial.SerialException("Could not configure port: (25, 'x')"),
            LinesyncFailed,
            "/dev/ttyX is not a serial device",
        ),
        (termios.error(25, "x"), LinesyncFailed, "/dev/ttyX is not a serial device; ports on this machine"),
        (OSError(errno.ENXIO, "x"), LinesyncFailed, "there is no hardware behind /dev/ttyX"),
        (OSError(errno.EBUSY, "x"), BusyError, "/dev/ttyX is in use by another process; stop it"),
        (ValueError("Not a valid baudrate: 1"), LinesyncFailed, "refuses these settings (Not a valid baudrate: 1)"),
    ],
)
def test_each_cause_has_its_own_sentence(cause: Exception, kind: type[LinesyncError], sentence: str) -> None:
    endpoint = parse_endpoint("/dev/ttyX")
    assert isinstance(endpoint, SerialEndpoint)
    error = not_open(endpoint, cause)
    assert type(error) is kind
    assert str(error).startswith("cannot open /dev/ttyX: ") and sentence in str(error)


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_a_refused_connection_is_named(scheme: str) -> None:
    error = failure(f"{scheme}://127.0.0.1:{free_port()}")
    assert "onnection refused" in str(error)


def test_a_device_without_permission_names_its_group() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with pty_pair() as pair:
        os.chmod(os.path.dirname(pair.left), 0o755)
        os.chmod(pair.left, 0o600)
        script = (
            "import os, asyncio, linesync.transports as t, linesync.transports.serial.connect\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            f"try: asyncio.run(t.connect('{pair.left}', None))\n"
            "except Exception as error: print(error)"
        )
        command = [sys.executable, "-c", script]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert f"you may not use {pair.left}; be root, or ask for access for your group" in shown
        os.chown(pair.left, -1, grp.getgrnam("tty").gr_gid)
        os.chmod(pair.left, 0o660)
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert f"you may not use {pair.left}; join its group tty or be root" in shown


def test_a_busy_device_names_the_process_that_has_it_open(tmp_path: Path) -> None:
    async def scenario(path: str) -> None:
        line = Recorder("holder")
        await connect(path, lambda: line)
        script = (
            "import asyncio, linesync.transports as t\n"
            f"try: asyncio.run(t.connect('{path}', None))\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
        shown, _ = await process.communicate()
        name = Path("/proc/self/comm").read_text().strip()
        assert f"is in use by another process (pid {os.getpid()}, {name})" in shown.decode()
        assert shown.startswith(b"BusyError")
        with pytest.raises(BusyError, match=rf"this process itself \(pid {os.getpid()}\); stop it or"):
            await connect(path, lambda: Recorder("second"))
        with pytest.raises(BusyError, match="another process is using the device"):
            await connect(f"spy://{path}?file={tmp_path}/spy", lambda: Recorder("second"))
        line.close()
        await line.until_lost()
        second = Recorder("again")
        await connect(path, lambda: second)
        second.abort()
        await second.until_lost()

    with pty_pair() as pair:
        asyncio.run(scenario(pair.left))
