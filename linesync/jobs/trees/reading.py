"""Reads the files that the receiver of a copy needs, and makes the records with their data. All of this may block."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from ...errors import LinesyncFailed
from ...protocol import tree_records
from ...protocol.tree_records import record
from ..paths import access_error, sha256
from .answers import Answers
from .facts import READ_FLAGS, Stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

    from .sender import Sender, SentEntry

__all__ = ["Reading"]

BATCH_FILES = 32  # the number of files that are checked together
BATCH_BYTES = 1 << 18  # bytes; a larger file is checked alone
_HOLE = 64 << 20  # the maximum length of one hole; each byte of it is hashed
_READ = 1 << 18  # bytes of one read
_HEAD = 8  # bytes of a record with data before the data, at most
_FEW = 4096  # bytes; less room in a piece is not worth a read
_ZEROS = bytes(1 << 16)


class Reading:
    """Reads the files that the receiver needs, one after the other."""

    def __init__(self, sender: Sender, needed: list[SentEntry]) -> None:
        self._sender = sender
        self._needed = needed
        self._next = 0
        self._file: _OpenFile | None = None
        self._digests: list[bytes] = []  # bound: reading.BATCH_FILES
        """The SHA-256 of each file since the last check."""
        self._unchecked = 0
        self._begun = self._ended = False

    def read(self, answers: Answers, limit: int) -> bytes:
        out = bytearray()
        if not self._begun:
            self._begun = True
            out += record(tree_records.TOTAL, self._sender.total, self._sender.files)
        room = limit
        while room - len(out) > min(_FEW, limit // 2) and not self._ended:
            self._sender.check()
            if self._file is None:
                self._begin_next(out)
            elif self._file.source.number in answers.failed:
                self._abandon(out, "")
            else:
                room -= self._read_file(out, room - len(out))
        return bytes(out)  # one frame on sockets, as in files.py

    def _begin_next(self, out: bytearray) -> None:
        last = self._next >= len(self._needed)
        if self._digests and (last or len(self._digests) >= BATCH_FILES or self._unchecked >= BATCH_BYTES):
            total = sha256()
            total.update(b"".join(self._digests))
            out += record(tree_records.CHECK, total.digest())
            self._digests, self._unchecked = [], 0
            return
        if last:
            out += record(tree_records.DONE, self._sender.files, self._sender.total)
            self._ended = True
            return
        source = self._needed[self._next]
        self._next += 1
        try:
            self._file = _OpenFile(source, self._sender.check)
        except OSError as error:
            self._fail(out, source, access_error("read", self._sender.shown(source.path), error))
        except LinesyncFailed as error:
            self._fail(out, source, error)
        else:
            out += record(tree_records.FILE, source.number, source.start)

    def _read_file(self, out: bytearray, room: int) -> int:
        """Read the next piece of the file. Returns the number of bytes in a hole that cost time but no room."""
        file = self._file
        assert file is not None
        shown = self._sender.shown(file.source.path)
        try:
            hole = file.hole()
            if hole:
                out += record(tree_records.HOLE, hole)
                return room // 4 if hole >= _HOLE else 0
            data = file.read(min(room - _HEAD, _READ))
            if data:
                out += record(tree_records.DATA, data)
                return 0
            if file.changed():
                raise LinesyncFailed(f"cannot copy {shown}: it changed while it was read; copy it again")
        except OSError as error:
            self._abandon(out, access_error("read", shown, error).message)
        except LinesyncFailed as error:
            if isinstance(error, Stopped):
                raise
            self._abandon(out, error.message)
        else:
            digest = file.digest()
            self._digests.append(digest)
            self._unchecked += file.position
            self._sender.sent.append((digest, file.position, os.path.abspath(os.fsdecode(file.source.path))))
            self.close()
        return 0

    def _abandon(self, out: bytearray, sentence: str) -> None:
        """End the current file without all of its bytes.

        :param sentence: the reason; empty if the receiver has reported it.
        """
        assert self._file is not None
        number = self._file.source.number
        if sentence:
            self._sender.failures.append(sentence)
        out += self._sender.failure(number, sentence)
        self.close()

    def _fail(self, out: bytearray, source: SentEntry, error: LinesyncFailed) -> None:
        self._sender.failures.append(error.message)
        out += self._sender.failure(source.number, error.message)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _OpenFile:
    """A file that is being read.

    :raises LinesyncFailed: it is another kind of file now.
    :raises OSError: it cannot be read.
    """

    def __init__(self, source: SentEntry, check: Callable[[], None]) -> None:
        self.source = source
        self.position = 0
        self._hash: _Hash = sha256()
        self._check = check
        self._descriptor = os.open(source.path, READ_FLAGS)
        try:
            self._status = os.fstat(self._descriptor)
            if not stat.S_ISREG(self._status.st_mode):
                raise LinesyncFailed(
                    f"cannot copy {os.fsdecode(source.path)}: another kind of file has replaced it; copy it again"
                )
            self._sparse = self._status.st_blocks * 512 < self._status.st_size
            self._data_end = 0
            if source.start:
                self._skip_part(source.start)
        except BaseException:
            self.close()
            raise

    def _skip_part(self, size: int) -> None:
        while self.position < size:
            self._check()
            data = os.read(self._descriptor, min(_READ, size - self.position))
            if not data:
                return
            self._hash.update(data)
            self.position += len(data)
        self._data_end = self.position

    def hole(self) -> int:
        """Skip the hole at the current position, and return its length; 0 if there is data, or the end."""
        size = self._status.st_size
        if not self._sparse or self.position < self._data_end or self.position >= size:
            return 0
        try:
            data = os.lseek(self._descriptor, self.position, os.SEEK_DATA)
            end = os.lseek(self._descriptor, data, os.SEEK_HOLE)
        except OSError:  # no data until the end, or the file system does not know holes
            data = end = size
        data = min(data, size)
        length = min(data - self.position, _HOLE)
        if length:
            self._hash_zeros(length)
            self.position += length
        else:
            self._data_end = end
        os.lseek(self._descriptor, self.position, os.SEEK_SET)
        return length

    def _hash_zeros(self, length: int) -> None:
        while length:
            piece = memoryview(_ZEROS)[:length]
            self._hash.update(piece)
            length -= len(piece)

    def read(self, limit: int) -> bytes:
        """The next bytes; empty at the end. Bytes that another process appends during the copy are not read."""
        if self._status.st_size:
            limit = min(limit, self._status.st_size - self.position)
        if self._sparse and self._data_end > self.position:
            limit = min(limit, self._data_end - self.position)
        data = os.read(self._descriptor, limit) if limit else b""
        self._hash.update(data)
        self.position += len(data)
        return data

    def changed(self) -> bool:
        """Whether another process has changed the file since it was opened."""
        now, then = os.fstat(self._descriptor), self._status
        if not then.st_size and not now.st_size:
            return False  # a file of /proc
        return (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns)

    def digest(self) -> bytes:
        return self._hash.digest()

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
