"""*Blobs*: the data of exchanges that the hub stores between its arrival and its delivery to the members.

A hub that stores its state has the blobs in its state file and not in files beside it. One transaction therefore removes a blob
together with the rows that named it, a hub that is killed leaves no file without an owner, and a backup of the state file is
complete.

1. The size of a blob is known when its space is reserved. The hub therefore never accepts data that it cannot store.
2. A blob is written once from start to end, and then only read. Without a state, a small blob stays in memory. A larger blob,
   or a blob for which there is no memory left, is in a temporary file without a name. The file disappears with this process.
3. A blob can have several readers. They do not affect each other, because each call of a reader contains the offset. A
   dropped blob keeps its bytes until its last reader is done.
4. Only these calls may block: ``dispose``, and :meth:`Blob.append` and :meth:`Blob.read` of a blob that is not
   ``in_memory``. Any thread may call these two methods.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ..errors import LinesyncFailed
from .state import State

__all__ = ["Blob", "Blobs"]

IN_MEMORY = 256 << 10  # the maximum size in bytes of a blob that stays in memory
MEMORY = 32 << 20  # the maximum size in bytes of all blobs in memory together
BOUND = 1 << 30  # the maximum size in bytes of all blobs together, in memory and in files
_PIECE = 1 << 17  # bytes that are read together


class Blobs:
    """All blobs of a process.

    :param bound: the maximum size in bytes of all blobs together.
    :param in_memory: the maximum size in bytes of a blob that stays in memory.
    :param memory: the maximum size in bytes of all blobs in memory together.
    :param folder: the directory for temporary files; None for the directory of the system (TMPDIR).
    :param dispose: runs a function that closes a file and may block; by default in the calling thread.
    :param number: returns a new number for a blob; by default the numbers 1, 2, 3 ...
    :param state: stores the blobs; by default they are in memory and in temporary files.
    :param freed: called with the number of each blob that was dropped and has no reader any more.
    """

    def __init__(
        self,
        *,
        bound: int = BOUND,
        in_memory: int = IN_MEMORY,
        memory: int = MEMORY,
        folder: str | None = None,
        dispose: Callable[[Callable[[], None]], None] | None = None,
        number: Callable[[], int] | None = None,
        state: State | None = None,
        freed: Callable[[int], None] | None = None,
    ) -> None:
        self._bound = bound
        self._in_memory = in_memory
        self._memory = memory
        self._folder = folder
        self.dispose = dispose or (lambda close: close())
        self._number = number or itertools.count(1).__next__
        self._state = state
        self._on_freed = freed
        self._all: dict[int, Blob] = {}
        self._used = 0
        self._used_memory = 0

    def __len__(self) -> int:
        return len(self._all)

    @property
    def used(self) -> int:
        """The number of reserved bytes."""
        return self._used

    def reserve(self, size: int) -> Blob:
        """Reserve space for a new blob.

        :param size: the size of the blob in bytes.
        :raises LinesyncFailed: all blobs together would exceed the bound.
        """
        if size > self._bound - self._used:
            raise LinesyncFailed(
                f"the hub has no space for {size:,} more bytes: exchanges use {self._used:,} of its {self._bound:,} bytes;"
                " try again when other exchanges are done"
            )
        in_memory = self._state is None and size <= min(self._in_memory, self._memory - self._used_memory)
        spool = None if in_memory or self._state is not None else _Spool(self._folder)
        return self._add(Blob(self, self._number(), size, spool, self._state))

    def restore(self, number: int, size: int, *, complete: bool) -> Blob:
        """Make the blob that the state has under this number.

        :param complete: all of its bytes are stored. Otherwise :meth:`Blob.count` finds out how many are.
        """
        blob = Blob(self, number, size, None, self._state)
        blob.written = size if complete else 0
        return self._add(blob)

    def _add(self, blob: Blob) -> Blob:
        self._all[blob.number] = blob
        self._used += blob.size
        self._used_memory += blob.size if blob.in_memory else 0
        return blob

    def drop(self, number: int) -> None:
        """Free a blob as soon as it has no reader. An unknown number is ignored, because that blob was already dropped."""
        blob = self._all.pop(number, None)
        if blob is not None:
            blob.dropped = True
            blob.free_if_unused()

    def get(self, number: int) -> Blob | None:
        """The blob with this number, or None if it was dropped."""
        return self._all.get(number)

    def close(self) -> None:
        """Drop all blobs."""
        for number in list(self._all):
            self.drop(number)

    def freed(self, blob: Blob) -> None:
        """Subtract the size of a blob that has freed its bytes."""
        self._used -= blob.size
        self._used_memory -= blob.size if blob.in_memory else 0
        if self._on_freed is not None:
            self._on_freed(blob.number)


class _Spool:
    """A temporary file without a name. The first write creates it. Any thread may use it."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._descriptor = -1
        self._closed = False
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append bytes. After :meth:`close`, the bytes are discarded."""
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
                    f"the hub cannot store exchanged data in {folder}: {error.strerror}; free space there, or start the"
                    " hub with another TMPDIR"
                ) from None

    def read(self, offset: int, count: int) -> bytes:
        with self._lock:
            try:
                return os.pread(self._descriptor, count, offset)
            except OSError as error:
                raise LinesyncFailed(
                    f"the hub cannot read the exchanged data that it stored: {error.strerror}; check its disk and try again"
                ) from None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


class Blob:
    """The data of one member of an exchange. :meth:`Blobs.reserve` makes a blob.

    :ivar number: its number, which is unique in its :class:`Blobs`.
    :ivar size: its reserved size in bytes.
    :ivar written: the number of bytes that were written.
    :ivar state: the state that stores the bytes, or None. Only :meth:`store` and :meth:`load` access such bytes.
    """

    def __init__(self, blobs: Blobs, number: int, size: int, spool: _Spool | None, state: State | None = None) -> None:
        self.number = number
        self.state = state
        self.size = size
        self.written = 0
        self.dropped = False
        self._blobs = blobs
        self._spool = spool
        self._memory: bytearray | None = bytearray() if spool is None and state is None else None
        self._readers = 0
        self._freed = False

    @property
    def in_memory(self) -> bool:
        return self._spool is None and self.state is None

    @property
    def complete(self) -> bool:
        return self.written == self.size

    def append(self, data: bytes) -> None:
        """Append bytes. The bytes for a freed blob are discarded.

        :raises LinesyncFailed: the bytes exceed the reserved size, or the file cannot be written.
        """
        self._check_room(data)
        if self._freed:
            return
        if self._spool is not None:
            self._spool.write(data)
        elif self._memory is not None:
            self._memory += data
        self.written += len(data)

    def _check_room(self, data: bytes) -> None:
        if self.written + len(data) > self.size:
            raise LinesyncFailed(
                f"the hub received more than the {self.size:,} bytes that were announced; exchange the data again"
            )

    def store(self, data: bytes) -> asyncio.Future[None]:
        """Append bytes to the state.

        :return: done when they are on the disk; fails as :meth:`State.append` does.
        :raises LinesyncFailed: they exceed the reserved size.
        """
        assert self.state is not None
        self._check_room(data)
        if self._freed:
            raise LinesyncFailed("the hub no longer needs this data")
        offset, self.written = self.written, self.written + len(data)
        return self.state.append(self.number, offset, data)

    async def load(self, offset: int, count: int) -> bytes:
        """Read ``count`` bytes from the state.

        :raises LinesyncFailed: they cannot be read.
        """
        assert self.state is not None
        data = await self.state.read(self.number, offset, count)
        if len(data) < count:
            raise LinesyncFailed("the hub no longer has this data; exchange it again")
        return data

    async def count(self, passes: Callable[[bytes], object]) -> None:
        """Find out how many bytes the state has of a blob that is not complete.

        :param passes: is called with these bytes, from start to end.
        :raises LinesyncFailed: they cannot be read.
        """
        assert self.state is not None
        while self.written < self.size:
            data = await self.state.read(self.number, self.written, min(_PIECE, self.size - self.written))
            if not data:
                return
            self.written += len(data)
            passes(data)

    def read(self, offset: int, count: int) -> bytes:
        """Read up to ``count`` bytes from ``offset`` on; fewer only at the end of the written bytes.

        :raises LinesyncFailed: the file cannot be read, or the blob was freed.
        """
        if self._freed:
            raise LinesyncFailed("the hub no longer has this data; exchange it again")
        if self._spool is not None:
            return self._spool.read(offset, count)
        assert self._memory is not None
        return bytes(self._memory[offset : offset + count])

    def free_if_unused(self) -> None:
        """Free the bytes if the blob was dropped and has no reader."""
        if self.dropped and not self._readers and not self._freed:
            self._freed = True
            self._blobs.freed(self)
            self._memory = None
            if self._spool is not None:
                self._blobs.dispose(self._spool.close)

    @staticmethod
    @contextmanager
    def reading(blobs: Iterable[Blob]) -> Iterator[None]:
        """Count as a reader of these blobs until the end of the ``with`` block. Dropped blobs keep their bytes until then."""
        in_use = list(blobs)
        for blob in in_use:
            blob._readers += 1
        try:
            yield
        finally:
            for blob in in_use:
                blob._readers -= 1
                blob.free_if_unused()
