"""A file that a hub must not use is refused and stays unchanged, and the error names it. An old file is upgraded."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linesync.errors import BusyError, LinesyncFailed, UsageError
from linesync.store import state_care, state_schema
from linesync.store.state_copy import check, export
from linesync.store.state_database import Database
from linesync.store.state_file import open_state
from linesync.store.state_lock import StateLock


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "hub.db"


def write_state(path: Path, count: int = 50, *, closed: bool = True) -> Database:
    """A state file with rows and a blob. If it is not closed, the last rows are only in its write-ahead log."""
    database = Database(str(path))
    database.apply({("a", f"{number:04}"): f'"{"x" * 100}"' for number in range(count)}, [(1, 0, b"data")])
    if closed:
        database.close()
    return database


def copy_of_killed_hub(
    path: Path, place: Path, change: Callable[[sqlite3.Connection], object] = lambda _: None
) -> None:
    """Put a copy of the files of a killed hub into a directory. They include its write-ahead log."""
    database = write_state(path, closed=False)
    change(database._connection)
    place.mkdir()
    for end in ("", "-wal"):
        (place / f"hub.db{end}").write_bytes(Path(f"{path}{end}").read_bytes())
    database.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def check_refused(path: Path, sentence: str) -> None:
    """Check that a hub, a check and an export refuse a file with this sentence, and change nothing in its directory."""
    before = contents(path.parent)
    for use in (Database, check, lambda path: list(export(path)), lambda path: asyncio.run(open_state(path))):
        with pytest.raises(LinesyncFailed, match=sentence) as error:
            use(str(path))
        assert str(path) in error.value.message
        assert contents(path.parent) == before


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A program whose newest version has one more column and a changed row."""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE rows ADD COLUMN since REAL NOT NULL DEFAULT 0")
        connection.execute("UPDATE rows SET value = '\"new\"' WHERE key = '0001'")

    monkeypatch.setattr(state_schema, "MIGRATIONS", [*state_schema.MIGRATIONS, change])
    return state_schema.newest_version()


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"hello\n" * 1000, "not an SQLite file, or its header is damaged"),
        (b"SQLite format 3\0", "not an SQLite file, or its header is damaged"),
    ],
    ids=["empty", "text", "short"],
)
def test_a_file_that_is_not_an_sqlite_file_is_refused(path: Path, data: bytes, why: str) -> None:
    path.write_bytes(data)
    check_refused(path, f"is not the state file of a hub: it is {why}" if "it is" not in why else why)


def test_an_sqlite_file_of_another_program_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE rows (kind TEXT)")
    connection.close()
    check_refused(path, "an SQLite file of another program")


@pytest.mark.parametrize("of_a_killed_hub", [False, True])
def test_a_newer_file_is_refused_even_if_its_version_is_only_in_the_log(
    path: Path, folder: Path, of_a_killed_hub: bool
) -> None:
    def raise_version(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA user_version = 9")

    place = folder / "copy"
    copy_of_killed_hub(path, place, raise_version)
    if not of_a_killed_hub:
        place = path.parent / "other"
        place.mkdir()
        os.rename(path, place / "hub.db")
    check_refused(place / "hub.db", "newer linesync: it has state version 9, and this linesync knows up to 1; use that")


@pytest.mark.parametrize("page", range(1, 6))
def test_a_file_with_a_damaged_page_is_refused(path: Path, page: int) -> None:
    write_state(path, 500)
    with open(path, "r+b") as file:
        assert file.seek(0, os.SEEK_END) > 6 * 4096
        file.seek(page * 4096)
        file.write(b"\xa5" * 4096)
    check_refused(path, "state file .* is damaged: .*; restore it from a backup")


def test_a_truncated_file_is_refused(path: Path) -> None:
    write_state(path, 500)
    os.truncate(path, os.path.getsize(path) // 2 // 4096 * 4096)
    check_refused(path, "is damaged")


def test_a_damaged_page_in_the_log_of_a_killed_hub_ends_the_log_there(path: Path, folder: Path) -> None:
    place = folder / "copy"
    copy_of_killed_hub(path, place)
    log = place / "hub.db-wal"
    log.write_bytes(log.read_bytes()[:-1])
    database = Database(str(place / "hub.db"))
    assert database.rows() == [], "its last transaction is not complete, therefore it was never reported as stored"
    database.close()


def test_a_link_and_a_file_that_is_not_regular_are_refused(path: Path, folder: Path) -> None:
    write_state(path)
    link, hard, pipe = folder / "link", folder / "hard", folder / "pipe"
    link.symlink_to(path)
    check_refused(link, "is a symbolic link; give the path of the state file itself")
    os.link(path, hard)
    check_refused(path, r"has a second name \(a hard link\)")
    hard.unlink()
    os.mkfifo(pipe)
    for other in (pipe, folder):
        with pytest.raises(LinesyncFailed, match=f"{other} is not a regular file"):
            Database(str(other))


def test_a_file_that_other_users_can_write_is_refused(path: Path) -> None:
    write_state(path)
    path.chmod(0o660)
    with pytest.raises(LinesyncFailed, match=f"other users can write to {path}; run chmod 600"):
        Database(str(path))
    if os.geteuid() == 0:
        path.chmod(0o600)
        os.chown(path, 1234, -1)
        with pytest.raises(LinesyncFailed, match=f"{path} belongs to the user 1234"):
            Database(str(path))


def test_a_missing_directory_is_named(folder: Path) -> None:
    with pytest.raises(LinesyncFailed, match=f"no directory {folder}/none for the state file hub.db; create it"):
        Database(str(folder / "none" / "hub.db"))
    (folder / "file").touch()
    with pytest.raises(LinesyncFailed, match=f"cannot create the directory {folder}/file/none"):
        Database(str(folder / "file" / "none" / "hub.db"), folder=True)


def test_the_log_of_a_moved_file_is_not_used_for_a_new_file(path: Path) -> None:
    Path(f"{path}-wal").write_bytes(b"of another file")
    before = contents(path.parent)
    with pytest.raises(LinesyncFailed, match=f"there is {path}-wal, a part of a state file, but not {path} itself"):
        Database(str(path))
    assert contents(path.parent) == before


# -- creation ---------------------------------------------------------------------------------------------------------


def test_a_file_appears_only_when_it_is_complete(path: Path) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        assert not path.exists()
        raise LinesyncFailed("no")

    with pytest.raises(LinesyncFailed, match="no"):
        state_care.create(str(path), "id", fail)
    assert os.listdir(path.parent) == []


def test_the_files_of_a_hub_that_was_killed_during_the_creation_are_replaced(path: Path) -> None:
    for end in ("", "-journal"):
        Path(f"{path}.new{end}").write_bytes(b"half")
    write_state(path)
    assert os.listdir(path.parent) == ["hub.db"]


def test_an_existing_file_is_never_replaced(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(UsageError, match=f"{path} exists already"):
        state_care.create(str(path), "id", lambda _: None)
    assert contents(path.parent) == {"hub.db": b"mine"}


def test_a_relative_path_keeps_its_meaning_when_the_directory_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "other").mkdir()
    monkeypatch.chdir(folder)
    database = Database("hub.db")
    monkeypatch.chdir(folder / "other")
    database.apply({("a", "b"): "1"}, [])
    database.close()
    assert sorted(os.listdir(folder)) == ["hub.db", "other"] and os.listdir(folder / "other") == []


# -- upgrades ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_a_killed_hub", [False, True])
def test_an_old_file_is_upgraded_when_a_hub_opens_it(
    path: Path, folder: Path, of_a_killed_hub: bool, request: pytest.FixtureRequest
) -> None:
    copy_of_killed_hub(path, folder / "copy")
    request.getfixturevalue("next_version")
    old = folder / "copy" / "hub.db" if of_a_killed_hub else path
    assert check(str(old)).version == 1, "a check changes nothing"
    for _ in range(2):
        database = Database(str(old))
        rows = database._connection.execute("SELECT key, value, since FROM rows WHERE key < '0002'").fetchall()
        assert rows == [("0000", f'"{"x" * 100}"', 0.0), ("0001", '"new"', 0.0)]
        assert database.read(1, 0, 10) == b"data"
        database.close()
        assert check(str(old)).version == 2


def test_a_new_file_has_the_tables_of_an_upgraded_file(
    path: Path, folder: Path, request: pytest.FixtureRequest
) -> None:
    def tables(place: Path) -> list[tuple[str]]:
        Database(str(place)).close()
        with state_care.reading(str(place)) as connection:
            return connection.execute("SELECT name FROM pragma_table_info('rows')").fetchall()

    write_state(path)
    request.getfixturevalue("next_version")
    assert tables(path) == tables(folder / "new.db") == [("kind",), ("key",), ("value",), ("since",)]


def test_an_upgrade_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM rows")
        connection.execute("this is not SQL")

    write_state(path)
    monkeypatch.setattr(state_schema, "MIGRATIONS", [half])
    with pytest.raises(LinesyncFailed, match=f"cannot read or upgrade the state file {path}"):
        Database(str(path))
    monkeypatch.undo()
    found = check(str(path))
    assert (found.version, found.rows) == (1, 50) and os.listdir(path.parent) == ["hub.db"]


# -- the lock ---------------------------------------------------------------------------------------------------------


def test_a_lock_of_a_dead_process_does_not_block(path: Path) -> None:
    Path(f"{path}.lock").write_text("12345\n")
    lock = StateLock(str(path))
    assert Path(f"{path}.lock").read_text() == f"{os.getpid()}\n"
    lock.release()
    lock.release()
    assert os.listdir(path.parent) == []


def test_a_lock_on_a_file_that_was_removed_is_taken_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = StateLock(str(path))
    flock = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        first.release()  # the owner ends after the second lock has opened the file and before it locks it
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    second = StateLock(str(path))
    with pytest.raises(BusyError):
        StateLock(str(path))
    second.release()


def test_a_program_that_has_the_file_open_without_the_lock_is_detected(path: Path) -> None:
    write_state(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("SELECT * FROM rows").fetchone()
    try:
        with pytest.raises(BusyError, match=f"another program has the state file {path} open"):
            Database(str(path))
    finally:
        other.close()
    Database(str(path)).close()
