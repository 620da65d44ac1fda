"""Goodput of files on a paced line with faults: `linesync cp`, a connected client, ZMODEM and Kermit, each on a line of
its own with the same faults, and what an ideal protocol would reach.

A figure is payload over the line's physical rate, by the wall clock. `linesync cp` counts from the command's start to
its end; the client from the call to its return; the session is up and the line probed before. The rivals count from
the first program's start to the last one's end, since they have no session. What arrived must be what was sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import exp, log1p
from pathlib import Path

import linesync
from linesync.errors import LinesyncError
from linesync.testing.faults import Faults

from .clock import timed
from .report import Report, progress
from .rivals import transfer, why_missing
from .system import HOST, BenchError, LineSystem, linesync_command

__all__ = ["WORKS", "Work", "goodput"]

_OURS = ("cp", "client")
_PATIENCE = 6  # times the ideal time (and 30 s) after which a transfer is given up
_ESCAPED = 1 + 3 / 256  # what escaping three of 256 byte values costs
_AROUND = 12  # bytes around a payload, for the ideals
_FRAMES = (128, 256, 512, 1024, 2048)  # lengths among which the ideals choose


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A kind of line, and who else can be asked to use it."""

    name: str
    faults: Faults
    kermit: str = "kermit"
    """Which of the rivals' sets of parameters suits this line."""
    target: float | None = None
    """Of the client's bulk in the printable form (issue 2)."""
    target_cp: float | None = None
    """Of `linesync cp` (issue 4)."""


WORKS: tuple[Work, ...] = (
    Work(name="clean", faults=Faults(), kermit="kermit-tight", target=0.71, target_cp=0.97),
    Work(name="BER 1e-6", faults=Faults(ber=1e-6), kermit="kermit-tight", target_cp=0.955),
    Work(name="BER 1e-5", faults=Faults(ber=1e-5), kermit="kermit-tight", target=0.66, target_cp=0.92),
    Work(name="BER 1e-4", faults=Faults(ber=1e-4), kermit="kermit-cautious", target_cp=0.68),
    Work(name="printk 1/s", faults=Faults(printk=1.0), kermit="kermit-cautious", target_cp=0.93),
    Work(name="7-bit", faults=Faults(seven_bit=True), kermit="kermit-7bit", target_cp=0.73),
    Work(name="XON/XOFF eaten", faults=Faults(eat_xonxoff=True), target_cp=0.95),
    Work(name="100 ms delay", faults=Faults(delay=0.1), kermit="kermit-tight", target_cp=0.93),
)
CLEAN = WORKS[0]


@dataclass(frozen=True, slots=True)
class _Found:
    """One transfer."""

    rate: float
    """Payload over line rate, 0 when it failed."""
    why: str = ""
    detail: str = ""


def ideal(faults: Faults, *, payload_bits: int) -> float:
    """What an ideal selective repeat reaches: the best of a few frame lengths, nothing lost but damaged frames, no
    start-up; with eight payload bits a byte (less what must be escaped) or six."""
    if payload_bits == 8 and faults.seven_bit:
        return 7 / 8
    density = 1 / _ESCAPED if payload_bits == 8 else payload_bits / 8
    survives = log1p(-faults.ber) if faults.ber else 0.0
    return max(density * (1 - _AROUND / size) * exp(survives * 8 * size) for size in _FRAMES)


def goodput(
    report: Report,
    *,
    baud: int,
    size: int,
    works: Sequence[Work] = WORKS,
    seeds: int = 1,
    who: Sequence[str] = ("cp", "client", "zmodem", "kermit"),
    at_once: int = 1,
) -> None:
    """Fill the table.

    :param size: bytes of the file.
    :param seeds: runs that are averaged, each with its own faults and file.
    :param who: ``cp``, ``client``, ``zmodem``, ``kermit``.
    :param at_once: lines in use at the same time; they share this machine's processors.
    """
    title = f"Goodput of {size // 1024} KiB random bytes at {baud} baud (payload over line rate)"
    table = report.table(f"goodput-{baud}", title)
    table.notes = [
        "ideal: selective repeat, 12 bytes around a payload, best frame length, no start-up; 8-bit escapes 3 values",
        "cp: from the command's start to its end; client: put_file on an open connection; 0: it failed",
        "zmodem: sz -b; kermit: the parameters that suit the line (rivals.py)",
    ]
    pool = ThreadPoolExecutor(at_once)
    try:
        jobs = {
            (work.name, name): [pool.submit(_one, name, work, baud, size, seed) for seed in range(1, seeds + 1)]
            for work in works
            for name in who
        }
        for work in works:
            table.add(work.name)
            for name in who:
                found = [job.result() for job in jobs[work.name, name]]
                rate = statistics.fmean([each.rate for each in found if not each.why] or [0.0])
                table.add(work.name, **{name: rate})
                progress(f"{work.name}: {name} {rate:.3f} {found[0].detail}")
                failed = [each.why for each in found if each.why]
                if failed:
                    sentences = report.failures if name in _OURS else report.remarks
                    many = f"{len(failed)} of {len(found)} runs failed" if len(found) > 1 else "failed"
                    sentences.append(f"goodput, {work.name}, {name} {many}: {failed[0]}")
            _compare(report, work, baud)
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt no further transfer begins


def _compare(report: Report, work: Work, baud: int) -> None:
    table = report.tables[f"goodput-{baud}"]
    cells = table.rows[work.name]
    table.add(
        work.name,
        ideal_printable=ideal(work.faults, payload_bits=6),
        ideal_8_bit=ideal(work.faults, payload_bits=8),
        target_client=work.target,
        target_cp=work.target_cp,
    )
    for name, bound in (("client", work.target), ("cp", work.target_cp)):
        value = cells.get(name)
        if bound is not None and isinstance(value, float):
            report.target(f"goodput at {baud}, {work.name}, {name}", value, ">=", bound)


# -- one transfer -----------------------------------------------------------------------------------------------------


def _one(name: str, work: Work, baud: int, size: int, seed: int) -> _Found:
    with tempfile.TemporaryDirectory(prefix="linesync-bench-") as folder:
        file = Path(folder, "blob")
        file.write_bytes(random.Random(seed).randbytes(size))
        ideal_time = size / (baud / 10)
        if name in _OURS:
            copy = _by_command if name == "cp" else _by_client
            return _ours(copy, file, work, baud, seed, 30 + _PATIENCE * ideal_time)
        return _rival(name if name == "zmodem" else work.kermit, file, work, baud, seed, 30 + 4 * ideal_time)


def _rival(name: str, file: Path, work: Work, baud: int, seed: int, patience: float) -> _Found:
    missing = why_missing(name)
    if missing:
        return _Found(0.0, missing)
    outcome = transfer(name, file, baud=baud, faults=work.faults, seed=seed, timeout=patience)
    if outcome.why.startswith("not done") and name.startswith("kermit"):  # a file it never ends with: see RIVALS
        file.write_bytes(random.Random(seed + 1000).randbytes(file.stat().st_size - 100))
        outcome = transfer(name, file, baud=baud, faults=work.faults, seed=seed, timeout=patience)
    return _Found(outcome.rate, " ".join(outcome.why.split())[:160], f"({name}, {outcome.seconds:.1f} s)")


Copy = Callable[[LineSystem, Path, Path, float], None]


def _ours(copy: Copy, file: Path, work: Work, baud: int, seed: int, patience: float) -> _Found:
    try:
        with LineSystem(baud=baud, faults=work.faults, seed=seed) as system:
            arrived = system.folder / "arrived"
            frame = system.frames()
            before = system.passed()["ab"]["bytes_in"]
            began = time.monotonic()
            copy(system, file, arrived, patience)
            seconds = time.monotonic() - began
            sent = system.passed()["ab"]["bytes_in"] - before
            again = max((int(row.get("repeated", 0)) for row in system.links()), default=0)
            if _digest(arrived) != _digest(file):
                return _Found(0.0, "what arrived is not what was sent")
    except (BenchError, LinesyncError, OSError, subprocess.SubprocessError) as error:
        return _Found(0.0, " ".join(str(error).split())[:300])
    detail = (
        f"({seconds:.2f} s, {sent} bytes for {file.stat().st_size}: {sent / seconds / system.byte_rate:.3f} of the"
        f" line used, frames agreed {frame}, {again} repeated)"
    )
    return _Found(file.stat().st_size / system.byte_rate / seconds, "", detail)


def _by_command(system: LineSystem, file: Path, target: Path, patience: float) -> None:
    try:
        timed([*linesync_command(), "--hub", system.hub, "cp", str(file), f"{HOST}:{target}"], patience)
    except subprocess.CalledProcessError as error:
        raise BenchError(f"linesync cp: {error.stderr.decode(errors='replace')}") from None


def _by_client(system: LineSystem, file: Path, target: Path, patience: float) -> None:
    asyncio.run(asyncio.wait_for(_put(system, file, target), patience))


async def _put(system: LineSystem, file: Path, target: Path) -> None:
    async with await linesync.connect(system.hub) as client:
        await client.put_file(str(file), HOST, str(target))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
