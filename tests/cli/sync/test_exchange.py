"""The output of ``linesync exchange``, and the files that it writes to a directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from linesync.cli import common, progress
from linesync.cli.sync import exchange
from linesync.errors import LinesyncFailed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def test_utf_8_is_printed_as_text_and_other_bytes_as_base64() -> None:
    assert common.bytes_as_json("ünï".encode()) == "ünï"
    assert common.bytes_as_json(b"\xff\x00") == {"base64": "/wA="}


def test_a_short_transfer_prints_no_progress(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    phases = exchange._Phases()
    for phase in ("giving", "getting"):
        phases(phase, 1, 2)
        clock(0.6)
        phases(phase, 2, 2)
    phases.done()
    assert capsys.readouterr().err == ""


def test_a_long_transfer_prints_a_line_for_each_phase(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    phases = exchange._Phases()
    for phase in ("giving", "getting"):
        for done in range(5):
            phases(phase, done, 4)
            clock(0.6)
    phases.done()
    shown = capsys.readouterr().err
    assert shown.count("100%  4 of 4 bytes") == 2 and shown.count("\n") == 2 and shown.endswith("\n")


def test_files_get_their_names_only_when_all_are_complete(tmp_path: Path) -> None:
    folder = exchange._Folder(str(tmp_path / "deep" / "out"), "a,a#1")
    for member in ("a", "a#1"):
        with folder.file(member) as file:
            file.write(member.encode())
    out = tmp_path / "deep" / "out"
    assert not {"a", "a#1"} & {path.name for path in out.iterdir()}
    folder.commit()
    assert {path.name: path.read_text() for path in out.iterdir()} == {"a": "a", "a#1": "a#1"}


def test_discard_removes_the_temporary_files(tmp_path: Path) -> None:
    folder = exchange._Folder(str(tmp_path), "a")
    folder.file("a").close()
    folder.discard()
    folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_the_error_names_a_file_that_became_a_directory(tmp_path: Path) -> None:
    folder = exchange._Folder(str(tmp_path), "a")
    folder.file("a").close()
    (tmp_path / "a").mkdir()
    with pytest.raises(LinesyncFailed, match=f"cannot write {tmp_path}/a: it is a directory"):
        folder.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
