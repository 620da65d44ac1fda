"""What a path leads to, before anything is read or written there: a file, a link, a device, or something else.

All of this blocks: it is called where that stops nobody else (``runtime/desk.py``). Nothing is opened before ``stat``
has said what it is, for opening alone may do something: let the writer of a FIFO go, rewind a tape, start a watchdog.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ..errors import Hung, LinesyncFailed, UsageError

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["MAY_BE_DEVICE", "MUST_BE_DEVICE", "Source", "cannot", "kind_of", "sha256", "status_of", "target_path"]

MUST_BE_DEVICE = 1
MAY_BE_DEVICE = 2
_READ = 1 << 20  # bytes read at once, so that a thread has to wait seldom for its turn
_KINDS = (
    (stat.S_ISREG, "a regular file"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def sha256() -> _Hash:
    from hashlib import sha256  # only those who copy pay for it

    return sha256()


def kind_of(mode: int) -> str:
    """What a file is, as in "it is a FIFO"."""
    return next((text for test, text in _KINDS if test(mode)), "something of an unknown kind")


def cannot(what: str, shown: str, error: OSError) -> LinesyncFailed:
    """The error for a path that the system refuses.

    :param what: ``read`` or ``write``.
    :param shown: the path, with its host before it.
    """
    hint = "" if isinstance(error, Hung) else "; check the path and the rights to it"
    return LinesyncFailed(f"cannot {what} {shown}: {error.strerror or error}{hint}")


def status_of(path: str) -> os.stat_result | None:
    """What is at a path, links followed; None where there is nothing, or a link to nothing.

    :raises OSError: it cannot be seen.
    """
    if "\0" in path:
        raise UsageError(f"{path!r} cannot be a path, for it has a NUL in it; name another")
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def target_path(path: str, name: str, where: str) -> str:
    """The path to write to: in a directory that of a file called ``name``.

    :param where: the host and a colon, for errors; empty for here.

    :raises LinesyncFailed, UsageError: there can be no such file.
    :raises OSError: it cannot be seen.
    """
    status = status_of(path)
    if status is not None and stat.S_ISDIR(status.st_mode):
        if name in ("", ".", "..") or "/" in name:
            raise UsageError(f"{where}{path} is a directory, and {name!r} cannot be a file's name; name a file in it")
        return os.path.join(path, name)
    if status is None and path.endswith("/"):
        raise LinesyncFailed(
            f"cannot write {where}{path}: there is no such directory; make it first, or leave the slash out"
        )
    return path


class Source:
    """A file that is read from its beginning to the end that it has now.

    :param device: it may be a block device.
    :param shown: its path, with its host before it, for errors.
    :ivar size: bytes; 0 for one that does not say, as those of /proc, and is read as long as it gives something.
    :raises LinesyncFailed: it is nothing that can be copied.
    :raises OSError: it cannot be read.
    """

    def __init__(self, path: str, shown: str, *, device: bool = False, advice: str = "") -> None:
        status = status_of(path)
        if status is None:
            status = os.stat(path)  # which raises
        self._check(status.st_mode, shown, device, advice)
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        self._descriptor = os.open(path, flags)
        try:
            status = os.fstat(self._descriptor)  # another one may be there by now
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
            advice = "add --device to copy what is on it" if stat.S_ISBLK(mode) else "copy regular files by their names"
        raise LinesyncFailed(f"cannot read {shown}: it is {kind_of(mode)}, not a regular file; {advice}")

    def read(self, most: int = _READ) -> bytes:
        """The next bytes, none at the end. What is added to a file meanwhile is not read."""
        if self.size:
            most = min(most, self.size - self.sent)
        data = os.read(self._descriptor, most) if most else b""
        self._hash.update(data)
        self.sent += len(data)
        return data

    @property
    def sha256(self) -> str:
        """Of what was read so far, hex digits."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Let go of it; the second time this does nothing."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
