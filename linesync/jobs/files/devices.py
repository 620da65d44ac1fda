"""Block devices as the targets of copies: they are overwritten in place, synced, and read back for a check."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from ...errors import LinesyncFailed
from .hashed import Hashed
from .paths import sha256

__all__ = ["InPlace", "open_device"]

_SYNC_EVERY = 32 << 20  # bytes between two syncs of a device, so that the reported progress is real
_VERIFY = 4 << 20  # bytes of one read when a device is verified
_FLUSH = 0x1261  # BLKFLSBUF: drop the cache of a block device


class InPlace(Hashed):
    """A block device that is overwritten from its start, synced, and then read back for a check.

    :param descriptor: the device, open for reading and writing; a commit or discard closes it.
    :param capacity: the size of the device in bytes.
    :param shown: the path as ``host:path``, for errors.
    """

    def __init__(self, descriptor: int, capacity: int, shown: str) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._capacity = capacity
        self._shown = shown
        self._synced = 0
        """The number of bytes that are certainly on the device."""
        self._verified = 0
        """The number of bytes that were read back."""
        self._hash_read_back = sha256()
        self._flushed = False

    def write(self, data: bytes) -> None:
        if self.size + len(data) > self._capacity:
            raise LinesyncFailed(
                f"more than the {self._capacity:,} bytes of {self._shown} arrived; its contents are now incomplete, copy"
                " less to it"
            )
        self.put_bytes(self._descriptor, data)
        if self.size - self._synced >= _SYNC_EVERY:
            os.fdatasync(self._descriptor)
            self._synced = self.size

    def commit(self, sha256: str) -> bool:
        if not self._flushed:
            if self.sha256 != sha256:
                raise LinesyncFailed(
                    f"the data for {self._shown} arrived damaged (its SHA-256 differs from that of the source); copy it"
                    " again"
                )
            os.fsync(self._descriptor)
            _forget_cache(self._descriptor)
            self._flushed = True
        if self._verified < self.size:
            data = _read_at(self._descriptor, self._verified, _VERIFY)[: self.size - self._verified]
            self._hash_read_back.update(data)
            self._verified += len(data)
            if data:
                return True
        if self._hash_read_back.hexdigest() != sha256:
            raise LinesyncFailed(
                f"{self._shown} does not hold the data that was written to it (reading it back gave another SHA-256);"
                " copy it again, and replace the device if that fails"
            )
        self.discard()
        return False

    def discard(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def open_device(path: str, size: int, shown: str) -> InPlace:
    """Open a block device to overwrite its contents.

    :param size: the expected number of bytes, or 0 if it is unknown.
    :param shown: the path as ``host:path``, for errors.
    :raises LinesyncFailed: the device is in use or too small. It is unchanged.
    :raises OSError: the system refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_EXCL | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise LinesyncFailed(
                f"cannot write {shown}: the device is in use (it or a partition may be mounted); unmount it first"
            ) from None
        raise
    try:
        if not stat.S_ISBLK(os.fstat(descriptor).st_mode):
            raise LinesyncFailed(f"cannot write {shown}: another file has replaced the block device; copy it again")
        capacity = os.lseek(descriptor, 0, os.SEEK_END)
        if size > capacity:
            raise LinesyncFailed(
                f"cannot write {shown}: {size:,} bytes do not fit, the device has {capacity:,}; nothing was written, use a"
                " larger device"
            )
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return InPlace(descriptor, capacity, shown)


def _forget_cache(descriptor: int) -> None:
    """Drop the caches of a device. The next read then comes from the device itself."""
    import fcntl

    with suppress(OSError):
        fcntl.ioctl(descriptor, _FLUSH)
    with suppress(OSError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    with suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_DIRECT)


def _read_at(descriptor: int, offset: int, count: int) -> bytes:
    import fcntl
    from mmap import mmap

    with mmap(-1, count) as buffer:  # O_DIRECT requires alignment to a page
        try:
            size = os.preadv(descriptor, [buffer], offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_DIRECT)
            size = os.preadv(descriptor, [buffer], offset)
        return buffer[:size]
