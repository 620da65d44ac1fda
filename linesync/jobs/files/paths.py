"""Checks the kind of a path before it is read or written: regular file, link, device or another kind.

All functions of this module may block, so a desk runs them (``runtime/desk.py``). They call ``stat`` before they open a
file, because opening alone can have an effect: it wakes up the writer of a FIFO, rewinds a tape or starts a watchdog.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from ...errors import Hung, LinesyncFailed, UsageError

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["MAY_BE_DEVICE", "MUST_BE_DEVICE", "Source", "access_error", "kind_of", "sha256", "status_of", "target_path"]

MUST_BE_DEVICE = 1
MAY_BE_DEVICE = 2
_READ_MAX = 1 << 20  # bytes of one read; a large read needs fewer calls in a thread
_KINDS = (
    (stat.S_ISREG, "a regular file"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)

_BAD_NAME = "its file system cannot have this name, so rename the file"
_HINTS = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or raise the quota of the user",
    errno.EROFS: "its file system is read-only, so choose another path",
    errno.ENAMETOOLONG: _BAD_NAME,
    errno.EINVAL: _BAD_NAME,
    errno.EILSEQ: _BAD_NAME,
}
"""The remedy for each error of the system, as a clause."""


def sha256() -> _Hash:
    """A new SHA-256 object of hashlib."""
    from hashlib import sha256  # slow to import, and only copies need it

    return sha256()


def kind_of(mode: int) -> str:
    """The kind of a file with its article, such as "a FIFO", for error messages.

    :param mode: ``st_mode`` of the file.
    """
    return next((text for test, text in _KINDS if test(mode)), "something of an unknown kind")


def access_error(action: str, shown: str, error: OSError) -> LinesyncFailed:
    """The error for a path that the system refuses to read or write.

    :param action: ``read`` or ``write``.
    :param shown: the path as ``host:path``.
    """
    hint = "" if isinstance(error, Hung) else f"; {_HINTS.get(error.errno or 0, 'check the path and its permissions')}"
    return LinesyncFailed(f"cannot {action} {shown}: {error.strerror or error}{hint}")


def status_of(path: str) -> os.stat_result | None:
    """The status of the file at a path, or None if there is no file. Symbolic links are followed; a dangling link counts
    as no file.

    :raises UsageError: the path contains a NUL character.
    :raises OSError: the system refuses.
    """
    if "\0" in path:
        raise UsageError(f"invalid path {path!r}: it contains a NUL character; use another path")
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def target_path(path: str, name: str, where: str) -> str:
    """The path to write to: ``path`` itself, or ``path/name`` if ``path`` is a directory.

    :param where: the host and a colon, for errors; empty for this machine.
    :raises LinesyncFailed, UsageError: a file at this path is impossible.
    :raises OSError: the system refuses.
    """
    status = status_of(path)
    if status is not None and stat.S_ISDIR(status.st_mode):
        if name in ("", ".", "..") or "/" in name:
            raise UsageError(f"{where}{path} is a directory, and {name!r} is not a valid file name; name a file in it")
        return os.path.join(path, name)
    if status is None and path.endswith("/"):
        raise LinesyncFailed(
            f"cannot write {where}{path}: there is no such directory; create it first, or omit the final slash"
        )
    return path


class Source:
    """A file that is open for reading. Its size at the time of opening is the end of the copy.

    :param shown: the path as ``host:path``, for errors.
    :param device: whether the file may be a block device.
    :param advice: the last clause of the error if the file has the wrong kind: an instruction to the user.
    :ivar size: the size in bytes; 0 for a file that does not report its size, such as a file of /proc. Such a file is read
        until it ends.
    :raises LinesyncFailed: the file is not a regular file or an allowed device.
    :raises OSError: the file cannot be read.
    """

    def __init__(self, path: str, shown: str, *, device: bool = False, advice: str = "") -> None:
        status = status_of(path)
        if status is None:
            status = os.stat(path)  # raises the error for a missing file
        self._check(status.st_mode, shown, device, advice)
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        self._descriptor = os.open(path, flags)
        try:
            status = os.fstat(self._descriptor)  # another file may have replaced it since the check
            self._check(status.st_mode, shown, device, advice)
            os.set_blocking(self._descriptor, True)
            self.device = stat.S_ISBLK(status.st_mode)
            self.size = os.lseek(self._descriptor, 0, os.SEEK_END) if self.device else status.st_size
            if self.device:
                os.lseek(self._descriptor, 0, os.SEEK_SET)
        except BaseException:
            self.close()
            raise
        self.path = path
        self.mode = stat.S_IMODE(status.st_mode)
        self.sent = 0
        """Bytes read so far."""
        self._hash = sha256()

    @staticmethod
    def _check(mode: int, shown: str, device: bool, advice: str) -> None:
        if stat.S_ISREG(mode) or (device and stat.S_ISBLK(mode)):
            return
        if not advice:
            advice = "add --device to copy its contents" if stat.S_ISBLK(mode) else "copy regular files by their names"
            advice = "add -r to copy it" if stat.S_ISDIR(mode) else advice
        raise LinesyncFailed(f"cannot read {shown}: it is {kind_of(mode)}, not a regular file; {advice}")

    def read(self, limit: int = _READ_MAX) -> bytes:
        """Read and return the next bytes; b"" at the end. Bytes that another process appends during the copy are not read.

        :param limit: the maximum number of bytes.
        :raises OSError: the file cannot be read.
        """
        if self.size:
            limit = min(limit, self.size - self.sent)
        data = os.read(self._descriptor, limit) if limit else b""
        self._hash.update(data)
        self.sent += len(data)
        return data

    def rewind(self) -> None:
        """Read again from the start."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.sent, self._hash = 0, sha256()

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes read so far, in hex digits."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
