"""The state as JSON lines: an export can be imported again, and any other text is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from linesync.errors import LinesyncFailed, UsageError
from linesync.store import state_schema
from linesync.store.state_copy import check, export, fill
from linesync.store.state_database import Database


@pytest.fixture
def path(folder: Path) -> Path:
    database = Database(str(folder / "hub.db"))
    database.apply(
        {("lock", "a\nb"): '{"token": 12345678901234567, "é": [1.5, null]}', ("Z", "\x00"): "[]"},
        [(1, 0, bytes(range(256))), (1, 256, b"end"), (7, 0, b""), (2, 0, b"x")],
    )
    database.close()
    return folder / "hub.db"


def lines_of(path: Path) -> list[bytes]:
    return [line.encode() for line in export(str(path))]


def test_an_export_has_a_header_a_line_for_each_row_and_piece_and_their_numbers(path: Path) -> None:
    header, *rows, last = map(json.loads, export(str(path)))
    assert header["linesync_state"] == 1 and len(header["hub"]) == 16 and header["clock"]["boot"]
    assert rows == [
        {"kind": "Z", "key": "\x00", "value": []},
        {"kind": "lock", "key": "a\nb", "value": {"token": 12345678901234567, "é": [1.5, None]}},
        {"blob": 1, "offset": 0, "base64": rows[2]["base64"]},
        {"blob": 1, "offset": 256, "base64": "ZW5k"},
        {"blob": 2, "offset": 0, "base64": "eA=="},
        {"blob": 7, "offset": 0, "base64": ""},
    ]
    assert last == {"rows": 2, "pieces": 4}


def test_an_imported_file_exports_the_same(path: Path, folder: Path) -> None:
    other = folder / "other.db"
    assert fill(str(other), lines_of(path)) == (2, 4)
    assert lines_of(other) == lines_of(path)
    assert other.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(folder)) == ["hub.db", "other.db"]
    database = Database(str(other))
    assert database.read(1, 250, 100) == bytes(range(250, 256)) + b"end"
    database.close()


def test_the_export_of_a_killed_hubs_file_includes_its_log_and_changes_nothing(path: Path, folder: Path) -> None:
    database = Database(str(path))
    database.apply({("new", "row"): "1"}, [])
    place = folder / "place"
    place.mkdir()
    for end in ("", "-wal"):
        (place / f"hub.db{end}").write_bytes(Path(f"{path}{end}").read_bytes())
    database.close()
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    assert lines_of(place / "hub.db") == lines_of(path)
    assert check(str(place / "hub.db")).rows == 3
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before


def test_an_import_does_not_replace_a_file(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(UsageError, match=f"{path} exists already"):
        fill(str(path), lines_of(path))
    assert path.read_bytes() == before


def test_an_export_of_an_older_version_is_upgraded(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(path)
    monkeypatch.setattr(
        state_schema, "MIGRATIONS", [lambda connection: connection.execute("UPDATE rows SET kind = 'new-' || kind")]
    )
    fill(str(folder / "other.db"), lines)
    assert check(str(folder / "other.db")).version == 2
    assert b'{"kind":"new-Z","key":"\\u0000","value":[]}\n' in lines_of(folder / "other.db")


def replaced(number: int, line: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [*lines[: number - 1], line, *lines[number:]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda lines: [], "line 1 is not the header"),
        (lambda lines: lines[1:], "line 1 is not the header"),
        (lambda lines: [lines[0].replace(b":1,", b":9,", 1), *lines[1:]], "newer linesync: it has state version 9"),
        (replaced(1, b'{"linesync_state": 1, "hub": "x", "clock": {}}'), "line 1 is not the header"),
        (
            replaced(1, b'{"linesync_state":1,"hub":"x","clock":{"monotonic":NaN,"wall":1,"boot":"","offset":0}}'),
            "line 1 is not the header",
        ),
        (lambda lines: lines[:-1], "not complete: its last line is missing"),
        (lambda lines: [*lines, b"{}"], "line 9 of the exported state is not valid: it follows the last line"),
        (lambda lines: [*lines[:2], *lines[3:]], "line 7 .* the lines before it have 1 rows and 4 pieces"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "line 4 repeats an earlier row"),
        (lambda lines: [*lines[:3], *lines[4:]], "line 4 .* a piece of the blob is missing"),
        (replaced(2, b"not JSON"), "line 2 of the exported state is not valid: it is not a row"),
        (replaced(2, b'["kind"]'), "line 2 .* not a row"),
        (replaced(2, b"3"), "line 2 .* not a row"),
        (replaced(2, b"[" * 100_000), "line 2 .* not a row"),
        (replaced(2, b'{"kind": "a", "key": 3, "value": 1}'), "line 2 .* not a row"),
        (replaced(2, b'{"kind": "a", "key": "b"}'), "line 2 .* not a row"),
        (replaced(2, b'{"kind": "a", "key": "\\ud800", "value": 1}'), "line 2 .* not a row"),
        (replaced(4, b'{"blob": 1, "offset": 0, "base64": "?"}'), "line 4 .* not a row"),
        (replaced(4, b'{"blob": 99999999999999999999, "offset": 0, "base64": ""}'), "line 4 .* not a row"),
        (replaced(4, b'{"blob": true, "offset": 0, "base64": ""}'), "line 4 .* not a row"),
    ],
)
def test_an_incomplete_or_invalid_export_creates_no_file(
    path: Path, folder: Path, change: Callable[[list[bytes]], list[bytes]], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        fill(str(folder / "other.db"), change(lines_of(path)))
    assert os.listdir(folder) == ["hub.db"]


def test_a_value_that_is_not_json_is_reported_as_damage(path: Path) -> None:
    database = Database(str(path))
    database.apply({("a", "b"): "not JSON"}, [])
    database.close()
    with pytest.raises(LinesyncFailed, match=f"the state file {path} is damaged: a value is not valid"):
        lines_of(path)


def test_the_error_names_a_missing_file(folder: Path) -> None:
    for use in (check, lambda path: list(export(path))):
        with pytest.raises(LinesyncFailed, match=f"there is no state file {folder}/none"):
            use(f"{folder}/none")
    assert os.listdir(folder) == []
