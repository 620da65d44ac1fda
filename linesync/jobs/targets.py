"""Writes copied bytes: to a file that appears whole or not at all, or to a block device in place.

All functions here block, as those of ``paths.py`` do. ``write`` fills a target, ``commit`` puts it in its place.

- A symbolic link is followed, even if its file does not exist yet.
- A file that replaces another takes over its owner, mode and extended attributes. The copy is refused if we may not give the
  new file that owner. Other hard links to the old file keep the old contents.
- A new file gets the permission bits of its source without those in our umask, as with cp(1).
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Protocol

from ..errors import LinesyncFailed
from .leftovers import Note, temporary_name
from .paths import MUST_BE_DEVICE, kind_of, sha256, status_of, target_path

__all__ = ["InPlace", "Intermediate", "NewFile", "Target", "check_file", "open_target"]

_SYNC_EVERY = 32 << 20  # bytes between two syncs of a device, so that the progress shown is real
_VERIFY = 4 << 20  # bytes read back at once
_TRIES = 8  # attempts to put a file in its place while other processes write the same one
_FLUSH = 0x1261  # BLKFLSBUF: drop the cache of a block device


class Target(Protocol):
    """A file or device that is being written."""

    size: int
    """Bytes written so far."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes written so far, in hex digits."""

    def write(self, data: bytes) -> None: ...
    def commit(self, sha256: str) -> bool:
        """Do one step of finishing; call it again as long as it returns True.

        :param sha256: that of the bytes that were sent, in hex digits.
        :raises LinesyncFailed: other bytes arrived than were sent, or a device does not hold the bytes that arrived.
        :raises OSError: the system refuses.
        """

    def discard(self) -> None:
        """Close the target and remove its temporary file; after a commit this does nothing."""


def open_target(path: str, name: str, mode: int, size: int, device: int, where: str) -> Target:
    """Open a file or device for writing.

    :param name: the file's name in ``path`` if that is a directory.
    :param mode: the permission bits of a new file.
    :param size: the number of bytes that will come, or 0 if it is unknown.
    :param device: whether it is a block device: 0 (no), MUST_BE_DEVICE or MAY_BE_DEVICE.
    :param where: the host and a colon, for errors; empty for this machine.
    :raises LinesyncFailed, UsageError: it is not of a kind that can be written.
    :raises OSError: the system refuses.
    """
    path = target_path(path, name, where)
    shown = where + path
    status = status_of(path)
    if status is not None and stat.S_ISBLK(status.st_mode):
        if not device:
            raise LinesyncFailed(
                f"cannot write {shown}: it is a block device, not a regular file; add --device to overwrite its contents"
            )
        return open_device(path, size, shown)
    if device == MUST_BE_DEVICE:
        what = "it does not exist" if status is None else f"it is {kind_of(status.st_mode)}"
        raise LinesyncFailed(
            f"cannot write {shown} as a block device: {what}; check its name, or omit --device to write a file"
        )
    return NewFile(path, mode, shown)


def check_file(path: str) -> None:
    """Check that a regular file can be written at a local path.

    :raises LinesyncFailed: something else is there.
    :raises UsageError: the path contains a NUL character.
    :raises OSError: the system refuses.
    """
    status = status_of(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise LinesyncFailed(
            f"cannot write {path}: it is {kind_of(status.st_mode)}, not a regular file; use another path"
        )


class _Hashed:
    """Counts and hashes the bytes that are written."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def _put(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        self._hash.update(data)
        self.size += len(data)


class NewFile(_Hashed):
    """A file that appears at its path only after :meth:`commit`.

    Until then it has no name if the file system supports that, otherwise a hidden name in the same directory.

    :param mode: the permission bits of a new file.
    :param shown: the path as ``host:path``, for errors.
    :raises LinesyncFailed: it cannot be written.
    :raises OSError: the system refuses.
    """

    def __init__(self, path: str, mode: int, shown: str) -> None:
        super().__init__()
        self._path, self._shown = _follow(path, shown)
        folder, self._name = os.path.split(self._path)
        self._file = -1
        self._temporary = ""
        self._note: Note | None = None
        try:
            self._folder = _open_folder(folder or ".")
        except FileNotFoundError:
            raise LinesyncFailed(
                f"cannot write {self._shown}: there is no directory {folder}; create it first"
            ) from None
        try:
            old = self._old()
            if old is None and _is_device_folder(self._folder):
                raise LinesyncFailed(f"cannot write {self._shown}: there is no device of that name; check the name")
            self._create(0o600 if old is not None else mode & 0o777)
            if old is not None:
                self._copy_attributes(old)  # now, so that a failure comes before any bytes are sent
        except BaseException:
            self.discard()
            raise

    def _old(self) -> os.stat_result | None:
        """The status of the file that is at the path now, or None.

        :raises LinesyncFailed: it is not a regular file.
        """
        try:
            status = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            what = "a symbolic link" if stat.S_ISLNK(status.st_mode) else kind_of(status.st_mode)
            raise LinesyncFailed(
                f"cannot write {self._shown}: it is {what}, not a regular file; remove it first, or name another file"
            )
        if not os.access(self._name, os.W_OK, dir_fd=self._folder, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return status

    def _create(self, mode: int) -> None:
        flags = os.O_WRONLY | os.O_CLOEXEC
        if os.path.exists("/proc/self/fd"):  # _place() needs it to give the file a name
            try:
                self._file = os.open(".", flags | os.O_TMPFILE, mode, dir_fd=self._folder)
                return
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                    raise
        self._take_name()
        self._file = os.open(self._temporary, flags | os.O_CREAT | os.O_EXCL, mode, dir_fd=self._folder)

    def _take_name(self) -> None:
        """Choose a temporary name and write a note about it, so that the file is removed if this process is killed."""
        self._temporary = temporary_name(self._name)
        self._note = Note(os.path.join(os.path.dirname(self._path), self._temporary))

    def _copy_attributes(self, old: os.stat_result) -> None:
        """Take over the owner, mode and extended attributes of the old file."""
        new = os.fstat(self._file)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            try:
                os.fchown(self._file, old.st_uid, old.st_gid)
            except PermissionError:
                raise LinesyncFailed(
                    f"cannot write {self._shown}: it belongs to user {old.st_uid} and group {old.st_gid}, and user"
                    f" {os.geteuid()} cannot give the new file to them; remove the file first, or be its owner or root"
                ) from None
        here = f"/proc/self/fd/{self._folder}/{self._name}"
        with suppress(OSError):  # not every file system supports them, and not every user may set them
            for name in os.listxattr(here, follow_symlinks=False):
                if name != "security.capability":  # writing to a file removes this one
                    with suppress(OSError):
                        os.setxattr(self._file, name, os.getxattr(here, name, follow_symlinks=False))
        os.fchmod(self._file, stat.S_IMODE(old.st_mode))

    def write(self, data: bytes) -> None:
        self._put(self._file, data)

    def commit(self, sha256: str) -> bool:
        if self.sha256 != sha256:
            raise LinesyncFailed(
                f"{self._shown} arrived damaged (its SHA-256 differs from that of the source); it was not written, copy"
                " it again"
            )
        for _ in range(_TRIES):
            old = self._old()
            if old is not None:
                self._copy_attributes(old)
            os.fsync(self._file)
            try:
                self._place(replace=old is not None)
                break
            except (FileExistsError, FileNotFoundError):
                continue  # another process writes or removes the same file
        else:
            raise LinesyncFailed(
                f"other processes keep replacing {self._shown}; it was not written, stop them and copy it again"
            )
        self._close()
        return False

    def _place(self, *, replace: bool) -> None:
        if not self._temporary:
            name = self._name
            if replace:  # link(2) cannot replace a file, rename(2) can
                self._take_name()
                name = self._temporary
            # With the directory's descriptor Python calls linkat(2), which follows the link. link(2) would not.
            os.link(f"/proc/self/fd/{self._file}", name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        if self._temporary:
            os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._temporary = ""
        try:
            os.fsync(self._folder)
        except OSError as error:  # not every file system can sync a directory, and O_PATH cannot
            if error.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP):
                raise

    def discard(self) -> None:
        if self._temporary:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._folder)
            self._temporary = ""
        self._close()

    def _close(self) -> None:
        if self._note is not None:
            self._note.remove()
            self._note = None
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._folder = -1


def _follow(path: str, shown: str) -> tuple[str, str]:
    """The path at the end of a chain of links, and how to show it; a path that is not a link stays as it is."""
    if not os.path.islink(path):
        return path, shown
    real = os.path.realpath(path)
    status, found = status_of(path), status_of(real)
    if status is not None and (found is None or not os.path.samestat(status, found)):
        raise LinesyncFailed(f"cannot write {shown}: it is a link to something without a name; use the path of a file")
    return real, f"{shown} (a link to {real})"


def _open_folder(path: str) -> int:
    flags = os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(path, os.O_RDONLY | flags)
    except PermissionError:  # a directory may be writable though we may not list it
        return os.open(path, os.O_PATH | flags)


def _is_device_folder(descriptor: int) -> bool:
    """Whether the directory is on the file system of /dev, where a new file only uses up memory."""
    devices = os.stat("/dev").st_dev
    return devices != os.stat("/").st_dev and os.fstat(descriptor).st_dev == devices


class Intermediate(_Hashed):
    """Holds a file on its way between two hosts. It has no name, so it ends with this process.

    :ivar path: a path under which this process can open it.
    :raises OSError: there is no temporary directory that we may write to.
    """

    def __init__(self) -> None:
        from tempfile import TemporaryFile  # slow to import, and only copies between hosts need it

        super().__init__()
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - close() closes it
        self._whole = False
        self.path = f"/proc/self/fd/{self._file.fileno()}"

    def write(self, data: bytes) -> None:
        self._put(self._file.fileno(), data)

    def commit(self, sha256: str) -> bool:
        if self.sha256 != sha256:
            raise LinesyncFailed(
                "the file arrived damaged (its SHA-256 differs from that of the source); copy it again"
            )
        self._whole = True
        return False

    def discard(self) -> None:
        if not self._whole:
            self.close()

    def close(self) -> None:
        """Remove the file after it was read."""
        self._file.close()


class InPlace(_Hashed):
    """Overwrites a block device from its start, syncs it and reads it back.

    :param descriptor: the device, open for reading and writing; it is closed in the end.
    :param room: the size of the device in bytes.
    :param shown: the path as ``host:path``, for errors.
    """

    def __init__(self, descriptor: int, room: int, shown: str) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._room = room
        self._shown = shown
        self._synced = 0
        self._verified = 0
        self._again = sha256()
        self._done = False

    def write(self, data: bytes) -> None:
        if self.size + len(data) > self._room:
            raise LinesyncFailed(
                f"more bytes arrived than the {self._room:,} that {self._shown} has; its contents are now incomplete, copy"
                " less to it"
            )
        self._put(self._descriptor, data)
        if self.size - self._synced >= _SYNC_EVERY:
            os.fdatasync(self._descriptor)
            self._synced = self.size

    def commit(self, sha256: str) -> bool:
        if not self._done:
            if self.sha256 != sha256:
                raise LinesyncFailed(
                    f"the data for {self._shown} arrived damaged (its SHA-256 differs from that of the source); copy it"
                    " again"
                )
            os.fsync(self._descriptor)
            _forget_cache(self._descriptor)
            self._done = True
        if self._verified < self.size:
            data = _read_at(self._descriptor, self._verified, _VERIFY)[: self.size - self._verified]
            self._again.update(data)
            self._verified += len(data)
            if data:
                return True
        if self._again.hexdigest() != sha256:
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

    :param size: the number of bytes that will come.
    :param shown: the path as ``host:path``, for errors.
    :raises LinesyncFailed: it is in use or too small; nothing was changed.
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
        room = os.lseek(descriptor, 0, os.SEEK_END)
        if size > room:
            raise LinesyncFailed(
                f"cannot write {shown}: {size:,} bytes do not fit, the device has {room:,}; nothing was written, use a"
                " larger device"
            )
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return InPlace(descriptor, room, shown)


def _forget_cache(descriptor: int) -> None:
    """Drop the caches, so that the next read comes from the device itself."""
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

    with mmap(-1, count) as room:  # aligned to a page, as O_DIRECT requires
        try:
            size = os.preadv(descriptor, [room], offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_DIRECT)
            size = os.preadv(descriptor, [room], offset)
        return room[:size]
