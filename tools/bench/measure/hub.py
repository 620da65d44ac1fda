"""The hub: a busy semaphore compared with redis and etcd, a barrier of 10,000 parties, 10,000 idle clients, files through ssh.

In each measurement, all clients run in one process, and the server runs in another process. The clients use the event loop of
asyncio, not uvloop. This is the same for linesync and its rivals.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import random
import resource
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from time import perf_counter

import linesync
from linesync.client.aio import Client

from ..page.report import Cell, Report, progress
from ..rivals.ssh import SshSystem, why_no_ssh
from ..rivals.stores import DURABLE_STORES, STORES, UNITS, Compiled, Linesync, Store, why_no_store, why_not_compiled
from ..testbed.process_time import timed
from ..testbed.system import HOST, BenchError, Processes, cpu_seconds, linesync_command, resident
from .turns import turns

__all__ = ["hub"]

_BUSY_CLIENTS = 20  # clients on one semaphore
_COMPILED = "linesync, compiled"
_AT_ONCE = 50  # connections that are opened at the same time
_LIMIT = 120.0  # the most seconds for one barrier
_OTHER_FILES = 100  # file descriptors that a process needs in addition to those of clients
_SYNCS = 300  # the number of measured syncs of the disk
_ROUNDS = 3  # measurements of each store, alternating between the stores; the median counts
_REDIS_TARGET, _ETCD_TARGET = 1.5, 100.0  # operations per second, divided by those of redis and etcd
_SSH_TARGET = 0.6  # the speed of a copy, divided by the speed of scp
_BARRIER_TARGET = 2.0  # seconds
_IDLE_TARGET = 300.0  # MiB of the hub with 10,000 idle clients


def hub(
    report: Report,
    *,
    seconds: float = 2.0,
    parties: int = 10_000,
    lines: int = 100,
    idle: int = 10_000,
    file_size: int = 128 << 20,
) -> None:
    """Measure a hub, and add the tables to the report.

    :param seconds: the duration of each measurement of a store.
    :param parties: the number of parties of the barrier, a multiple of ``lines``.
    :param lines: the number of connections of the parties.
    :param idle: the number of idle clients for the hub's memory.
    :param file_size: the size of the file that is copied through ssh, in bytes.
    """
    with Processes() as processes:
        _stores(report, processes, seconds)
    with Processes() as processes:
        _barrier(report, processes, parties, lines)
    _idle(report, idle)
    why = why_no_ssh()
    if why:
        report.remarks.append(f"files through ssh: not measured: {why}")
    else:
        _through_ssh(report, file_size)


# -- a hot semaphore ---------------------------------------------------------------------------------------------------


def _stores(report: Report, processes: Processes, seconds: float) -> None:
    progress("a busy semaphore")
    table = report.table("hub-hot", f"One semaphore of {UNITS} units over TCP loopback: take 1, give 1 back, in turn")
    stores: dict[str, Store] = {"linesync": Linesync(processes)}
    why = why_not_compiled()
    if why:
        report.remarks.append(f"a hot semaphore: not measured with compiled code: {why}")
    else:
        stores[_COMPILED] = Compiled(processes)
    for name, start in STORES.items():
        why = why_no_store(name)
        if why:
            report.remarks.append(f"a hot semaphore: not compared with {name}: {why}")
        else:
            stores[name] = start(processes)
    for name, start in DURABLE_STORES.items():
        if name.startswith("linesync") or "redis" in stores:
            stores[name] = start(processes)
    rates: dict[str, list[float]] = {name: [] for name in stores}
    trips: dict[str, list[float]] = {name: [] for name in stores}
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in stores}
    for _ in range(_ROUNDS):
        for name, store in stores.items():  # alternately, so that other load on the machine affects all stores
            trips[name].append(_measured(store, 1, seconds)["trip"])
            server = cpu_seconds(store.process.pid)
            found = _measured(store, _BUSY_CLIENTS, seconds)
            rates[name].append(found["rate"])
            server = cpu_seconds(store.process.pid) - server
            costs[name].append((server / (found["rate"] * seconds), found["cost"]))
    for name in stores:
        rate, trip = statistics.median(rates[name]), statistics.median(trips[name])
        table.add(name, **{f"{_BUSY_CLIENTS}_clients_per_s": rate, "one_client_ms": trip * 1000})
        # A waiting process uses no processor time, so a busy machine affects these figures less than the rates.
        server, clients = (statistics.median(cost) for cost in zip(*costs[name], strict=True))
        table.add(name, server_us_an_operation=server * 1e6, client_us_an_operation=clients * 1e6)
    for variant in [name for name in ("linesync", _COMPILED) if name in stores]:
        rate, trip = statistics.median(rates[variant]), statistics.median(trips[variant])
        suffix = variant.removeprefix("linesync")
        for name, bound in (("redis", _REDIS_TARGET), ("etcd", _ETCD_TARGET)):
            if name in stores:
                factor = rate / statistics.median(rates[name])
                table.add(variant, **{f"times_{name}": factor})
                report.target(
                    f"{_BUSY_CLIENTS} clients on a hot semaphore, over {name}{suffix}", factor, ">=", bound, "times"
                )
        if "redis" in stores:
            share = trip / statistics.median(trips["redis"])
            report.target(f"one client's round trip, over redis's{suffix}", share, "<=", 1.0, "times")
    _durable_targets(report, rates, trips)
    fast = {"uvloop": "the hub runs on uvloop", "hiredis": "redis-py reads with hiredis"}
    for module, sentence in fast.items():
        table.notes.append(sentence if importlib.util.find_spec(module) else f"{module} is not installed")
    table.notes.append("redis: BLPOP and RPUSH on a list, redis-py's asyncio client, appendfsync everysec")
    table.notes.append(
        "durable: a state file, and redis with appendfsync always, on the disk of the temporary directory"
    )
    table.notes.append("etcd: a number changed by transactions that compare its revision, over HTTP and JSON")


def _durable_targets(report: Report, rates: dict[str, list[float]], trips: dict[str, list[float]]) -> None:
    """Add the targets for a hub that stores its state before it replies: its rate compared with redis, and its round trip
    compared with a sync of the disk."""
    linesync_store, rival_store = DURABLE_STORES
    if rival_store in rates:
        factor = statistics.median(rates[linesync_store]) / statistics.median(rates[rival_store])
        report.target(f"{_BUSY_CLIENTS} clients on a hot semaphore, durable, over redis", factor, ">=", 1.5, "times")
    added_seconds = statistics.median(trips[linesync_store]) - statistics.median(trips["linesync"])
    report.target(
        "one durable client's round trip more than in memory", added_seconds / _sync_time(), "<=", 1.5, "syncs"
    )


def _sync_time() -> float:
    """The median time in seconds of a sync of the disk of the temporary directory, after one page was appended to a file."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(_SYNCS):
            os.write(file.fileno(), bytes(4096))
            before = perf_counter()
            os.fdatasync(file.fileno())
            times.append(perf_counter() - before)
    return statistics.median(times)


def _measured(store: Store, count: int, seconds: float) -> dict[str, float]:
    """The result of :func:`turns`. The clients of the compiled build run in a separate process."""
    return store.turns(count, seconds) if isinstance(store, Compiled) else asyncio.run(turns(store, count, seconds))


# -- a large barrier ---------------------------------------------------------------------------------------------------


def _barrier(report: Report, processes: Processes, parties: int, lines: int) -> None:
    progress(f"a barrier of {parties} parties over {lines} lines")
    server = Linesync(processes)
    table = report.table("hub-barrier", f"One barrier of {parties} parties over {lines} unix sockets")
    found = asyncio.run(_rounds(server, parties, parties // lines))
    table.add("by count", **found, hub_cpu_s=cpu_seconds(server.process.pid) / _ROUNDS)
    table.notes.append("from the first arrival to the last release; all parties are coroutines of one other process")
    released = found["seconds"]
    assert isinstance(released, float)
    report.target(f"barrier of {parties} parties released", released, "<=", _BARRIER_TARGET * parties / 10_000, "s")


async def _rounds(server: Linesync, parties: int, share: int) -> dict[str, Cell]:
    clients = await _connected(server.unix, parties // share)
    times = []
    try:
        for turn in range(_ROUNDS):
            began = perf_counter()
            async with asyncio.timeout(_LIMIT):
                arriving = [client.barrier(f"b{turn}", parties) for client in clients for _ in range(share)]
                results = await asyncio.gather(*arriving)
            times.append(perf_counter() - began)
            if any(result.count != parties for result in results):
                raise BenchError("a barrier was released before all parties had arrived")
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))
    return {"seconds": statistics.median(times), "least_s": min(times), "us_a_party": min(times) / parties * 1e6}


async def _connected(endpoint: str, count: int) -> list[Client]:
    clients: list[Client] = []
    while len(clients) < count:
        more = min(_AT_ONCE, count - len(clients))
        clients += await asyncio.gather(*(linesync.connect(endpoint) for _ in range(more)))
    return clients


# -- idle clients ------------------------------------------------------------------------------------------------------


def _idle(report: Report, count: int) -> None:
    progress(f"{count} idle clients")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + _OTHER_FILES:
        report.remarks.append(
            f"{count} idle clients: not measured: ulimit -Hn is {hard}; each client takes a descriptor"
        )
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + _OTHER_FILES), hard))  # the hub inherits it
    try:
        with Processes() as processes:
            server = Linesync(processes)
            _measure_idle(report, server, count)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _measure_idle(report: Report, server: Linesync, count: int) -> None:
    before = resident(server.process.pid)

    async def hold() -> tuple[float, float, float]:
        began = perf_counter()
        clients = await _connected(server.unix, count)
        connecting = perf_counter() - began
        await asyncio.sleep(1.0)
        found = resident(server.process.pid)
        start, began = cpu_seconds(server.process.pid), perf_counter()
        await asyncio.sleep(2.0)
        busy = (cpu_seconds(server.process.pid) - start) / (perf_counter() - began)
        for begin in range(0, count, _AT_ONCE):
            await asyncio.gather(*(client.aclose() for client in clients[begin : begin + _AT_ONCE]))
        return found, connecting, busy

    found, connecting, busy = asyncio.run(hold())
    table = report.table("hub-idle", "The hub's memory with idle clients on unix sockets")
    bytes_per_client = (found - before) * 1024 / count
    table.add(
        "hub",
        clients=count,
        MiB=found,
        before_MiB=before,
        KiB_each=bytes_per_client,
        connecting_s=connecting,
        cpu_share=busy,
    )
    table.notes.append(
        f"each client takes a descriptor: the hub was started with ulimit -n {count + _OTHER_FILES} or more"
    )
    report.target(
        "the hub's memory with 10,000 idle clients",
        before + bytes_per_client * 10_000 / 1024,
        "<=",
        _IDLE_TARGET,
        "MiB",
    )


# -- files through ssh -------------------------------------------------------------------------------------------------


def _through_ssh(report: Report, size: int) -> None:
    progress("a file through ssh")
    table = report.table("hub-ssh", f"A file of {size >> 20} MiB through ssh on loopback (from start to end, MB/s)")
    with SshSystem() as system:
        source, target = system.folder / "file", system.folder / "arrived"
        source.write_bytes(random.Random(6).randbytes(size))
        digest = hashlib.sha256(source.read_bytes()).digest()
        linesync_cp = [*linesync_command(), "--hub", system.hub, "cp"]
        remote = f"{system.sshd.host}:"
        ways: dict[str, dict[str, Callable[[], list[str]]]] = {
            "to the host": {
                "linesync": lambda: [*linesync_cp, str(source), f"{HOST}:{target}"],
                "scp": lambda: [*system.sshd.scp, str(source), f"{remote}{target}"],
            },
            "back": {
                "linesync": lambda: [*linesync_cp, f"{HOST}:{source}", str(target)],
                "scp": lambda: [*system.sshd.scp, f"{remote}{source}", str(target)],
            },
        }
        for way, programs in ways.items():
            rates: dict[str, list[float]] = {name: [] for name in programs}
            for _ in range(_ROUNDS):
                for name, argv in programs.items():
                    target.unlink(missing_ok=True)
                    try:
                        took = timed(argv(), 120)
                    except subprocess.CalledProcessError as error:
                        output = error.stderr.decode(errors="replace").strip()
                        raise BenchError(f"{name} through ssh, {way}: {output}") from None
                    if hashlib.sha256(target.read_bytes()).digest() != digest:
                        raise BenchError(f"{name} through ssh, {way}: the received file differs from the sent file")
                    rates[name].append(size / took / 1e6)
            median = {name: statistics.median(found) for name, found in rates.items()}
            share = median["linesync"] / median["scp"]
            table.add(way, **median, share=share)
            report.target(f"cp through ssh over scp, {way}", share, ">=", _SSH_TARGET, "times")
