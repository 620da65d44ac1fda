"""The records that the two ends of a copy of trees exchange (section 8.4 of docs/protocol.md).

Both directions are a sequence of records on stream 0. A record is one letter and its fields. A field is a number (7 bits in
each byte, the lowest bits first; all bytes but the last have the high bit) or bytes (their number, and the bytes). Names are
bytes of any value, thousands of entries need few bytes each, and the channel compresses them together.
"""

from __future__ import annotations

from .. import limits
from ..errors import LinesyncFailed

__all__ = [
    "CHECK",
    "DATA",
    "DIGEST",
    "DONE",
    "ENTRY",
    "FAILED",
    "FILE",
    "GOT",
    "GROUP",
    "HOLE",
    "OWNERS",
    "PART",
    "ROUND",
    "TOTAL",
    "USER",
    "VERDICTS",
    "Fields",
    "RecordReader",
    "number",
    "numbers",
    "read_numbers",
    "record",
    "signed",
    "unsigned",
]

# From the sender of the files to the receiver:
ENTRY, DIGEST, USER, GROUP, ROUND = "E", "H", "U", "V", ";"
TOTAL, FILE, DATA, HOLE, CHECK = "T", "F", "D", "Z", "X"
# From the receiver to the sender:
OWNERS, VERDICTS, PART, GOT = "o", "v", "p", "G"
# In both directions:
FAILED, DONE = "!", "Q"

FIELDS = {
    ENTRY: "nnbnnbbb",
    DIGEST: "nb",
    USER: "nb",
    GROUP: "nb",
    ROUND: "",
    TOTAL: "nn",
    FILE: "nn",
    DATA: "b",
    HOLE: "n",
    CHECK: "b",
    OWNERS: "n",
    VERDICTS: "b",
    PART: "nnb",
    GOT: "n",
    FAILED: "nb",
    DONE: "nn",
}
"""The fields of each record: ``n`` is a number, ``b`` is bytes."""
_NUMBER_BYTES = 10  # the maximum length of a number

Fields = list[int | bytes]


def number(value: int) -> bytes:
    """Write a number that is not negative."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record(letter: str, *fields: int | bytes) -> bytes:
    """Write a record."""
    out = bytearray(letter.encode("ascii"))
    for field in fields:
        out += number(field) if isinstance(field, int) else number(len(field)) + field
    return bytes(out)


def numbers(*values: int) -> bytes:
    """Write numbers as the content of a field of bytes."""
    return b"".join([number(value) for value in values])


def read_numbers(data: bytes) -> list[int]:
    """Read the content of a field that :func:`numbers` has written.

    :raises LinesyncFailed: it is malformed.
    """
    found, at = [], 0
    while at < len(data):
        value, at = _number_at(data, at)
        if at < 0:
            raise _malformed()
        found.append(value)
    return found


def unsigned(value: int) -> int:
    """Convert a number that may be negative to a number that is not negative."""
    return 2 * value if value >= 0 else -2 * value - 1


def signed(value: int) -> int:
    """Convert back a number that :func:`unsigned` has converted."""
    return -(value + 1) // 2 if value & 1 else value // 2


def _malformed() -> LinesyncFailed:
    return LinesyncFailed(
        "the other end of the copy sent a malformed record; install the same version of linesync on both ends"
    )


def _number_at(data: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position after it; (0, -1) if the data ends before the end of the number.

    :raises LinesyncFailed: the number is too long.
    """
    value = 0
    for n in range(_NUMBER_BYTES):
        if at + n >= len(data):
            return 0, -1
        byte = data[at + n]
        value |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            return value, at + n + 1
    raise _malformed()


class RecordReader:
    """Reads records from pieces of data.

    :param letters: the letters of the records that the other end may send.
    """

    def __init__(self, letters: str) -> None:
        self._letters = letters
        self._rest = b""  # bound: limits.COPY_FIELD
        self._left = 0
        """The number of bytes of a DATA record that have not arrived."""

    def feed(self, data: bytes) -> list[tuple[str, Fields]]:
        """The records that are complete now. A DATA record may come in several parts.

        :raises LinesyncFailed: a record is malformed.
        """
        found: list[tuple[str, Fields]] = []
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while at < size:
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                found.append((DATA, [piece]))
                continue
            end = self._record_at(data, at, found)
            if end < 0:
                break
            at = end
        self._rest = data[at:]
        return found

    def _record_at(self, data: bytes, at: int, found: list[tuple[str, Fields]]) -> int:
        """Read the record at a position. Returns the position after it, or -1 if it has not arrived completely."""
        letter = chr(data[at])
        if letter not in self._letters:
            raise _malformed()
        at += 1
        fields: Fields = []
        for kind in FIELDS[letter]:
            value, at = _number_at(data, at)
            if at < 0:
                return -1
            if kind == "n":
                fields.append(value)
                continue
            if letter == DATA:
                self._left = value
                return at
            if value > limits.COPY_FIELD:
                raise _malformed()
            if at + value > len(data):
                return -1
            fields.append(data[at : at + value])
            at += value
        found.append((letter, fields))
        return at
