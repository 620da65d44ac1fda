"""Latency of control messages on a line: round trips of a semaphore for a client on the host, and of a command for a client
at the hub.

A round trip takes at least the line time of its *own bytes*: the bytes of the request frame and of the reply frame. A trace of
the line shows their lengths. The confirmation and the acknowledgements follow. The cable counts their bytes, but the client
does not wait for them. Before each round trip there is a pause, so that it does not wait for bytes of the previous round trip.
Under *bulk* (file copies in both directions), round trips also wait for bulk data.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import subprocess
import time

import linesync
from linesync.client.aio import Client

from ..page.report import Report, percentile, progress
from ..testbed.system import HOST, LineSystem, cpu_seconds
from .keystrokes import keystrokes
from .physics import bare_trips, own_bytes
from .two_way_bulk import two_way_bulk

__all__ = ["latency"]

_GAP = (0.06, 0.13)  # the range of the pause before a trip in seconds; longer than the delay of an acknowledgement
_SEMAPHORE = "bench"
_COMMAND_TARGET = (120, 0.013)  # `run /bin/true` at 115200: bytes in both directions, seconds
_EXCESS_TARGET = 0.003  # seconds that a trip may take in addition to the line time of its own bytes
_BULK_TARGET = 0.060  # seconds: p99 under two-way bulk
_BULK_BEYOND_IDLE = 0.045  # seconds: p99 under two-way bulk minus the median of an idle trip, at every rate


def latency(report: Report, *, bauds: tuple[int, ...], trips: int, bulk_seconds: float) -> None:
    """Measure latency at each baud rate, and add the tables to the report.

    :param trips: the number of idle trips of each client.
    :param bulk_seconds: the duration of the measurement under bulk.
    """
    for baud in bauds:
        progress(f"latency at {baud} baud")
        with LineSystem(baud=baud) as system:
            main = baud == 115200
            line_time, idle = _idle(report, system, trips, main)
            _command(report, system, max(10, trips // 4), main)
            _bulk(report, system, line_time, idle, bulk_seconds)
            if main:
                keystrokes(report, system, keys=2 * trips, bulk_seconds=bulk_seconds)


# -- idle --------------------------------------------------------------------------------------------------------------


def _idle(report: Report, system: LineSystem, trips: int, main: bool) -> tuple[float, float]:
    """Measure idle trips of both clients.

    :return: the line time of a trip's own bytes, and the median trip of the asyncio client, in seconds.
    """
    table = report.table("latency-idle", "A semaphore round trip on an idle line, from the agent's side (ms)")
    line_time, medians = 0.0, []
    for kind, measure in (("asyncio", _asyncio_trips), ("blocking", _blocking_trips)):
        before = system.passed()
        times, trip_bytes, after = measure(system, trips)
        line_time = sum(trip_bytes) / system.byte_rate
        out = (after["ba"]["bytes_in"] - before["ba"]["bytes_in"]) / trips
        back = (after["ab"]["bytes_in"] - before["ab"]["bytes_in"]) / trips
        median = statistics.median(times)
        medians.append(median)
        table.add(
            f"{system.baud} {kind}",
            request=trip_bytes[0],
            reply=trip_bytes[1],
            line_time=line_time * 1000,
            p50=median * 1000,
            p99=percentile(times, 0.99) * 1000,
            beyond=(median - line_time) * 1000,
            all_bytes_out=out,
            all_bytes_back=back,
        )
        if main:
            figure = f"semaphore round trip beyond its own bytes, {kind} client, median"
            report.target(figure, (median - line_time) * 1000, "<=", _EXCESS_TARGET * 1000, "ms")
    takes = asyncio.run(_take_trips(system, trips))
    table.add(f"{system.baud} asyncio, take", p50=statistics.median(takes) * 1000, p99=percentile(takes, 0.99) * 1000)
    bare_times = bare_trips(system.baud, round(trip_bytes[0]), round(trip_bytes[1]), trips)
    median = statistics.median(bare_times)
    table.add(
        f"{system.baud} bare ptys",
        p50=median * 1000,
        p99=percentile(bare_times, 0.99) * 1000,
        line_time=line_time * 1000,
        beyond=(median - line_time) * 1000,
    )
    local = asyncio.run(_local_trips(system, max(trips, 50)))
    table.add("at the hub, no line", p50=statistics.median(local) * 1000, p99=percentile(local, 0.99) * 1000)
    table.notes = [
        "take: two trips, because the hub acknowledges the commit before the take returns",
        "request, reply: bytes that the trip waits for; line time: the time of these bytes on the line; all bytes: including"
        " confirmations and acknowledgements",
        "bare ptys: one process sends as many bytes there and back over such a null modem, without a protocol",
    ]
    return line_time, medians[0]


_Measured = tuple[list[float], tuple[float, float], dict[str, dict[str, int]]]
"""The times of the trips in seconds, the own bytes (request, reply), and the counters of the cable after the trips."""


def _asyncio_trips(system: LineSystem, trips: int) -> _Measured:
    async def measure() -> _Measured:
        async with await linesync.connect(system.agent) as client:
            times = await _trips(client, trips, _GAP)
            await asyncio.sleep(0.5)
            after = system.passed()
            return times, await own_bytes(system, lambda: _trip(client)), after

    return asyncio.run(measure())


async def _trips(client: Client, trips: int, gap: tuple[float, float], delta: int = 1) -> list[float]:
    rng, times = random.Random(1), []
    await client.semaphore(_SEMAPHORE, trips + 1)
    await client.semaphore(_SEMAPHORE, delta)
    for _ in range(trips):
        await asyncio.sleep(rng.uniform(*gap))
        times.append(await _trip(client, delta))
    return times


async def _trip(client: Client, delta: int = 1) -> float:
    began = time.perf_counter()
    await client.semaphore(_SEMAPHORE, delta)
    return time.perf_counter() - began


async def _take_trips(system: LineSystem, trips: int) -> list[float]:
    async with await linesync.connect(system.agent) as client:
        return await _trips(client, trips, _GAP, -1)


async def _local_trips(system: LineSystem, trips: int) -> list[float]:
    async with await linesync.connect(system.hub) as client:
        return await _trips(client, trips, (0.0, 0.002))


def _blocking_trips(system: LineSystem, trips: int) -> _Measured:
    rng, times = random.Random(2), []
    with linesync.connect_blocking(system.agent) as client:
        client.semaphore(_SEMAPHORE, 1)
        for _ in range(trips):
            time.sleep(rng.uniform(*_GAP))
            began = time.perf_counter()
            client.semaphore(_SEMAPHORE, 1)
            times.append(time.perf_counter() - began)
        time.sleep(0.5)
        after = system.passed()
        trip_bytes = asyncio.run(own_bytes(system, lambda: asyncio.to_thread(client.semaphore, _SEMAPHORE, 1)))
    return times, trip_bytes, after


# -- commands ----------------------------------------------------------------------------------------------------------


def _command(report: Report, system: LineSystem, runs: int, main: bool) -> None:
    table = report.table("latency-run", "`run /bin/true` on an idle line, from a client at the hub (ms)")
    bare_times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(["/bin/true"], check=True)
        bare_times.append(time.perf_counter() - began)
    before = system.passed()
    times = asyncio.run(_commands(system, runs))
    time.sleep(0.5)
    after = system.passed()
    sent = [(after[way]["bytes_in"] - before[way]["bytes_in"]) / runs for way in ("ab", "ba")]
    median = statistics.median(times)
    table.add(
        f"{system.baud}",
        bytes_out=sent[0],
        bytes_back=sent[1],
        p50=median * 1000,
        p99=percentile(times, 0.99) * 1000,
        line_time_of_all_bytes=sum(sent) / system.byte_rate * 1000,
        the_command_itself=statistics.median(bare_times) * 1000,
        qemu_ga=21.8 if main else None,
        labgrid=14.8 if main else None,
    )
    if main:
        table.notes = ["qemu-ga (218 bytes) and labgrid (156 bytes): measured elsewhere at 115200, not run here"]
        report.target("bytes of `run /bin/true`, both directions", sum(sent), "<=", _COMMAND_TARGET[0], "bytes")
        report.target("`run /bin/true` at 115200, median", median * 1000, "<=", _COMMAND_TARGET[1] * 1000, "ms")


async def _commands(system: LineSystem, runs: int) -> list[float]:
    times = []
    async with await linesync.connect(system.hub) as client:
        await client.run(HOST, ["/bin/true"])
        for _ in range(runs):
            await asyncio.sleep(0.3)
            began = time.perf_counter()
            await client.run(HOST, ["/bin/true"])
            times.append(time.perf_counter() - began)
    return times


# -- under bulk --------------------------------------------------------------------------------------------------------


async def _bulk_trips(system: LineSystem, seconds: float) -> tuple[list[float], list[float], dict[str, float]]:
    """Make trips with the asyncio client under bulk.

    :returns: the times of the trips in seconds; the used share of the line in each direction; the processor share of each
        process.
    """
    rng, times = random.Random(4), []
    async with two_way_bulk(system), await linesync.connect(system.agent) as client:
        await client.semaphore(_SEMAPHORE, 1)
        before, began = system.passed(), time.monotonic()
        cpus = {"hub": system.hub_process.pid, "agent": system.agent_process.pid}
        used = {name: cpu_seconds(pid) for name, pid in cpus.items()}
        while time.monotonic() - began < seconds:
            await asyncio.sleep(rng.uniform(0.0, max(0.05, 120 / system.byte_rate)))
            times.append(await _trip(client))
        took, after = time.monotonic() - began, system.passed()
        busy = {name: (cpu_seconds(pid) - used[name]) / took for name, pid in cpus.items()}
    full = [(after[way]["bytes_out"] - before[way]["bytes_out"]) / took / system.byte_rate for way in ("ab", "ba")]
    return times, full, busy


def _bulk(report: Report, system: LineSystem, line_time: float, idle: float, seconds: float) -> None:
    title = "A semaphore round trip while files saturate both directions (ms)"
    table = report.table("latency-bulk", title)
    times, full, busy = asyncio.run(_bulk_trips(system, seconds))
    p99 = percentile(times, 0.99) * 1000
    table.add(
        f"{system.baud}",
        own_bytes=line_time * 1000,
        idle=idle * 1000,
        p50=statistics.median(times) * 1000,
        p90=percentile(times, 0.9) * 1000,
        p99=p99,
        max=max(times) * 1000,
        trips=len(times),
        line_full_out=full[1],
        line_full_back=full[0],
        cpu_hub=busy["hub"],
        cpu_agent=busy["agent"],
    )
    if system.baud == 115200:
        report.target("semaphore round trip under two-way bulk, p99", p99, "<=", _BULK_TARGET * 1000, "ms")
    figure = f"semaphore round trip under two-way bulk at {system.baud}, p99 beyond idle"
    report.target(figure, p99 - idle * 1000, "<=", _BULK_BEYOND_IDLE * 1000, "ms")
