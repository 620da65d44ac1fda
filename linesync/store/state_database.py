"""The only connection to a state file.

One thread opens, writes, checkpoints and closes the file, because releases of SQLite before 3.51.3 can damage a write-ahead
log that two connections write or checkpoint. The connection locks the file exclusively. Other programs then cannot open the
file, and SQLite needs no shared memory.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import TypeAlias

from ..errors import BusyError, LinesyncFailed
from .state import NotStored, Row, StateFailed
from .state_care import check_owner, create, examine, exists, make_folder, set_meta, sqlite_sentence, use_log
from .state_clock import Clock, system_boot_id
from .state_lock import StateLock
from .state_schema import migrate, newest_version

__all__ = ["BlobChange", "Database", "read_clock"]

BlobChange: TypeAlias = tuple[int, int, bytes] | int
"""A new piece of a blob (number, offset, bytes), or the number of a blob to remove."""

_CHECKPOINT = 1000  # the approximate number of pages in the write-ahead log after which they are moved into the file
_PAGE = 4096  # the size of a page in bytes
_CACHE = 1024  # the size of the page cache in KiB
_LOG = 16 << 20  # the maximum size in bytes of the write-ahead log file between commits
_SETTINGS = (
    "locking_mode = EXCLUSIVE",
    "synchronous = FULL",
    "wal_autocheckpoint = 0",  # SQLite ignores the errors of its automatic checkpoints
    "secure_delete = FAST",
    f"cache_size = -{_CACHE}",
    f"journal_size_limit = {_LOG}",
)
_MANY = 64  # the maximum number of rows in one statement
_REMOVE = "DELETE FROM rows WHERE kind = ? AND key = ?"
_APPEND = "INSERT OR REPLACE INTO blobs VALUES (?, ?, ?)"
_READ = """\
SELECT offset, data FROM blobs WHERE number = :number AND offset < :end
AND offset >= (SELECT coalesce(max(offset), 0) FROM blobs WHERE number = :number AND offset <= :begin) ORDER BY offset"""


class Database:
    """An open state file.

    :param path: the file, which is created if it is missing.
    :param folder: whether its directory is also created if it is missing.
    :ivar hub: the id of the hub.
    :ivar offset: the difference in seconds between the time in rows and the monotonic clock.
    :raises BusyError: another process has the file open.
    :raises LinesyncFailed: the file cannot be used. It was not changed.
    """

    def __init__(self, path: str, *, folder: bool = False) -> None:
        self._path = path = os.path.abspath(path)
        self._pages = 0
        if folder:
            make_folder(path)
        old = exists(path)
        self._lock = StateLock(path)
        try:
            if not (old or exists(path)):
                clock = Clock.now(system_boot_id(), -Clock.now("").monotonic)
                create(path, os.urandom(8).hex(), lambda connection: set_meta(connection, "clock", _text(clock)))
            check_owner(path)
            version = examine(path)
            self._connection = _connect(path)
            try:
                self._begin(version)
            except BaseException:
                self._connection.close()
                raise
        except BaseException:
            self._lock.release()
            raise

    def _begin(self, version: int) -> None:
        connection = self._connection
        try:
            if version < newest_version():
                connection.execute("BEGIN IMMEDIATE")
                migrate(connection, version)
                connection.execute("COMMIT")
            self.hub: str = connection.execute("SELECT value FROM meta WHERE key = 'hub'").fetchone()[0]
            stored = read_clock(connection)
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise LinesyncFailed(
                f"cannot read or upgrade the state file {self._path}: {_words(error)}; check its disk, or restore it from"
                " a backup"
            ) from None
        self._boot = system_boot_id()
        self._clock = stored
        self.offset = stored.continued(Clock.now(self._boot)).offset
        with suppress(OSError):
            self._pages = os.path.getsize(f"{self._path}-wal") // _PAGE

    def rows(self) -> list[Row]:
        """All rows, sorted by kind and key in the order of code points.

        :raises LinesyncFailed: the rows cannot be read.
        """
        try:
            return self._connection.execute("SELECT kind, key, value FROM rows ORDER BY kind, key").fetchall()
        except sqlite3.Error as error:
            raise LinesyncFailed(
                f"cannot read the state file {self._path}: {_words(error)}; check its disk, or restore it from a backup"
            ) from None

    def apply(self, rows: dict[tuple[str, str], str | None], blobs: Iterable[BlobChange]) -> None:
        """Commit one transaction. When this returns, the transaction is on the disk.

        :param rows: the new values; None removes a row.
        :param blobs: the changes of blobs, in their order.
        :raises NotStored: the disk is full; the transaction was rolled back.
        :raises StateFailed: another error occurred. The caller must not write again.
        """
        connection = self._connection
        puts = [(kind, key, value) for (kind, key), value in rows.items() if value is not None]
        size = sum(len(value) for _, _, value in puts)
        clock = self._next_clock()
        blobs = tuple(blobs)
        try:
            if len(rows) == len(puts) <= _MANY and not blobs and clock is None:
                self._put(puts)  # a single statement is a transaction of its own
            else:
                connection.execute("BEGIN IMMEDIATE")
                for index in range(0, len(puts), _MANY):
                    self._put(puts[index : index + _MANY])
                connection.executemany(_REMOVE, [row for row, value in rows.items() if value is None])
                size += self._change_blobs(blobs)
                if clock is not None:
                    set_meta(connection, "clock", _text(clock))
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failed(error) from None
        self._clock = clock or self._clock
        self._pages += len(rows) + size // _PAGE + 1

    def _put(self, puts: list[tuple[str, str, str]]) -> None:
        """Write rows with one statement, because after each statement the thread waits for Python's interpreter lock."""
        if puts:
            count = 1 << (len(puts) - 1).bit_length()
            puts = [
                *puts,
                *[puts[-1]] * (count - len(puts)),
            ]  # a power of two, so that only a few different statements are prepared
            self._connection.execute(_put_statement(count), [field for row in puts for field in row])

    def _change_blobs(self, blobs: Iterable[BlobChange]) -> int:
        """Change blobs. Return the number of bytes that were written."""
        size = 0
        for blob in blobs:
            if isinstance(blob, int):
                self._connection.execute("DELETE FROM blobs WHERE number = ?", (blob,))
            else:
                self._connection.execute(_APPEND, blob)
                size += len(blob[2])
        return size

    def _next_clock(self) -> Clock | None:
        """The reading of the clocks to store, or None if the stored reading is still accurate."""
        now = Clock.now(self._boot, self.offset)
        return now if self._clock.boot != now.boot or self._clock.is_stale(now) else None

    def _failed(self, error: sqlite3.Error) -> LinesyncFailed:
        """Roll back, and return the error of the transaction."""
        if _code(error) == sqlite3.SQLITE_FULL:
            try:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            except sqlite3.Error as rollback_error:
                return self._broken(rollback_error)
            full = NotStored(
                f"the hub's disk is full, so this request was not stored; free space on the disk of {self._path}, and try"
                " again"
            )
            full.path = str(self._path)
            return full
        return self._broken(error)

    def _broken(self, error: sqlite3.Error) -> StateFailed:
        return StateFailed(
            f"the hub cannot write its state to {self._path}: {_words(error)}; the last requests may have been stored, but"
            " later requests are not stored, so check that disk and start the hub again"
        )

    def read(self, number: int, offset: int, count: int) -> bytes:
        """Read up to ``count`` bytes of a blob from ``offset`` on.

        :raises LinesyncFailed: the bytes cannot be read.
        :raises StateFailed: the file is damaged. The caller must not write again.
        """
        end = offset + count
        try:
            found = self._connection.execute(_READ, {"number": number, "begin": offset, "end": end}).fetchall()
        except sqlite3.Error as error:
            if _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise self._broken(error) from None
            raise LinesyncFailed(
                f"the hub cannot read the exchanged data in {self._path}: {_words(error)}; check its disk and try again"
            ) from None
        return b"".join(data[max(offset - begin, 0) : end - begin] for begin, data in found)

    def tidy(self) -> None:
        """Move the pages of the write-ahead log into the file, if there are many.

        :raises StateFailed: a write or a sync failed. The caller must not write again.
        """
        if self._pages >= _CHECKPOINT:
            self._checkpoint("PASSIVE")

    def _checkpoint(self, mode: str) -> None:
        try:
            self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        except sqlite3.Error as error:
            if _code(error) != sqlite3.SQLITE_FULL:  # the pages stay in the log until there is space
                raise self._broken(error) from None
        self._pages = 0

    def close(self, *, broken: bool = False) -> None:
        """Close the file.

        :param broken: whether an earlier write failed. Otherwise all pages are first moved from the write-ahead log into the
            file, and the log is removed.
        :raises StateFailed: a write or a sync failed. The next start reads the write-ahead log.
        """
        try:
            if not broken:
                self._checkpoint("TRUNCATE")
        finally:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._lock.release()


@cache
def _put_statement(count: int) -> str:
    values = ", ".join(["(?, ?, ?)"] * count)
    return f"INSERT INTO rows VALUES {values} ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value"


def _connect(path: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=0.2, isolation_level=None, cached_statements=32)
        try:
            for setting in _SETTINGS:
                connection.execute(f"PRAGMA {setting}")
            use_log(connection)
            connection.execute("BEGIN IMMEDIATE")  # locks the file, or fails if another program has it open
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        if _code(error) == sqlite3.SQLITE_BUSY:
            raise BusyError(f"another program has the state file {path} open; close that program first") from None
        raise LinesyncFailed(
            f"cannot open the state file {path}: {_words(error)}; check its disk, its directory and its mode"
        ) from None
    return connection


def read_clock(connection: sqlite3.Connection) -> Clock:
    """The stored reading of the clocks.

    :raises ValueError: the stored text is not valid.
    """
    (text,) = connection.execute("SELECT value FROM meta WHERE key = 'clock'").fetchone()
    found = json.loads(text)
    return Clock(float(found["monotonic"]), float(found["wall"]), str(found["boot"]), float(found["offset"]))


def _text(clock: Clock) -> str:
    return json.dumps(clock.as_dict())


def _code(error: sqlite3.Error) -> int:
    """The primary code of an error of SQLite; 0 if it has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _words(error: Exception) -> str:
    return sqlite_sentence(error)
