"""The export, import and check of a state file for ``linesync state``. An export is a text of JSON lines:

1. The first line is the header: ``{"linesync_state": VERSION, "hub": ID, "clock": {...}}``.
2. Each other line is a row, ``{"kind": K, "key": K, "value": V}``, or a piece of a blob,
   ``{"blob": N, "offset": O, "base64": B}``. The pieces of a blob follow each other in their order.
3. The last line contains the numbers of both: ``{"rows": N, "pieces": N}``. Without this line, the text is not complete.

All functions may block.
"""

from __future__ import annotations

import json
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Any

from ..errors import LinesyncFailed, UsageError
from ..frozen_record import Record
from .state_care import create, examine, exists, reading, set_meta
from .state_clock import Clock
from .state_database import read_clock
from .state_lock import StateLock
from .state_schema import newest_version

__all__ = ["LINE", "Found", "check", "export", "fill"]

LINE = 100 << 20  # the maximum size of a line in bytes; a piece or a value has at most 64 MiB
_NAME = "linesync_state"


class Found(Record):
    """The result of a check of an undamaged state file.

    :ivar version: the version of its tables.
    :ivar hub: the id of the hub.
    :ivar clock: the reading of the clocks at the last write, at most about a second old at that time.
    :ivar rows: the number of rows.
    :ivar blobs: the number of blobs.
    :ivar blob_bytes: the size of all blobs together in bytes.
    """

    version: int
    hub: str
    clock: Clock
    rows: int
    blobs: int
    blob_bytes: int


def check(path: str) -> Found:
    """Examine a state file that no hub has open, without changing it.

    :raises BusyError: a hub has the file open.
    :raises LinesyncFailed: there is no such file, or it is not an undamaged state file.
    """
    with _opened(path) as (version, connection):
        (rows,) = connection.execute("SELECT count(*) FROM rows").fetchone()
        blobs, size = connection.execute(
            "SELECT count(DISTINCT number), coalesce(sum(length(data)), 0) FROM blobs"
        ).fetchone()
        return Found(version, _hub(connection), read_clock(connection), rows, blobs, size)


def export(path: str) -> Iterator[str]:
    """The lines of the export of a state file that no hub has open. No hub can open the file before the last line.

    :raises BusyError: a hub has the file open.
    :raises LinesyncFailed: there is no such file, or it is not an undamaged state file.
    """
    with _opened(path) as (version, connection):
        yield _line({_NAME: version, "hub": _hub(connection), "clock": read_clock(connection).as_dict()})
        rows = pieces = 0
        for kind, key, value in connection.execute("SELECT kind, key, value FROM rows ORDER BY kind, key"):
            rows += 1
            yield _line({"kind": kind, "key": key, "value": json.loads(value)})
        for number, offset, data in connection.execute(
            "SELECT number, offset, data FROM blobs ORDER BY number, offset"
        ):
            pieces += 1
            yield _line({"blob": number, "offset": offset, "base64": b64encode(data).decode("ascii")})
        yield _line({"rows": rows, "pieces": pieces})


@contextmanager
def _opened(path: str) -> Iterator[tuple[int, sqlite3.Connection]]:
    """Lock and examine a state file. Yields the version of its tables and a read-only connection."""
    if not exists(path):
        raise LinesyncFailed(f"there is no state file {path}; name the file of a hub")
    lock = StateLock(path, reading=True)
    try:
        version = examine(path)
        with reading(path) as connection:
            yield version, connection
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, UsageError):
            raise
        raise LinesyncFailed(
            f"the state file {path} is damaged: a value is not valid ({error}); restore it from a backup"
        ) from None
    finally:
        lock.release()


def _hub(connection: sqlite3.Connection) -> str:
    return str(connection.execute("SELECT value FROM meta WHERE key = 'hub'").fetchone()[0])


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def fill(path: str, lines: Iterable[bytes]) -> tuple[int, int]:
    """Create a state file from the lines of an export.

    :return: the number of rows, and the number of pieces of blobs.
    :raises UsageError: there is already a file, or a line is not valid. No file was created.
    :raises LinesyncFailed: the file cannot be created.
    """
    if exists(path):
        raise UsageError(f"{path} exists already; choose another file, or remove it if you do not need it")
    lock = StateLock(path)
    try:
        numbered = enumerate(lines, 1)
        version, hub, clock = _header(next(numbered, (1, b""))[1])
        reader = _Reader()

        def put(connection: sqlite3.Connection) -> None:
            set_meta(connection, "clock", json.dumps(clock.as_dict()))
            for number, line in numbered:
                reader.take(connection, number, line)
            reader.end()

        create(path, hub, put, version)
        return reader.rows, reader.pieces
    finally:
        lock.release()


def _header(line: bytes) -> tuple[int, str, Clock]:
    try:
        found = json.loads(line)
        version, hub, clock = found[_NAME], found["hub"], found["clock"]
        times = [float(clock[name]) for name in ("monotonic", "wall", "offset")]
        boot = clock["boot"]
        if not (
            type(version) is int
            and version > 0
            and isinstance(hub, str)
            and isinstance(boot, str)
            and all(map(isfinite, times))
        ):
            raise ValueError
    except (ValueError, TypeError, LookupError, RecursionError):
        raise UsageError(
            "line 1 is not the header of an exported state; use the output of 'linesync state export'"
        ) from None
    if version > newest_version():
        raise UsageError(
            f"the state was exported by a newer linesync: it has state version {version}, and this linesync knows up to"
            f" {newest_version()}; use that linesync"
        )
    return version, hub, Clock(times[0], times[1], boot, times[2])


class _Reader:
    """Writes the lines of an export into the tables, and counts them."""

    def __init__(self) -> None:
        self.rows = 0
        self.pieces = 0
        self._blob = -1
        self._end = 0
        self._complete = False

    def take(self, connection: sqlite3.Connection, number: int, line: bytes) -> None:
        """Write one line into the tables.

        :param number: the number of the line, for errors.
        :raises UsageError: the line is not valid.
        """
        try:
            found = json.loads(line)
            if self._complete:
                raise ValueError("it follows the last line")
            if "kind" in found:
                self._row(connection, found)
            elif "blob" in found:
                self._piece(connection, found)
            else:
                self._last(found)
        except sqlite3.IntegrityError:
            raise UsageError(f"line {number} repeats an earlier row; export the state again") from None
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
            reason = str(error) if type(error) is ValueError else "it is not a row or a piece of a blob"
            raise UsageError(
                f"line {number} of the exported state is not valid: {reason}; export the state again"
            ) from None

    def _row(self, connection: sqlite3.Connection, found: dict[str, Any]) -> None:
        kind, key = found["kind"], found["key"]
        if not (isinstance(kind, str) and isinstance(key, str)):
            raise TypeError
        value = json.dumps(found["value"], separators=(",", ":"))
        connection.execute("INSERT INTO rows VALUES (?, ?, ?)", (kind, key, value))
        self.rows += 1

    def _piece(self, connection: sqlite3.Connection, found: dict[str, Any]) -> None:
        number, offset = found["blob"], found["offset"]
        if type(number) is not int or type(offset) is not int:
            raise TypeError
        if offset != (self._end if number == self._blob else 0):
            raise ValueError("a piece of the blob is missing")
        data = b64decode(found["base64"], validate=True)
        connection.execute("INSERT INTO blobs VALUES (?, ?, ?)", (number, offset, data))
        self._blob, self._end = number, offset + len(data)
        self.pieces += 1

    def _last(self, found: dict[str, Any]) -> None:
        if found != {"rows": self.rows, "pieces": self.pieces}:
            raise ValueError(f"the lines before it have {self.rows} rows and {self.pieces} pieces of blobs")
        self._complete = True

    def end(self) -> None:
        """Check that the text had its last line.

        :raises UsageError: the last line is missing.
        """
        if not self._complete:
            raise UsageError("the exported state is not complete: its last line is missing; export the state again")
