"""The rivals: which programs they are and how each is told to carry one file from end a to end b of a null modem."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from linesync.testing.nullmodem import NullModem

__all__ = ["RIVALS", "Job", "Rival"]

_UUCICO = "/usr/lib/uucp/uucico"
_UUCP_WINDOW = 16  # packets: the most that Taylor UUCP takes ("Illegal protocol 'i' window size; using 16")
_UUCP_PACKET = 256  # bytes: what suits a line with errors; a packet that is lost costs itself alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One transfer to be run."""

    file: Path
    """What to send; its name is ``received``, in another directory than ``directory``."""
    directory: Path
    """Where it must arrive, and where scripts may be put."""
    cable: NullModem
    baud: float


def _nothing(job: Job) -> None:
    """Most need no preparation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """How to run one program at both ends."""

    programs: tuple[str, ...]
    """What must be there, by name or by path."""
    package: str
    """The Debian package that has them."""
    send: Callable[[Job], list[str]]
    """The sender's argv, run in the job's directory; the file must arrive there as ``received``."""
    receive: Callable[[Job], list[str]]
    """The receiver's argv, run in the job's directory."""
    on_stdio: frozenset[str] = frozenset()
    """Which of ``sender`` and ``receiver`` speaks on stdin and stdout; else it opens the device itself."""
    prepare: Callable[[Job], None] = _nothing
    """Called before, off the clock."""


def _kermit(*, prefixing: str, window: int, length: int, parity: str = "none") -> Rival:
    def script(job: Job, device: str, action: str) -> list[str]:
        lines = (
            "set carrier-watch off",
            f"set line {device}",
            f"set speed {job.baud:.0f}",
            "set flow none",
            f"set parity {parity}",
            "set file type binary",
            "set transfer mode manual",
            "set transfer display none",
            "set streaming off",
            "set reliable off",
            "set block 3",
            "set retry 50",
            f"set prefixing {prefixing}",
            f"set window {window}",
            f"set receive packet-length {length}",
            f"set send packet-length {length}",
            action,
            "exit \\v(status)",
        )
        path = job.directory / f"{action.split()[0]}.ksc"
        path.write_text("\n".join(lines) + "\n")
        return ["kermit", str(path), "-Y"]

    return Rival(
        programs=("kermit",),
        package="ckermit",
        send=lambda job: script(job, job.cable.a, f"send {job.file}"),
        receive=lambda job: script(job, job.cable.b, "receive"),
    )


# -- UUCP -------------------------------------------------------------------------------------------------------------


def _uucp_prepare(job: Job, protocol: str) -> None:
    """A directory for each end with all that it reads and writes, and the file in the sender's queue.

    The installed programs are setuid, which keeps a preloaded shim out; copies are not. Started by root they give
    themselves the user uucp all the same, so that everybody must be able to write here.
    """
    root = job.directory
    for program in (_UUCICO, shutil.which("uucp") or "uucp"):
        copy = root / Path(program).name
        shutil.copyfile(program, copy)
        copy.chmod(0o755)
    for name, other, device in (("near", "far", job.cable.a), ("far", "near", job.cable.b)):
        _uucp_end(root / name, name, other, [f"device {device}", f"speed {job.baud:.0f}"], protocol)
        os.chmod(device, 0o666)
    for folder in (root, root.parent):
        folder.chmod(0o777)
    words = ["-r", "-C", "-I", "near/config", str(job.file), f"far!{root}/received"]
    subprocess.run([root / "uucp", *words], cwd=root, check=True, timeout=20, capture_output=True)


def _uucp_end(folder: Path, name: str, other: str, port: list[str], protocol: str) -> None:
    for made in (folder, folder / "spool", folder / "public"):
        made.mkdir()
        made.chmod(0o777)
    places = {"spool": "spool", "pubdir": "public", "logfile": "Log", "statfile": "Stats", "debugfile": "Debug"}
    places |= {f"{kind}file": kind for kind in ("sys", "port", "dial", "call", "passwd", "dialcode")}
    config = [f"nodename {name}", f"lockdir {folder}", *(f"{key} {folder}/{place}" for key, place in places.items())]
    sizes = [("window", _UUCP_WINDOW), ("packet-size", _UUCP_PACKET)]
    asked = [f"protocol-parameter {protocol} {who}{what} {size}" for who in ("", "remote-") for what, size in sizes]
    allowed = [f"{where}-{what} /" for where in ("local", "remote") for what in ("send", "receive")]
    system = [f"system {other}", "time any", "port line", port[1], 'chat ""', "called-login ANY", *allowed]
    files = {
        "config": config,
        "sys": [*system, f"protocol {protocol}", *asked],
        "port": ["port line", "type direct", *port, "carrier false"],
        **{empty: [] for empty in ("dial", "call", "passwd", "dialcode")},
    }
    for file, lines in files.items():
        (folder / file).write_text("".join(f"{line}\n" for line in lines))


def _uucp(protocol: str) -> Rival:
    return Rival(
        programs=("uucp", _UUCICO),
        package="uucp",
        prepare=lambda job: _uucp_prepare(job, protocol),
        on_stdio=frozenset({"receiver"}),  # as a getty would have started it, without a login
        send=lambda job: ["./uucico", "-I", "near/config", "-s", "far", "-D"],
        receive=lambda job: ["./uucico", "-I", "far/config", "-q"],
    )


RIVALS: dict[str, Rival] = {
    "zmodem": Rival(
        programs=("sz", "rz"),
        package="lrzsz",
        on_stdio=frozenset({"sender", "receiver"}),
        send=lambda job: ["sz", "-b", "-q", str(job.file)],
        receive=lambda job: ["rz", "-b", "-q", "-y"],
    ),
    "kermit": _kermit(prefixing="cautious", window=30, length=4000),
    "kermit-tight": _kermit(prefixing="minimal", window=30, length=4000),
    "kermit-cautious": _kermit(prefixing="cautious", window=4, length=1000),
    "kermit-7bit": _kermit(prefixing="cautious", window=30, length=4000, parity="space"),
    "uucp": _uucp("i"),
    "uucp-j": _uucp("j"),
}
"""By name. ``kermit`` prefixes what may harm on a line nobody knows; ``kermit-tight`` only what harms Kermit
itself, and is its best on a clean 8-bit line; ``kermit-cautious`` is C-Kermit's own CAUTIOUS set for doubtful
lines; ``kermit-7bit`` shifts the eighth bit. C-Kermit 10 never ends when a file's last packet comes to
exactly 95 bytes (its length byte is then no printable character): such a run ends by the timeout, and another
file or length avoids it. ``uucp`` is protocol 'i', ``uucp-j`` the same with XON and XOFF avoided; uucico sleeps 2 s
before it closes its port, and that is part of its time."""
