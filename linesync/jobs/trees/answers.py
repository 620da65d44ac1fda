"""Reads the records of the receiver of a copy. This does not block."""

from __future__ import annotations

from ... import limits
from ...errors import LinesyncFailed
from ...model.trees import verdicts
from ...protocol import tree_records
from ...protocol.tree_records import RecordReader

__all__ = ["Answers"]


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
