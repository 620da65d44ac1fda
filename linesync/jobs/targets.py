"""Where copied bytes go: a file that is there whole or not at all, or a block device that is written in place.

All of this blocks, as ``paths.py``. A target is filled by ``write`` and put in its place by ``commit``.

- A symbolic link is followed, also one to a file that is not there yet.
- A file that is replaced passes its owner, mode and extended attributes on to the new one; where we may not give the new
  one its owner, it is refused. Other hard links to it keep the old contents.
- A new file gets the permission bits of its source less those in our umask, as with cp(1).
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

__all__ = ["InPlace", "NewFile", "Target", "check_file", "open_target"]

_SYNC_EVERY = 32 << 20  # bytes written to a device before they must be on it, so that progress is real
_VERIFY = 4 << 20  # bytes read back at once
_TRIES = 8  # to put a name in its place while others do the same
_FLUSH = 0x1261  # BLKFLSBUF: forget what is cached of a block device


class Target(Protocol):
    """What is being written."""

    size: int
    """Bytes so far."""

    @property
    def sha256(self) -> str:
        """Of the bytes so far, hex digits."""

    def write(self, data: bytes) -> None: ...
    def commit(self, sha256: str) -> bool:
        """Finish; to be called again as long as it returns True.

        :raises LinesyncFailed: what arrived is not what was sent, or is not what is there now.
        """

    def discard(self) -> None:
        """Leave nothing behind; after a commit this does nothing."""


def open_target(path: str, name: str, mode: int, size: int, device: int, where: str) -> Target:
    """Prepare to write.

    :param name: the file's name in ``path``, when that is a directory.
    :param size: bytes that will come, as far as that is known.
    :param device: 0, MUST_BE_DEVICE or MAY_BE_DEVICE.
    :param where: the host and a colon, for errors; empty for here.
    :raises LinesyncFailed, UsageError: it is nothing that can be written.
    :raises OSError: the system refuses.
    """
    path = target_path(path, name, where)
    shown = where + path
    status = status_of(path)
    if status is not None and stat.S_ISBLK(status.st_mode):
        if not device:
            raise LinesyncFailed(
                f"cannot write {shown}: it is a block device, not a regular file; add --device to overwrite what is on it"
            )
        return open_device(path, size, shown)
    if device == MUST_BE_DEVICE:
        what = "there is none" if status is None else f"it is {kind_of(status.st_mode)}"
        raise LinesyncFailed(
            f"cannot write {shown} as a block device: {what}; check its name, or leave --device out to write a file"
        )
    return NewFile(path, mode, shown)


def check_file(path: str) -> None:
    """See that a file can be written here.

    :raises LinesyncFailed: something else is there.
    :raises OSError: it cannot be seen.
    """
    status = status_of(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise LinesyncFailed(f"cannot write {path}: it is {kind_of(status.st_mode)}, not a regular file; name another")


class _Hashed:
    """Counts and hashes."""

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
    """A file that is at its place only after :meth:`commit`.

    Until then it has no name at all where the file system can do that, else a hidden one beside its place.
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
            raise LinesyncFailed(f"cannot write {self._shown}: there is no directory {folder}; make it first") from None
        try:
            old = self._old()
            if old is None and _is_device_folder(self._folder):
                raise LinesyncFailed(f"cannot write {self._shown}: there is no device of that name; check the name")
            self._create(0o600 if old is not None else mode & 0o777)
            if old is not None:
                self._be_like(old)  # now, so that what cannot be done is known before anything comes
        except BaseException:
            self.discard()
            raise

    def _old(self) -> os.stat_result | None:
        """What is at the place now."""
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
        if os.path.exists("/proc/self/fd"):  # by which it gets its name
            try:
                self._file = os.open(".", flags | os.O_TMPFILE, mode, dir_fd=self._folder)
                return
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                    raise
        self._take_name()
        self._file = os.open(self._temporary, flags | os.O_CREAT | os.O_EXCL, mode, dir_fd=self._folder)

    def _take_name(self) -> None:
        """A temporary name, noted in case we are killed."""
        self._temporary = temporary_name(self._name)
        self._note = Note(os.path.join(os.path.dirname(self._path), self._temporary))

    def _be_like(self, old: os.stat_result) -> None:
        """Take over owner, mode and extended attributes of the file that is replaced."""
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
        with suppress(OSError):  # neither every file system nor every user has them
            for name in os.listxattr(here, follow_symlinks=False):
                if name != "security.capability":  # which writing takes from a file
                    with suppress(OSError):
                        os.setxattr(self._file, name, os.getxattr(here, name, follow_symlinks=False))
        os.fchmod(self._file, stat.S_IMODE(old.st_mode))

    def write(self, data: bytes) -> None:
        self._put(self._file, data)

    def commit(self, sha256: str) -> bool:
        if self.sha256 != sha256:
            raise LinesyncFailed(
                f"{self._shown} arrived damaged (its SHA-256 is not that of what was sent); it was not written, copy it"
                " again"
            )
        for _ in range(_TRIES):
            old = self._old()
            if old is not None:
                self._be_like(old)
            os.fsync(self._file)
            try:
                self._place(replace=old is not None)
                break
            except (FileExistsError, FileNotFoundError):
                continue  # somebody else writes or removes the same file
        else:
            raise LinesyncFailed(f"others write {self._shown} all the time; it was not written, copy it again")
        self._close()
        return False

    def _place(self, *, replace: bool) -> None:
        if not self._temporary:
            name = self._name
            if replace:  # a link cannot
                self._take_name()
                name = self._temporary
            # With a folder's descriptor, for link(2), which Python takes otherwise, would link the link.
            os.link(f"/proc/self/fd/{self._file}", name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        if self._temporary:
            os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._temporary = ""
        try:
            os.fsync(self._folder)
        except OSError as error:  # some file systems cannot sync a folder, nor can one sync what one may not list
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
    """The path that a link leads to in the end, and how to show it; a path that is no link as it is."""
    if not os.path.islink(path):
        return path, shown
    real = os.path.realpath(path)
    status, found = status_of(path), status_of(real)
    if status is not None and (found is None or not os.path.samestat(status, found)):
        raise LinesyncFailed(f"cannot write {shown}: what it is a link to has no name; name a file")
    return real, f"{shown} (a link to {real})"


def _open_folder(path: str) -> int:
    flags = os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(path, os.O_RDONLY | flags)
    except PermissionError:  # one may write into a folder that one may not list
        return os.open(path, os.O_PATH | flags)


def _is_device_folder(descriptor: int) -> bool:
    """It is on the file system of /dev, where a new file takes memory and nothing else."""
    devices = os.stat("/dev").st_dev
    return devices != os.stat("/").st_dev and os.fstat(descriptor).st_dev == devices


class InPlace(_Hashed):
    """What is on a block device, from its beginning: written over, synced, read back.

    :param descriptor: of the device, to read and to write; it is closed in the end.
    :param room: bytes that it has.
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
                f"more came than the {self._room:,} bytes that {self._shown} has; what is on it now is not whole"
            )
        self._put(self._descriptor, data)
        if self.size - self._synced >= _SYNC_EVERY:
            os.fdatasync(self._descriptor)
            self._synced = self.size

    def commit(self, sha256: str) -> bool:
        if not self._done:
            if self.sha256 != sha256:
                raise LinesyncFailed(
                    f"what was written to {self._shown} arrived damaged (its SHA-256 is not that of what was sent); copy"
                    " it again"
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
                f"{self._shown} does not hold what was written to it (what was read back has another SHA-256); copy it"
                " again, and replace the device if that fails"
            )
        self.discard()
        return False

    def discard(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def open_device(path: str, size: int, shown: str) -> InPlace:
    """Open a block device to overwrite what is on it.

    :raises LinesyncFailed: it is in use, or too small; nothing was changed.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_EXCL | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise LinesyncFailed(
                f"cannot write {shown}: the device is in use (mounted, or a part of it is); unmount it first"
            ) from None
        raise
    try:
        if not stat.S_ISBLK(os.fstat(descriptor).st_mode):
            raise LinesyncFailed(f"cannot write {shown}: it was a block device and is another now; copy again")
        room = os.lseek(descriptor, 0, os.SEEK_END)
        if size > room:
            raise LinesyncFailed(
                f"cannot write {shown}: {size:,} bytes do not fit on it, for it has {room:,}; nothing was written"
            )
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return InPlace(descriptor, room, shown)


def _forget_cache(descriptor: int) -> None:
    """See to it that what is read now comes from the device."""
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

    with mmap(-1, count) as room:  # begins at a page, as direct reading wants it
        try:
            size = os.preadv(descriptor, [room], offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_DIRECT)
            size = os.preadv(descriptor, [room], offset)
        return room[:size]
