"""Speed over loopback TCP: frames and bytes between two processes, requests to a hub, files, and the memory for clients.

For comparison, the tables also show the results of an asyncio protocol without linesync between the same two processes.
These results show the limit of this machine, its kernel and asyncio.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import linesync
from linesync.client.aio import Client
from linesync.runtime.peer import Peer
from linesync.runtime.user import User
from linesync.transports import connect
from linesync.wire.framing.frames import Lane

from ..page.report import Report, progress
from ..testbed.process_time import timed
from ..testbed.system import HOST, BenchError, Processes, TcpSystem, free_port, linesync_command, resident

__all__ = ["sockets"]

_CHUNK = 1 << 16
_SMALL = 32  # bytes of a small message, similar to a request
_BUSY_CLIENTS = 20  # clients on one semaphore
_SEMAPHORE = "hot"
_ROOT = Path(__file__).resolve().parents[3]


def sockets(report: Report, *, seconds: float, file_size: int, clients: int) -> None:
    """Measure TCP, and add the tables to the report.

    :param seconds: the duration of the measurement of each figure.
    :param file_size: the size of the copied file in bytes.
    :param clients: the number of idle clients for the hub's memory.
    """
    with Processes() as processes:
        _pipes(report, processes, seconds)
    with TcpSystem() as system:
        _requests(report, system, seconds)
        _file(report, system, file_size)
        _memory(report, system, clients)


# -- two processes -----------------------------------------------------------------------------------------------------


def _pipes(report: Report, processes: Processes, seconds: float) -> None:
    table = report.table("tcp-pipe", "One session between two processes over TCP loopback")
    ports = {kind: free_port() for kind in ("linesync", "bare")}
    for kind, port in ports.items():
        argv = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(_ROOT)!r}); {_RUN_SINK}"]
        processes.start(kind, [*argv, kind, str(port)])
        _wait_port(port, lambda kind=kind: processes.log(kind))  # type: ignore[misc]
    progress("TCP: one session")
    table.add("linesync", **asyncio.run(_session(ports["linesync"], seconds)))
    table.add("bare asyncio", MB_per_s=asyncio.run(_bare_bulk(ports["bare"], seconds)))
    single = asyncio.run(_bare_echo(ports["bare"], 1, seconds))
    concurrent = asyncio.run(_bare_echo(ports["bare"], _BUSY_CLIENTS, seconds))
    hot = report.table(
        "tcp-requests", "Requests per second at a hub over TCP loopback (one semaphore, alternating +1 and -1)"
    )
    hot.add("bare asyncio echo", one_client=single, **{f"{_BUSY_CLIENTS}_clients": concurrent})


_RUN_SINK = "import runpy; runpy.run_module('tools.bench.measure.sink', run_name='__main__', alter_sys=True)"


def _wait_port(port: int, log: Callable[[], str]) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise BenchError(f"the sink did not start: {log()}") from None
            time.sleep(0.05)


async def _session(port: int, seconds: float) -> dict[str, float]:
    peer = Peer(User(), "c")
    await connect(f"tcp://127.0.0.1:{port}", peer.receiver)
    await asyncio.wait_for(peer.ready(), 10)
    found: dict[str, float] = {}
    chunk = random.Random(5).randbytes(_CHUNK)
    for lane, prefix, send in ((Lane.BULK, "", chunk), (Lane.PROMPT, "small_", chunk[:_SMALL])):
        assert peer.link is not None
        frames = peer.link.counters.frames_out
        stream = peer.open("sink", lane)
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            for _ in range(1 if len(send) == _CHUNK else 50):
                await stream.send(0, send)
        stream.end()
        items, size = map(int, (await asyncio.wait_for(stream.receive_message(), 30)).split())
        took = time.perf_counter() - began
        sent = peer.link.counters.frames_out - frames
        if not prefix:
            found |= {"MB_per_s": size / took / 1e6, "frames_per_s": sent / took}
        else:
            found |= {"small_pieces_per_s": size / _SMALL / took, "their_frames_per_s": sent / took}
    await peer.aclose("done")
    return found


async def _bare_bulk(port: int, seconds: float) -> float:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    chunk, size, began = bytes(_CHUNK), 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        writer.write(chunk)
        await writer.drain()
        size += _CHUNK
    rate = size / (time.perf_counter() - began) / 1e6
    writer.transport.abort()
    return rate


async def _bare_echo(port: int, clients: int, seconds: float) -> float:
    async def echo_client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            writer.write(bytes(_SMALL))
            await reader.readexactly(_SMALL)
            count += 1
        writer.close()
        return count

    return sum(await asyncio.gather(*(echo_client() for _ in range(clients)))) / seconds


# -- a hub -------------------------------------------------------------------------------------------------------------


def _requests(report: Report, system: TcpSystem, seconds: float) -> None:
    progress("TCP: requests at a hub")
    table = report.tables["tcp-requests"]
    cells = {
        "one_client": asyncio.run(_operations_per_second(system.tcp, 1, seconds)),
        f"{_BUSY_CLIENTS}_clients": asyncio.run(_operations_per_second(system.tcp, _BUSY_CLIENTS, seconds)),
    }
    table.add("linesync, asyncio clients, TCP", **cells)
    unix = (
        asyncio.run(_operations_per_second(system.hub, 1, seconds)),
        asyncio.run(_operations_per_second(system.hub, _BUSY_CLIENTS, seconds)),
    )
    table.add("linesync, asyncio clients, unix", one_client=unix[0], **{f"{_BUSY_CLIENTS}_clients": unix[1]})
    table.add("linesync, blocking client, TCP", one_client=_blocking(system.tcp, seconds))
    table.notes = ["the part hub compares this with redis and etcd"]


async def _operations_per_second(endpoint: str, clients: int, seconds: float) -> float:
    async def work(client: Client) -> int:
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            await client.semaphore(_SEMAPHORE, 1 if count % 2 == 0 else -1)
            count += 1
        if count % 2:
            await client.semaphore(_SEMAPHORE, -1)
        return count

    return await _with_clients(endpoint, clients, work) / seconds


async def _with_clients(endpoint: str, count: int, work: Callable[[Client], Awaitable[int]]) -> int:
    clients = [await linesync.connect(endpoint) for _ in range(count)]
    try:
        return sum(await asyncio.gather(*(work(client) for client in clients)))
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


def _blocking(endpoint: str, seconds: float) -> float:
    with linesync.connect_blocking(endpoint) as client:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            client.semaphore(_SEMAPHORE, 1 if count % 2 == 0 else -1)
            count += 1
        return count / (time.perf_counter() - began)


def _file(report: Report, system: TcpSystem, size: int) -> None:
    progress("TCP: a file")
    table = report.table("tcp-file", f"`linesync cp` of {size >> 20} MiB over TCP loopback")
    source, target = system.folder / "file", system.folder / "arrived"
    source.write_bytes(random.Random(6).randbytes(size))
    began = time.perf_counter()
    digest = hashlib.sha256(source.read_bytes()).digest()
    hashing = size / (time.perf_counter() - began) / 1e6
    for way, words in (
        ("to the agent", (str(source), f"{HOST}:{target}")),
        ("back", (f"{HOST}:{source}", str(target))),
    ):
        target.unlink(missing_ok=True)
        try:
            took = timed([*linesync_command(), "--hub", system.hub, "cp", *words], 120)
        except subprocess.CalledProcessError as error:
            report.failures.append(f"cp over TCP, {way}: {error.stderr.decode(errors='replace').strip()}")
            continue
        if hashlib.sha256(target.read_bytes()).digest() != digest:
            report.failures.append(f"cp over TCP, {way}: the received file differs from the sent file")
            continue
        table.add(way, MB_per_s=size / took / 1e6, seconds=took, sha256_alone_MB_per_s=hashing)
        report.target(f"cp over TCP loopback, {way}", size / took / 1e6, ">=", 80, "MB/s")


def _memory(report: Report, system: TcpSystem, clients: int) -> None:
    progress(f"TCP: {clients} idle clients")
    before = resident(system.hub_process.pid)

    async def hold() -> float:
        held = [await linesync.connect(system.tcp) for _ in range(clients)]
        for client in held:
            await client.semaphore(_SEMAPHORE, 0)
        await asyncio.sleep(0.3)
        found = resident(system.hub_process.pid)
        await asyncio.gather(*(client.aclose() for client in held))
        return found

    grown = asyncio.run(hold()) - before
    bytes_per_client = grown * 1024 / clients
    table = report.table("tcp-memory", "The hub's memory")
    table.add("hub", clients=clients, before_MiB=before, grown_MiB=grown, KiB_each=bytes_per_client)
    report.target(
        "hub's memory for an idle client (10,000 in 300 MiB)", bytes_per_client, "<=", 300 * 1024 / 10_000, "KiB"
    )
