"""Writes many new files to the disk at once. A sync of each file would take longer than its transfer on a fast line."""

from __future__ import annotations

import errno
import os

__all__ = ["Disks"]


class Disks:
    """The file systems on which a copy has files.

    :ivar FEW: the number of files from which one sync of the file system is faster than a sync of each file.
    """

    FEW = 3

    def __init__(self) -> None:
        self._folders: dict[int, int] = {}  # bound: placing._OPEN
        """A descriptor of a folder on each file system, by device number."""

    def add(self, folder: int) -> None:
        """Add the file system of an open folder."""
        device = os.fstat(folder).st_dev
        if device not in self._folders:
            self._folders[device] = os.dup(folder)

    def sync(self) -> None:
        """Write everything that was written on these file systems to the disks.

        :raises OSError: a disk reports an error.
        """
        import ctypes  # only copies of several files need it

        libc = ctypes.CDLL(None, use_errno=True)
        for descriptor in self._folders.values():
            if libc.syncfs(descriptor):
                number = ctypes.get_errno()
                if number != errno.EBADF:
                    raise OSError(number, os.strerror(number))
                os.sync()  # a folder that this user may not list is open without the right to sync it

    def close(self) -> None:
        while self._folders:
            os.close(self._folders.popitem()[1])
