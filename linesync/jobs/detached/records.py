"""The records of the detached processes of a host, as files.

Each process has a directory whose name is its number:

- ``record``: the description of the process (:class:`Started`). It is written before the client gets the handle.
- ``end``: its exit status (:class:`Ended`). It is written when all processes of the command have ended.
- ``output.N``: its output from position N on (:mod:`linesync.jobs.detached.output`).
- ``socket``: the socket of its supervisor.

``record`` and ``end`` appear complete or not at all, and survive a power failure. A new number is higher than each number that
has a directory. The directory with the highest number is never removed, so a handle is never used twice.

This module imports only small modules of the standard library, because the supervisor uses it.
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress

from ...frozen_record import Record
from ..handover import begin_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    R = TypeVar("R", bound=Record)

__all__ = [
    "KEPT",
    "KEPT_TIME",
    "KILLED",
    "MESSAGE_DATA",
    "RUNNING",
    "SOCKET",
    "TIMED_OUT",
    "Ended",
    "Known",
    "Started",
    "allocate",
    "known",
    "numbers",
    "path_of",
    "prune",
    "read_known",
    "remove",
    "write",
]

RUNNING = 64
"""The maximum number of detached processes that run on a host at the same time."""
KEPT = 100
"""The number of ended processes that a host remembers."""
KEPT_TIME = 7 * 86400.0
"""Seconds for which a host remembers an ended process."""
SOCKET = "socket"
MESSAGE_DATA = 1 << 15
"""The maximum number of bytes for stdin in one message to a supervisor."""
_INCOMPLETE = 60.0  # seconds after which a directory without a record is removed, because its process was not started
RESTARTED = "the host restarted"
KILLED = "its supervisor was killed"
TIMED_OUT = "its time limit was reached"


class Started(Record):
    """The description of a process that was started."""

    number: int
    argv: tuple[str, ...]
    user: str
    """Its user; empty for the user of the agent."""
    cwd: str
    """Its working directory; empty for that of the agent."""
    stdin: bool
    """Whether its stdin is a pipe."""
    pid: int
    began: float
    """The time of its start, in seconds since 1970."""
    boot: str
    """The boot id of the system."""
    supervisor: int
    """The pid of its supervisor."""
    supervisor_began: str
    """The start time of the supervisor, as :func:`begin_of` returns it."""
    mark: str
    """The mark of its processes (``handover.MARK``)."""
    limit: int
    """The maximum size of its kept output in bytes."""


class Ended(Record):
    """The end of a process."""

    status: int | None
    """Its exit status, or -N for signal N; None if it is unknown."""
    cause: str = ""
    """The reason for the end, as a clause, if the process did not end by itself."""
    ended: float | None = None
    """The time of the end, in seconds since 1970; None if it is unknown."""


class Known(Record):
    """A process that the host knows.

    :ivar end: the end of the process; None while it runs.
    """

    started: Started
    end: Ended | None


def numbers(folder: str) -> list[int]:
    """The numbers that have a directory, in order.

    :raises PermissionError: another user could have written the records.
    """
    try:
        found = os.stat(folder)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise PermissionError(errno.EPERM, "other users can write to it")
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdecimal() and name.isascii())


def path_of(folder: str, number: int) -> str:
    """The directory of a process."""
    return os.path.join(folder, str(number))


def allocate(folder: str) -> int:
    """Create the directory of a new process, and return its number."""
    os.makedirs(folder, 0o700, exist_ok=True)
    number = max(numbers(folder), default=0) + 1
    while True:
        try:
            os.mkdir(path_of(folder, number), 0o700)
            return number
        except FileExistsError:  # another agent with this name was faster
            number += 1


def write(path: str, name: str, record: Record) -> None:
    """Write a record. It survives a power failure when this function returns.

    :param path: the directory of the process.
    """
    final = os.path.join(path, name)
    with open(f"{final}.new", "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(record.as_dict(), file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{final}.new", final)
    for folder in (path, os.path.dirname(path)):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(kind: type[R], path: str) -> R | None:
    """Read a record; None if there is no valid record."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            values: dict[str, Any] = json.load(file)
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def read_known(folder: str, number: int, boot: str) -> Known | None:
    """The state of a process; None if there is no process with this number.

    :param boot: the boot id of the system now.
    """
    path = path_of(folder, number)
    started = _read(Started, os.path.join(path, "record"))
    if started is None:
        return None
    runs = (
        started.boot == boot and begin_of(started.supervisor) == started.supervisor_began
    )  # before the read of its end
    end = _read(Ended, os.path.join(path, "end"))
    if end is None and not runs:
        end = Ended(status=None, cause=KILLED if started.boot == boot else RESTARTED)
    return Known(started=started, end=end)


def known(folder: str, boot: str) -> list[Known]:
    """The state of all processes, in the order of their numbers."""
    found = [read_known(folder, number, boot) for number in numbers(folder)]
    return [one for one in found if one is not None]


def remove(folder: str, number: int) -> None:
    """Remove all files of a process."""
    path = path_of(folder, number)
    with suppress(FileNotFoundError):
        for name in os.listdir(path):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(path, name))
        os.rmdir(path)


def prune(folder: str, boot: str, now: float | None = None) -> None:
    """Remove the ended processes that are too many or too old, and the directories of processes that were not started.

    :param now: seconds since 1970.
    """
    now = time.time() if now is None else now
    ended: list[tuple[int, float]] = []
    for number in numbers(folder)[:-1]:
        one = read_known(folder, number, boot)
        with suppress(FileNotFoundError):
            changed = os.stat(path_of(folder, number)).st_mtime
            if one is None:
                if now - changed > _INCOMPLETE:
                    remove(folder, number)
            elif one.end is not None:
                ended.append((number, changed if one.end.ended is None else one.end.ended))
    newest = ended[-KEPT + 1 :]  # with the new process, these are as many as allowed
    for number, at in ended:
        if (number, at) not in newest or now - at > KEPT_TIME:
            remove(folder, number)
