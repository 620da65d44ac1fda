"""Parts of interrupted copies belong to a record, are locked while a copy writes them, and expire."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linesync.jobs.files import parts
from linesync.jobs.files.parts import Part


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state" / "parts"


def make(folder: Path, data: bytes = b"part") -> Part:
    descriptor = os.open(folder, os.O_RDONLY)
    part = Part.create(str(folder / "target"), descriptor, 0o600)
    os.close(descriptor)
    assert part is not None
    os.write(part.descriptor, data)
    return part


def test_a_part_that_was_kept_is_found_with_its_size_and_digest(tmp_path: Path) -> None:
    make(tmp_path, b"abc").close()
    found = Part.find(str(tmp_path / "target"))
    assert found is not None and found.size == 3
    assert found.read_hash().hexdigest().startswith("ba7816bf")
    assert Part.find(str(tmp_path / "other")) is None
    found.remove()
    assert os.listdir(tmp_path) == ["state"] and os.listdir(tmp_path / "state/parts") == []


def test_a_copy_that_does_not_continue_replaces_the_part(tmp_path: Path) -> None:
    make(tmp_path, b"old").close()
    part = make(tmp_path, b"new part")
    part.close()
    assert [path.read_bytes() for path in tmp_path.glob(".target.*")] == [b"new part"]


def test_a_part_that_another_copy_writes_is_not_used(tmp_path: Path) -> None:
    part = make(tmp_path)
    assert Part.find(str(tmp_path / "target")) is None
    descriptor = os.open(tmp_path, os.O_RDONLY)
    assert Part.create(str(tmp_path / "target"), descriptor, 0o600) is None
    os.close(descriptor)
    parts.expire(os.stat(tmp_path / part.name).st_mtime + 2 * parts.KEPT)
    assert (tmp_path / part.name).exists(), "a part that is being written does not expire"
    part.close()


def test_unused_parts_expire_with_their_records(tmp_path: Path, records: Path) -> None:
    part = make(tmp_path)
    part.close()
    now = os.stat(tmp_path / part.name).st_mtime
    parts.expire(now + parts.KEPT - 10)
    assert (tmp_path / part.name).exists()
    parts.expire(now + parts.KEPT + 10)
    assert not (tmp_path / part.name).exists() and os.listdir(records) == []


def test_a_record_cannot_remove_other_files(tmp_path: Path, records: Path) -> None:
    records.mkdir(parents=True)
    (tmp_path / "precious").write_bytes(b"x")
    (tmp_path / ".link.linesync").symlink_to(tmp_path / "precious")
    for number, name in enumerate(("precious", ".link.linesync")):
        (records / str(number)).write_bytes(os.fsencode(tmp_path / name))
        os.utime(records / str(number), (1, 1))
    parts.expire()
    assert (tmp_path / "precious").exists()


def test_a_part_in_another_folder_is_not_used(tmp_path: Path, records: Path) -> None:
    part = make(tmp_path)
    part.close()
    (record,) = records.iterdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / part.name).rename(tmp_path / "sub" / part.name)
    record.write_bytes(os.fsencode(tmp_path / "sub" / part.name))
    assert Part.find(str(tmp_path / "target")) is None
