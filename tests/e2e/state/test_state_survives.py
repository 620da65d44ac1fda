"""The hub's state when its process is killed, the power fails, a write or a sync fails, or the disk is full."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from linesync.errors import LinesyncFailed
from linesync.store.state import NotStored
from linesync.store.state_copy import check
from linesync.store.state_file import open_state
from tests.e2e.state import faulty_disk, killed_writer
from tests.effort import lives
from tests.real import require

ROOT = Path(__file__).resolve().parents[3]
RECORD = struct.Struct("QIIII")  # struct record in tools/shims/diskfaults.c
SECTOR = 512


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory in memory. A sync of a real disk takes longer, and these tests would not notice the difference."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(prefix="linesync-test-", dir=place) as name:
        yield Path(name)


def run(program: object, *words: object, shim: Path | None = None) -> list[str]:
    """Run a module as a program, and return its output."""
    env = os.environ | {"PYTHONPATH": str(ROOT)} | ({"LD_PRELOAD": str(shim)} if shim is not None else {})
    done = subprocess.run(
        [sys.executable, str(program.__file__), *map(str, words)],  # type: ignore[attr-defined]
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_killed_writer_loses_no_confirmed_commit(folder: Path) -> None:
    rounds, seed = lives(20, 1000, 20), int(os.environ.get("LINESYNC_SEED") or random.randrange(1 << 30))
    *wrong, last = run(killed_writer, folder, rounds, seed)
    assert not wrong, "\n".join([f"LINESYNC_SEED={seed}", *wrong])
    _, confirmed, _, at_work = last.split()
    assert int(confirmed) > rounds and int(at_work) >= rounds // 2


@pytest.mark.real
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
def test_the_file_has_all_confirmed_commits_after_any_single_write_or_sync_fails(
    folder: Path, shim: Path, number: int
) -> None:
    *wrong, last = run(faulty_disk, "fail", folder, number, shim=shim)
    assert not wrong, "\n".join(wrong)
    assert int(last.removeprefix("calls: ")) > 100


# -- a power failure --------------------------------------------------------------------------------------------------


class Disk:
    """The files that a log describes: the contents that are certainly on the disk, and the writes after the last sync."""

    def __init__(self) -> None:
        self._synced: dict[str, bytes] = {}
        self._later: dict[str, list[tuple[str, int, bytes]]] = {}

    def apply(self, kind: str, path: str, offset: int, data: bytes) -> None:
        """Apply one record of the log. Changes of names are on the disk immediately."""
        later = self._later.setdefault(path, [])
        if kind in "wt":
            later.append((kind, offset, data))
        elif kind == "s":
            self._synced[path] = self._content(path, later)
            later.clear()
        elif kind == "u":
            self._synced.pop(path, None)
            later.clear()
        elif kind == "r":
            self._later[data.decode()] = self._later.pop(path)
            self._synced[data.decode()] = self._synced.pop(path, b"")

    def _content(self, path: str, changes: list[tuple[str, int, bytes]]) -> bytes:
        content = bytearray(self._synced.get(path, b""))
        for kind, offset, data in changes:
            if kind == "t":
                del content[offset:]
                content.extend(bytes(offset - len(content)))
            else:
                content.extend(bytes(max(offset - len(content), 0)))
                content[offset : offset + len(data)] = data
        return bytes(content)

    def lose_power(self, chance: random.Random, share: float, folder: Path) -> None:
        """Put the files into a directory as they may be after a power failure.

        :param share: the share of the writes that were not synced and are nevertheless on the disk. Some of these are incomplete.
        """
        for path in {*self._synced, *self._later}:
            kept = []
            for kind, offset, data in self._later.get(path, []):
                if chance.random() < share:
                    torn = share < 1 and len(data) > SECTOR and chance.random() < 0.3
                    kept.append((kind, offset, data[: chance.randrange(0, len(data), SECTOR)] if torn else data))
            content = self._content(path, kept)
            if path in self._synced or content:
                (folder / Path(path).name).write_bytes(content)


def records(log: bytes) -> Iterator[tuple[str, str, int, bytes]]:
    """The kind, the path, the offset and the data of each record."""
    position = 0
    while position < len(log):
        offset, path, data, kind, _ = RECORD.unpack_from(log, position)
        position += RECORD.size
        yield chr(kind), log[position : position + path].decode(), offset, log[position + path : position + path + data]
        position += path + data


@pytest.mark.real
def test_a_power_failure_at_any_write_loses_no_confirmed_commit(folder: Path, shim: Path) -> None:
    seed = int(os.environ.get("LINESYNC_SEED") or random.randrange(1 << 30))
    chance = random.Random(seed)
    first, log, after = folder / "first", folder / "log", folder / "after"
    first.mkdir()
    run(faulty_disk, "record", first, log, shim=shim)
    disk, confirmed, points = Disk(), [], 0
    for kind, path, offset, data in records(log.read_bytes()):
        if kind == "m":
            confirmed.append(offset)
            continue
        disk.apply(kind, path, offset, data)
        points += 1
        for share in (0.0, 1.0, *[0.5] * lives(4, 100, 1)):
            after.mkdir()
            disk.lose_power(chance, share, after)
            wrong = faulty_disk.problem(f"{after}/hub.db", confirmed, [])
            assert not wrong, f"LINESYNC_SEED={seed}: after record {points} with a share of {share}: {wrong}"
            shutil.rmtree(after)
    assert points > 100 and confirmed == list(range(faulty_disk.COMMITS))


# -- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two MiB."""
    require("mount", "umount")
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill_up(path: Path) -> None:
    """Write a file until the disk is full."""
    with open(path, "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert not os.statvfs(path).f_bfree


@pytest.mark.real
def test_a_full_disk_refuses_commits_until_space_is_free(small_disk: Path) -> None:
    path, ballast = small_disk / "hub.db", small_disk / "ballast"

    async def main() -> list[str]:
        state, _ = await open_state(str(path))
        stored = []
        for number in range(3):
            await state.commit([("a", f"before-{number}", f'"{"x" * 5_000}"')])
            stored.append(f"before-{number}")
            fill_up(ballast)
            for attempt in range(3):
                commits = [state.commit([("a", f"lost-{attempt}-{row}", f'"{"x" * 50_000}"')]) for row in range(3)]
                for commit in commits:
                    with pytest.raises(NotStored, match=f"the hub's disk is full, .* {path}"):
                        await commit
            assert state.failed is None
            ballast.unlink()
        fill_up(ballast)
        await state.close()
        state, rows = await open_state(str(path))
        assert [key for _, key, _ in rows] == stored
        with pytest.raises(NotStored):
            await state.commit([("a", "lost", f'"{"x" * 50_000}"')])
        await state.close()
        ballast.unlink()
        return stored

    stored = asyncio.run(main())
    assert check(str(path)).rows == len(stored)


@pytest.mark.real
def test_a_file_that_does_not_fit_on_the_disk_is_not_created(small_disk: Path) -> None:
    fill_up(small_disk / "ballast")
    with pytest.raises(LinesyncFailed, match=r"hub\.db.*(disk is full|No space left)"):
        asyncio.run(open_state(f"{small_disk}/hub.db"))
    assert os.listdir(small_disk) == ["ballast"]
