"""A state in a file: committed rows are read back in order, and waiting commits share a transaction."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from linesync.errors import BusyError, LinesyncFailed
from linesync.store.state import LONGEST, Change, NotStored, Row, State, StateFailed
from linesync.store.state_database import Database
from linesync.store.state_file import MEMORY, StateFile, default_path, open_state


def run(path: Path, work: Callable[[State], Coroutine[Any, Any, object]]) -> list[Row]:
    """Open a state, do some work and close it. Return the rows that it had at first."""

    async def main() -> list[Row]:
        state, rows = await open_state(str(path))
        try:
            await work(state)
        finally:
            await state.close()
        return rows

    return asyncio.run(main())


def rows_of(path: Path) -> list[Row]:
    async def nothing(_: State) -> None:
        pass

    return run(path, nothing)


def join_threads() -> None:
    """Wait until the thread of each state has ended."""
    for thread in threading.enumerate():
        if thread.name == "linesync_state":
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "hub.db"


def test_rows_are_read_back_in_the_order_of_kind_and_key(path: Path) -> None:
    async def work(state: State) -> None:
        await state.commit([("lock", "b", "1"), ("é", "x", '"ü"'), ("lock", "a", "2"), ("Z", "z", "3"), ("", "", "4")])
        await state.commit([("lock", "b", "5"), ("Z", "z", None), ("none", "none", None)])

    assert run(path, work) == []
    assert rows_of(path) == [("", "", "4"), ("lock", "a", "2"), ("lock", "b", "5"), ("é", "x", '"ü"')]


def test_only_this_user_can_read_the_file_and_its_directory(path: Path) -> None:
    async def main() -> None:
        place = path.parent / "new" / "folder"
        state, _ = await open_state(str(place / "hub.db"), make_folder=True)
        await state.commit([("a", "b", "1")])
        modes = {name: stat.S_IMODE((place / name).stat().st_mode) for name in os.listdir(place)}
        assert modes == dict.fromkeys(("hub.db", "hub.db-wal", "hub.db.lock"), 0o600)
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        await state.close()
        assert os.listdir(place) == ["hub.db"]

    asyncio.run(main())


def test_a_file_is_in_wal_mode_and_only_one_connection_can_use_it(path: Path) -> None:
    async def work(state: State) -> None:
        await state.commit([("a", "b", "1")])
        assert not os.path.exists(f"{path}-shm"), "shared memory is for several connections"
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            sqlite3.connect(path, timeout=0).execute("SELECT * FROM rows")

    run(path, work)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_commits_that_wait_share_a_transaction_and_are_done_in_order(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions: list[int] = []
    first, go = threading.Event(), threading.Event()
    apply = Database.apply

    def slow(self: Database, rows: Any, blobs: Any) -> None:
        transactions.append(len(rows))
        first.set()
        go.wait(10)
        apply(self, rows, blobs)

    monkeypatch.setattr(Database, "apply", slow)

    async def work(state: State) -> None:
        done: list[int] = []
        asked = [state.commit([("n", f"{number:03}", "1"), ("last", "", str(number))]) for number in range(100)]
        for number, future in enumerate(asked):
            future.add_done_callback(lambda _, number=number: done.append(number))
        await asyncio.to_thread(first.wait, 10)
        go.set()
        await asyncio.gather(*asked)
        assert done == list(range(100))

    run(path, work)
    assert len(transactions) <= 3
    assert ("last", "", "99") in rows_of(path)


def test_a_state_with_too_many_waiting_bytes_is_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    apply = Database.apply
    monkeypatch.setattr(Database, "apply", lambda *args: go.wait(10) and apply(*args))

    async def main() -> None:
        state, _ = await open_state(str(path), bound=10_000)
        await state.room()
        asked = state.commit([("a", "b", "x" * 9_000)])
        assert not state.full
        more = state.append(1, 0, bytes(900))
        assert state.full
        room = asyncio.ensure_future(state.room())
        await asyncio.sleep(0)
        assert not room.done()
        go.set()
        await room
        assert asked.done() and not state.full
        await more
        await state.close()

    asyncio.run(main())


def test_a_cancelled_commit_is_stored_nevertheless(path: Path) -> None:
    async def work(state: State) -> None:
        state.commit([("a", "b", "1")]).cancel()
        await state.commit([("a", "c", "1")])

    run(path, work)
    assert [key for _, key, _ in rows_of(path)] == ["b", "c"]


@pytest.mark.parametrize("text", ["\ud800", "x" * (LONGEST + 1)], ids=["not Unicode", "too long"])
def test_a_row_that_cannot_be_stored_is_refused_and_does_not_affect_others(path: Path, text: str) -> None:
    async def work(state: State) -> None:
        with pytest.raises(ValueError, match="row"):
            state.commit([("a", "b", "1"), ("a", "c", text)])
        await state.commit([("a", "d", "1")])

    run(path, work)
    assert rows_of(path) == [("a", "d", "1")]


def test_close_stores_waiting_commits_and_later_commits_fail(path: Path) -> None:
    async def main() -> None:
        state, _ = await open_state(str(path))
        asked = [state.commit([("a", f"{number:02}", "1")]) for number in range(50)]
        await state.close()
        await state.close()
        assert all(commit.done() and commit.exception() is None for commit in asked)
        for late in (state.commit([("a", "late", "1")]), state.append(1, 0, b""), state.read(1, 0, 1)):
            with pytest.raises(LinesyncFailed, match="closed"):
                await late

    asyncio.run(main())
    assert len(rows_of(path)) == 50
    join_threads()


def test_an_open_that_is_cancelled_closes_the_file(path: Path) -> None:
    async def main() -> None:
        opening = asyncio.ensure_future(open_state(str(path)))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        join_threads()

    asyncio.run(main())
    assert rows_of(path) == []


def test_rows_that_were_read_or_stored_are_not_kept_in_memory(path: Path) -> None:
    class Text(str):
        """A text to which a weak reference is possible."""

    async def work(state: State) -> None:
        value = Text("1" * 1000)
        gone = weakref.ref(value)
        asked = state.commit([("a", "b", value)])
        await asked
        del value, asked
        async with asyncio.timeout(10):
            while gone() is not None:
                await asyncio.sleep(0.001)

    run(path, work)

    async def main() -> None:
        state, rows = await open_state(str(path))
        await state.commit([])
        assert sys.getrefcount(rows) == 2, "only this test refers to them"
        await state.close()

    asyncio.run(main())


def test_a_second_hub_is_refused_with_the_pid_of_the_first(path: Path) -> None:
    async def work(state: State) -> None:
        await state.commit([("a", "b", "1")])
        with pytest.raises(BusyError, match=f"process {os.getpid()} has the state file {path} open") as error:
            await open_state(str(path))
        assert error.value.details == {"pid": os.getpid()}
        await state.commit([("a", "c", "1")])

    run(path, work)
    assert len(rows_of(path)) == 2


def test_the_write_ahead_log_stays_small(path: Path) -> None:
    database = Database(str(path))
    for number in range(20):
        database.apply({("a", f"{number}-{key}"): "x" * 2_000 for key in range(200)}, [])
        database.tidy()
    assert os.path.getsize(f"{path}-wal") < 8 << 20 < os.path.getsize(path)
    database.close()


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 200])
def test_a_commit_may_have_any_number_of_rows(path: Path, count: int) -> None:
    async def work(state: State) -> None:
        await state.commit([("a", f"{number:03}", str(number)) for number in range(count)])

    run(path, work)
    assert rows_of(path) == [("a", f"{number:03}", str(number)) for number in range(count)]


# -- blobs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["hub.db", MEMORY])
def test_a_blob_is_written_in_pieces_read_at_any_offset_and_removed(folder: Path, place: str) -> None:
    data = os.urandom(10_000)

    async def main() -> None:
        state, _ = await open_state(place if place == MEMORY else str(folder / place))
        for at in range(0, len(data), 777):
            state.append(7, at, data[at : at + 777])
        state.append(8, 0, b"other")
        for offset, count in [(0, 10), (776, 2), (5_000, 3_000), (9_990, 100), (10_000, 5), (20_000, 5), (0, 10_000)]:
            assert await state.read(7, offset, count) == data[offset : offset + count]
        assert await state.read(9, 0, 10) == b""
        state.append(7, 777, data[777:1554])  # again, as after a lost reply
        assert await state.read(7, 0, 2_000) == data[:2_000]
        await state.commit([("exchange", "x", "1")], remove=[7, 99])
        assert await state.read(7, 0, 10) == b"" and await state.read(8, 0, 10) == b"other"
        await state.close()

    asyncio.run(main())


def test_changes_of_a_blob_keep_their_order_within_a_transaction(path: Path) -> None:
    async def work(state: State) -> None:
        state.append(1, 0, b"old")
        state.commit([], remove=[1])
        await state.append(1, 0, b"new")
        assert await state.read(1, 0, 10) == b"new"

    run(path, work)


# -- errors -----------------------------------------------------------------------------------------------------------


class FaultyConnection:
    """Replaces the connection of a database. One statement fails with a given SQLite error."""

    def __init__(self, real: sqlite3.Connection, code: int, at: str) -> None:
        self._real = real
        self._code = code
        self._at = at
        self.left = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *args: Any) -> Any:
        if statement.startswith(self._at) and self.left:
            self.left -= 1
            error = sqlite3.OperationalError("it failed")
            error.sqlite_errorcode = self._code
            raise error
        return self._real.execute(statement, *args)


def fail(state: State, code: int, at: str) -> FaultyConnection:
    assert isinstance(state, StateFile) and state._database is not None
    faulty = FaultyConnection(state._database._connection, code, at)
    state._database._connection = faulty  # type: ignore[assignment]
    return faulty


STATEMENTS = ("INSERT INTO rows", "BEGIN", "COMMIT")


def changes(at: str, key: str) -> list[Change]:
    """Return a change of a row whose commit executes this statement."""
    return [("a", key, "1"), *([] if at.startswith("INSERT") else [("a", "none", None)])]


async def outcome(asked: Awaitable[object]) -> type | None:
    try:
        await asked
    except Exception as error:
        return type(error)
    return None


@pytest.mark.parametrize("at", STATEMENTS)
def test_a_full_disk_fails_the_waiting_commits_and_not_later_commits(path: Path, at: str) -> None:
    async def work(state: State) -> None:
        await state.commit([("a", "1", "1")])
        fail(state, sqlite3.SQLITE_FULL, at)
        waiting = [state.commit(changes(at, f"2-{number}")) for number in range(20)]
        with pytest.raises(NotStored, match=f"the hub's disk is full, .* free space on the disk of {path}"):
            await waiting[0]
        assert {await outcome(commit) for commit in waiting} == {NotStored}
        assert state.failed is None
        await state.commit([("a", "3", "1")])

    run(path, work)
    assert [key for _, key, _ in rows_of(path)] == ["1", "3"]


def test_commits_made_before_the_loop_knows_of_the_full_disk_fail_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def apply(self: Database, rows: Any, blobs: Any) -> None:
        calls.append(len(rows))
        if len(calls) == 1:
            raise NotStored("the disk is full")

    monkeypatch.setattr(Database, "apply", apply)

    async def work(state: State) -> None:
        first = state.commit([("a", "1", "1")])
        while not calls:
            pass  # the event loop does not run, therefore it does not get the error
        second = state.commit([("a", "2", "1")])
        assert [await outcome(first), await outcome(second)] == [NotStored, NotStored] and calls == [1]
        await state.commit([("a", "3", "1")])
        assert calls == [1, 1]

    run(path, work)


@pytest.mark.parametrize("at", [*STATEMENTS, "PRAGMA wal_checkpoint"])
@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_CORRUPT], ids=["fsync", "corrupt"])
def test_after_a_failed_write_nothing_is_confirmed_or_tried_again(path: Path, at: str, code: int) -> None:
    async def main() -> None:
        reported: list[StateFailed] = []
        state, _ = await open_state(str(path), on_failure=reported.append)
        await state.commit([("a", "1", "1")])
        faulty = fail(state, code, at)
        assert isinstance(state, StateFile) and state._database is not None
        state._database._pages = 5_000  # a checkpoint is due
        asked = [state.commit(changes(at, f"2-{number}")) for number in range(3)]
        outcomes = [await outcome(commit) for commit in asked]
        assert set(outcomes) <= {None, StateFailed} and (at.startswith("PRAGMA") or StateFailed in outcomes)
        async with asyncio.timeout(10):
            while state.failed is None:
                await asyncio.sleep(0)
        assert faulty.left == 0
        assert await outcome(state.commit([("a", "3", "1")])) is StateFailed
        assert reported == [state.failed]
        assert f"cannot write its state to {path}: it failed" in str(reported[0])
        assert await outcome(state.close()) is StateFailed

    asyncio.run(main())
    keys = [key for _, key, _ in rows_of(path)]
    assert "1" in keys and "3" not in keys


def test_a_checkpoint_that_fails_on_a_full_disk_has_no_effect(path: Path) -> None:
    async def work(state: State) -> None:
        faulty = fail(state, sqlite3.SQLITE_FULL, "PRAGMA wal_checkpoint")
        await state.commit([("a", str(number), "1") for number in range(2_000)])
        await state.commit([("a", "last", "1")])
        assert faulty.left == 0

    run(path, work)
    assert len(rows_of(path)) == 2_001


def test_a_blob_that_cannot_be_read_fails_only_that_read(path: Path) -> None:
    async def work(state: State) -> None:
        await state.append(1, 0, b"data")
        fail(state, sqlite3.SQLITE_IOERR_READ, "SELECT")
        with pytest.raises(LinesyncFailed, match="cannot read the exchanged data"):
            await state.read(1, 0, 4)
        with pytest.raises(OverflowError):
            await state.read(1 << 70, 0, 4)
        assert await state.read(1, 0, 4) == b"data"
        await state.commit([("a", "b", "1")])
        fail(state, sqlite3.SQLITE_CORRUPT, "SELECT")
        assert await outcome(state.read(1, 0, 4)) is StateFailed
        assert await outcome(state.commit([("a", "c", "1")])) is StateFailed

    with pytest.raises(StateFailed):
        run(path, work)


# -- without a file ---------------------------------------------------------------------------------------------------


def test_a_state_in_memory_commits_immediately_and_uses_no_thread(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)

    async def main() -> None:
        before = threading.active_count()
        state, rows = await open_state(MEMORY)
        assert rows == [] and not state.full and state.failed is None
        assert state.commit([("a", "b", "1")]).done() and state.append(1, 0, b"x").done()
        await state.room()
        assert threading.active_count() == before and os.listdir(folder) == []
        with pytest.raises(ValueError, match="row"):
            state.commit([("a", "\ud800", "1")])
        await state.close()

    asyncio.run(main())


def test_the_default_path_is_beside_the_socket() -> None:
    assert default_path(None, "/var/lib/linesync") == "/var/lib/linesync/hub.db"
    assert default_path("/tmp/one.sock", "/var/lib/linesync") == "/tmp/one.sock.db"
