"""Forwarded connections on a line: the echo of a byte on an idle line and during copies, a hundred connections at the
same time, and rsync.

The client end is ``linesync forward`` with a unix socket. The server on the host sends back all bytes. rsync runs over
``linesync rsh``, without its own compression, and is compared with the rate of the line.
"""

from __future__ import annotations

import asyncio
import os
import random
import shlex
import shutil
import statistics
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ..page.report import Report, Table, percentile
from ..testbed.system import HOST, BenchError, LineSystem, linesync_command
from .physics import own_bytes
from .two_way_bulk import two_way_bulk

__all__ = ["forwarding"]

_ECHO_TARGET = 0.040  # seconds beyond the line time of the own bytes, at the 99th percentile while files are copied
_RSYNC_TARGET = 0.93  # share of the rate of the line
_LARGE = 1 << 18  # bytes
_EACH = 1000  # bytes that each connection sends and gets back
_PATIENCE = 20.0  # seconds
_GAP = (0.06, 0.13)  # seconds between two bytes


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@asynccontextmanager
async def _forwarded(system: LineSystem) -> AsyncIterator[str]:
    """The path of a unix socket here that leads to an echo server on the host."""
    target, here = Path(system.folder, "echo.sock"), Path(system.folder, "here.sock")
    server = await asyncio.start_unix_server(_echo, target, backlog=200)
    words = [*linesync_command(), "--hub", system.hub, "forward", "-L", f"{here}={target}", HOST]
    process = system.start("forward", words)
    try:
        until = time.monotonic() + _PATIENCE
        while not here.exists():
            if time.monotonic() > until or process.poll() is not None:
                raise BenchError(f"linesync forward does not listen: {system.log('forward')}")
            await asyncio.sleep(0.05)
        yield str(here)
    finally:
        process.terminate()
        process.wait(10)
        server.close()


async def _trips(path: str, count: int, until: float) -> list[float]:
    """The seconds from a byte on a forwarded connection to its echo."""
    rng = random.Random(6)
    found: list[float] = []
    reader, writer = await asyncio.open_unix_connection(path)
    while len(found) < count and time.monotonic() < until:
        await asyncio.sleep(rng.uniform(*_GAP))
        began = time.perf_counter()
        writer.write(b"x")
        await asyncio.wait_for(reader.readexactly(1), _PATIENCE)
        found.append(time.perf_counter() - began)
    writer.close()
    return found


async def _one_of_many(path: str, number: int) -> None:
    data = random.Random(number).randbytes(_EACH)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    writer.write_eof()
    if await reader.read(-1) != data:
        raise BenchError("a forwarded connection returned other bytes")
    writer.close()


def forwarding(
    report: Report, *, trips: int, bulk_seconds: float, connections: int, size: int, baud: int = 115200
) -> None:
    """Measure, and add a table to the report.

    :param trips: the number of bytes on the idle line.
    :param connections: the number of connections at the same time.
    :param size: the bytes of the file for rsync. Only a large file shows the rate, because rsync needs time to start.
    """
    table = report.table("forwarding", f"Forwarded connections at {baud} baud")
    with LineSystem(baud=baud) as system:
        asyncio.run(_sockets(report, table, system, trips, bulk_seconds, connections))
        if shutil.which("rsync") is None:
            report.remarks.append("forwarding: rsync is not installed")
            return
        seconds = _rsync(system, size)
        share = size / system.byte_rate / seconds
        table.add(f"rsync of {size:,} bytes", seconds=seconds, share=share)
        if size >= _LARGE:
            report.target("rsync over rsh, share of the rate of the line", share, ">=", _RSYNC_TARGET)


async def _sockets(
    report: Report, table: Table, system: LineSystem, trips: int, bulk_seconds: float, connections: int
) -> None:
    async with _forwarded(system) as path:
        idle = await _trips(path, trips, float("inf"))

        async def one_trip() -> object:
            return await _trips(path, 1, float("inf"))

        line_time = sum(await own_bytes(system, one_trip)) / system.byte_rate
        began = time.perf_counter()
        await asyncio.gather(*(_one_of_many(path, number) for number in range(connections)))
        many = time.perf_counter() - began
        async with two_way_bulk(system):
            busy = await _trips(path, 1 << 30, time.monotonic() + bulk_seconds)
    for name, times in (("echo, idle", idle), ("echo, two-way bulk", busy)):
        table.add(name, p50_ms=statistics.median(times) * 1000, p99_ms=percentile(times, 0.99) * 1000, bytes=len(times))
    total = connections * _EACH
    table.add(f"{connections} connections at once", seconds=many, share=total / system.byte_rate / many)
    beyond = (percentile(busy, 0.99) - line_time) * 1000
    report.target(
        "echo on a forwarded connection beyond its own bytes, two-way bulk, p99",
        beyond,
        "<=",
        _ECHO_TARGET * 1000,
        "ms",
    )


def _rsync(system: LineSystem, size: int) -> float:
    """The seconds in which rsync copies a file of random bytes to the host."""
    source = Path(system.folder, "rsync-source")
    source.write_bytes(random.Random(4).randbytes(size))
    env = {**os.environ, "LINESYNC_HUB": system.hub, "RSYNC_RSH": f"{shlex.join(linesync_command())} rsh"}
    began = time.perf_counter()
    subprocess.run(["rsync", "-a", "--whole-file", source, f"{HOST}:{source}.there"], env=env, check=True, timeout=600)
    return time.perf_counter() - began
