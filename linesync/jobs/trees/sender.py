"""The sender of a copy of trees: it describes its files, reads the files that the receiver needs, and makes the records.

All methods of :class:`Sender` may block, so a desk runs them, one at a time. :class:`Answers` reads the records of the
receiver and does not block.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from ... import limits
from ...errors import LinesyncFailed, UsageError
from ...model.trees import verdicts
from ...model.trees.entries import DIGEST_BYTES, FILE, FOLDER, HARD_LINK, LINK, Attributes, Entry, record_of
from ...model.trees.names import HERE, name_of_source
from ...protocol import tree_records
from ...protocol.tree_records import RecordReader, record
from ..paths import access_error, kind_of, sha256
from .facts import READ_FLAGS, Options, Stopped, Tree, group_name, hash_file, kind_of_entry, read_tree, user_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from hashlib import _Hash

__all__ = ["BATCH_BYTES", "BATCH_FILES", "Answers", "Sender"]

BATCH_FILES = 32  # the number of files that are checked together
BATCH_BYTES = 1 << 18  # bytes; a larger file is checked alone
_HOLE = 64 << 20  # the maximum length of one hole; each byte of it is hashed
_READ = 1 << 18  # bytes of one read
_HEAD = 8  # bytes of a record with data before the data, at most
_FEW = 4096  # bytes; less room in a piece is not worth a read


class Answers:
    """Reads the records of the receiver.

    :ivar owners: whether the receiver can set the owners of files.
    :ivar got: the number of bytes that have arrived.
    :ivar failures: a sentence for each entry that the receiver could not write.
    :ivar done: the number of files and of bytes that were written, at the end of the copy.
    """

    def __init__(self) -> None:
        self._reader = RecordReader("ovpG!Q")
        self.owners = False
        self.verdicts = ""  # bound: limits.COPY_ENTRIES
        self.parts: dict[int, tuple[int, bytes]] = {}  # bound: limits.COPY_ENTRIES
        """The length and the SHA-256 of each part, by the number of its entry."""
        self.got = 0
        self.failures: list[str] = []  # bound: limits.COPY_ENTRIES
        self.failed: set[int] = set()  # bound: limits.COPY_ENTRIES
        """The numbers of these entries."""
        self.done: tuple[int, int] | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes of stream 0.

        :raises LinesyncFailed: they are malformed.
        """
        for letter, fields in self._reader.feed(data):
            if letter == tree_records.GOT:
                self.got = _int(fields[0])
            elif letter == tree_records.FAILED:
                if len(self.failures) < limits.COPY_ENTRIES:
                    self.failures.append(_bytes(fields[1]).decode("utf-8", "surrogateescape"))
                    self.failed.add(_int(fields[0]))
            elif letter == tree_records.VERDICTS:
                text = _bytes(fields[0]).decode("ascii", "replace")
                verdicts.check(text)
                if len(self.verdicts) + len(text) > limits.COPY_ENTRIES:
                    raise LinesyncFailed("the other end of the copy sent too many verdicts; update linesync there")
                self.verdicts += text
            elif letter == tree_records.PART:
                if len(self.parts) < limits.COPY_ENTRIES:
                    self.parts[_int(fields[0])] = _int(fields[1]), _bytes(fields[2])
            elif letter == tree_records.OWNERS:
                self.owners = bool(fields[0])
            else:
                self.done = _int(fields[0]), _int(fields[1])


def _int(field: int | bytes) -> int:
    assert isinstance(field, int)
    return field


def _bytes(field: int | bytes) -> bytes:
    assert isinstance(field, bytes)
    return field


class _Source:
    """An entry that was sent."""

    __slots__ = ("entry", "number", "path", "start", "tree")

    def __init__(self, number: int, path: bytes, entry: Entry, tree: Tree | None) -> None:
        self.number = number
        self.path = path
        self.entry = entry
        self.tree = tree
        self.start = 0


class Sender:
    """Sends files.

    :param paths: the sources.
    :param where: the host and a colon, for errors; empty for this machine.
    :ivar failures: a sentence for each entry that could not be read.
    """

    def __init__(self, paths: Sequence[bytes], where: str, options: Options) -> None:
        self._paths = paths
        self._where = where
        self._options = options
        self._count = 0
        self._asked: list[_Source] = []  # bound: limits.COPY_ENTRIES
        """The entries that wait for a verdict, in the order of the round."""
        self._needed: list[_Source] = []  # bound: limits.COPY_ENTRIES
        self._twins: dict[tuple[int, int], int] = {}  # bound: limits.COPY_ENTRIES
        self._owners: set[tuple[str, int]] = set()  # bound: limits.COPY_ENTRIES
        self._out = bytearray()
        self._stopped = False
        self._reading: _Reading | None = None
        self.failures: list[str] = []  # bound: limits.COPY_ENTRIES
        self.files = 0
        """The number of files that are sent."""
        self.total = 0
        """The number of bytes that are sent."""
        self.sent: list[tuple[bytes, int, str]] = []  # bound: limits.COPY_ENTRIES
        """The SHA-256, the size and the path of each file that was sent."""

    # -- the rounds ---------------------------------------------------------------------------------------------------

    def first_round(self) -> bytes:
        """The records of the first round: the sources themselves."""
        for path in self._paths:
            self._add(0, path, name_of_source(path), None)
        return self._end_round()

    def next_round(self, answers: Answers) -> bytes:
        """The records of the next round; empty if the receiver knows enough.

        :param answers: the answers to the last round.
        """
        self._options.owners = answers.owners and self._options.preserve
        asked, self._asked = self._asked, []
        found, answers.verdicts = answers.verdicts, ""
        for source, verdict in zip(asked, found, strict=True):
            self._check()
            self._handle(source, verdict, answers)
        return self._end_round() if self._asked else b""

    @property
    def expected(self) -> int:
        """The number of verdicts that the receiver owes."""
        return len(self._asked)

    def _end_round(self) -> bytes:
        self._out += record(tree_records.ROUND)
        out, self._out = bytes(self._out), bytearray()
        return out

    def _handle(self, source: _Source, verdict: str, answers: Answers) -> None:
        is_file = source.entry.kind == FILE
        if verdict == verdicts.ASK:
            self._send_digest(source)
        elif verdict == verdicts.OPEN and source.tree is not None:
            for name, tree in source.tree.children.items():
                self._add(source.number, os.path.join(source.path, name), name, tree)
        elif verdict == verdicts.ALL and source.entry.kind == FOLDER:
            self._add_all(source)
        elif verdict in (verdicts.ALL, verdicts.REST) and is_file:
            part = answers.parts.pop(source.number, None)
            source.start = self._checked_start(source, *part) if part is not None else 0
            self._needed.append(source)

    def _checked_start(self, source: _Source, size: int, digest: bytes) -> int:
        """The length of the part of the receiver, if this file begins with the same bytes; else 0."""
        if not 0 < size <= source.entry.size:
            return 0
        try:
            descriptor = os.open(source.path, READ_FLAGS)
            try:
                return size if hash_file(descriptor, self._check, size) == digest else 0
            finally:
                os.close(descriptor)
        except OSError:
            return 0  # the reading of the file reports this error

    def _send_digest(self, source: _Source) -> None:
        tree = source.tree
        try:
            if tree is None or not tree.digest:
                tree = source.tree = self._read_tree(source)
        except OSError as error:
            self._fail(source.number, source.path, access_error("read", self._shown(source.path), error))
            self._out += record(tree_records.DIGEST, source.number, bytes(DIGEST_BYTES))
        else:
            self._out += record(tree_records.DIGEST, source.number, tree.digest or bytes(DIGEST_BYTES))
        self._asked.append(source)

    def _read_tree(self, source: _Source) -> Tree:
        path = source.path if self._options.recursive else os.path.realpath(source.path)
        if source.entry.name == HERE:
            path = os.path.realpath(path)
        return read_tree(path, None, self._options, self._check)

    def _add_all(self, source: _Source) -> None:
        """Send all entries of a folder, and of the folders in it."""
        waiting = [source]
        while waiting:
            self._check()
            folder = waiting.pop()
            try:
                names = sorted(map(os.fsencode, os.listdir(folder.path)))
            except OSError as error:
                self._fail(folder.number, folder.path, access_error("read", self._shown(folder.path), error))
                continue
            for name in names:
                added = self._add(folder.number, os.path.join(folder.path, name), name, None)
                if added is not None and added.entry.kind == FOLDER:
                    waiting.append(added)

    def _add(self, parent: int, path: bytes, name: bytes, tree: Tree | None) -> _Source | None:
        """Send an entry, or the reason why it cannot be read."""
        try:
            if b"\0" in path:
                raise UsageError(f"invalid path {self._shown(path)!r}: it contains a NUL character; use another path")
            follows = not parent and (not self._options.recursive or name == HERE)
            status = os.stat(path, follow_symlinks=follows)
            entry = self._entry(parent, path, name, status, tree)
        except OSError as error:
            self._fail(0, path, access_error("read", self._shown(path), error))
            return None
        except (LinesyncFailed, UsageError) as error:
            self._fail(0, path, error)
            return None
        if self._count >= limits.COPY_ENTRIES:
            raise LinesyncFailed(
                f"more than {limits.COPY_ENTRIES:,} files and folders; copy the folders one after the other"
            )
        self._count += 1
        source = _Source(self._count, path, entry, tree)
        if entry.kind == FILE and status.st_nlink > 1:
            self._twins[status.st_dev, status.st_ino] = self._count
        self._out += record_of(entry)
        self._asked.append(source)
        return source

    def _entry(self, parent: int, path: bytes, name: bytes, status: os.stat_result, tree: Tree | None) -> Entry:
        kind, shown = kind_of_entry(status.st_mode), self._shown(path)
        if kind == FOLDER and not self._options.recursive:
            raise LinesyncFailed(f"cannot read {shown}: it is a directory, not a regular file; add -r to copy it")
        if not kind:
            is_block = stat.S_ISBLK(status.st_mode)
            advice = "add --device to copy its contents" if is_block else "copy regular files by their names"
            raise LinesyncFailed(f"cannot read {shown}: it is {kind_of(status.st_mode)}, not a regular file; {advice}")
        attributes = None
        if self._options.preserve:
            attributes = Attributes(status.st_mtime_ns, status.st_uid, status.st_gid)
            self._send_owner(status)
        twin = self._twins.get((status.st_dev, status.st_ino), 0) if kind == FILE and status.st_nlink > 1 else 0
        return Entry(
            parent,
            HARD_LINK if twin else kind,
            name,
            0 if kind == LINK else stat.S_IMODE(status.st_mode),
            status.st_size if kind == FILE else 0,
            attributes,
            os.readlink(path) if kind == LINK else b"",
            twin,
            tree.digest if tree is not None and kind != LINK and not twin else b"",
        )

    def _send_owner(self, status: os.stat_result) -> None:
        for letter, number, name in (
            (tree_records.USER, status.st_uid, user_name),
            (tree_records.GROUP, status.st_gid, group_name),
        ):
            if (letter, number) not in self._owners:
                self._owners.add((letter, number))
                self._out += record(letter, number, os.fsencode(name(number)))

    # -- the data -----------------------------------------------------------------------------------------------------

    def begin_data(self) -> None:
        """Count what the receiver needs. Then :meth:`read` returns the data."""
        self._needed.sort(key=lambda source: source.number)
        self.files = len(self._needed)
        self.total = sum(source.entry.size - source.start for source in self._needed)

    def read(self, answers: Answers, limit: int) -> bytes:
        """The next records with data, about ``limit`` bytes; empty at the end."""
        if self._reading is None:
            self._reading = _Reading(self, self._needed)
        return self._reading.read(answers, limit)

    def _fail(self, number: int, path: bytes, error: LinesyncFailed | UsageError) -> None:
        if len(self.failures) < limits.COPY_ENTRIES:
            self.failures.append(error.message)
        self._out += self.failure(number, error.message)

    @staticmethod
    def failure(number: int, sentence: str) -> bytes:
        """The record of a failure."""
        return record(tree_records.FAILED, number, sentence.encode("utf-8", "surrogateescape")[:8192])

    def _shown(self, path: bytes) -> str:
        return self._where + os.fsdecode(path)

    def _check(self) -> None:
        if self._stopped:
            raise Stopped("the copy was stopped")

    def stop(self) -> None:
        """End the calls that still run. Another thread may call this."""
        self._stopped = True

    def close(self) -> None:
        """Close the file that is being read."""
        if self._reading is not None:
            self._reading.close()


class _Reading:
    """Reads the files that the receiver needs, one after the other."""

    def __init__(self, sender: Sender, needed: list[_Source]) -> None:
        self._sender = sender
        self._needed = needed
        self._next = 0
        self._file: _OpenFile | None = None
        self._digests: list[bytes] = []  # bound: sender.BATCH_FILES
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
            self._sender._check()
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
            self._file = _OpenFile(source, self._sender._check)
        except OSError as error:
            self._fail(out, source, access_error("read", self._sender._shown(source.path), error))
        except LinesyncFailed as error:
            self._fail(out, source, error)
        else:
            out += record(tree_records.FILE, source.number, source.start)

    def _read_file(self, out: bytearray, room: int) -> int:
        """Read the next piece of the file. Returns the number of bytes in a hole that cost time but no room."""
        file = self._file
        assert file is not None
        shown = self._sender._shown(file.source.path)
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

    def _fail(self, out: bytearray, source: _Source, error: LinesyncFailed) -> None:
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

    def __init__(self, source: _Source, check: Callable[[], None]) -> None:
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


_ZEROS = bytes(1 << 16)
