"""Transfers by ZMODEM, Kermit and UUCP on the same kind of line, for a comparison with linesync's goodput.

Each run creates a null modem, starts the receiver at end b and the sender at end a, and measures the time from the start of
the first program to the end of the last program. The time of a transfer therefore includes start-up, negotiation and closing.
A transfer counts only if the received file has the SHA-256 of the sent file.

On a pty, these programs need the preloaded shim ``tools/shims/notcflush.c``. A comment in the shim explains why.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from linesync.testing.faults import Faults
from linesync.testing.nullmodem import NullModem

from ..testbed.cable_cut import Cut, CutOff
from ..testbed.process_time import wait_exactly
from .programs import RIVALS, Job, Rival

__all__ = ["RIVALS", "Job", "Outcome", "Rival", "transfer", "why_missing"]

_SHIM = Path(__file__).resolve().parents[2] / "shims" / "notcflush.c"
_LOG_TAIL = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one transfer."""

    seconds: float
    """The time from the start of the first program to the end of the last program, or to the timeout."""
    ok: bool
    """Whether the file arrived with the SHA-256 of the original."""
    rate: float
    """Payload divided by the line's physical rate, 0 to 1; 0 if the transfer failed."""
    why: str
    """The reason of a failure; empty if the transfer succeeded."""


def why_missing(name: str) -> str | None:
    """The reason why a rival cannot run on this machine; None if it can run."""
    rival = RIVALS[name]
    for program in rival.programs:
        if not (os.access(program, os.R_OK) if program.startswith("/") else shutil.which(program)):
            return f"{name} needs {program}; install the package {rival.package}"
    if not shutil.which("gcc"):
        return f"{name} needs a shim on a pty, and gcc to build the shim; install the package gcc"
    return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and the processes that it has started, which are in its process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _run(rival: Rival, job: Job, timeout: float, cut: Cut | None) -> tuple[float, str]:
    """Run both programs.

    :return: the time in seconds, and an error if the programs did not end in time, else an empty string.
    """
    shim = job.directory / "notcflush.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", shim, _SHIM], check=True, timeout=60)
    rival.prepare(job)
    started: list[subprocess.Popen[bytes]] = []
    began = time.monotonic()
    try:
        with CutOff(job.cable, cut) if cut else nullcontext():
            started.append(_start(rival, job, "receiver", shim))
            started.append(_start(rival, job, "sender", shim))
            for process in reversed(started):
                wait_exactly(process, max(0.1, began + timeout - time.monotonic()))
    except subprocess.TimeoutExpired:
        return time.monotonic() - began, f"not done after {timeout:.0f} s"
    finally:
        seconds = time.monotonic() - began
        for process in started:
            _kill(process)
    return seconds, ""


def _start(rival: Rival, job: Job, role: str, shim: Path) -> subprocess.Popen[bytes]:
    argv, device = (rival.send(job), job.cable.a) if role == "sender" else (rival.receive(job), job.cable.b)
    with (
        (job.directory / f"{role}.log").open("wb") as log,
        open(os.open(device, os.O_RDWR | os.O_NOCTTY), "r+b", buffering=0) as end,
    ):
        return subprocess.Popen(
            argv,
            cwd=job.directory,
            env={**os.environ, "LD_PRELOAD": str(shim)},
            stdin=end if role in rival.on_stdio else subprocess.DEVNULL,
            stdout=end if role in rival.on_stdio else log,
            stderr=log,
            start_new_session=True,
        )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def transfer(
    name: str,
    file: Path,
    *,
    baud: float = 115200,
    faults: Faults | None = None,
    faults_ba: Faults | None = None,
    seed: int = 0,
    timeout: float | None = None,
    cut: Cut | None = None,
) -> Outcome:
    """Transfer ``file`` from end a to end b of a null modem.

    :param name: one of :data:`RIVALS`; :func:`why_missing` must return None for it.
    :param baud: the rate of the line.
    :param faults: the faults of the cable; :class:`NullModem` describes this parameter, ``faults_ba`` and ``seed``.
    :param timeout: the seconds after which both programs are killed; None for 30 s plus four times the ideal time.
    :param cut: the time and the duration for which the cable is unplugged, or None.
    """
    ideal = file.stat().st_size / (baud / 10)
    limit = 30 + 4 * ideal if timeout is None else timeout
    with (
        tempfile.TemporaryDirectory(prefix="rivals-") as root,
        NullModem(baud=baud, faults=faults, faults_ba=faults_ba, seed=seed) as cable,
    ):
        directory = Path(root, "there")
        directory.mkdir()
        sent, arrived = Path(root, "received"), directory / "received"
        shutil.copyfile(file, sent)
        job = Job(file=sent, directory=directory, cable=cable, baud=baud)
        seconds, why = _run(RIVALS[name], job, limit, cut)
        if not why and not arrived.exists():
            why = "nothing arrived"
        elif not why and _digest(arrived) != _digest(file):
            why = f"{arrived.stat().st_size} bytes arrived, and they differ from the sent bytes"
        if why:
            logs = [(directory / f"{role}.log").read_bytes()[-_LOG_TAIL:] for role in ("sender", "receiver")]
            why = f"{why} {b' / '.join(logs).decode(errors='replace')}".strip(" /\n")
    return Outcome(seconds=seconds, ok=not why, rate=0.0 if why else ideal / seconds, why=why)
