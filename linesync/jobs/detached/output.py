"""The kept output of a detached process: stdout and stderr in the order in which the supervisor read them.

The *position* of a byte is the number of bytes that the process wrote before it. The output is divided into segments. The file
``output.N`` contains the output from position N on, as pieces: the number of the stream (1 or 2), the length of the data, and
the data. If all segments together exceed the limit, the oldest segment is removed. If the disk is full, new data is dropped,
and a gap follows in the positions.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress

__all__ = ["OutputReader", "OutputWriter", "Piece", "bounds", "line_position"]

_PREFIX = "output."
_HEAD = struct.Struct("=BI")
_SEGMENTS = 8  # the number of segments within the limit
_READ = 1 << 16  # the number of bytes of one read

Piece = tuple[int, int, bytes]
"""The position of the data, its stream (1 or 2), and the data."""


def _segments(path: str) -> list[int]:
    """The first positions of the segments, in order."""
    names = [name[len(_PREFIX) :] for name in os.listdir(path) if name.startswith(_PREFIX)]
    return sorted(int(name) for name in names if name.isdecimal())


def _segment_path(path: str, begin: int) -> str:
    return os.path.join(path, f"{_PREFIX}{begin}")


class OutputWriter:
    """Writes the output of a process. Only one process may write.

    :param path: the directory of the process.
    :param limit: the maximum size of the kept output in bytes.
    :ivar position: the position of the next byte.
    """

    def __init__(self, path: str, limit: int) -> None:
        self.position = 0
        self._path = path
        self._limit = limit
        self._each = max(limit // _SEGMENTS, 1)
        self._sizes: dict[int, int] = {}
        """The size of each file by the first position of its segment."""
        self._descriptor = -1
        self._begin = 0

    def add(self, stream: int, data: bytes) -> None:
        """Append data of a stream."""
        while data:
            piece, data = data[: self._each], data[self._each :]
            self._add(_HEAD.pack(stream, len(piece)) + piece)
            self.position += len(piece)

    def make_room(self) -> None:
        """Drop the oldest segment, because the disk is full."""
        if self._sizes:
            self._drop(next(iter(self._sizes)))

    def _add(self, piece: bytes) -> None:
        if self._descriptor >= 0 and self._sizes[self._begin] + len(piece) > self._each:
            self._close()
        while len(self._sizes) > 1 and sum(self._sizes.values()) + len(piece) > self._limit:
            self._drop(next(iter(self._sizes)))
        while not self._written(piece):
            self._close()
            if not self._sizes:
                return  # the disk is full; the data is dropped
            self.make_room()

    def _written(self, piece: bytes) -> bool:
        """Append a piece completely, or change nothing."""
        try:
            if self._descriptor < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
                self._descriptor = os.open(_segment_path(self._path, self.position), flags, 0o600)
                self._begin = self.position
                self._sizes[self._begin] = 0
            if os.write(self._descriptor, piece) == len(piece):
                self._sizes[self._begin] += len(piece)
                return True
        except OSError:
            pass
        if self._descriptor < 0:
            return False
        if self._sizes[self._begin]:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._sizes[self._begin])
        else:
            self._drop(self._begin)
        return False

    def _drop(self, begin: int) -> None:
        """Remove a segment."""
        if begin == self._begin:
            self._close()
        del self._sizes[begin]
        with suppress(OSError):
            os.unlink(_segment_path(self._path, begin))

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class OutputReader:
    """Reads the output of a process from a position on, also while the process writes it.

    :param path: the directory of the process.
    :param position: the position of the first byte.
    :ivar position: the position of the next byte. It increases over dropped bytes when the next data is read.
    """

    def __init__(self, path: str, position: int = 0) -> None:
        self.position = position
        self._path = path
        self._descriptor = -1
        self._begin = -1
        self._at = 0
        """The position of the next byte in the file that is not read."""
        self._unread = b""

    def read(self) -> list[Piece]:
        """The next pieces; empty if there is no further output now."""
        while True:
            if self._descriptor < 0 and not self._open():
                return []
            data = os.read(self._descriptor, _READ)
            if not data:
                if not any(begin > self._begin for begin in _segments(self._path)):
                    return []
                data = os.read(self._descriptor, _READ)  # the last piece may have been written after the last read
            if not data:
                self.close()
            elif pieces := self._pieces(data):
                return pieces

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> bool:
        """Open the segment with the next byte, or else the next segment. Return False if there is none."""
        found = [begin for begin in _segments(self._path) if begin > self._begin]
        before = [begin for begin in found if begin <= self.position]
        for begin in [*before[-1:], *found[len(before) :]]:
            try:
                self._descriptor = os.open(_segment_path(self._path, begin), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:  # it was removed just now
                continue
            self._begin = self._at = begin
            self._unread = b""
            return True
        return False

    def _pieces(self, data: bytes) -> list[Piece]:
        data = self._unread + data
        offset, pieces = 0, []
        while len(data) - offset >= _HEAD.size:
            stream, size = _HEAD.unpack_from(data, offset)
            if len(data) - offset - _HEAD.size < size:
                break
            offset += _HEAD.size
            skipped = min(max(self.position - self._at, 0), size)
            if skipped < size:
                pieces.append((self._at + skipped, stream, data[offset + skipped : offset + size]))
                self.position = self._at + size
            self._at += size
            offset += size
        self._unread = data[offset:]
        return pieces


def bounds(path: str) -> tuple[int, int]:
    """The positions before the first kept byte and after the last byte."""
    segments = _segments(path)
    if not segments:
        return 0, 0
    reader = OutputReader(path, segments[-1])
    try:
        while reader.read():
            pass
    finally:
        reader.close()
    return segments[0], max(reader.position, segments[-1])


def line_position(path: str, lines: int) -> int:
    """The position of the last ``lines`` lines of the kept output. A last line without a newline counts."""
    begin, end = bounds(path)
    reader, starts = OutputReader(path, begin), [begin]
    try:
        while reader.position < end and (pieces := reader.read()):
            for position, _, data in pieces:
                at = data.find(b"\n")
                while at >= 0:
                    starts.append(position + at + 1)
                    at = data.find(b"\n", at + 1)
            del starts[: -lines - 1]
    finally:
        reader.close()
    if starts and starts[-1] >= reader.position:
        starts.pop()  # no line begins after the last newline
    return starts[-lines] if lines and len(starts) >= lines else reader.position if not lines else begin
