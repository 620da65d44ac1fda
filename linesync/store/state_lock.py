"""The lock of a state file. Only one process uses the file. A process that was killed does not block the next process.

1. The lock is a ``flock`` on ``PATH.lock``, which contains the pid of the owner. The kernel releases the lock when the
   process ends. A lock on the state file itself would not work, because closing any descriptor of that file would end
   SQLite's own locks.
2. The owner removes ``PATH.lock`` before it releases the lock. A process that has locked a removed file tries again.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress

from ..errors import BusyError, LinesyncFailed

__all__ = ["StateLock"]

_TRIES = 100  # attempts; an attempt fails if the owner removes the file after this process has opened it
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class StateLock:
    """The lock of one state file. The constructor takes the lock.

    :param path: the path of the state file.
    :param reading: whether the state file is only read. The constructor then takes no lock if it cannot create the lock
        file, for example on a read-only medium.
    :raises BusyError: another process, or another object of this process, has the lock.
    :raises LinesyncFailed: the lock file cannot be created.
    """

    def __init__(self, path: str, *, reading: bool = False) -> None:
        self._path = f"{path}.lock"
        self._descriptor = -1
        for _ in range(_TRIES):
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except OSError as error:
                if reading and error.errno in _READ_ONLY and not os.path.lexists(self._path):
                    return
                raise LinesyncFailed(
                    f"cannot create {self._path}, the lock of the state file: {error.strerror}; make its directory"
                    " writable, or choose another file"
                ) from None
            if self._take(descriptor, path):
                return
        raise BusyError(f"cannot lock {path}: other processes keep taking its lock; try again")

    def _take(self, descriptor: int, path: str) -> bool:
        """Lock an open lock file. If the file was already removed, close it and return False."""
        taken = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                os.ftruncate(descriptor, 0)
                with suppress(OSError):  # the lock does not depend on the pid, and the disk may be full
                    os.write(descriptor, b"%d\n" % os.getpid())
                self._descriptor, taken = descriptor, True
        except BlockingIOError:
            pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            owner = f"process {pid}" if pid.isdecimal() else "another process"
            raise BusyError(
                f"{owner} has the state file {path} open; stop that hub first, or choose another file",
                details={"pid": int(pid) if pid.isdecimal() else None},
            ) from None
        except OSError as error:
            raise LinesyncFailed(f"cannot lock {self._path}: {error.strerror}; choose another file") from None
        finally:
            if not taken:
                os.close(descriptor)
        return taken

    def release(self) -> None:
        """Remove and release the lock. Further calls have no effect."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.unlink(self._path)
            os.close(self._descriptor)
            self._descriptor = -1
