"""The sender of a copy of trees: it describes its files, reads the files that the receiver needs, and makes the records.

All methods of :class:`Sender` may block, so a desk runs them, one at a time.
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
from ...protocol.tree_records import record
from ..files.paths import access_error, kind_of
from .answers import Answers
from .facts import READ_FLAGS, Options, Stopped, Tree, group_name, hash_file, kind_of_entry, read_tree, user_name
from .reading import Reading

__all__ = ["Sender", "SentEntry"]


class SentEntry:
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
        self._asked: list[SentEntry] = []  # bound: limits.COPY_ENTRIES
        """The entries that wait for a verdict, in the order of the round."""
        self._needed: list[SentEntry] = []  # bound: limits.COPY_ENTRIES
        self._twins: dict[tuple[int, int], int] = {}  # bound: limits.COPY_ENTRIES
        self._owners: set[tuple[str, int]] = set()  # bound: limits.COPY_ENTRIES
        self._out = bytearray()
        self._stopped = False
        self._reading: Reading | None = None
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
            self.check()
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

    def _handle(self, source: SentEntry, verdict: str, answers: Answers) -> None:
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

    def _checked_start(self, source: SentEntry, size: int, digest: bytes) -> int:
        """The length of the part of the receiver, if this file begins with the same bytes; else 0."""
        if not 0 < size <= source.entry.size:
            return 0
        try:
            descriptor = os.open(source.path, READ_FLAGS)
            try:
                return size if hash_file(descriptor, self.check, size) == digest else 0
            finally:
                os.close(descriptor)
        except OSError:
            return 0  # the reading of the file reports this error

    def _send_digest(self, source: SentEntry) -> None:
        tree = source.tree
        try:
            if tree is None or not tree.digest:
                tree = source.tree = self._read_tree(source)
        except OSError as error:
            self._fail(source.number, source.path, access_error("read", self.shown(source.path), error))
            self._out += record(tree_records.DIGEST, source.number, bytes(DIGEST_BYTES))
        else:
            self._out += record(tree_records.DIGEST, source.number, tree.digest or bytes(DIGEST_BYTES))
        self._asked.append(source)

    def _read_tree(self, source: SentEntry) -> Tree:
        path = source.path if self._options.recursive else os.path.realpath(source.path)
        if source.entry.name == HERE:
            path = os.path.realpath(path)
        return read_tree(path, None, self._options, self.check)

    def _add_all(self, source: SentEntry) -> None:
        """Send all entries of a folder, and of the folders in it."""
        waiting = [source]
        while waiting:
            self.check()
            folder = waiting.pop()
            try:
                names = sorted(map(os.fsencode, os.listdir(folder.path)))
            except OSError as error:
                self._fail(folder.number, folder.path, access_error("read", self.shown(folder.path), error))
                continue
            for name in names:
                added = self._add(folder.number, os.path.join(folder.path, name), name, None)
                if added is not None and added.entry.kind == FOLDER:
                    waiting.append(added)

    def _add(self, parent: int, path: bytes, name: bytes, tree: Tree | None) -> SentEntry | None:
        """Send an entry, or the reason why it cannot be read."""
        try:
            if b"\0" in path:
                raise UsageError(f"invalid path {self.shown(path)!r}: it contains a NUL character; use another path")
            follows = not parent and (not self._options.recursive or name == HERE)
            status = os.stat(path, follow_symlinks=follows)
            entry = self._entry(parent, path, name, status, tree)
        except OSError as error:
            self._fail(0, path, access_error("read", self.shown(path), error))
            return None
        except (LinesyncFailed, UsageError) as error:
            self._fail(0, path, error)
            return None
        if self._count >= limits.COPY_ENTRIES:
            raise LinesyncFailed(
                f"more than {limits.COPY_ENTRIES:,} files and folders; copy the folders one after the other"
            )
        self._count += 1
        source = SentEntry(self._count, path, entry, tree)
        if entry.kind == FILE and status.st_nlink > 1:
            self._twins[status.st_dev, status.st_ino] = self._count
        self._out += record_of(entry)
        self._asked.append(source)
        return source

    def _entry(self, parent: int, path: bytes, name: bytes, status: os.stat_result, tree: Tree | None) -> Entry:
        kind, shown = kind_of_entry(status.st_mode), self.shown(path)
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
        """Count the files and bytes that the receiver needs. Then :meth:`read` returns the data."""
        self._needed.sort(key=lambda source: source.number)
        self.files = len(self._needed)
        self.total = sum(source.entry.size - source.start for source in self._needed)

    def read(self, answers: Answers, limit: int) -> bytes:
        """The next records with data, about ``limit`` bytes; empty at the end."""
        if self._reading is None:
            self._reading = Reading(self, self._needed)
        return self._reading.read(answers, limit)

    def _fail(self, number: int, path: bytes, error: LinesyncFailed | UsageError) -> None:
        if len(self.failures) < limits.COPY_ENTRIES:
            self.failures.append(error.message)
        self._out += self.failure(number, error.message)

    @staticmethod
    def failure(number: int, sentence: str) -> bytes:
        """The record of a failure."""
        return record(tree_records.FAILED, number, sentence.encode("utf-8", "surrogateescape")[:8192])

    def shown(self, path: bytes) -> str:
        """A path with its host, for errors."""
        return self._where + os.fsdecode(path)

    def check(self) -> None:
        """Raise Stopped if the copy was stopped."""
        if self._stopped:
            raise Stopped("the copy was stopped")

    def stop(self) -> None:
        """End the calls that still run. Another thread may call this."""
        self._stopped = True

    def close(self) -> None:
        """Close the file that is being read."""
        if self._reading is not None:
            self._reading.close()
