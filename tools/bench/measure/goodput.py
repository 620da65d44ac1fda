"""Goodput of files on a paced line with faults: `linesync cp`, a connected client, ZMODEM, Kermit and UUCP, each on a
line of its own with the same faults, and what an ideal protocol would reach.

A figure is payload over the line's physical rate, by the wall clock. `linesync cp` counts from the command's start to
its end; the client from the call to its return; the session is up and the line probed before. The rivals count from
the first program's start to the last one's end, since they have no session. What arrived must be what was sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import linesync
from linesync.errors import LinesyncError

from ..page.report import Cell, Report, Table, progress
from ..rivals.transfer import Outcome, transfer, why_missing
from ..testbed.cable_cut import CutOff, growing
from ..testbed.process_time import timed
from ..testbed.system import HOST, BenchError, LineSystem, linesync_command
from .works import WORKS, Work, content, ideal

__all__ = ["WHO", "goodput"]

WHO = ("cp", "zmodem", "kermit", "uucp")
_OURS = ("cp", "client")
_PATIENCE = 6  # times the ideal time (and 30 s) after which a transfer is given up
_FAILS, _ABSENT = "fails", "absent"  # what a table shows in place of a figure


@dataclass(frozen=True, slots=True)
class _Found:
    """One transfer."""

    rate: float
    """Payload over line rate, 0 when it failed."""
    why: str = ""
    detail: str = ""
    resumed: float | None = None
    """Seconds from the line's return until the file went on, where it was cut."""
    absent: bool = False
    """It failed because it is not installed."""


def goodput(
    report: Report,
    *,
    baud: int,
    size: int,
    works: Sequence[Work] = WORKS,
    seeds: int = 1,
    who: Sequence[str] = WHO,
    at_once: int = 1,
) -> None:
    """Fill the table.

    :param size: bytes of the file.
    :param seeds: runs that are averaged, each with its own faults and file.
    :param who: ``cp``, ``client``, ``zmodem``, ``kermit``, ``uucp``.
    :param at_once: lines in use at the same time; they share this machine's processors.
    """
    title = f"Goodput of {size // 1024} KiB at {baud} baud (payload over line rate)"
    table = report.table(f"goodput-{baud}", title)
    table.notes = [
        "ideal: selective repeat, 12 bytes around a payload, no byte escaped, best frame length, no start-up (texts: zlib -9)",
        "mended: the same when a frame with one flipped bit is repaired by its check",
        "cp: from the command's start to its end; client: put_file on an open connection; faults work in both directions",
        "zmodem: sz -b; kermit: the parameters that suit the line; uucp: 'i' ('j' where XON/XOFF are eaten), 256 bytes,"
        " window 16, its 2 s of sleep at the end included (programs.py)",
        f"cut: the cable is pulled after 1 s; a mean of {seeds} runs; licence texts are some 230 KiB",
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
                table.add(work.name, **{name: _mean(found)})
                _note(report, table, work, name, found)
            _compare(report, table, work, baud, size)
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt no further transfer begins


def _mean(found: Sequence[_Found]) -> Cell:
    rates = [each.rate for each in found if not each.why]
    if rates:
        return statistics.fmean(rates)
    return _ABSENT if found[0].absent else _FAILS


def _note(report: Report, table: Table, work: Work, name: str, found: Sequence[_Found]) -> None:
    """Keep the single runs, and say what went wrong."""
    runs = table.extra.setdefault("runs", {})
    runs.setdefault(work.name, {})[name] = [round(each.rate, 5) for each in found if not each.why]
    shown = table.rows[work.name][name]
    told = f"{shown:.3f}" if isinstance(shown, float) else str(shown)
    progress(f"{work.name}: {name} {told} {found[0].detail}")
    resumed = [each.resumed for each in found if each.resumed is not None]
    if work.resumes is not None and name in _OURS and resumed:
        table.add(work.name, resumes_after_s=max(resumed))
    failed = [each.why for each in found if each.why]
    if failed:
        sentences = report.failures if name in _OURS else report.remarks
        many = f"{len(failed)} of {len(found)} runs failed" if len(found) > 1 else "failed"
        sentences.append(f"goodput, {work.name}, {name} {many}: {failed[0]}")


def _compare(report: Report, table: Table, work: Work, baud: int, size: int) -> None:
    cells, file, byte_rate = table.rows[work.name], content(work, size, 1), baud / 10
    target = work.targets.get(baud)
    table.add(
        work.name,
        ideal=ideal(work, repair=False, content=file, byte_rate=byte_rate),
        mended=ideal(work, repair=True, content=file, byte_rate=byte_rate),
        target=target,
    )
    for name in _OURS:
        value = cells.get(name)
        if target is not None and value is not None:
            reached = value if isinstance(value, float) else 0.0
            report.target(f"goodput at {baud}, {work.name}, {name}", reached, ">=", target)
    after = cells.get("resumes_after_s")
    if work.resumes is not None and isinstance(after, float):
        report.target(f"{work.name} at {baud}: the file goes on after", after * 1000, "<=", work.resumes * 1000, "ms")


# -- one transfer -----------------------------------------------------------------------------------------------------


def _one(name: str, work: Work, baud: int, size: int, seed: int) -> _Found:
    with tempfile.TemporaryDirectory(prefix="linesync-bench-") as folder:
        file = Path(folder, "blob")
        try:
            file.write_bytes(content(work, size, seed))
        except BenchError as error:
            return _Found(0.0, str(error))
        ideal_time = file.stat().st_size / (baud / 10)
        if name in _OURS:
            copy = _by_command if name == "cp" else _by_client
            return _ours(copy, file, work, baud, seed, 30 + _PATIENCE * ideal_time)
        rival = {"kermit": work.kermit, "uucp": work.uucp}.get(name, name)
        return _rival(rival, file, work, baud, seed, 30 + 4 * ideal_time)


def _rival(name: str, file: Path, work: Work, baud: int, seed: int, patience: float) -> _Found:
    missing = why_missing(name)
    if missing:
        return _Found(0.0, missing, absent=True)

    def attempt() -> Outcome:
        return transfer(name, file, baud=baud, faults=work.faults, seed=seed, timeout=patience, cut=work.cut)

    outcome = attempt()
    stuck = outcome.why.startswith("not done") and name.startswith("kermit") and work.faults.ber < 1e-5
    if stuck:  # perhaps a file that it never ends with: see RIVALS
        file.write_bytes(file.read_bytes()[:-100])
        outcome = attempt()
    return _Found(outcome.rate, " ".join(outcome.why.split())[:160], f"({name}, {outcome.seconds:.1f} s)")


Copy = Callable[[LineSystem, Path, Path, float], None]


def _ours(copy: Copy, file: Path, work: Work, baud: int, seed: int, patience: float) -> _Found:
    try:
        with LineSystem(baud=baud, faults=work.faults, seed=seed) as system:
            assert system.cable is not None
            arrived = system.folder / "arrived"
            frame = system.frames()
            before = system.passed()["ab"]["bytes_in"]
            began = time.monotonic()
            with CutOff(system.cable, work.cut, growing(arrived)) if work.cut else nullcontext() as cut:
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
    rate = file.stat().st_size / system.byte_rate / seconds
    return _Found(rate, "", detail, resumed=cut.resumed if cut else None)


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
