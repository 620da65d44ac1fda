"""One file that arrives. A small file stays in memory until it is checked. A large one is written as it arrives."""

from __future__ import annotations

import os
from collections.abc import Callable

from ...errors import LinesyncFailed
from ..files import parts
from ..files.paths import sha256
from ..files.targets import NewFile
from .facts import READ_FLAGS, Options
from .placing import Node, Owners
from .syncing import Disks

__all__ = ["Incoming"]

_READ = 1 << 20  # bytes of zeros that are hashed together
_COPY_READ = 1 << 16  # bytes of one read; a piece with only zeros may become a hole


class Incoming:
    """A file that arrives.

    :param shown: its path as ``host:path``, for errors.
    :ivar size: the bytes that have arrived.
    """

    def __init__(self, node: Node, folder: int, shown: str, options: Options, owners: Owners) -> None:
        self.node = node
        self.size = 0
        self._folder = folder if folder < 0 else os.dup(folder)
        self._shown = shown
        self._options = options
        self._owners = owners
        self._hash = sha256()
        self._memory: bytearray | None = None
        self._target: NewFile | None = None

    def open(self, folder: int, start: int) -> None:
        """Begin to write.

        :param folder: the descriptor of its folder.
        :param start: the length of the part that is here already.
        :raises LinesyncFailed: the file cannot be written.
        :raises OSError: the system refuses.
        """
        self._folder = os.dup(folder)
        try:
            self._open(self.node.part, start)
            self.node.part = None
        except BaseException:
            self._drop()
            raise

    def _open(self, part: parts.Part | None, start: int) -> None:
        node = self.node
        if part is not None and start and start == part.size and node.part_hash is not None:
            self.size = start
            self._target = self._new_file(part=(part, node.part_hash))
        elif start:
            raise LinesyncFailed(f"cannot continue {self._shown}: its part has changed; copy it again")
        elif part is not None:
            os.ftruncate(part.descriptor, 0)
            os.lseek(part.descriptor, 0, os.SEEK_SET)
            part.size = 0
            self._target = self._new_file(part=(part, sha256()))
        elif node.entry.size >= parts.LEAST:
            self._target = self._new_file(resumable=True)
        else:
            self._memory = bytearray()

    def _new_file(self, **options: object) -> NewFile:
        node = self.node
        folder = None if node.follows else self._folder
        finish = (lambda descriptor: self._owners.apply(node, descriptor)) if self._options.preserve else None
        return NewFile(node.path, node.entry.mode, self._shown, folder=folder, finish=finish, **options)  # type: ignore[arg-type]

    @property
    def in_memory(self) -> int:
        """The bytes that are in memory."""
        return 0 if self._memory is None else len(self._memory)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the bytes that have arrived."""
        return (self._hash if self._target is None else self._target.hashed).digest()

    def write(self, data: bytes) -> None:
        """Add bytes.

        :raises OSError: they cannot be written. They count for the SHA-256 nevertheless.
        """
        self.size += len(data)
        if self._target is None:
            self._hash.update(data)
            if self._memory is not None:
                self._memory += data
                if len(self._memory) >= parts.LEAST:
                    self._spill()
            return
        try:
            self._target.write(data)
        except OSError:
            self._hash = self._target.hashed.copy()
            self._hash.update(data)
            self._drop()
            raise

    def hole(self, size: int) -> None:
        """Add bytes of 0."""
        if self._memory is not None:
            self._spill()
        self.size += size
        if self._target is not None:
            self._target.hole(size)
            return
        while size:
            piece = bytes(min(size, _READ))
            self._hash.update(piece)
            size -= len(piece)

    def _spill(self) -> None:
        """Continue in a file. A file of /proc does not report its size, so it may be large."""
        assert self._memory is not None
        memory, self._memory = bytes(self._memory), None
        self._target = self._new_file()
        self._target.write(memory)

    def copy_from(self, path: str, check: Callable[[], None]) -> bool:
        """Copy another file of this machine. Returns False if it does not have the expected contents."""
        node = self.node
        try:
            source = os.open(path, READ_FLAGS | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            status = os.fstat(source)
            if status.st_size != node.entry.size:
                return False
            sparse = status.st_blocks * 512 < status.st_size
            self._target = self._new_file()
            while data := os.read(source, _COPY_READ):
                check()
                if sparse and not data.strip(b"\0"):
                    self.hole(len(data))
                else:
                    self.write(data)
                if self.size > node.entry.size:
                    return False
        finally:
            os.close(source)
        return self.digest.startswith(node.entry.digest)

    def prepare(self, disks: Disks) -> None:
        """Write all bytes, so that only the name is missing.

        :param disks: gets the file system of the file.
        :raises LinesyncFailed: the file cannot be written.
        :raises OSError: the system refuses.
        """
        disks.add(self._folder)
        if self._memory is not None:
            memory, self._memory = bytes(self._memory), None
            self._target = self._new_file()
            self._target.write(memory)

    def commit(self, *, synced: bool = False) -> None:
        """Put the file at its path. Its bytes were checked.

        :param synced: the bytes were written to the disk, and the caller syncs the folder later.
        :raises LinesyncFailed: the file cannot be written.
        :raises OSError: the system refuses.
        """
        if self._target is not None:
            self._hash = self._target.hashed
            self._target.commit(self._hash.hexdigest(), synced=synced)
            self._target = None
        self.close()

    def discard(self) -> None:
        """Remove the bytes that have arrived. Later bytes are only hashed."""
        if self._target is not None:
            self._hash = self._target.hashed.copy()
        self._drop()
        self.close()

    def _drop(self) -> None:
        self._memory = None
        if self._target is not None:
            target, self._target = self._target, None
            target.discard()

    def close(self) -> None:
        """Close the file, and keep its part for the next copy."""
        if self._target is not None:
            target, self._target = self._target, None
            target.discard(keep=True)
        if self._folder >= 0:
            descriptor, self._folder = self._folder, -1
            os.close(descriptor)
