"""Bytes on their way through the hub: taken once, read by many, kept nowhere longer than they are needed.

1. A blob's size is known when its room is reserved, so that nothing is taken that would not fit in the end.
2. It is filled from its beginning to its end and then only read. Small ones stay in memory; a larger one, or one for which
   the memory is used up, lies in a temporary file that has no name, so that it is gone with this process.
3. Readers do not disturb each other: each says which bytes it wants. A blob that was dropped lives on until the last
   reader has left it.
4. What concerns a file may block; only :meth:`Blob.append` and :meth:`Blob.read` of a blob that is not ``in_memory`` do,
   and they may be called in any thread.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ..errors import LinesyncFailed

__all__ = ["Blob", "Blobs"]

IN_MEMORY = 256 << 10  # bytes of one blob that may stay in memory
MEMORY = 32 << 20  # bytes of all blobs together that may
BOUND = 1 << 30  # bytes of all blobs together, in memory or not


class Blobs:
    """All blobs of a process.

    :param bound: bytes that all of them may have together.
    :param in_memory: bytes up to which one stays in memory.
    :param memory: bytes that those in memory may have together.
    :param folder: where the temporary files are made; the system's place for them where it is not given (TMPDIR).
    :param dispose: runs what closes a file, which may block.
    """

    def __init__(
        self,
        *,
        bound: int = BOUND,
        in_memory: int = IN_MEMORY,
        memory: int = MEMORY,
        folder: str | None = None,
        dispose: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._bound = bound
        self._in_memory = in_memory
        self._memory = memory
        self._folder = folder
        self.dispose = dispose or (lambda close: close())
        self._numbers = itertools.count(1)
        self._all: dict[int, Blob] = {}
        self._used = 0
        self._used_memory = 0

    def __len__(self) -> int:
        return len(self._all)

    @property
    def used(self) -> int:
        """Bytes that are reserved."""
        return self._used

    def reserve(self, size: int) -> Blob:
        """Make room for ``size`` bytes.

        :raises LinesyncFailed: there is none.
        """
        if size > self._bound - self._used:
            raise LinesyncFailed(
                f"{size:,} bytes more are too many: {self._used:,} of the {self._bound:,} that the hub keeps for all"
                " exchanges are in use; try again when others are done"
            )
        in_memory = size <= min(self._in_memory, self._memory - self._used_memory)
        blob = Blob(self, next(self._numbers), size, None if in_memory else _Spool(self._folder))
        self._all[blob.number] = blob
        self._used += size
        self._used_memory += size if in_memory else 0
        return blob

    def drop(self, number: int) -> None:
        """Nobody will ask for a blob any more; one that is unknown was dropped before."""
        blob = self._all.pop(number, None)
        if blob is not None:
            blob.dropped = True
            blob.free_if_unused()

    def get(self, number: int) -> Blob | None:
        """A blob that was not dropped, or None."""
        return self._all.get(number)

    def close(self) -> None:
        """Drop all."""
        for number in list(self._all):
            self.drop(number)

    def freed(self, blob: Blob) -> None:
        """A blob has let go of its bytes."""
        self._used -= blob.size
        self._used_memory -= blob.size if blob.in_memory else 0


class _Spool:
    """A temporary file without a name, made with its first bytes; for any thread."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._descriptor = -1
        self._closed = False
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Add bytes at its end; once it is closed, nowhere."""
        view = memoryview(data)
        with self._lock:
            try:
                if self._descriptor < 0 and not self._closed:
                    with tempfile.TemporaryFile(buffering=0, dir=self._folder) as file:
                        self._descriptor = os.dup(file.fileno())
                while view and not self._closed:
                    view = view[os.write(self._descriptor, view) :]
            except OSError as error:
                folder = self._folder or tempfile.gettempdir()
                raise LinesyncFailed(
                    f"{error.strerror} in {folder}, where the hub keeps what is exchanged; make room there, or start the"
                    " hub with another TMPDIR"
                ) from None

    def read(self, offset: int, count: int) -> bytes:
        with self._lock:
            try:
                return os.pread(self._descriptor, count, offset)
            except OSError as error:
                raise LinesyncFailed(f"the hub cannot read what it kept: {error.strerror}") from None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


class Blob:
    """Some bytes; made by :meth:`Blobs.reserve`.

    :ivar number: its number, never used twice in a process.
    :ivar size: how many bytes it will have.
    :ivar written: how many it has.
    """

    def __init__(self, home: Blobs, number: int, size: int, spool: _Spool | None) -> None:
        self.number = number
        self.size = size
        self.written = 0
        self.dropped = False
        self._home = home
        self._spool = spool
        self._memory: bytearray | None = bytearray() if spool is None else None
        self._readers = 0
        self._freed = False

    @property
    def in_memory(self) -> bool:
        return self._spool is None

    @property
    def complete(self) -> bool:
        return self.written == self.size

    def append(self, data: bytes) -> None:
        """Add bytes at its end; those for a blob that was dropped are thrown away.

        :raises LinesyncFailed: they are more than were reserved, or the disk is full.
        """
        if self.written + len(data) > self.size:
            raise LinesyncFailed(f"more came than the {self.size:,} bytes that were announced")
        if self._freed:
            return
        if self._spool is not None:
            self._spool.write(data)
        elif self._memory is not None:
            self._memory += data
        self.written += len(data)

    def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``offset`` on, fewer only at the end of what is written.

        :raises LinesyncFailed: the file cannot be read, or has been freed.
        """
        if self._freed:
            raise LinesyncFailed("this data is no longer kept")
        if self._spool is not None:
            return self._spool.read(offset, count)
        assert self._memory is not None
        return bytes(self._memory[offset : offset + count])

    def free_if_unused(self) -> None:
        """Let go of the bytes when it was dropped and nobody reads."""
        if self.dropped and not self._readers and not self._freed:
            self._freed = True
            self._home.freed(self)
            self._memory = None
            if self._spool is not None:
                self._home.dispose(self._spool.close)

    @staticmethod
    @contextmanager
    def reading(blobs: Iterable[Blob]) -> Iterator[None]:
        """These blobs keep their bytes inside the block, whoever drops them meanwhile."""
        held = list(blobs)
        for blob in held:
            blob._readers += 1
        try:
            yield
        finally:
            for blob in held:
                blob._readers -= 1
                blob.free_if_unused()
