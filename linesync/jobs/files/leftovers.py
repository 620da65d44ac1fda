"""Removes the temporary files of processes that were killed with SIGKILL.

Each temporary file has a *note* as long as it has its temporary name. A note is a file in this user's runtime directory. It
contains one path and is locked while the process that wrote it lives. A later process that finds an unlocked note removes
the temporary file. No notes are written if there is no runtime directory that only this user can write to.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress

from ...runtime.identity import runtime_folder, token

__all__ = ["Note", "remove_leftovers", "replace_file", "temporary_name"]

_NOTE = "part-"
_SUFFIX = ".linesync"
_TRIES = 8  # attempts to lock a note that other processes may read at the same time
_searched = False  # whether this process has searched for the temporary files of dead processes


def temporary_name(name: str) -> str:
    """A new temporary name for a file that later gets the name ``name`` in the same directory."""
    return f".{os.fsdecode(os.fsencode(name)[:200])}.{token()}{_SUFFIX}"


class Note:
    """A note about one temporary file.

    :param path: the path of the temporary file.
    """

    def __init__(self, path: str) -> None:
        if not _searched:
            remove_leftovers()
        self._path = ""
        self._descriptor = -1
        with suppress(OSError):
            if _own_folder():
                self._write(os.fsencode(os.path.abspath(path)))

    def _write(self, path: bytes) -> None:
        for _ in range(_TRIES):
            self._path = os.path.join(runtime_folder(), f"{_NOTE}{token()}")
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:
                    os.write(descriptor, path)
                    self._descriptor, descriptor = descriptor, -1
                    return
            except BlockingIOError:
                pass  # another process found the note before it was locked, and removes it
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

    def remove(self) -> None:
        """Remove the note. The file has its final name by then, or no longer exists."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.unlink(self._path)
            os.close(self._descriptor)
            self._descriptor = -1


def replace_file(path: str, text: str, mode: int | None = None) -> None:
    """Write a small text file completely or not at all. It replaces any file or symbolic link at the path.

    :param mode: the permission bits of the file, or None for the default of the umask.
    :raises OSError: the system refuses.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, temporary_name(name))
    note = Note(temporary)
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(text)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            os.unlink(temporary)
        note.remove()


def remove_leftovers() -> None:
    """Remove the temporary files of processes that were killed."""
    global _searched
    _searched = True
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
    """Whether there is a runtime directory that only this user can write to.

    In any other directory, another user could write a note, and this process would remove the file that the note names.
    """
    folder = runtime_folder()
    if make:
        os.makedirs(folder, 0o755 if os.geteuid() == 0 else 0o700, exist_ok=True)
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
