"""Uses state files on a disk that fails. It runs as a process of its own with tools/shims/diskfaults.c preloaded.

    faulty_disk.py record FOLDER LOG     one life of a state file; LOG gets every write and sync, and what was confirmed
    faulty_disk.py fail FOLDER ERRNO     lives in each of which another write or sync fails; prints what was wrong

A life makes commits one after the other, and some together. The rows after the first N of them are ``rows_after(N)``.
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
TOGETHER = 3  # how many of every second group of commits wait at the same time
CHECKPOINT = 12  # pages, so that there are several checkpoints in a life
BLOB = 20_000  # bytes of a blob that one commit writes and a later one removes


def changes(number: int) -> list[Change]:
    """What one commit changes: a row that all change, a new one, and often an old one that goes. Without that one, the
    database makes the commit with a single statement."""
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


async def live(path: str, confirmed: list[int], refused: list[int], mark: ctypes._CFuncPtr | None = None) -> None:
    """One life. It ends at the first error that is final.

    :param confirmed: gets the numbers of the commits that are done.
    :param refused: gets the numbers of the commits that are certainly not stored.
    """
    state, _ = await open_state(path)
    try:
        number = 0
        while number < COMMITS and state.failed is None:
            group = range(number, min(number + TOGETHER, COMMITS)) if number % 2 else range(number, number + 1)
            number = group.stop
            asked = [(one, _ask(state, one)) for one in group]
            for one, future in asked:
                try:
                    await future
                except NotStored:
                    refused.append(one)
                except LinesyncFailed:
                    pass  # it may be stored or not
                else:
                    confirmed.append(one)
                    if mark is not None:
                        mark(one)
    finally:
        await state.close()


def _ask(state: State, number: int) -> asyncio.Future[None]:
    if number == 8:
        state.append(1, 0, bytes(BLOB)).add_done_callback(lambda done: done.exception())
    return state.commit(changes(number), remove=[1] if number == 14 else [])


def problem(path: str, confirmed: list[int], refused: list[int]) -> str:
    """What is wrong with a file after a life, or an empty string. It must have the rows after the confirmed commits, and
    perhaps those of the last group."""
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
    while nth < calls:  # a life that goes wrong early makes fewer calls than the first, which has no fault
        shutil.rmtree(folder)
        folder.mkdir()
        confirmed: list[int] = []
        refused: list[int] = []
        shim.disk_watch(os.fsencode(folder), -1)
        shim.disk_fail(ctypes.c_long(nth), number)
        failed = ""
        try:
            asyncio.run(live(f"{folder}/hub.db", confirmed, refused))
        except LinesyncFailed as error:
            failed = str(error)
        calls = shim.disk_calls() if nth == 0 else calls
        shim.disk_fail(ctypes.c_long(0), 0)
        wrong = problem(f"{folder}/hub.db", confirmed, refused)
        if nth == 0 and (confirmed != list(range(COMMITS)) or failed):
            wrong = f"a life without a fault failed: {failed}"
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
    asyncio.run(live(f"{folder}/hub.db", [], [], mark))


if __name__ == "__main__":
    main(*sys.argv[1:])
