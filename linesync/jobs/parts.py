"""The parts of files that an interrupted copy leaves, so that the next copy can continue.

A part is a hidden file in the folder of its target. It belongs to the *record* of its target in the state folder of this
user. The record contains the path of the part. It is written before the first byte of the part, so it also exists after
SIGKILL. A copy locks the part that it writes. A record that was not used for :data:`KEPT` seconds expires: the next copy on
this machine, or the agent, removes it and its part.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import suppress

from ..runtime.identity import state_folder
from .acting import own_rights
from .leftovers import temporary_name
from .paths import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["KEPT", "LEAST", "Part", "expire"]

KEPT = 86400.0  # seconds after which an unused part expires
LEAST = 1 << 16  # bytes: the size of the smallest file that has a part
_READ = 1 << 20  # bytes of one read
_FOLDER = "parts"
_SUFFIX = ".linesync"


class Part:
    """The part of one target.

    :ivar descriptor: the part, open for reading and writing at its end, and locked.
    :ivar name: its name in the folder of the target.
    :ivar size: its size in bytes.
    """

    def __init__(self, target: str, descriptor: int, name: str, size: int, record: str) -> None:
        self.descriptor = descriptor
        self.name = name
        self.size = size
        self._target = target
        self._record = record

    @classmethod
    def find(cls, target: str) -> Part | None:
        """Open the part of a target, or return None if there is none that this process can continue.

        :param target: the absolute path of the target.
        """
        try:
            with own_rights():
                record = _record_of(target)
                with open(record, "rb") as file:
                    path = os.fsdecode(file.read(1 << 16))
        except OSError:
            return None
        folder, name = os.path.split(path)
        if folder != os.path.dirname(target) or not _is_part(name):
            return None
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                size = os.lseek(descriptor, 0, os.SEEK_END)
                with suppress(OSError), own_rights():
                    os.utime(record)
                part, descriptor = cls(target, descriptor, name, size, record), -1
                return part
        except OSError:
            pass  # another copy writes it
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return None

    @classmethod
    def create(cls, target: str, folder: int, mode: int) -> Part | None:
        """Create an empty part. Returns None if no record can be written.

        :param folder: the descriptor of the folder of the target.
        :raises OSError: the part cannot be created.
        """
        name = temporary_name(os.path.basename(target))
        old = cls.find(target)
        if old is not None:
            old.remove()  # the caller does not continue it
        try:
            with own_rights():
                expire()
                record = _record_of(target)
                os.makedirs(os.path.dirname(record), 0o700, exist_ok=True)
                with open(record, "xb") as file:
                    file.write(os.fsencode(os.path.join(os.path.dirname(target), name)))
        except OSError:  # another copy writes the same target, or the state folder cannot be written
            return None
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(name, flags, mode, dir_fd=folder)
        except OSError:
            with own_rights():
                _unlink(record)
            raise
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(target, descriptor, name, 0, record)

    def read_hash(self) -> _Hash:
        """The SHA-256 object of all bytes of the part."""
        found, at = sha256(), 0
        while at < self.size:
            data = os.pread(self.descriptor, min(_READ, self.size - at), at)
            if not data:
                break
            found.update(data)
            at += len(data)
        self.size = at
        return found

    def remove(self) -> None:
        """Close the part and remove it, with its record."""
        _unlink(os.path.join(os.path.dirname(self._target), self.name))
        self.forget()

    def forget(self) -> None:
        """Close the part and remove its record. The file has its final name now."""
        with own_rights():
            _unlink(self._record)
        self.close()

    def close(self) -> None:
        """Close the part and keep it for the next copy."""
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)


def expire(now: float | None = None) -> None:
    """Remove the parts that were not used for :data:`KEPT` seconds, and records without parts.

    :param now: the time in seconds since 1970; by default, the time of the system.
    """
    now = time.time() if now is None else now
    folder = os.path.join(state_folder(), _FOLDER)
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            _expire(os.path.join(folder, name), now)


def _expire(record: str, now: float) -> None:
    age = now - os.stat(record).st_mtime
    with open(record, "rb") as file:
        path = os.fsdecode(file.read(1 << 16))
    if age < KEPT and (os.path.lexists(path) or age < 60):
        return
    if _is_part(os.path.basename(path)):
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while a copy writes it
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    os.unlink(path)
            finally:
                os.close(descriptor)
    os.unlink(record)


def _record_of(target: str) -> str:
    digest = sha256()
    digest.update(os.fsencode(target))
    return os.path.join(state_folder(), _FOLDER, digest.hexdigest()[:32])


def _is_part(name: str) -> bool:
    return name.startswith(".") and name.endswith(_SUFFIX)


def _unlink(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
