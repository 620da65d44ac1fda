"""Blobs: written once, read by many, and freed when they are not needed."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from linesync.errors import LinesyncFailed
from linesync.store.blobs import Blob, Blobs


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def filled(blobs: Blobs, data: bytes) -> Blob:
    blob = blobs.reserve(len(data))
    blob.append(data)
    return blob


@pytest.mark.parametrize("in_memory", [0, 1 << 20], ids=["on disk", "in memory"])
def test_appended_bytes_can_be_read_at_any_offset(in_memory: int) -> None:
    blobs = Blobs(in_memory=in_memory)
    data = random.Random(1).randbytes(100_000)
    blob = blobs.reserve(len(data))
    assert blob.in_memory is bool(in_memory)
    for start in range(0, len(data), 777):
        assert not blob.complete
        blob.append(data[start : start + 777])
    assert blob.complete and blob.written == blob.size == len(data)
    for offset, count in [(0, 10), (99_990, 100), (50_000, 20_000), (100_000, 5), (200_000, 5)]:
        assert blob.read(offset, count) == data[offset : offset + count]
    blobs.close()


def test_readers_do_not_affect_each_other_or_the_writer() -> None:
    blobs = Blobs(in_memory=0)
    data = random.Random(2).randbytes(30_000)
    blob = blobs.reserve(len(data))
    seen: list[bytes] = [b"", b"", b""]
    for start in range(0, len(data), 1000):
        blob.append(data[start : start + 1000])
        for reader, step in enumerate((500, 1000, 3000)):
            seen[reader] += blob.read(len(seen[reader]), step)
    seen[0] += blob.read(len(seen[0]), len(data))
    assert seen == [data] * 3
    blobs.close()


def test_only_small_blobs_stay_in_memory_and_only_while_there_is_room() -> None:
    blobs = Blobs(in_memory=100, memory=250)
    assert [blobs.reserve(size).in_memory for size in (100, 101, 100, 100, 50, 1, 0)] == [
        True,
        False,
        True,
        False,
        True,
        False,
        True,
    ]
    blobs.close()
    assert blobs.reserve(100).in_memory, "memory that was freed is used again"
    blobs.close()


def test_the_bound_counts_reserved_bytes_until_they_are_freed() -> None:
    blobs = Blobs(bound=1000)
    first = blobs.reserve(600)
    with pytest.raises(LinesyncFailed, match="no space for 401 more bytes: exchanges use 600 of its 1,000"):
        blobs.reserve(401)
    second = blobs.reserve(400)
    blobs.drop(first.number)
    assert blobs.used == 400 and len(blobs) == 1
    blobs.reserve(600)
    blobs.drop(second.number)
    blobs.drop(second.number)
    assert blobs.used == 600


def test_more_bytes_than_announced_are_refused_and_not_kept() -> None:
    blob = filled(Blobs(), b"12345")
    with pytest.raises(LinesyncFailed, match="announced"):
        blob.append(b"6")
    assert blob.read(0, 10) == b"12345"


@pytest.mark.parametrize("in_memory", [0, 100], ids=["on disk", "in memory"])
def test_a_dropped_blob_keeps_its_bytes_until_its_last_reader_is_done(in_memory: int) -> None:
    before = open_files()
    blobs = Blobs(in_memory=in_memory)
    blob = filled(blobs, b"abc")
    with Blob.reading([blob]):
        with Blob.reading([blob]):
            blobs.drop(blob.number)
            assert blobs.get(blob.number) is None
        assert blob.read(1, 2) == b"bc" and blobs.used == 3, "its space is reserved as long as it has a reader"
    assert blobs.used == 0 and open_files() == before
    with pytest.raises(LinesyncFailed, match="no longer has this data"):
        blob.read(0, 1)


def test_a_blob_that_is_dropped_while_it_is_filled_discards_further_bytes() -> None:
    before = open_files()
    blobs = Blobs(in_memory=0)
    blob = blobs.reserve(10)
    blob.append(b"12345")
    blobs.drop(blob.number)
    blob.append(b"67890")
    assert open_files() == before and blobs.used == 0


def test_temporary_files_have_no_name(tmp_path: Path) -> None:
    blobs = Blobs(in_memory=0, folder=str(tmp_path))
    blob = filled(blobs, b"x" * 10_000)
    assert list(tmp_path.iterdir()) == [] and blob.read(0, 1) == b"x"
    blobs.close()


def test_an_unusable_directory_is_named_in_the_error(tmp_path: Path) -> None:
    blobs = Blobs(in_memory=0, folder=str(tmp_path / "gone"))
    blob = blobs.reserve(5)
    with pytest.raises(
        LinesyncFailed, match=r"cannot store exchanged data in .*/gone: No such file or directory.*TMPDIR"
    ):
        blob.append(b"12345")
    assert blob.written == 0
    blobs.close()
    assert blobs.used == 0 and len(blobs) == 0


def test_a_full_disk_is_reported_with_its_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blobs = Blobs(in_memory=0, folder=str(tmp_path))
    blob = blobs.reserve(10)

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(LinesyncFailed, match=rf"in {tmp_path}: No space left on device; free space there"):
        blob.append(b"12345")
    assert blob.written == 0
    blobs.close()
    assert blobs.used == 0


def test_short_writes_are_continued_until_all_bytes_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs(in_memory=0)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:7])))
    assert filled(blobs, b"0123456789" * 5).read(0, 100) == b"0123456789" * 5
    blobs.close()


def test_an_empty_blob_is_complete_immediately() -> None:
    blobs = Blobs(in_memory=0)
    blob = blobs.reserve(0)
    assert blob.complete and blob.read(0, 10) == b""
    blobs.close()
