"""The copy of a tree of small files on a line, compared with ``tar z | sz``, and a second copy of the unchanged tree.

The tree has files of source text of this machine's Python, of about 1 KB each. The time of ``linesync cp -r`` is from the start
of the command to its end. The time of the rival includes ``tar cz``, the transfer by ZMODEM and ``tar xz``.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from ..page.report import Report, progress
from ..rivals.transfer import transfer, why_missing
from ..testbed.process_time import timed
from ..testbed.system import HOST, BenchError, LineSystem, linesync_command

__all__ = ["trees"]

_SIZE = 1000  # the mean size of a file in bytes
_IN_FOLDER = 50  # files
_FASTER = 1.2  # the target: the time of the rival divided by the time of linesync
_AGAIN = 3000  # the target: the bytes of a second copy on the line


def trees(report: Report, *, files: int, baud: int = 115200) -> None:
    """Measure, and add a table to the report.

    :param files: the number of files.
    """
    table = report.table("trees", f"A tree of {files:,} files of source text, about 1 KB each, at {baud} baud")
    table.notes = [
        "cp -r: `linesync cp -r`, from the start of the command to its end; tar z, sz: `tar cz`, `sz -b`, and `tar xz`",
        "again: the bytes of a second `linesync cp -r` of the unchanged tree on the line, in both directions",
    ]
    with tempfile.TemporaryDirectory(prefix="linesync-bench-") as folder:
        tree = Path(folder, "tree")
        size = _make(tree, files)
        row = f"{files:,} files, {size:,} bytes"
        seconds, again = _by_linesync(tree, baud)
        progress(f"trees: cp -r {seconds:.2f} s, and {again} bytes for the second copy")
        table.add(row, cp_r_seconds=seconds, again_bytes=again)
        report.target("second cp -r of an unchanged tree, bytes on the line", again, "<=", _AGAIN, "bytes")
        missing = why_missing("zmodem")
        if missing:
            report.remarks.append(f"trees: {missing}")
            return
        rival = _by_tar(tree, Path(folder), baud)
        progress(f"trees: tar z, sz {rival:.2f} s")
        table.add(row, tar_z_sz_seconds=rival, ratio=rival / seconds)
        report.target("cp -r of small files, compared with tar z and sz", rival / seconds, ">=", _FASTER)


def _make(tree: Path, files: int) -> int:
    """Make the tree. Returns the number of bytes."""
    library = Path(os.__file__).parent
    text = b"".join(path.read_bytes() for path in sorted(library.glob("*.py")))
    sizes, at = random.Random(1), 0
    for number in range(files):
        folder = tree / f"package_{number // _IN_FOLDER}"
        folder.mkdir(parents=True, exist_ok=True)
        size = sizes.randrange(_SIZE // 2, _SIZE * 3 // 2)
        (folder / f"module_{number}.py").write_bytes(text[at : at + size])
        at += size
    return at


def _by_linesync(tree: Path, baud: int) -> tuple[float, int]:
    """The seconds of a copy, and the bytes of a second copy on the line."""
    with LineSystem(baud=baud) as system:
        target = system.folder / "arrived"
        system.frames()
        command = [*linesync_command(), "--hub", system.hub, "cp", "-r", f"{tree}/.", f"{HOST}:{target}"]
        try:
            began = time.monotonic()
            timed(command, 300)
            seconds = time.monotonic() - began
            _compare(tree, target)
            before = system.passed()
            timed(command, 60)
            after = system.passed()
        except subprocess.CalledProcessError as error:
            raise BenchError(f"linesync cp -r: {error.stderr.decode(errors='replace')}") from None
        return seconds, sum(after[way]["bytes_in"] - before[way]["bytes_in"] for way in ("ab", "ba"))


def _by_tar(tree: Path, folder: Path, baud: int) -> float:
    """The seconds of ``tar cz``, ``sz`` and ``tar xz``."""
    packed, there = folder / "tree.tar.gz", folder / "there"
    there.mkdir()
    began = time.monotonic()
    subprocess.run(["tar", "czf", packed, "-C", tree, "."], check=True, timeout=60)
    packing = time.monotonic() - began
    outcome = transfer("zmodem", packed, baud=baud)
    if not outcome.ok:
        raise BenchError(f"sz: {outcome.why}")
    began = time.monotonic()
    subprocess.run(["tar", "xzf", packed, "-C", there], check=True, timeout=60)
    unpacking = time.monotonic() - began
    _compare(tree, there)
    shutil.rmtree(there)
    return packing + outcome.seconds + unpacking


def _compare(left: Path, right: Path) -> None:
    found = subprocess.run(["diff", "-r", left, right], capture_output=True, timeout=60, check=False)
    if found.returncode:
        raise BenchError(f"the copy of the tree differs: {found.stdout[:200].decode(errors='replace')}")
