"""Lines whose rate is changed while they are open."""

from __future__ import annotations

import asyncio
import os
import termios

import pytest

from linesync.errors import UsageError
from linesync.testing.recorder import Recorder
from linesync.transports import connect, parse_endpoint
from linesync.transports.endpoint import SerialEndpoint
from linesync.transports.interface import Line
from linesync.transports.serial.line import Device
from tests.transports.rfc2217_server import Rfc2217Server

RATES = (230400, 460800, 921600, 1500000, 3000000, 4000000)


def speed(descriptor: int) -> int:
    return int(termios.tcgetattr(descriptor)[5])


async def changed(line: Line, baud: int) -> int:
    """Set a line's rate; what it then has."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    line.set_baud(baud, future.set_result)
    return await asyncio.wait_for(future, 5)


@pytest.fixture
def pty() -> object:
    master, slave = os.openpty()
    yield master, slave, os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("url", ["{}", "spy://{}?file=/dev/null"])
def test_a_port_is_set_once_what_was_written_is_out(pty: tuple[int, int, str], url: str) -> None:
    master, slave, path = pty

    async def run() -> None:
        line = await connect(f"{url.format(path)},auto", lambda: Recorder("line"))
        assert line.info.baud == 115200 and set(RATES) <= set(line.info.rates) and 115200 not in line.info.rates
        assert speed(slave) == termios.B115200, "looking at what it takes leaves it as it was"
        line.write(b"at the old rate")
        assert await changed(line, 460800) == 460800
        assert speed(slave) == termios.B460800
        assert os.read(master, 100) == b"at the old rate"
        line.write(b"at the new one")
        for _ in range(100):
            await asyncio.sleep(0.01)
            if line.unsent() == 0:
                break
        assert os.read(master, 100) == b"at the new one"
        line.close()
        await asyncio.sleep(0.5)

    asyncio.run(run())
    assert speed(slave) == termios.B115200, "whoever opens it next finds the first rate"


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's
def test_a_terminal_server_sets_its_port(pty: tuple[int, int, str]) -> None:
    _, slave, path = pty

    async def run(port: int) -> None:
        line = await connect(f"rfc2217://127.0.0.1:{port},auto", lambda: Recorder("line"))
        assert set(RATES) <= set(line.info.rates)
        line.write(b"before")
        assert await changed(line, 460800) == 460800
        assert speed(slave) == termios.B460800
        line.close()
        await asyncio.sleep(0.8)
        assert speed(slave) == termios.B115200

    with Rfc2217Server(path) as server:
        asyncio.run(run(server.port))


def test_a_port_that_does_not_take_a_rate_keeps_the_old_one(
    pty: tuple[int, int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, slave, path = pty
    setter = Device.baudrate.fset  # type: ignore[attr-defined]

    def as_a_weak_chip(port: Device, baud: int) -> None:
        """It runs at no more than 460800, and its driver says so in the settings."""
        setter(port, min(baud, 460800))
        port._baudrate = baud

    monkeypatch.setattr(Device, "baudrate", property(Device.baudrate.fget, as_a_weak_chip))  # type: ignore[attr-defined]

    async def run() -> None:
        line = await connect(f"{path},auto", lambda: Recorder("line"))
        assert line.info.rates == (230400, 460800)
        assert await changed(line, 230400) == 230400
        assert await changed(line, 921600) == 230400
        assert speed(slave) == termios.B230400
        line.abort()
        await asyncio.sleep(0.05)

    asyncio.run(run())


def test_a_line_that_was_given_a_rate_keeps_it(pty: tuple[int, int, str]) -> None:
    async def run() -> None:
        line = await connect(f"{pty[2]},9600", lambda: Recorder("line"))
        assert line.info.rates == () and line.info.baud == 9600
        line.abort()
        await asyncio.sleep(0.05)

    asyncio.run(run())


def test_auto_may_have_a_rate_to_begin_with() -> None:
    for text in ("/dev/ttyS0,auto,38400", "/dev/ttyS0,baud=38400,baud=auto"):
        found = parse_endpoint(text)
        assert isinstance(found, SerialEndpoint) and found.climbs and found.baud == 38400
    plain = parse_endpoint("/dev/ttyS0,AUTO")
    assert isinstance(plain, SerialEndpoint) and plain.climbs and plain.baud == 115200
    url = parse_endpoint("spy:///dev/ttyS0?file=a,auto")
    assert isinstance(url, SerialEndpoint) and url.climbs and url.url == "spy:///dev/ttyS0?file=a"


@pytest.mark.parametrize("text", ["socket://h:1,auto", "loop://,auto"])
def test_auto_on_a_line_without_a_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="has no rate"):
        parse_endpoint(text)


def test_auto_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="baud=auto twice"):
        parse_endpoint("/dev/ttyS0,auto,baud=auto")
