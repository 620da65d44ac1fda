"""Temporary files that a kill -9 would leave behind: each is noted while it has a name, and removed at the next start.

A note is a file with one path in this user's runtime directory, locked as long as its process lives. Where there is no
such directory of our own, nothing is noted.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress

from ..runtime.identity import runtime_folder, token

__all__ = ["Note", "remove_leftovers", "temporary_name"]

_NOTE = "part-"
_SUFFIX = ".linesync"
_looked = False  # for those of others, in this process


def temporary_name(name: str) -> str:
    """A new name for a file that will be called ``name``, in the same folder."""
    return f".{os.fsdecode(os.fsencode(name)[:200])}.{token()}{_SUFFIX}"


class Note:
    """Says that a temporary file exists."""

    def __init__(self, path: str) -> None:
        if not _looked:
            remove_leftovers()
        self._path = os.path.join(runtime_folder(), f"{_NOTE}{token()}")
        self._descriptor = -1
        with suppress(OSError):
            if not _own_folder():
                return
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(self._descriptor, os.fsencode(os.path.abspath(path)))

    def remove(self) -> None:
        """The file has its place, or is gone."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.unlink(self._path)
            os.close(self._descriptor)
            self._descriptor = -1


def remove_leftovers() -> None:
    """Remove what processes that were killed have left behind."""
    global _looked
    _looked = True
    folder = runtime_folder()
    try:
        names = os.listdir(folder) if _own_folder(make=False) else []
    except OSError:
        return
    for name in names:
        if name.startswith(_NOTE):
            with suppress(OSError):
                _remove(os.path.join(folder, name))


def _remove(note: str) -> None:
    descriptor = os.open(note, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its process lives
        path = os.fsdecode(os.read(descriptor, 1 << 16))
        name = os.path.basename(path)
        if name.startswith(".") and name.endswith(_SUFFIX):
            with suppress(FileNotFoundError):
                if stat.S_ISREG(os.lstat(path).st_mode):
                    os.unlink(path)
        os.unlink(note)
    finally:
        os.close(descriptor)


def _own_folder(*, make: bool = True) -> bool:
    """There is a runtime directory, and nobody else can write into it: a note makes us remove a file."""
    folder = runtime_folder()
    if make:
        os.makedirs(folder, 0o755 if os.geteuid() == 0 else 0o700, exist_ok=True)
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
