"""Writes state files on a disk that fails. It runs as a separate process with tools/shims/diskfaults.c preloaded.

    faulty_disk.py record FOLDER LOG     one run; writes each write and sync, and the number of each confirmed commit, to LOG
    faulty_disk.py fail FOLDER ERRNO     one run for each write and sync, which then fails; prints each problem

A run makes commits, some one after the other and some at the same time. ``rows_after(N)`` returns the rows after the first N
commits.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path

from linesync.errors import LinesyncFailed
from linesync.store import state_database
from linesync.store.state import Change, NotStored, Row, State
from linesync.store.state_database import Database
from linesync.store.state_file import open_state

COMMITS = 24
TOGETHER = 3  # commits of every second group, which wait at the same time
CHECKPOINT = 12  # pages, so that a run has several checkpoints
BLOB = 20_000  # bytes of a blob that one commit writes and a later commit removes


def changes(number: int) -> list[Change]:
    """The changes of one commit: a row that all commits change, a new row, and often the removal of an old row.

    Without a removal, the database makes the commit with a single statement.
    """
    old: list[Change] = [("row", f"{number - 5:03}", None)] if number % 4 else []
    return [("last", "", str(number)), ("row", f"{number:03}", "1"), *old]


def rows_after(numbers: list[int]) -> list[Row]:
    """The rows after these commits."""
    rows: dict[tuple[str, str], str] = {}
    for number in numbers:
        for kind, key, value in changes(number):
            rows.pop((kind, key), None)
            if value is not None:
                rows[kind, key] = value
    return sorted((kind, key, value) for (kind, key), value in rows.items())


async def make_commits(
    path: str, confirmed: list[int], refused: list[int], mark: ctypes._CFuncPtr | None = None
) -> None:
    """Make all commits of a run. The run ends at the first error after which the state file accepts no more commits.

    :param confirmed: gets the numbers of the confirmed commits.
    :param refused: gets the numbers of the commits that are certainly not stored.
    """
    state, _ = await open_state(path)
    try:
        number = 0
        while number < COMMITS and state.failed is None:
            group = range(number, min(number + TOGETHER, COMMITS)) if number % 2 else range(number, number + 1)
            number = group.stop
            commits = [(commit, _commit(state, commit)) for commit in group]
            for commit, future in commits:
                try:
                    await future
                except NotStored:
                    refused.append(commit)
                except LinesyncFailed:
                    pass  # the commit may be stored or not
                else:
                    confirmed.append(commit)
                    if mark is not None:
                        mark(commit)
    finally:
        await state.close()


def _commit(state: State, number: int) -> asyncio.Future[None]:
    if number == 8:
        state.append(1, 0, bytes(BLOB)).add_done_callback(lambda done: done.exception())
    return state.commit(changes(number), remove=[1] if number == 14 else [])


def problem(path: str, confirmed: list[int], refused: list[int]) -> str:
    """The problem with a file after a run, or an empty string.

    The file must have the rows of the confirmed commits, and may have the rows of the last group of commits.
    """
    try:
        database = Database(path)
    except LinesyncFailed as error:
        return f"it cannot be opened: {error}"
    rows = database.rows()
    database.close()
    first = max(confirmed, default=-1) + 1
    unknown = [number for number in range(first, COMMITS) if number not in refused]
    for count in range(TOGETHER + 1):
        if rows == rows_after([*confirmed, *unknown[:count]]):
            return ""
    return f"confirmed {confirmed}, refused {refused}, found {rows}"


def _fail(shim: ctypes.CDLL, folder: Path, number: int) -> None:
    calls, nth = 1, 0
    while nth < calls:  # only the first run, which has no fault, makes all calls
        shutil.rmtree(folder)
        folder.mkdir()
        confirmed: list[int] = []
        refused: list[int] = []
        shim.disk_watch(os.fsencode(folder), -1)
        shim.disk_fail(ctypes.c_long(nth), number)
        failed = ""
        try:
            asyncio.run(make_commits(f"{folder}/hub.db", confirmed, refused))
        except LinesyncFailed as error:
            failed = str(error)
        calls = shim.disk_calls() if nth == 0 else calls
        shim.disk_fail(ctypes.c_long(0), 0)
        wrong = problem(f"{folder}/hub.db", confirmed, refused)
        if nth == 0 and (confirmed != list(range(COMMITS)) or failed):
            wrong = f"a run without a fault failed: {failed}"
        if wrong:
            print(f"call {nth} of {calls}: {wrong}", flush=True)
        if number != errno.ENOSPC and nth and confirmed == list(range(COMMITS)) and not failed:
            print(f"call {nth} of {calls}: the fault was not reported", flush=True)
        nth += 1
    print(f"calls: {calls}")


def main(task: str, folder: str, argument: str) -> None:
    """Run a task."""
    state_database._CHECKPOINT = CHECKPOINT
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    if task == "fail":
        _fail(shim, Path(folder), int(argument))
        return
    log = os.open(argument, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    shim.disk_watch(os.fsencode(folder), log)
    mark = shim.disk_mark
    mark.argtypes = [ctypes.c_uint64]
    asyncio.run(make_commits(f"{folder}/hub.db", [], [], mark))


if __name__ == "__main__":
    main(*sys.argv[1:])
