"""Creates and examines state files. A new file appears when it is complete. An unsuitable file is refused and not changed.

1. A new file is made with another name, synced, and then renamed. A file at the path therefore always has a complete header.
2. An existing file is examined before it is opened for writing. A writing connection of SQLite would create other files
   beside it, and move committed pages into it. The examination therefore opens the file read-only: as ``immutable`` if its
   write-ahead log is empty, or else with the VFS ``unix-none``, which needs no shared memory.
3. The caller has the lock of the file (:mod:`linesync.store.state_lock`).

All functions may block.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

from ..errors import LinesyncFailed, UsageError
from .state_schema import APPLICATION, build, migrate, newest_version

__all__ = ["create", "examine", "make_folder", "reading", "set_meta", "sqlite_sentence", "use_log"]

_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # the size of the header of an SQLite file in bytes
_BESIDE = ("-wal", "-journal", "-shm")  # suffixes of the files that SQLite creates beside a file


def make_folder(path: str) -> None:
    """Create the directory of a file if it is missing. Only this user can use the new directory.

    :raises LinesyncFailed: the directory cannot be created.
    """
    folder = os.path.dirname(path) or "."
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
    except OSError as error:
        raise LinesyncFailed(
            f"cannot create the directory {folder} for the state file: {error.strerror}; choose another file"
        ) from None


def exists(path: str) -> bool:
    """Whether there is a regular file at a path.

    :raises LinesyncFailed: another kind of file is at the path, or it cannot be examined.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder):
            raise LinesyncFailed(
                f"there is no directory {folder} for the state file {os.path.basename(path)}; create it or choose"
                " another file"
            ) from None
        return False
    except OSError as error:
        raise LinesyncFailed(f"cannot read {path}: {error.strerror}; choose another file") from None
    if stat.S_ISLNK(found.st_mode):
        raise LinesyncFailed(f"{path} is a symbolic link; give the path of the state file itself")
    if not stat.S_ISREG(found.st_mode):
        raise LinesyncFailed(f"{path} is not a regular file, so it cannot be a state file; choose another path")
    if found.st_nlink > 1:
        raise LinesyncFailed(
            f"{path} has a second name (a hard link), under which another hub could use it; remove that name or choose"
            " another file"
        )
    return True


def check_owner(path: str) -> None:
    """Refuse a file that another user can change.

    :raises LinesyncFailed: another user owns it or can write to it.
    """
    found = os.stat(path)
    if found.st_uid != os.geteuid():
        raise LinesyncFailed(
            f"{path} belongs to the user {found.st_uid}, not to the user of this hub, {os.geteuid()}; change its owner or"
            " choose another file"
        )
    if found.st_mode & 0o022:
        raise LinesyncFailed(f"other users can write to {path}; run chmod 600 {path} or choose another file")


def examine(path: str) -> int:
    """Check that a file is an undamaged state file, without changing it.

    :return: the version of its tables.
    :raises LinesyncFailed: the file cannot be read, is not a state file, is damaged, or is newer than this program.
    """
    _check_header(path)
    with reading(path) as connection:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > newest_version():
            raise LinesyncFailed(
                f"{path} was written by a newer linesync: it has state version {version}, and this linesync knows up to"
                f" {newest_version()}; use that linesync, or choose another file"
            )
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok" or version < 1:
            raise _damaged(path, result if result != "ok" else "it has no version")
    return version


def _check_header(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise LinesyncFailed(f"cannot read {path}: {error.strerror}; check its owner and mode") from None
    try:
        header = os.read(descriptor, _HEADER)
    except OSError as error:
        raise LinesyncFailed(f"cannot read {path}: {error.strerror}; check that disk") from None
    finally:
        os.close(descriptor)
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        reason = "it is empty" if not header else "it is not an SQLite file, or its header is damaged"
        raise LinesyncFailed(f"{path} is not the state file of a hub: {reason}; choose another file")
    if int.from_bytes(header[68:72], "big") != APPLICATION:
        raise LinesyncFailed(
            f"{path} is not the state file of a hub: it is an SQLite file of another program; choose another file"
        )


def _damaged(path: str, reason: str) -> LinesyncFailed:
    return LinesyncFailed(f"the state file {path} is damaged: {' '.join(reason.split())}; restore it from a backup")


@contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """Open a connection that does not change any file.

    :raises LinesyncFailed: SQLite cannot read the file.
    """
    try:
        log_size = os.path.getsize(f"{path}-wal")
    except OSError:
        log_size = 0
    option = "vfs=unix-none" if log_size else "immutable=1"
    uri = f"file://{quote(os.fsencode(os.path.abspath(path)))}?mode=ro&{option}"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            yield connection
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _damaged(path, sqlite_sentence(error)) from None


def sqlite_sentence(error: Exception) -> str:
    """The message of an error of SQLite, with the name of the error."""
    name = getattr(error, "sqlite_errorname", "")
    return f"{error} ({name})" if name else str(error)


def create(path: str, hub: str, fill: Callable[[sqlite3.Connection], object], version: int | None = None) -> None:
    """Create a state file. It appears at its path when it is complete and on the disk.

    :param hub: the id of the hub.
    :param fill: writes the initial rows and blobs. Its errors are raised, and then there is no file.
    :param version: the version of the tables that ``fill`` writes; by default the newest version.
    :raises UsageError: there is already a file.
    :raises LinesyncFailed: the file cannot be created.
    """
    version = newest_version() if version is None else version
    new_path = f"{path}.new"
    beside = [name for end in _BESIDE if os.path.lexists(name := f"{path}{end}")]
    if os.path.lexists(path):
        raise UsageError(f"{path} exists already; choose another file, or remove it if you do not need it")
    if beside:
        raise LinesyncFailed(
            f"there is {beside[0]}, a part of a state file, but not {path} itself; move that file back, or remove"
            f" {beside[0]} if you do not need it"
        )
    try:
        _remove(new_path)
        os.close(os.open(new_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        _write(new_path, hub, fill, version)
        os.rename(new_path, path)
        _sync(os.path.dirname(path) or ".")
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else sqlite_sentence(error)
        raise LinesyncFailed(f"cannot create the state file {path}: {reason}; choose another file") from None
    finally:
        _remove(new_path)


def _write(path: str, hub: str, fill: Callable[[sqlite3.Connection], object], version: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        build(connection, version)
        set_meta(connection, "hub", hub)
        fill(connection)
        migrate(connection, version)
        connection.execute("COMMIT")
        use_log(connection)
    finally:
        connection.close()
    _sync(path)


def use_log(connection: sqlite3.Connection) -> None:
    """Use a write-ahead log.

    :raises sqlite3.OperationalError: it cannot be used. SQLite itself only returns another mode in this case.
    """
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError("the write-ahead log cannot be used")


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Write a value of the table ``meta``."""
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )


def _remove(path: str) -> None:
    for end in ("", *_BESIDE):
        with suppress(OSError):
            os.unlink(f"{path}{end}")


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
