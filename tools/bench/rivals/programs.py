"""The rivals for file transfers, and their commands to send one file from end a to end b of a null modem."""

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
_UUCP_WINDOW = 16  # packets: the maximum of Taylor UUCP ("Illegal protocol 'i' window size; using 16")
_UUCP_PACKET = 256  # bytes; short, because on a line with errors each lost packet is sent again


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A transfer to run."""

    file: Path
    """The file to send. Its name is ``received``, and it is not in ``directory``."""
    directory: Path
    """The directory in which the file must arrive. It may also contain scripts and configuration files."""
    cable: NullModem
    baud: float


def _nothing(job: Job) -> None:
    """Do nothing, because most rivals need no preparation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """The commands of a rival at both ends."""

    programs: tuple[str, ...]
    """The programs that must be installed, by name or by path."""
    package: str
    """The Debian package of these programs."""
    send: Callable[[Job], list[str]]
    """Returns the sender's argv. It runs in the job's directory, and the file must arrive there as ``received``."""
    receive: Callable[[Job], list[str]]
    """Returns the receiver's argv. It runs in the job's directory."""
    on_stdio: frozenset[str] = frozenset()
    """The programs (``sender``, ``receiver``) that use the line as stdin and stdout. The others open the device themselves."""
    prepare: Callable[[Job], None] = _nothing
    """Prepares the transfer. Its time does not count."""


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


# -- UUCP --------------------------------------------------------------------------------------------------------------


def _uucp_prepare(job: Job, protocol: str) -> None:
    """Create a directory with all files of each end, and put the file into the sender's queue.

    The installed programs are setuid and therefore ignore a preloaded shim. Copies of the programs use the shim. If root
    starts a copy, it still changes to the user uucp, so all users must be able to write into these directories.
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
    for directory in (folder, folder / "spool", folder / "public"):
        directory.mkdir()
        directory.chmod(0o777)
    files_by_key = {"spool": "spool", "pubdir": "public", "logfile": "Log", "statfile": "Stats", "debugfile": "Debug"}
    files_by_key |= {f"{kind}file": kind for kind in ("sys", "port", "dial", "call", "passwd", "dialcode")}
    config = [
        f"nodename {name}",
        f"lockdir {folder}",
        *(f"{key} {folder}/{place}" for key, place in files_by_key.items()),
    ]
    sizes = [("window", _UUCP_WINDOW), ("packet-size", _UUCP_PACKET)]
    parameters = [
        f"protocol-parameter {protocol} {prefix}{name} {size}" for prefix in ("", "remote-") for name, size in sizes
    ]
    allowed = [f"{side}-{action} /" for side in ("local", "remote") for action in ("send", "receive")]
    system = [f"system {other}", "time any", "port line", port[1], 'chat ""', "called-login ANY", *allowed]
    files = {
        "config": config,
        "sys": [*system, f"protocol {protocol}", *parameters],
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
        on_stdio=frozenset({"receiver"}),  # a getty also starts the receiver with the line as stdin and stdout
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
"""The rivals by name.

``kermit`` escapes every byte that may cause trouble on an unknown line. ``kermit-tight`` escapes only the bytes that Kermit
reserves, which is its best setting for a clean 8-bit line. ``kermit-cautious`` has C-Kermit's CAUTIOUS parameters for poor
lines. ``kermit-7bit`` encodes the eighth bit. If the last packet of a file has exactly 95 bytes, its length byte is not a
printable character, and C-Kermit 10 never ends. Such a run ends at the timeout. A file of another length avoids this. ``uucp``
is protocol 'i'; ``uucp-j`` is protocol 'j', which avoids the bytes XON and XOFF. The time of both includes the 2 s for which
uucico sleeps before it closes its port.
"""
