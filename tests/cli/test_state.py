"""``linesync state``: check, export and import the state file of a hub that does not run."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from linesync.cli.main import main
from linesync.store.state_database import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    database = Database(str(tmp_path / "hub.db"))
    database.apply({("lock", "default/a"): '{"token":7}', ("lock", "default/b"): '{"token":8}'}, [(1, 0, b"data")])
    database.close()
    return tmp_path / "hub.db"


class StateCommand:
    """Runs ``linesync state`` with a text on stdin."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *words: str | Path, stdin: str = "") -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = main(["state", *map(str, words)])
        return code, *self._capsys.readouterr()


@pytest.fixture
def run_state(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> StateCommand:
    return StateCommand(capsys, monkeypatch)


def test_check_prints_one_line_about_the_content(run_state: StateCommand, path: Path) -> None:
    code, out, err = run_state("check", path)
    (line,) = out.splitlines()
    assert code == 0 and not err
    assert line.startswith(f"{path} is sound: state version 1 of the hub ")
    assert ", 2 rows, 1 blob with 4 bytes, written 2" in line


def test_check_prints_the_same_as_json(run_state: StateCommand, path: Path) -> None:
    code, out, _ = run_state("check", path, "--json")
    found = json.loads(out)
    assert code == 0
    assert list(found) == ["file", "version", "hub", "rows", "blobs", "blob_bytes", "written"]
    assert (found["file"], found["version"], found["rows"], found["blobs"], found["blob_bytes"]) == (
        str(path),
        1,
        2,
        1,
        4,
    )


def test_an_export_can_be_imported(run_state: StateCommand, path: Path, tmp_path: Path) -> None:
    code, exported, err = run_state("export", path)
    assert code == 0 and not err and len(exported.splitlines()) == 5
    other = tmp_path / "other.db"
    assert run_state("import", other, stdin=exported) == (
        0,
        f"created {other} with 2 rows and 1 piece of blobs\n",
        "",
    )
    assert run_state("export", other) == (0, exported, "")
    code, out, _ = run_state("import", tmp_path / "third.db", "--json", stdin=exported)
    assert code == 0 and json.loads(out) == {"file": str(tmp_path / "third.db"), "rows": 2, "pieces": 1}


@pytest.mark.parametrize("action", ["check", "export"])
def test_a_file_that_a_hub_has_open_is_refused_with_its_pid(run_state: StateCommand, path: Path, action: str) -> None:
    database = Database(str(path))
    code, out, err = run_state(action, path, "--json")
    database.close()
    report = json.loads(err)
    assert code == report["exit_code"] == 125 and not out
    assert report["pid"] == os.getpid()
    assert report["message"] == (
        f"process {os.getpid()} has the state file {path} open; stop that hub first, or choose another file"
    )


def test_a_file_that_is_not_sound_is_named_with_exit_code_125(run_state: StateCommand, path: Path) -> None:
    path.write_bytes(b"hello")
    for action in ("check", "export"):
        code, out, err = run_state(action, path)
        assert code == 125 and not out
        assert err.startswith(f"linesync: {path} is not the state file of a hub: ") and err.count("\n") == 1
    assert os.listdir(path.parent) == ["hub.db"]


def test_import_refuses_an_existing_file_and_an_incomplete_text(
    run_state: StateCommand, path: Path, tmp_path: Path
) -> None:
    _, exported, _ = run_state("export", path)
    code, _, err = run_state("import", path, stdin=exported)
    assert code == 2 and f"{path} exists already" in err
    code, _, err = run_state("import", tmp_path / "new.db", stdin=exported[: exported.rindex("{")])
    assert code == 2 and "its last line is missing" in err
    assert os.listdir(tmp_path) == ["hub.db"]


def test_a_line_on_stdin_has_a_limit(run_state: StateCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linesync.store.state_copy.LINE", 1000)
    code, _, err = run_state("import", tmp_path / "new.db", stdin="x" * 1001)
    assert code == 2 and "line 1 on stdin is longer than 1,000 bytes" in err
    assert os.listdir(tmp_path) == []


def test_an_unknown_action_and_a_missing_file_are_wrong_usage(run_state: StateCommand) -> None:
    assert run_state("repair", "hub.db")[0] == run_state("check")[0] == 2
