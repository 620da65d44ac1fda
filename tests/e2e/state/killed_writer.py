"""Kills the writer of a state file many times, and checks each time that the file has all confirmed commits.

    killed_writer.py FOLDER ROUNDS SEED

It prints a line for each problem, then the number of confirmed commits, and the number of rounds in which the killed writer
had already confirmed a commit. Each writer is a fork of this process, because starting Python would take most of the time.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import sys
import time

from linesync.errors import LinesyncFailed
from linesync.store import state_database
from linesync.store.state import State
from linesync.store.state_database import Database
from linesync.store.state_file import open_state

WRITERS = 8
LONGEST = 0.05  # the longest life of a writer in seconds, from its start or from its first commit
NEW = 4  # every fourth round begins with a new file, so that the creation of files is interrupted, too


async def _write(state: State, writer: int, number: int, pipe: int) -> None:
    while True:
        number += 1
        await state.commit([("count", str(writer), str(number)), ("row", f"{writer}-{number % 50}", "1" * number)])
        os.write(pipe, b"%d %d\n" % (writer, number))


async def _writers(path: str, pipe: int) -> None:
    state, rows = await open_state(path)
    begun = {key: int(value) for kind, key, value in rows if kind == "count"}
    await asyncio.gather(*(_write(state, writer, begun.get(str(writer), 0), pipe) for writer in range(WRITERS)))


def _start(path: str) -> tuple[int, int]:
    """Fork a writer. Return its pid, and the pipe on which it reports the confirmed commits."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:
        asyncio.run(_writers(path, writer))
    finally:
        os._exit(1)


def _confirmed(pipe: int, until: float) -> bytes:
    """Read from a pipe until a time, or to its end."""
    found = b""
    while (left := until - time.monotonic()) > 0 and select.select([pipe], [], [], left)[0]:
        data = os.read(pipe, 1 << 16)
        if not data:
            break
        found += data
    return found


def main(folder: str, rounds: int, seed: int) -> None:
    """Run all rounds."""
    state_database._CHECKPOINT = 20
    chance = random.Random(seed)
    last: dict[str, int] = {}
    total = at_work = 0
    path = f"{folder}/0.db"
    for number in range(rounds):
        if number % NEW == 0:
            path, last = f"{folder}/{number}.db", {}
        pid, pipe = _start(path)
        if number % NEW:  # the first round may end before the file exists
            select.select([pipe], [], [], 10)
        lines = _confirmed(pipe, time.monotonic() + chance.uniform(0, LONGEST))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        lines += _confirmed(pipe, time.monotonic() + 10)
        os.close(pipe)
        for line in lines.splitlines():
            writer, count = line.decode().split()
            last[writer] = int(count)
        total += lines.count(b"\n")
        at_work += bool(lines)
        try:
            database = Database(path)
        except LinesyncFailed as error:
            print(f"round {number}: {error}")
            continue
        found = {key: int(value) for kind, key, value in database.rows() if kind == "count"}
        database.close()
        wrong = {writer: (count, found.get(writer)) for writer, count in last.items()}
        wrong = {writer: pair for writer, pair in wrong.items() if pair[1] not in (pair[0], pair[0] + 1)}
        if wrong:
            print(f"round {number}: confirmed and found differ: {wrong}")
        last |= found
    print(f"confirmed {total} at_work {at_work}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
