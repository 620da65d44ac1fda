"""Writes copied bytes to a target: a new file that appears complete or not at all, or a block device.

All functions of this module may block, as in ``paths.py``. ``write`` adds bytes to a target. ``commit`` checks them, and
puts a new file at its path.

- A symbolic link is followed, even if its file does not exist yet.
- A new file that replaces an old file gets the owner, mode and extended attributes of the old file. The copy is refused if
  this process may not set that owner. Other hard links to the old file keep the old contents.
- A new file that replaces nothing gets the permission bits of the source without those in the umask, as with cp(1).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ..errors import LinesyncFailed
from .devices import open_device
from .hashed import Hashed
from .leftovers import Note, temporary_name
from .parts import LEAST, Part
from .paths import MUST_BE_DEVICE, kind_of, status_of, target_path

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Intermediate", "NewFile", "Target", "check_file", "open_target"]

_TRIES = 8  # attempts to put a file at its path while other processes write the same file


class Target(Protocol):
    """A file or block device that is being written."""

    size: int
    """Bytes written so far."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes written so far, in hex digits."""

    def write(self, data: bytes) -> None: ...
    def commit(self, sha256: str) -> bool:
        """Finish the target in several steps; the caller repeats the call as long as it returns True.

        :param sha256: the SHA-256 of the sent bytes, in hex digits.
        :raises LinesyncFailed: the received bytes differ from the sent bytes, or the device contains other bytes after the
            copy.
        :raises OSError: the system refuses.
        """

    def discard(self) -> None:
        """Close the target and remove its temporary file. After a commit this does nothing."""


def open_target(path: str, name: str, mode: int, size: int, device: int, where: str) -> Target:
    """Open a file or device for writing.

    :param name: the file's name if ``path`` is a directory.
    :param mode: the permission bits of a new file.
    :param size: the expected number of bytes, or 0 if it is unknown.
    :param device: whether the target is a block device: 0 (it must not be one), MUST_BE_DEVICE or MAY_BE_DEVICE.
    :param where: the host and a colon, for errors; empty for this machine.
    :raises LinesyncFailed, UsageError: the path has a kind that cannot be written.
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
        reason = "it does not exist" if status is None else f"it is {kind_of(status.st_mode)}"
        raise LinesyncFailed(
            f"cannot write {shown} as a block device: {reason}; check its name, or omit --device to write a file"
        )
    return NewFile(path, mode, shown, resumable=size >= LEAST)


def check_file(path: str) -> None:
    """Check that a local path is free or belongs to a regular file.

    :raises LinesyncFailed: the path belongs to another kind of file.
    :raises UsageError: the path contains a NUL character.
    :raises OSError: the system refuses.
    """
    status = status_of(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise LinesyncFailed(
            f"cannot write {path}: it is {kind_of(status.st_mode)}, not a regular file; use another path"
        )


class NewFile(Hashed):
    """A file that appears at its path only after :meth:`commit`.

    Until then it has no name, or a hidden name in the same directory if the file system does not support files without a
    name. With ``resumable``, it is a part of ``parts.py``, which an interrupted copy keeps.

    :param mode: the permission bits of a new file.
    :param shown: the path as ``host:path``, for errors.
    :param folder: an open descriptor of the folder of ``path``; then a symbolic link at ``path`` is not followed.
    :param resumable: whether the next copy may continue if this one is interrupted.
    :param part: the part with which the file begins, and the SHA-256 object of its bytes.
    :param finish: called with the descriptor of the complete file before it gets its name; it sets further attributes.
    :raises LinesyncFailed: the file cannot be written.
    :raises OSError: the system refuses.
    """

    def __init__(
        self,
        path: str,
        mode: int,
        shown: str,
        *,
        folder: int | None = None,
        resumable: bool = False,
        part: tuple[Part, _Hash] | None = None,
        finish: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__()
        self._path, self._shown = (path, shown) if folder is not None else _follow(path, shown)
        parent, self._name = os.path.split(self._path)
        self._file = -1
        self._temporary = ""
        self._note: Note | None = None
        self._part: Part | None = None
        self._finish = finish
        self._ends_with_hole = False
        try:
            self._folder = _open_folder(parent or ".") if folder is None else os.dup(folder)
        except FileNotFoundError:
            raise LinesyncFailed(
                f"cannot write {self._shown}: there is no directory {parent}; create it first"
            ) from None
        try:
            old = self._old()
            if old is None and _is_device_folder(self._folder):
                raise LinesyncFailed(f"cannot write {self._shown}: there is no device of that name; check the name")
            mode = 0o600 if old is not None else mode & 0o777
            if part is not None:
                self._continue(*part)
            elif not resumable or not self._create_part(mode):
                self._create(mode)
            if old is not None:
                self._copy_attributes(old)  # an error then appears before any bytes are sent
        except BaseException:
            self.discard()
            raise

    def _old(self) -> os.stat_result | None:
        """The status of the file that the new file will replace, or None if there is no such file.

        :raises LinesyncFailed: it is not a regular file.
        """
        try:
            status = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else kind_of(status.st_mode)
            raise LinesyncFailed(
                f"cannot write {self._shown}: it is {kind}, not a regular file; remove it first, or name another file"
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

    def _create_part(self, mode: int) -> bool:
        part = Part.create(os.path.abspath(self._path), self._folder, mode)
        if part is not None:
            self._part, self._file, self._temporary = part, os.dup(part.descriptor), part.name
        return part is not None

    def _continue(self, part: Part, hashed: _Hash) -> None:
        """Write the rest of a part."""
        self._part, self._file, self._temporary = part, os.dup(part.descriptor), part.name
        self._hash, self.size = hashed, part.size

    def _take_name(self) -> None:
        """Choose a temporary name and write a note about it. If this process is killed, a later process removes the file."""
        self._temporary = temporary_name(self._name)
        self._note = Note(os.path.join(os.path.dirname(self._path), self._temporary))

    def _copy_attributes(self, old: os.stat_result) -> None:
        """Give the new file the owner, mode and extended attributes of the old file."""
        new = os.fstat(self._file)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            try:
                os.fchown(self._file, old.st_uid, old.st_gid)
            except PermissionError:
                raise LinesyncFailed(
                    f"cannot write {self._shown}: it belongs to user {old.st_uid} and group {old.st_gid}, and user"
                    f" {os.geteuid()} cannot give the new file to them; remove the file first, or be its owner or root"
                ) from None
        old_path = f"/proc/self/fd/{self._folder}/{self._name}"
        with suppress(OSError):  # not every file system supports them, and not every user may set them
            for name in os.listxattr(old_path, follow_symlinks=False):
                if name != "security.capability":  # the kernel removes this attribute from a file that is written
                    with suppress(OSError):
                        os.setxattr(self._file, name, os.getxattr(old_path, name, follow_symlinks=False))
        os.fchmod(self._file, stat.S_IMODE(old.st_mode))

    def write(self, data: bytes) -> None:
        self.put_bytes(self._file, data)
        self._ends_with_hole = False

    def hole(self, size: int) -> None:
        """Add bytes of 0 that need no space on the disk."""
        os.lseek(self._file, size, os.SEEK_CUR)
        self.hash_hole(size)
        self._ends_with_hole = True

    def commit(self, sha256: str, *, synced: bool = False) -> bool:
        """Finish the file, as in :class:`Target`.

        :param synced: the caller has written the bytes to the disk, and syncs the folder later.
        """
        if self._ends_with_hole:
            os.ftruncate(self._file, self.size)
        if self.sha256 != sha256:
            raise LinesyncFailed(
                f"{self._shown} arrived damaged (its SHA-256 differs from that of the source); it was not written, copy"
                " it again"
            )
        for _ in range(_TRIES):
            old = self._old()
            if old is not None:
                self._copy_attributes(old)
            if self._finish is not None:
                self._finish(self._file)
            if not synced:
                os.fsync(self._file)
            try:
                self._place(replace=old is not None, sync=not synced)
                break
            except (FileExistsError, FileNotFoundError):
                continue  # another process writes or removes the same file
        else:
            raise LinesyncFailed(
                f"other processes keep replacing {self._shown}; it was not written, stop them and copy it again"
            )
        self._close()
        return False

    def _place(self, *, replace: bool, sync: bool) -> None:
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
            if self._part is not None:
                self._part.forget()
                self._part = None
        if not sync:
            return
        try:
            os.fsync(self._folder)
        except OSError as error:  # not every file system can sync a directory, and O_PATH cannot
            if error.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP):
                raise

    def discard(self, *, keep: bool = False) -> None:
        """Remove the file, unless it has its final name.

        :param keep: keep a part for the next copy.
        """
        if self._part is not None:
            part, self._part, self._temporary = self._part, None, ""
            if keep:
                if self._ends_with_hole:
                    os.ftruncate(self._file, self.size)
                part.close()
            else:
                part.remove()
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
    """The path that a chain of symbolic links leads to, and its form for errors. Any other path is returned unchanged."""
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
    except PermissionError:  # this user may write to the directory, but not list it
        return os.open(path, os.O_PATH | flags)


def _is_device_folder(descriptor: int) -> bool:
    """Whether a directory is on the file system of /dev. A new file there would only use memory."""
    devices = os.stat("/dev").st_dev
    return devices != os.stat("/").st_dev and os.fstat(descriptor).st_dev == devices


class Intermediate(Hashed):
    """The local copy of a file during a copy from one host to another. It has no name, so it ends with this process.

    :ivar path: a path under which this process can open it.
    :raises OSError: there is no temporary directory that this process may write to.
    """

    def __init__(self) -> None:
        from tempfile import TemporaryFile  # slow to import, and only copies between hosts need it

        super().__init__()
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - close() closes it
        self._complete = False
        self.path = f"/proc/self/fd/{self._file.fileno()}"

    def write(self, data: bytes) -> None:
        self.put_bytes(self._file.fileno(), data)

    def commit(self, sha256: str) -> bool:
        if self.sha256 != sha256:
            raise LinesyncFailed(
                "the file arrived damaged (its SHA-256 differs from that of the source); copy it again"
            )
        self._complete = True
        return False

    def discard(self) -> None:
        if not self._complete:
            self.close()

    def close(self) -> None:
        """Close and thereby remove the file."""
        self._file.close()
