"""A thousand members at one barrier: one hub, eight agents on separate serial lines, many scripts on each host.

Every member (``sut1#1`` ...) has its own connection to the agent of its host. All members arrive at the same time. This part
measures the time until the last member is released, and the bytes on the lines.
"""

from __future__ import annotations

import asyncio
import time

from linesync.client.aio import Client, connect
from linesync.client.blocking import connect_blocking
from linesync.errors import LinesyncError
from linesync.testing.nullmodem import NullModem

from ..page.report import Cell, Report, progress
from ..testbed.system import BenchError, Processes, resident

__all__ = ["members"]

_UP = 40.0  # seconds within which all lines must be up
_LIMIT = 120.0  # the most seconds for one barrier
_SETTLE = 0.6  # seconds after which all frames are acknowledged and no more bytes are sent
_AT_ONCE = 50  # connections that are opened at the same time


def members(report: Report, *, count: int, lines: int, rounds: int, baud: int = 115200) -> None:
    """Measure barriers, and add a table to the report.

    :param count: the number of members, a multiple of ``lines``.
    :param lines: the number of lines, each with one host.
    :param rounds: the number of barriers by members, and also the number of barriers by count.
    """
    table = report.table(
        "members", f"One barrier of {count} members on one hub over {lines} lines of {baud} baud, all arriving at once"
    )
    progress(f"{count} members over {lines} lines")
    with _Lines(lines, baud) as system:
        rows = asyncio.run(_rounds(system, count, rounds))
        table.rows |= rows
        table.notes.append(f"the hub's memory afterwards: {resident(system.hub_process.pid):.1f} MiB")
        for label, row in rows.items():
            most = max(_number(row["bytes_up_a_member"]), _number(row["bytes_down_a_member"]))
            row["of_it_the_lines"] = most * (count // lines) * 10 / baud
            report.target(f"{label}: members released", _number(row["released"]), ">=", count)


def _number(cell: Cell) -> float:
    assert isinstance(cell, int | float)
    return cell


class _Lines(Processes):
    def __init__(self, lines: int, baud: int) -> None:
        super().__init__()
        self.cables: list[NullModem] = []
        try:
            self.cables = [NullModem(baud=baud, seed=n) for n in range(lines)]
            ports = [word for cable in self.cables for word in ("--port", f"{cable.a},{baud}")]
            self.hub = f"unix:{self.folder}/hub.sock"
            self.hub_process = self.linesync(
                "hub", "hub", "--state", ":memory:", "--socket", f"{self.folder}/hub.sock", *ports
            )
            self.agents = []
            for n, cable in enumerate(self.cables, start=1):
                socket = f"{self.folder}/sut{n}.sock"
                words = ["agent", "--name", f"sut{n}", "--socket", socket, "--port", f"{cable.b},{baud}"]
                self.linesync(f"sut{n}", *words)
                self.agents.append(f"unix:{socket}")
            self._wait_up(lines)
        except BaseException:
            self.close()
            raise

    def _wait_up(self, lines: int) -> None:
        deadline = time.monotonic() + _UP
        while time.monotonic() < deadline:
            try:
                with connect_blocking(self.hub) as client:
                    if sum(host.state == "up" for host in client.hosts()) == lines:
                        return
            except (LinesyncError, OSError):
                pass
            time.sleep(0.1)
        raise BenchError(f"{lines} lines did not come up in {_UP:g} s: {self.log('hub').strip()}")

    def passed(self) -> tuple[int, int]:
        """The number of bytes so far on all lines: to the hub (up), and from the hub (down)."""
        counters = [cable.counters() for cable in self.cables]
        return sum(c["ba"]["bytes_in"] for c in counters), sum(c["ab"]["bytes_in"] for c in counters)

    def close(self) -> None:
        for cable in self.cables:
            cable.close()
        super().close()


async def _rounds(system: _Lines, count: int, rounds: int) -> dict[str, dict[str, Cell]]:
    share = count // len(system.agents)
    clients: list[tuple[str, Client]] = []
    for host, endpoint in enumerate(system.agents, start=1):
        for begin in range(1, share + 1, _AT_ONCE):
            numbers = range(begin, min(begin + _AT_ONCE, share + 1))
            made = await asyncio.gather(*(connect(endpoint) for _ in numbers))
            clients += [(f"sut{host}#{n}", client) for n, client in zip(numbers, made, strict=True)]
    names = [name for name, _ in clients]
    rows: dict[str, dict[str, Cell]] = {}
    try:
        for label in ("by members", "by count"):
            seconds, up, down, released = [], 0, 0, count
            for n in range(rounds):
                await asyncio.sleep(_SETTLE)
                before = system.passed()
                start = time.monotonic()
                arriving = [
                    client.barrier(f"m{n}", members=names, member=name)
                    if label == "by members"
                    else client.barrier(f"c{n}", count)
                    for name, client in clients
                ]
                async with asyncio.timeout(_LIMIT):
                    results = await asyncio.gather(*arriving)
                seconds.append(time.monotonic() - start)
                released = min(released, sum(result.count == count for result in results))
                await asyncio.sleep(_SETTLE)
                after = system.passed()
                up, down = up + after[0] - before[0], down + after[1] - before[1]
            rows[label] = {
                "seconds": sorted(seconds)[len(seconds) // 2],
                "ms_a_member": 1000 * sorted(seconds)[len(seconds) // 2] / count,
                "bytes_up_a_member": up / rounds / count,
                "bytes_down_a_member": down / rounds / count,
                "released": released,
            }
    finally:
        await asyncio.gather(*(client.aclose() for _, client in clients), return_exceptions=True)
    return rows
