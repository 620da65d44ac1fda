"""Serial devices on ptys: settings, flow control, BREAK and the ways a line ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
import termios
import time

from linesync.testing.recorder import Recorder
from linesync.transports import connect
from tests.real import pty_pair

TIOCGEXCL = 0x80045440


def test_the_device_gets_the_endpoints_settings() -> None:
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


def test_a_stuck_xoff_blocks_neither_the_loop_nor_the_close() -> None:
    async def scenario(path: str, other: str) -> None:
        line, peer = Recorder("stopped"), Recorder("stopping")
        await connect(f"{path},xonxoff", lambda: line)
        await connect(other, lambda: peer)
        peer.write(b"\x13")
        await asyncio.sleep(0.1)
        line.write(b"y" * 50_000)
        await asyncio.sleep(0.1)
        assert not peer.data, "the line ignored an XOFF"
        assert line.line.unsent() == 50_000
        started, longest = time.monotonic(), 0.0
        line.close()
        while not line.lost:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)
        assert 0.8 < time.monotonic() - started < 2, "close() should wait one second for unsent bytes"
        assert longest < 0.3, f"the event loop was blocked for {longest:.2f} s"
        peer.abort()
        await peer.until_lost()
        line.verify()

    with pty_pair() as pair:
        asyncio.run(scenario(pair.left, pair.right))


def test_bytes_that_xoff_stopped_arrive_after_xon() -> None:
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


def test_a_break_follows_earlier_bytes_and_delays_later_bytes() -> None:
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


def test_a_device_that_vanishes_ends_its_line_once() -> None:
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
        assert line.error is not None and "is gone; plug it in again" in str(line.error)

    with pty_pair() as pair:
        pair.stall()
        asyncio.run(scenario(pair.left, pair.cut))
