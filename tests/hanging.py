"""A file system that hangs on demand: a directory mounted through FUSE, on which a test can block each kind of call.

While the control directory has a file ``getattr``, ``open``, ``read``, ``create``, ``write``, ``fsync`` or ``rename``, calls
of that kind on the mount do not return. It is started as ``python -m tests.hanging FOLDER MOUNT CONTROL``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.real import require, wait_for

__all__ = ["Hanging", "hanging"]


@dataclass(frozen=True)
class Hanging:
    """The mount.

    :ivar mount: the mount point. Calls on its files can hang.
    :ivar folder: the directory with the same files. Calls on them never hang.
    """

    mount: Path
    folder: Path
    _control: Path

    @contextmanager
    def hang(self, kind: str) -> Iterator[None]:
        """Make calls of this kind hang until the end of the block."""
        (self._control / kind).touch()
        try:
            yield
        finally:
            (self._control / kind).unlink()

    def reached(self, kind: str) -> bool:
        """Whether a call of this kind has hung since the last :meth:`forget`."""
        return (self._control / f"{kind}.reached").exists()

    def forget(self, kind: str) -> None:
        """Forget that a call of this kind has hung."""
        (self._control / f"{kind}.reached").unlink(missing_ok=True)


@contextmanager
def hanging(place: Path) -> Iterator[Hanging]:
    """Mount the file system below ``place``. The test is skipped if this machine does not allow that."""
    require("fusermount3")
    pytest.importorskip("mfusepy")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is missing or not accessible")
    folder, mount, control = (place / name for name in ("folder", "mount", "control"))
    for directory in (folder, mount, control):
        directory.mkdir()
    argv = [sys.executable, "-m", "tests.hanging", str(folder), str(mount), str(control)]
    with open(place / "fuse.log", "wb") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=Path(__file__).parents[1]
        )
    try:
        wait_for(lambda: os.path.ismount(mount) or process.poll() is not None, "the mount")
        if process.poll() is not None:
            pytest.skip(f"this machine cannot mount FUSE: {(place / 'fuse.log').read_text()}")
        yield Hanging(mount, folder, control)
    finally:
        process.kill()  # this ends all calls that hang
        process.wait()
        fusermount = shutil.which("fusermount3")
        assert fusermount is not None
        subprocess.run([fusermount, "-u", "-z", str(mount)], check=False, stderr=subprocess.DEVNULL)


def _serve(folder: str, mount: str, control: str) -> None:
    import mfusepy

    def stop(kind: str) -> None:
        if os.path.exists(f"{control}/{kind}"):
            open(f"{control}/{kind}.reached", "w").close()
            while os.path.exists(f"{control}/{kind}"):
                time.sleep(0.02)

    class Files(mfusepy.Operations):  # type: ignore[misc]
        use_ns = True

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            stop("getattr")
            found = os.lstat(folder + path)
            keys = ("st_atime_ns", "st_ctime_ns", "st_gid", "st_mode", "st_mtime_ns", "st_nlink", "st_size", "st_uid")
            return {key.removesuffix("_ns"): getattr(found, key) for key in keys}

        def readdir(self, path: str, fh: int) -> Any:
            return [".", "..", *os.listdir(folder + path)]

        def mkdir(self, path: str, mode: int) -> int:
            os.mkdir(folder + path, mode)
            return 0

        def open(self, path: str, flags: int) -> int:
            stop("open")
            return os.open(folder + path, flags)

        def create(self, path: str, mode: int, fi: Any = None) -> int:
            stop("create")
            return os.open(folder + path, os.O_RDWR | os.O_CREAT, mode)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            stop("read")
            return os.pread(fh, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            stop("write")
            return os.pwrite(fh, data, offset)

        def fsync(self, path: str, datasync: int, fh: int) -> int:
            stop("fsync")
            os.fsync(fh)
            return 0

        def release(self, path: str, fh: int) -> int:
            os.close(fh)
            return 0

        def rename(self, old: str, new: str) -> int:
            stop("rename")
            os.rename(folder + old, folder + new)
            return 0

        def unlink(self, path: str) -> int:
            os.unlink(folder + path)
            return 0

        def chmod(self, path: str, mode: int) -> int:
            os.chmod(folder + path, mode)
            return 0

        def chown(self, path: str, uid: int, gid: int) -> int:
            os.chown(folder + path, uid, gid)
            return 0

    mfusepy.FUSE(Files(), mount, foreground=True, attr_timeout=0, entry_timeout=0)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
