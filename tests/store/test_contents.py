"""The index of contents is bounded, survives its process, and tolerates a damaged file."""

from __future__ import annotations

from pathlib import Path

import pytest

from linesync.store import contents
from linesync.store.contents import Contents


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_contents_are_found_by_size_and_by_the_start_of_their_digest(tmp_path: Path) -> None:
    index = Contents(str(tmp_path / "deep" / "contents"))
    index.add([(digest(1), 5000, "/a"), (digest(2), 100, "/small"), (digest(3), 6000, "/with\nnewline")])
    index.add([(digest(1), 5000, "/b c")])
    for found in (index, Contents(str(tmp_path / "deep" / "contents"))):
        assert found.has_size(5000) and not found.has_size(100) and not found.has_size(6000)
        assert found.find(digest(1)[:16], 5000) == "/b c" and found.find(b"\xff" * 16, 5000) is None


def test_only_the_last_contents_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "BOUND", 10)
    index = Contents(str(tmp_path / "contents"))
    for number in range(100):
        index.add([(digest(number), 5000 + number, f"/{number}")])
    assert [number for number in range(100) if index.has_size(5000 + number)] == list(range(90, 100))
    assert len((tmp_path / "contents").read_bytes().splitlines()) <= 20
    assert [number for number in range(100) if Contents(str(tmp_path / "contents")).has_size(5000 + number)] == list(
        range(90, 100)
    )


def test_damaged_lines_are_ignored(tmp_path: Path) -> None:
    lines = [
        b"",
        b"x",
        b"zz 5 /a",
        b"0" * 64 + b" x /a",
        b"g" * 64 + b" 5000 /a",
        digest(7).hex().encode() + b" 7000 /ok",
    ]
    (tmp_path / "contents").write_bytes(b"\n".join(lines) + b"\n\xff\xff")
    index = Contents(str(tmp_path / "contents"))
    assert index.find(digest(7), 7000) == "/ok" and not index.has_size(5000)


def test_without_a_folder_the_index_only_lives_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    index = Contents(str(tmp_path / "file" / "contents"))
    index.add([(digest(1), 5000, "/a")])
    assert index.has_size(5000)
