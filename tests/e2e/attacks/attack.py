"""Measures the cost of an attack: the memory of a daemon, and the waiting time of another client."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from linesync import connect_blocking
from linesync.client.aio import Client, connect

__all__ = ["MIB", "Cost", "attack", "measured", "sessions"]

MIB = 1 << 20
_REQUEST_INTERVAL = 0.1  # seconds between two requests of the other client


def resident(pid: int) -> int:
    """The resident memory of a process in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has ended")


class Cost:
    """The measured values, in bytes and seconds.

    :ivar before: the resident memory before the attack.
    :ivar most: the greatest resident memory during the attack.
    :ivar after: the memory a second after the attack.
    :ivar stall: the longest time for which the other client waited for an answer.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.before = self.most = self.after = resident(pid)
        self.stall = 0.0

    def measure(self) -> None:
        self.after = resident(self._pid)
        self.most = max(self.most, self.after)

    def __str__(self) -> str:
        sizes = " ".join(f"{value / MIB:.0f}" for value in (self.before, self.most, self.after))
        return f"{sizes} MiB before, at most, after; longest answer {self.stall * 1000:.0f} ms"


@contextmanager
def measured(pid: int, endpoint: str) -> Iterator[Cost]:
    """Measure a daemon during a block, while another client sends it a request every 0.1 s."""
    with connect_blocking(endpoint) as client:
        client.hosts()
        cost, over = Cost(pid), threading.Event()

        def ask() -> None:
            while not over.wait(_REQUEST_INTERVAL):
                begun = time.monotonic()
                client.hosts()
                cost.stall = max(cost.stall, time.monotonic() - begun)
                cost.measure()

        requests = threading.Thread(target=ask)
        requests.start()
        try:
            yield cost
            time.sleep(1.0)
        finally:
            over.set()
            requests.join()
        cost.measure()


def attack(work: Callable[[], Awaitable[None]], seconds: float = 120.0) -> None:
    """Run the coroutine of an attack."""

    async def limited() -> None:
        async with asyncio.timeout(seconds):
            await work()

    asyncio.run(limited())


async def sessions(endpoint: str, count: int) -> list[Client]:
    """Sessions with a daemon."""
    return [await connect(endpoint) for _ in range(count)]
