"""Goodput of files on a line with a rate and faults, and the limit of an ideal protocol.

`linesync cp`, a connected client, ZMODEM, Kermit and UUCP each have their own line with the same faults. Goodput is the
payload divided by the line's physical rate and by the time of the transfer. For `linesync cp`, this is the time from the
command's start to its end; for the client, from the call to its return. In both cases the session is up, and the ends have
probed the line before. The rivals have no session. Their time is from the start of the first program to the end of the last
program. A transfer counts only if the received file equals the sent file.
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
from ..testbed.cable_cut import CutOff, arrived_bytes_of_copy
from ..testbed.process_time import timed
from ..testbed.system import HOST, BenchError, LineSystem, linesync_command
from .workloads import WORKLOADS, Workload, content, ideal

__all__ = ["WHO", "goodput"]

WHO = ("cp", "zmodem", "kermit", "uucp")
_LINESYNC = ("cp", "client")
_TIMEOUT_FACTOR = 6  # a transfer is aborted after 30 s and this many times the ideal time
_FAILS, _ABSENT = "fails", "absent"  # words in a table instead of a figure


@dataclass(frozen=True, slots=True)
class _Result:
    """The result of one transfer."""

    rate: float
    """Payload divided by line rate; 0 if the transfer failed."""
    why: str = ""
    """The reason of a failure; empty if the transfer succeeded."""
    detail: str = ""
    """More figures in words, for the progress on stderr."""
    resumed: float | None = None
    """After a cut: the seconds from the moment when the cable was plugged in again until the transfer continued."""
    absent: bool = False
    """Whether the transfer failed because the program is not installed."""


def goodput(
    report: Report,
    *,
    baud: int,
    size: int,
    works: Sequence[Workload] = WORKLOADS,
    seeds: int = 1,
    programs: Sequence[str] = WHO,
    at_once: int = 1,
) -> None:
    """Measure goodput, and add a table to the report.

    :param size: the size of the file in bytes.
    :param works: the workloads, which are the rows of the table.
    :param seeds: the number of runs, which are averaged. Each run has its own faults and file.
    :param programs: the measured programs: some of ``cp``, ``client``, ``zmodem``, ``kermit``, ``uucp``.
    :param at_once: the number of lines in use at the same time; they share this machine's processors.
    """
    title = f"Goodput of {size // 1024} KiB at {baud} baud (payload over line rate)"
    table = report.table(f"goodput-{baud}", title)
    table.notes = [
        "ideal: selective repeat, 12 bytes around a payload, no byte escaped, best frame length, no start-up (texts: zlib -9)",
        "repaired: the same, but the check repairs a frame with one flipped bit",
        "cp: from the command's start to its end; client: put_file on an open connection; faults apply to both directions",
        "zmodem: sz -b; kermit: the parameters that suit the line; uucp: 'i' ('j' where XON/XOFF are removed), 256 bytes,"
        " window 16, including the 2 s that it sleeps at the end (rivals/programs.py)",
        f"cut: the cable is unplugged after 1 s; runs averaged: {seeds}; the licence texts have about 230 KiB",
    ]
    pool = ThreadPoolExecutor(at_once)
    try:
        jobs = {
            (work.name, name): [pool.submit(_transfer, name, work, baud, size, seed) for seed in range(1, seeds + 1)]
            for work in works
            for name in programs
        }
        for work in works:
            table.add(work.name)
            for name in programs:
                found = [job.result() for job in jobs[work.name, name]]
                table.add(work.name, **{name: _mean(found)})
                _note(report, table, work, name, found)
            _compare(report, table, work, baud, size)
    finally:
        pool.shutdown(cancel_futures=True)  # so that no further transfer begins after an interrupt


def _mean(found: Sequence[_Result]) -> Cell:
    rates = [run.rate for run in found if not run.why]
    if rates:
        return statistics.fmean(rates)
    return _ABSENT if found[0].absent else _FAILS


def _note(report: Report, table: Table, work: Workload, name: str, found: Sequence[_Result]) -> None:
    """Record the results of the single runs, and report failures."""
    runs = table.extra.setdefault("runs", {})
    runs.setdefault(work.name, {})[name] = [round(run.rate, 5) for run in found if not run.why]
    shown = table.rows[work.name][name]
    result = f"{shown:.3f}" if isinstance(shown, float) else str(shown)
    progress(f"{work.name}: {name} {result} {found[0].detail}")
    resumed = [run.resumed for run in found if run.resumed is not None]
    if work.resumes is not None and name in _LINESYNC and resumed:
        table.add(work.name, resumes_after_s=max(resumed))
    failed = [run.why for run in found if run.why]
    if failed:
        sentences = report.failures if name in _LINESYNC else report.remarks
        number = f"{len(failed)} of {len(found)} runs failed" if len(found) > 1 else "failed"
        sentences.append(f"goodput, {work.name}, {name} {number}: {failed[0]}")


def _compare(report: Report, table: Table, work: Workload, baud: int, size: int) -> None:
    cells, file, byte_rate = table.rows[work.name], content(work, size, 1), baud / 10
    target = work.targets.get(baud)
    table.add(
        work.name,
        ideal=ideal(work, repair=False, content=file, byte_rate=byte_rate),
        repaired=ideal(work, repair=True, content=file, byte_rate=byte_rate),
        target=target,
    )
    for name in _LINESYNC:
        value = cells.get(name)
        if target is not None and value is not None:
            reached = value if isinstance(value, float) else 0.0
            report.target(f"goodput at {baud}, {work.name}, {name}", reached, ">=", target)
    suffix = cells.get("resumes_after_s")
    if work.resumes is not None and isinstance(suffix, float):
        report.target(
            f"{work.name} at {baud}: the file continues after", suffix * 1000, "<=", work.resumes * 1000, "ms"
        )


# -- one transfer ------------------------------------------------------------------------------------------------------


def _transfer(name: str, work: Workload, baud: int, size: int, seed: int) -> _Result:
    with tempfile.TemporaryDirectory(prefix="linesync-bench-") as folder:
        file = Path(folder, "blob")
        try:
            file.write_bytes(content(work, size, seed))
        except BenchError as error:
            return _Result(0.0, str(error))
        ideal_time = file.stat().st_size / (baud / 10)
        if name in _LINESYNC:
            copy = _by_command if name == "cp" else _by_client
            return _transfer_by_linesync(copy, file, work, baud, seed, 30 + _TIMEOUT_FACTOR * ideal_time)
        rival = {"kermit": work.kermit, "uucp": work.uucp}.get(name, name)
        return _transfer_by_rival(rival, file, work, baud, seed, 30 + 4 * ideal_time)


def _transfer_by_rival(name: str, file: Path, work: Workload, baud: int, seed: int, timeout: float) -> _Result:
    missing = why_missing(name)
    if missing:
        return _Result(0.0, missing, absent=True)

    def attempt() -> Outcome:
        return transfer(name, file, baud=baud, faults=work.faults, seed=seed, timeout=timeout, cut=work.cut)

    outcome = attempt()
    stuck = outcome.why.startswith("not done") and name.startswith("kermit") and work.faults.ber < 1e-5
    if stuck:  # the length of the file's last packet may be the cause: see RIVALS
        file.write_bytes(file.read_bytes()[:-100])
        outcome = attempt()
    return _Result(outcome.rate, " ".join(outcome.why.split())[:160], f"({name}, {outcome.seconds:.1f} s)")


Copy = Callable[[LineSystem, Path, Path, float], None]


def _transfer_by_linesync(copy: Copy, file: Path, work: Workload, baud: int, seed: int, timeout: float) -> _Result:
    try:
        with LineSystem(baud=baud, faults=work.faults, seed=seed) as system:
            assert system.cable is not None
            target = system.folder / "arrived"
            frame = system.frames()
            before = system.passed()["ab"]["bytes_in"]
            began = time.monotonic()
            with CutOff(system.cable, work.cut, arrived_bytes_of_copy(target)) if work.cut else nullcontext() as cut:
                copy(system, file, target, timeout)
                seconds = time.monotonic() - began
            sent = system.passed()["ab"]["bytes_in"] - before
            repeated = max((link.session.repeated for link in system.links() if link.session), default=0)
            if _digest(target) != _digest(file):
                return _Result(0.0, "the received file differs from the sent file")
    except (BenchError, LinesyncError, OSError, subprocess.SubprocessError) as error:
        return _Result(0.0, " ".join(str(error).split())[:300])
    detail = (
        f"({seconds:.2f} s, {sent} bytes for {file.stat().st_size}: {sent / seconds / system.byte_rate:.3f} of the"
        f" line used, frames agreed {frame}, {repeated} repeated)"
    )
    rate = file.stat().st_size / system.byte_rate / seconds
    return _Result(rate, "", detail, resumed=cut.resumed if cut else None)


def _by_command(system: LineSystem, file: Path, target: Path, timeout: float) -> None:
    try:
        timed([*linesync_command(), "--hub", system.hub, "cp", str(file), f"{HOST}:{target}"], timeout)
    except subprocess.CalledProcessError as error:
        raise BenchError(f"linesync cp: {error.stderr.decode(errors='replace')}") from None


def _by_client(system: LineSystem, file: Path, target: Path, timeout: float) -> None:
    asyncio.run(asyncio.wait_for(_put(system, file, target), timeout))


async def _put(system: LineSystem, file: Path, target: Path) -> None:
    async with await linesync.connect(system.hub) as client:
        await client.put_file(str(file), HOST, str(target))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
