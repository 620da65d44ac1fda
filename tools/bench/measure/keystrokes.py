"""The echo of a keystroke in ``linesync shell``: from the key on the terminal of the person to the character on its screen.

The programs are the real ones: ``linesync shell`` on a pty, the hub, the line, the agent, and a shell on a terminal of the host,
which echoes the character. The line time of the own bytes is subtracted, as for other control messages.
"""

from __future__ import annotations

import asyncio
import os
import pty
import random
import select
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..page.report import Report, percentile
from ..testbed.system import HOST, BenchError, LineSystem, linesync_command
from .physics import own_bytes
from .two_way_bulk import two_way_bulk

__all__ = ["keystrokes"]

_IDLE_TARGET = 0.015  # seconds beyond the line time of the own bytes, median
_BULK_TARGET = 0.030  # the same at the 99th percentile while files are copied in both directions
_PATIENCE = 20.0  # seconds
_GAP = (0.06, 0.13)  # seconds between two keys: a fast typist


class _Person:
    """A person at a shell on the host."""

    def __init__(self, screen: int) -> None:
        self._screen = screen
        self._keys = 0
        self._until(b"ready>")

    def key(self) -> float:
        """Type a character. Returns the seconds until its echo."""
        self._keys += 1
        char = b"abcdefghij"[self._keys % 10 : self._keys % 10 + 1]
        if not self._keys % 60:
            os.write(self._screen, b"\x03")  # a new line, before this one wraps
            self._until(b"ready>")
            time.sleep(0.1)
        began = time.perf_counter()
        os.write(self._screen, char)
        self._until(char)
        return time.perf_counter() - began

    def _until(self, wanted: bytes) -> None:
        text, deadline = b"", time.monotonic() + _PATIENCE
        while wanted not in text:
            if not select.select([self._screen], [], [], max(deadline - time.monotonic(), 0.0))[0]:
                raise BenchError(f"{wanted!r} did not appear in the shell; its last output was {text[-100:]!r}")
            text += os.read(self._screen, 65536)


@contextmanager
def _person(system: LineSystem) -> Iterator[_Person]:
    """A person whose shell has a prompt."""
    screen, terminal = pty.openpty()
    argv = [*linesync_command(), "--hub", system.hub, "run", "-t", HOST, "-e", "PS1=ready>", "--"]
    argv += ["bash", "--norc", "--noprofile", "-i"]
    try:
        process = subprocess.Popen(argv, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
        try:
            yield _Person(screen)
        finally:
            process.terminate()
            process.wait(10)
    finally:
        os.close(screen)
        os.close(terminal)


def keystrokes(report: Report, system: LineSystem, *, keys: int, bulk_seconds: float) -> None:
    """Measure the echo on an idle line and during copies in both directions, and add the table to the report.

    :param keys: the number of keys on the idle line.
    """
    table = report.table("latency-shell", "The echo of a keystroke in `linesync shell` (ms)")
    rng = random.Random(6)

    def type_keys(person: _Person, count: int, until: float) -> list[float]:
        times: list[float] = []
        while len(times) < count and time.monotonic() < until:
            time.sleep(rng.uniform(*_GAP))
            times.append(person.key())
        return times

    async def under_bulk(person: _Person) -> list[float]:
        async with two_way_bulk(system):
            return await asyncio.to_thread(type_keys, person, 1 << 30, time.monotonic() + bulk_seconds)

    with _person(system) as person:
        idle = type_keys(person, keys, float("inf"))
        trip_bytes = asyncio.run(own_bytes(system, lambda: asyncio.to_thread(person.key)))
        line_time = sum(trip_bytes) / system.byte_rate
        busy = asyncio.run(under_bulk(person))
    for name, times in (("idle", idle), ("two-way bulk", busy)):
        table.add(
            f"{system.baud} {name}",
            own_bytes=sum(trip_bytes),
            line_time=line_time * 1000,
            p50=statistics.median(times) * 1000,
            p99=percentile(times, 0.99) * 1000,
            p50_beyond=(statistics.median(times) - line_time) * 1000,
            p99_beyond=(percentile(times, 0.99) - line_time) * 1000,
            keys=len(times),
        )
    beyond = (statistics.median(idle) - line_time) * 1000
    report.target("echo of a keystroke beyond its own bytes, idle, median", beyond, "<=", _IDLE_TARGET * 1000, "ms")
    beyond = (percentile(busy, 0.99) - line_time) * 1000
    report.target(
        "echo of a keystroke beyond its own bytes, two-way bulk, p99", beyond, "<=", _BULK_TARGET * 1000, "ms"
    )
