"""Remembers the paths of known contents on this machine, so that these contents need not be sent again.

The memory is an index and not a copy: for each contents, the SHA-256, the size and the path of a file that had them. A user
of the index therefore reads the file again and checks its SHA-256. The index is a text file to which every process of a user
appends lines ``SHA-256 size path``. It is bounded: only the last :data:`BOUND` contents count.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

__all__ = ["BOUND", "LEAST", "Contents"]

BOUND = 4096  # the maximum number of contents
LEAST = 4096  # bytes: smaller contents are not worth a line
_LINE = 8192  # the maximum length of a line in bytes
_ROOM = 2  # the file is written again when it has this many times BOUND lines


class Contents:
    """The index of one user.

    :param path: its file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines = 0
        self._paths: dict[tuple[bytes, int], str] = {}  # bound: contents.BOUND
        self._sizes: dict[int, int] = {}  # bound: contents.BOUND
        with suppress(OSError), open(path, "rb") as file:
            for line in file:
                self._lines += 1
                self._read(line)

    def _read(self, line: bytes) -> None:
        words = line.rstrip(b"\n").split(b" ", 2)
        if len(words) == 3 and len(words[0]) == 64 and words[1].isdigit() and len(line) <= _LINE:
            with suppress(ValueError):
                self._put(bytes.fromhex(words[0].decode("ascii")), int(words[1]), os.fsdecode(words[2]))

    def _put(self, digest: bytes, size: int, path: str) -> None:
        key = digest, size
        if self._paths.pop(key, None) is None:
            self._sizes[size] = self._sizes.get(size, 0) + 1
        self._paths[key] = path
        while len(self._paths) > BOUND:
            _, dropped = oldest = next(iter(self._paths))
            del self._paths[oldest]
            self._sizes[dropped] -= 1
            if not self._sizes[dropped]:
                del self._sizes[dropped]

    def has_size(self, size: int) -> bool:
        """Whether contents of this size are known."""
        return size in self._sizes

    def find(self, start: bytes, size: int) -> str | None:
        """The path of a file that had these contents.

        :param start: the first bytes of their SHA-256.
        """
        if size not in self._sizes:
            return None
        found = [path for (digest, known), path in self._paths.items() if known == size and digest.startswith(start)]
        return found[-1] if found else None

    def add(self, found: Iterable[tuple[bytes, int, str]]) -> None:
        """Add contents: their SHA-256, their size, and the absolute path of a file that has them.

        The index is only a help, so errors of the file system are ignored.
        """
        lines = []
        for digest, size, path in found:
            raw = os.fsencode(path)
            if (
                size >= LEAST
                and b"\n" not in raw
                and len(raw) < _LINE - 128
                and self._paths.get((digest, size)) != path
            ):
                lines.append(b"%s %d %s\n" % (digest.hex().encode("ascii"), size, raw))
                self._put(digest, size, path)
        if not lines:
            return
        self._lines += len(lines)
        with suppress(OSError):
            os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
            if self._lines > _ROOM * BOUND:
                self._write_again()
                return
            with open(self._path, "ab") as file:
                file.write(b"".join(lines))

    def _write_again(self) -> None:
        temporary = f"{self._path}.{os.getpid()}"
        lines = [
            b"%s %d %s\n" % (digest.hex().encode("ascii"), size, os.fsencode(path))
            for (digest, size), path in self._paths.items()
        ]
        with open(temporary, "wb") as file:
            file.write(b"".join(lines))
        os.replace(temporary, self._path)
        self._lines = len(lines)
