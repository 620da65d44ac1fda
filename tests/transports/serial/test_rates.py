"""Changes of the rate of an open serial line."""

from __future__ import annotations

import asyncio
import os
import termios
from pathlib import Path

import pytest

from linesync.testing.recorder import Recorder
from linesync.transports import connect
from linesync.transports.interface import Line
from linesync.transports.serial.device import DevicePort
from tests.transports.rfc2217_server import Rfc2217Server

RATES = (230400, 460800, 921600, 1500000, 3000000, 4000000)


def speed(descriptor: int) -> int:
    return int(termios.tcgetattr(descriptor)[5])


async def set_baud(line: Line, baud: int) -> int:
    """Set the rate of a line, and return the rate that it has afterwards (bits per second)."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    line.set_baud(baud, future.set_result)
    return await asyncio.wait_for(future, 5)


@pytest.fixture
def pty() -> object:
    master, slave = os.openpty()
    yield master, slave, os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("url", ["{path}", "spy://{path}?file={log}"])
def test_the_rate_changes_after_all_earlier_bytes_have_left(
    pty: tuple[int, int, str], url: str, tmp_path: Path
) -> None:
    master, slave, path = pty
    endpoint = url.format(path=path, log=tmp_path / "spy")

    async def run() -> None:
        line = await connect(f"{endpoint},auto", lambda: Recorder("line"))
        assert line.info.baud == 115200 and set(RATES) <= set(line.info.rates) and 115200 not in line.info.rates
        assert speed(slave) == termios.B115200, "finding the supported rates must not change the rate"
        line.write(b"at the old rate")
        assert await set_baud(line, 460800) == 460800
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
    assert speed(slave) == termios.B115200, "the next program that opens the device expects the first rate"


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's
def test_a_terminal_server_changes_the_rate_of_its_port(pty: tuple[int, int, str]) -> None:
    _, slave, path = pty

    async def run(port: int) -> None:
        line = await connect(f"rfc2217://127.0.0.1:{port},auto", lambda: Recorder("line"))
        assert set(RATES) <= set(line.info.rates)
        line.write(b"before")
        assert await set_baud(line, 460800) == 460800
        assert speed(slave) == termios.B460800
        line.close()
        await asyncio.sleep(0.8)
        assert speed(slave) == termios.B115200

    with Rfc2217Server(path) as server:
        asyncio.run(run(server.port))


def test_a_port_that_refuses_a_rate_keeps_the_previous_rate(
    pty: tuple[int, int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, slave, path = pty
    setter = DevicePort.baudrate.fset  # type: ignore[attr-defined]

    def set_rate_of_slow_chip(port: DevicePort, baud: int) -> None:
        """The chip supports at most 460800, and its driver reports that in the settings."""
        setter(port, min(baud, 460800))
        port._baudrate = baud

    monkeypatch.setattr(DevicePort, "baudrate", property(DevicePort.baudrate.fget, set_rate_of_slow_chip))  # type: ignore[attr-defined]

    async def run() -> None:
        line = await connect(f"{path},auto", lambda: Recorder("line"))
        assert line.info.rates == (230400, 460800)
        assert await set_baud(line, 230400) == 230400
        assert await set_baud(line, 921600) == 230400
        assert speed(slave) == termios.B230400
        line.abort()
        await asyncio.sleep(0.05)

    asyncio.run(run())


def test_a_line_with_a_fixed_rate_offers_no_other_rate(pty: tuple[int, int, str]) -> None:
    async def run() -> None:
        line = await connect(f"{pty[2]},9600", lambda: Recorder("line"))
        assert line.info.rates == () and line.info.baud == 9600
        line.abort()
        await asyncio.sleep(0.05)

    asyncio.run(run())
