"""Serial devices on ptys and pyserial URLs: settings, locks, endings, and the sentences about them."""

from __future__ import annotations

import asyncio
import fcntl
import grp
import os
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from linesync.errors import BusyError, LinesyncError, LinesyncFailed
from linesync.testing.recorder import Recorder
from linesync.transports import connect
from tests.real import free_port, pty_pair

TIOCGEXCL = 0x80045440


def failure(endpoint: str) -> LinesyncError:
    """What opening the endpoint raises."""

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
        ("/dev/null", "/dev/null is not a serial device; ports on this machine"),
        ("/etc/passwd", "/etc/passwd is not a device; ports on this machine"),
        ("loop://?x=1", "check the URL and what it leads to"),
        ("spy:///dev/ttyS99", "no such file or directory"),
        ("cp2110://0001:0002", "protocol 'cp2110' not known"),
        ("hwgrep://no-such-port", "no ports found matching regexp"),
    ],
)
def test_a_port_that_cannot_be_opened_says_why(endpoint: str, sentence: str) -> None:
    error = failure(endpoint)
    assert type(error) is LinesyncFailed
    assert str(error).startswith(f"cannot open {endpoint}: ") and sentence in str(error)


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_a_url_that_refuses_says_so(scheme: str) -> None:
    error = failure(f"{scheme}://127.0.0.1:{free_port()}")
    assert "onnection refused" in str(error)


def test_a_device_that_is_not_ours_names_its_group() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with pty_pair() as pair:
        os.chmod(os.path.dirname(pair.left), 0o755)
        os.chmod(pair.left, 0o600)
        script = (
            "import os, asyncio, linesync.transports as t, linesync.transports.serial.line\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            f"try: asyncio.run(t.connect('{pair.left}', None))\n"
            "except Exception as error: print(error)"
        )
        command = [sys.executable, "-c", script]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert f"you may not use {pair.left}; be root, or have it given to your group" in shown
        os.chown(pair.left, -1, grp.getgrnam("tty").gr_gid)
        os.chmod(pair.left, 0o660)
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert f"you may not use {pair.left}; join its group tty or be root" in shown


def test_a_second_opener_learns_who_has_the_device() -> None:
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
        with pytest.raises(BusyError, match="in use by another process"):
            await connect(f"spy://{path}?file=/dev/null", lambda: Recorder("second"))
        line.close()
        await line.until_lost()
        again = Recorder("again")
        await connect(path, lambda: again)
        again.abort()
        await again.until_lost()

    with pty_pair() as pair:
        asyncio.run(scenario(pair.left))


def test_the_endpoints_settings_reach_the_device() -> None:
    async def scenario(path: str) -> None:
        seen = os.open(path, os.O_RDONLY | os.O_NOCTTY)
        try:
            line = Recorder("set up")
            await connect(f"{path},230400,8N2,rtscts,xonxoff", lambda: line)
            info = line.line.info
            iflag, oflag, cflag, lflag, ispeed, ospeed, _cc = termios.tcgetattr(seen)
            assert ispeed == ospeed == termios.B230400
            assert cflag & termios.CRTSCTS and cflag & termios.CSTOPB and not cflag & termios.HUPCL
            assert iflag & termios.IXON and not iflag & (termios.BRKINT | termios.ICRNL)
            assert not lflag & (termios.ECHO | termios.ICANON) and not oflag & termios.OPOST
            assert exclusive(seen)
            assert (info.kind, info.baud, info.byte_rate) == ("serial", 230400, 230400 / 11)
            assert info.shared and not info.eight_bit and info.peer == path
            line.close()
            await line.until_lost()
            assert not exclusive(seen)
        finally:
            os.close(seen)

    with pty_pair() as pair:
        asyncio.run(scenario(pair.left))


def exclusive(descriptor: int) -> bool:
    return fcntl.ioctl(descriptor, TIOCGEXCL, b"\0" * 4) != b"\0" * 4


def test_a_stuck_xoff_holds_back_neither_the_loop_nor_the_close() -> None:
    async def scenario(path: str, other: str) -> None:
        line, peer = Recorder("stopped"), Recorder("stopping")
        await connect(f"{path},xonxoff", lambda: line)
        await connect(other, lambda: peer)
        peer.write(b"\x13")
        await asyncio.sleep(0.1)
        line.write(b"y" * 50_000)
        await asyncio.sleep(0.1)
        assert not peer.data, "an XOFF was not obeyed"
        assert line.line.unsent() == 50_000
        started, longest = time.monotonic(), 0.0
        line.close()
        while not line.lost:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)
        assert 0.8 < time.monotonic() - started < 2, "close() waits a second for what was written"
        assert longest < 0.3, f"the event loop stood still for {longest:.2f} s"
        peer.abort()
        await peer.until_lost()
        line.verify()

    with pty_pair() as pair:
        asyncio.run(scenario(pair.left, pair.right))


def test_a_flow_that_was_stopped_goes_on_without_loss() -> None:
    async def scenario(path: str, other: str) -> None:
        line, peer = Recorder("stopped"), Recorder("stopping")
        await connect(f"{path},xonxoff", lambda: line)
        await connect(other, lambda: peer)
        sent = b"z" * 200_000
        peer.write(b"\x13")
        await asyncio.sleep(0.05)
        line.write(sent)
        await line.until(lambda: line.paused, "a stopped line should ask for a pause")
        peer.write(b"\x11")
        await peer.until_received(sent)
        await line.until(lambda: not line.paused, "resume_writing should follow")
        for end in (line, peer):
            end.close()
            await end.until_lost()
            end.verify()

    with pty_pair() as pair:
        asyncio.run(scenario(pair.left, pair.right))


def test_a_break_lets_earlier_bytes_out_and_holds_later_ones_back() -> None:
    async def scenario(path: str, other: str) -> None:
        line, peer = Recorder("breaking"), Recorder("peer")
        await connect(path, lambda: line)
        await connect(other, lambda: peer)
        line.write(b"before")
        assert line.line.send_break()
        line.write(b"after")
        await peer.until_received(b"before")
        assert line.line.unsent() == 5
        await asyncio.sleep(0.15)
        assert bytes(peer.data) == b"before"
        await peer.until_received(b"beforeafter")
        assert line.line.send_break()
        line.write(b", even when closing")
        line.close()
        await peer.until_received(b"beforeafter, even when closing")
        await line.until_lost()
        peer.abort()
        await peer.until_lost()
        line.verify()

    with pty_pair() as pair:
        asyncio.run(scenario(pair.left, pair.right))


def test_a_device_that_vanishes_with_unsent_bytes_ends_once() -> None:
    async def scenario(path: str, cut: object) -> None:
        line = Recorder("pulled")
        await connect(path, lambda: line)
        while not line.paused:
            line.write(b"p" * 65536)
            await asyncio.sleep(0)
        cut()  # type: ignore[operator]
        await line.until_lost()
        await asyncio.sleep(0.05)
        line.verify()
        assert line.error is not None and "has gone; plug it in again" in str(line.error)

    with pty_pair() as pair:
        pair.stall()
        asyncio.run(scenario(pair.left, pair.cut))


def test_a_loop_url_gives_back_what_was_written() -> None:
    async def scenario() -> None:
        line = Recorder("loop")
        await connect("loop://,9600", lambda: line)
        assert line.line.info.baud == 9600
        sent = bytes(range(256)) * 800
        line.write(sent)
        await line.until(lambda: line.paused, "200 KB should ask for a pause")
        await line.until_received(sent)
        await line.until(lambda: not line.paused, "resume_writing should follow")
        line.write(b"x" * 100_000)
        line.abort()
        await line.until_lost()
        line.verify()

    asyncio.run(scenario())
