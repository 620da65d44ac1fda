"""After the opening and closing of a line, no descriptor, no thread and no process remains."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from pathlib import Path

from linesync.testing.recorder import Recorder
from linesync.transports import connect, listen
from tests.real import pty_pair

CYCLES = 50
SLOW_CYCLES = 5
"""The number of cycles for ports, because pyserial needs a third of a second to close a port."""


def resources() -> tuple[int, int, int]:
    """Return the numbers of this process's open descriptors, threads and children. Threads of pools do not count,
    because pools grow up to their bound."""
    gc.collect()  # pyserial's spy:// leaves its log file to the garbage collector
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith(("asyncio_", "linesync_"))]
    return len(os.listdir("/proc/self/fd")), len(threads), len(children)


async def cycle(endpoint: str, number: int) -> None:
    line = Recorder(f"line {number}")
    await connect(endpoint, lambda: line)
    line.write(b"x" * 1000)
    if number % 2:
        line.close()
    else:
        line.abort()
    await line.until_lost()
    line.verify()


async def cycles(endpoint: str, count: int) -> None:
    await cycle(endpoint, 0)  # the first cycle creates objects that stay: an executor's thread, a shared buffer
    await asyncio.sleep(0.05)
    before = resources()
    for number in range(count):
        await cycle(endpoint, number)
    await asyncio.sleep(0.05)
    after = resources()
    assert after == before, f"{endpoint}: descriptors, threads and children grew from {before} to {after}"


def test_sockets_leave_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        for endpoint in ("tcp://127.0.0.1:0", f"unix:{tmp_path}/s"):
            listener = await listen(endpoint, lambda: Recorder("accepted"))
            await cycles(listener.endpoint, CYCLES)
            await listener.aclose()

    asyncio.run(scenario())


def test_commands_leave_nothing() -> None:
    asyncio.run(cycles("exec:cat", CYCLES))


def test_serial_devices_leave_nothing(tmp_path: Path) -> None:
    with pty_pair() as pair:
        asyncio.run(cycles(pair.left, CYCLES))
        asyncio.run(cycles(f"spy://{pair.left}?file={tmp_path}/spy", SLOW_CYCLES))


def test_threads_leave_nothing() -> None:
    asyncio.run(cycles("loop://", SLOW_CYCLES))


def test_failed_openings_leave_nothing(tmp_path: Path) -> None:
    endpoints = (f"unix:{tmp_path}/none", "/dev/ttyS99", "exec:/no/such", "spy:///dev/ttyS99")

    async def scenario() -> None:
        for rounds in range(CYCLES):
            for endpoint in endpoints:
                try:
                    await connect(endpoint, lambda: Recorder("never"))
                except Exception:
                    continue
                raise AssertionError(f"{endpoint} could be opened")
            if rounds == 0:
                before = resources()
        assert resources() == before

    asyncio.run(scenario())
