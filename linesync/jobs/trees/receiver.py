"""The receiver of a copy of trees: it decides what it needs, and puts each file at its path when all of it has arrived.

All methods may block, so a desk runs them, one at a time. :meth:`Receiver.feed` takes the bytes of the sender and returns
the bytes for the sender.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from ... import limits
from ...errors import LinesyncError, LinesyncFailed
from ...model.trees import verdicts
from ...model.trees.entries import FILE, FOLDER, HARD_LINK, LINK, Entry, entry_of
from ...model.trees.names import HERE, check_name, places
from ...protocol import tree_records
from ...protocol.tree_records import Fields, RecordReader, record
from ...store.contents import Contents
from ..paths import access_error, sha256
from .facts import Options, Stopped, Tree, read_tree
from .incoming import Incoming
from .placing import Folders, Node, Owners, find, make_folder, make_link, make_twin, set_attributes
from .syncing import Disks

__all__ = ["Receiver"]

_OPEN = 64  # the maximum number of files that wait for a check
_PENDING = 2 << 20  # the maximum size in bytes of small files that wait for a check
_PIECE = 1 << 15  # verdicts in one record


class Receiver:
    """Receives files.

    :param path: the target.
    :param names: the names of the sources.
    :param where: the host and a colon, for errors; empty for this machine.
    :param into: whether the target must be an existing folder.
    :param contents: the index of the contents that this machine has; None to send everything.
    :ivar failures: a sentence for each entry that could not be read by the sender or written here.
    :ivar received: the number of bytes of files that have arrived.
    :ivar total: the number of bytes of files that will arrive.
    :ivar done: whether the copy is complete.
    """

    def __init__(
        self, path: bytes, names: list[bytes], where: str, options: Options, *, into: bool, contents: Contents | None
    ) -> None:
        self._reader = RecordReader("EHUV;TFDZX!Q")
        self._options = options
        self._where = where
        self._folders = Folders(path, where)
        self._names = names
        if into and not self._folders.is_folder:
            names = [*names, b""]  # several copies go to this target, so it must be a folder
        self._places = places(
            path, names, is_folder=self._folders.is_folder, exists=self._folders.status is not None, where=where
        )
        self._contents = contents
        self._owners = Owners()
        self._disks = Disks()
        self._nodes: list[Node] = [self._folders.root(self._places.folder)]  # bound: limits.COPY_ENTRIES
        self._verdicts: list[str] = []  # bound: limits.COPY_ENTRIES
        self._first = True
        self._file: Incoming | None = None
        self._unchecked: list[Incoming] = []  # bound: receiver._OPEN
        self._out = bytearray()
        self._stopped = False
        self.failures: list[str] = []  # bound: limits.COPY_ENTRIES
        self.received = self.total = self.files = 0
        self.done = False
        self._handlers: dict[str, Callable[[Fields], None]] = {
            tree_records.ENTRY: self._take_entry,
            tree_records.DIGEST: self._take_digest,
            tree_records.USER: self._owners.take_user,
            tree_records.GROUP: self._owners.take_group,
            tree_records.ROUND: self._end_round,
            tree_records.TOTAL: self._take_total,
            tree_records.FILE: self._begin_file,
            tree_records.DATA: self._take_data,
            tree_records.HOLE: self._take_hole,
            tree_records.CHECK: self._check_files,
            tree_records.FAILED: self._take_failure,
            tree_records.DONE: self._finish,
        }

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the sender. Returns bytes for the sender.

        :raises LinesyncFailed: the bytes are malformed, or the copy cannot continue.
        """
        for letter, fields in self._reader.feed(data):
            self._check()
            self._handlers[letter](fields)
        out, self._out = bytes(self._out), bytearray()
        return out

    # -- the rounds ---------------------------------------------------------------------------------------------------

    def _take_entry(self, fields: Fields) -> None:
        entry = entry_of(fields)
        known = len(self._nodes)
        if entry.parent >= known or known > limits.COPY_ENTRIES or self._nodes[entry.parent].kind != FOLDER:
            raise LinesyncFailed("the other end of the copy sent an invalid entry; update linesync there")
        parent, name = self._nodes[entry.parent], entry.name
        if not entry.parent:
            name = self._name_of_top(entry)
        if name != HERE:
            check_name(name)
        node = Node(len(self._nodes), parent, name, entry)
        node.follows = not entry.parent and not self._options.recursive
        self._nodes.append(node)
        self._verdicts.append(self._decide(node))

    def _name_of_top(self, entry: Entry) -> bytes:
        """The name of a source in the target. A host must not choose other names than the user."""
        if entry.name not in self._names:
            raise LinesyncFailed(
                f"the other end of the copy sent {os.fsdecode(entry.name)!r}, which was not asked for; nothing was written"
            )
        if self._places.name:
            return self._places.name
        return entry.name

    def _take_digest(self, fields: Fields) -> None:
        number, digest = fields
        assert isinstance(number, int) and isinstance(digest, bytes)
        if not 0 < number < len(self._nodes) or len(digest) != len(self._nodes[number].entry.digest or digest):
            raise LinesyncFailed("the other end of the copy sent an invalid digest; update linesync there")
        node = self._nodes[number]
        node.entry = node.entry.but(digest=digest)
        self._verdicts.append(self._decide(node))

    def _decide(self, node: Node) -> str:
        """The verdict about an entry. Folders and links are made here."""
        if node.failed or node.parent.failed:
            node.failed = True
            return verdicts.REFUSED
        try:
            return self._decide_about(node)
        except OSError as error:
            self._fail(node, access_error("write", self._shown(node), error))
        except LinesyncError as error:
            if isinstance(error, Stopped):
                raise
            self._fail(node, error)
        return verdicts.REFUSED

    def _decide_about(self, node: Node) -> str:
        entry, folder = node.entry, self._folders.descriptor(node.parent)
        known = self._contents is not None and self._contents.has_size(entry.size)
        found = find(node, folder, self._shown(node), known=known)
        verdict = verdicts.verdict(entry, found)
        if verdict == verdicts.ASK and entry.digest:
            own = self._own_tree(node, folder) if found.kind else None
            verdict = verdicts.verdict(entry, found, own.digest if own is not None else b"")
        if entry.kind == FOLDER:
            if verdict == verdicts.ALL:
                make_folder(node, folder)
            node.has_arrived = True
            return verdicts.SAME if verdict == verdicts.ALL and node.parent.is_new else verdict
        if entry.kind == LINK and verdict == verdicts.ALL:
            make_link(node, folder, self._options, self._owners)
            return verdicts.SAME
        if entry.kind == FILE and verdict == verdicts.SAME:
            self._keep(node, folder)
        missing = entry.kind == FILE and verdict in (verdicts.ALL, verdicts.REST)
        if missing and known and entry.digest and self._copy_known(node, folder):
            return verdicts.SAME
        if verdict == verdicts.REST and node.part is not None:
            node.part_hash = node.part.read_hash()
            digest = node.part_hash.digest()
            self._out += record(tree_records.PART, node.number, node.part.size, digest)
        return verdict

    def _own_tree(self, node: Node, folder: int) -> Tree:
        if node.follows or node.name == HERE:
            return read_tree(os.fsencode(os.path.realpath(node.path)), None, self._options, self._check)
        return read_tree(node.name, folder, self._options, self._check)

    def _keep(self, node: Node, folder: int) -> None:
        """The file has the same contents already; with -p, it gets the attributes of the source."""
        if self._options.preserve:
            set_attributes(node, folder, self._owners)

    def _copy_known(self, node: Node, folder: int) -> bool:
        """Copy the file from another place on this machine that has the same contents."""
        assert self._contents is not None
        path = self._contents.find(node.entry.digest, node.entry.size)
        if path is None:
            return False
        incoming = Incoming(node, folder, self._shown(node), self._options, self._owners)
        try:
            if not incoming.copy_from(path, self._check):
                return False
            incoming.commit()
        finally:
            incoming.close()
        return True

    def _end_round(self, fields: Fields) -> None:
        if self._first:
            self._first = False
            self._options.owners = self._options.preserve and self._owners.settable
            self._out += record(tree_records.OWNERS, int(self._owners.settable))
        text = "".join(self._verdicts).encode("ascii")
        self._verdicts.clear()
        for at in range(0, len(text), _PIECE):
            self._out += record(tree_records.VERDICTS, text[at : at + _PIECE])

    # -- the data -----------------------------------------------------------------------------------------------------

    def _take_total(self, fields: Fields) -> None:
        total, files = fields
        assert isinstance(total, int) and isinstance(files, int)
        self.total = total

    def _begin_file(self, fields: Fields) -> None:
        number, start = fields
        assert isinstance(number, int) and isinstance(start, int)
        self._end_file()
        if not 0 < number < len(self._nodes) or self._nodes[number].kind != FILE or len(self._unchecked) >= _OPEN:
            raise LinesyncFailed("the other end of the copy sent an unexpected file; update linesync there")
        node = self._nodes[number]
        self._file = Incoming(node, -1, self._shown(node), self._options, self._owners)
        try:
            self._file.open(self._folders.descriptor(node.parent), start)
        except OSError as error:
            self._fail(node, access_error("write", self._shown(node), error))
        except LinesyncError as error:
            self._fail(node, error)

    def _take_data(self, fields: Fields) -> None:
        (data,) = fields
        assert isinstance(data, bytes)
        self._put(lambda file: file.write(data), len(data))

    def _take_hole(self, fields: Fields) -> None:
        (size,) = fields
        assert isinstance(size, int)
        self._put(lambda file: file.hole(size), size)

    def _put(self, put: Callable[[Incoming], None], size: int) -> None:
        file = self._file
        if file is None:
            raise LinesyncFailed("the other end of the copy sent data without a file; update linesync there")
        self.received += size
        try:
            put(file)
        except OSError as error:
            file.discard()
            self._fail(file.node, access_error("write", self._shown(file.node), error))
        except LinesyncError as error:
            file.discard()
            self._fail(file.node, error)
        if sum(pending.in_memory for pending in self._unchecked) + file.in_memory > _PENDING:
            raise LinesyncFailed("the other end of the copy sent too much data without a check; update linesync there")

    def _end_file(self) -> None:
        if self._file is not None:
            self._unchecked.append(self._file)
            self._file = None

    def _check_files(self, fields: Fields) -> None:
        """Check the files since the last check, and put them at their paths."""
        (digest,) = fields
        self._end_file()
        total = sha256()
        total.update(b"".join([file.digest for file in self._unchecked]))
        intact = total.digest() == digest
        ready = [file for file in self._unchecked if self._attempt_file(file, partial(self._prepare, file, intact))]
        self._unchecked.clear()
        together = len(ready) > Disks.FEW
        if together:
            self._sync(ready)
        placed = [file for file in ready if self._attempt_file(file, partial(file.commit, synced=together))]
        self.files += len(placed)
        if self._contents is not None:
            self._contents.add([(file.digest, file.size, os.path.abspath(file.node.path)) for file in placed])

    def _sync(self, files: list[Incoming]) -> None:
        """Write files to the disks. If a disk fails, none of them gets its name."""
        try:
            self._disks.sync()
        except OSError as error:
            for file in files:
                file.discard()
                self._fail(file.node, access_error("write", self._shown(file.node), error))

    def _prepare(self, file: Incoming, intact: bool) -> None:
        if not intact:
            raise LinesyncFailed(
                f"{self._shown(file.node)} arrived damaged (its SHA-256 differs from that of the source); it was not written,"
                " copy it again"
            )
        file.prepare(self._disks)

    def _attempt_file(self, file: Incoming, work: Callable[[], None]) -> bool:
        """Do one step for a file that has not failed. Returns whether it succeeded."""
        if file.node.failed:
            return False
        self._attempt(file.node, lambda node: work())
        if file.node.failed:
            file.discard()
        return not file.node.failed

    def _take_failure(self, fields: Fields) -> None:
        """The sender cannot read an entry."""
        number, sentence = fields
        assert isinstance(number, int) and isinstance(sentence, bytes)
        if 0 < number < len(self._nodes):
            self._nodes[number].failed = True
        if self._file is not None and self._file.node.number == number:
            self._file.discard()
            self._file = None
        if sentence and len(self.failures) < limits.COPY_ENTRIES:
            self.failures.append(sentence.decode("utf-8", "surrogateescape"))

    def _finish(self, fields: Fields) -> None:
        """Make the hard links, and give the folders their attributes."""
        if self._file is not None or self._unchecked:
            raise LinesyncFailed("the other end of the copy ended it without a check; update linesync there")
        for node in self._nodes:
            if node.kind == HARD_LINK and not node.failed:
                self._attempt(node, lambda node: make_twin(node, self._folders, self._nodes, self._where))
        for node in reversed(self._nodes[1:]):
            if node.kind == FOLDER and node.has_arrived and not node.failed and (node.is_new or self._options.preserve):
                self._attempt(node, lambda node: self._folders.finish(node, self._options, self._owners))
        self._disks.sync()
        self._out += record(tree_records.DONE, self.files, self.received)
        self.done = True

    def _attempt(self, node: Node, work: Callable[[Node], None]) -> None:
        try:
            work(node)
        except OSError as error:
            self._fail(node, access_error("write", self._shown(node), error))
        except LinesyncError as error:
            self._fail(node, error)

    def _fail(self, node: Node, error: LinesyncError) -> None:
        node.failed = True
        self.failures.append(error.message)
        sentence = error.message.encode("utf-8", "surrogateescape")[:8192]
        self._out += record(tree_records.FAILED, node.number, sentence)

    def _shown(self, node: Node) -> str:
        return self._where + node.path

    def _check(self) -> None:
        if self._stopped:
            raise Stopped("the copy was stopped")

    def stop(self) -> None:
        """End the calls that still run. Another thread may call this."""
        self._stopped = True

    def close(self) -> None:
        """Close all files. The parts of large files stay for the next copy."""
        self._end_file()
        for file in self._unchecked:
            file.close()
        self._unchecked.clear()
        self._folders.close()
        self._disks.close()
        for node in self._nodes:
            if node.part is not None:
                node.part.close()
