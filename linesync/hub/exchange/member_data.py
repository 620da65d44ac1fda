"""The data of exchanges: written as it arrives, and read again for each receiver."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from ...errors import Hung, LinesyncFailed
from ...model.decisions import Exchanged
from ...runtime.desk import Behind, Desk
from ...store.blobs import Blob

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["PIECE", "Bundle", "Writer", "read", "writer_of"]

PIECE = 1 << 17  # bytes that one call reads from a file or writes to it
_STORED_PIECE = 1 << 16  # bytes that are stored together; after a restart of the hub, at most so many are sent again


class Writer(Protocol):
    """Writes the bytes of a blob while more bytes arrive."""

    async def put(self, data: bytes) -> None:
        """Accept bytes; wait if too many are waiting."""

    async def flush(self) -> None:
        """Wait until all bytes are written."""


class _InMemory:
    def __init__(self, blob: Blob) -> None:
        self._blob = blob

    async def put(self, data: bytes) -> None:
        self._blob.append(data)

    async def flush(self) -> None:
        return


class _Storing:
    """Stores bytes in the state in large pieces, because each piece may cost one sync of the disk."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._held = bytearray()  # bound: member_data.PIECE
        self._under_way: deque[tuple[asyncio.Future[None], int]] = deque()  # bound: member_data.PIECE
        """The pieces that are not stored yet, each with its length."""

    async def put(self, data: bytes) -> None:
        self._held += data
        if len(self._held) >= _STORED_PIECE:
            await self._store()

    async def flush(self) -> None:
        if self._held:
            await self._store()
        while self._under_way:
            await self._oldest()

    async def _store(self) -> None:
        state = self._blob.state
        assert state is not None
        while state.full:
            await state.room()
        data, self._held = bytes(self._held), bytearray()
        stored = self._blob.store(data)
        stored.add_done_callback(lambda future: future.cancelled() or future.exception())  # its owner may have left
        self._under_way.append((stored, len(data)))
        while sum(length for _, length in self._under_way) > PIECE:
            await self._oldest()

    async def _oldest(self) -> None:
        stored, _ = self._under_way[0]
        await asyncio.shield(stored)
        self._under_way.popleft()


def writer_of(blob: Blob, desk: Desk) -> Writer:
    """The writer for a blob.

    :param desk: writes to temporary files.
    """
    if blob.state is not None:
        return _Storing(blob)
    return _InMemory(blob) if blob.in_memory else Behind(desk, blob.append, PIECE)


async def read(blob: Blob, desk: Desk, offset: int, count: int) -> bytes:
    """Bytes of a blob.

    :raises LinesyncFailed: they cannot be read.
    """
    if blob.state is not None:
        return await blob.load(offset, count)
    if blob.in_memory:
        return blob.read(offset, count)
    try:
        data: bytes = await desk.do(lambda: blob.read(offset, count))
    except Hung as error:
        raise LinesyncFailed(f"the hub cannot read the stored data: {error.strerror}") from None
    return data


class Bundle:
    """The data of all members, which is sent to all members.

    :ivar receivers: the number of channels that send it.
    """

    def __init__(self, value: Exchanged, blobs: list[Blob]) -> None:
        from hashlib import sha256  # imported only by hubs that serve exchanges

        self.value = value
        self.blobs = blobs
        self.size = sum(blob.size for blob in blobs)
        self.receivers = 0
        self._hash: _Hash = sha256()
        self._hashed = 0

    def passes(self, position: int, chunk: bytes) -> None:
        """Handle bytes that are sent to a receiver. They are hashed for the first receiver that gets them.

        :param position: the position of the bytes in the data of all members.
        """
        if position == self._hashed:
            self._hash.update(chunk)
            self._hashed += len(chunk)

    @property
    def sha256(self) -> str:
        """The digest of all bytes, after all of them were sent to one receiver."""
        assert self._hashed == self.size
        return self._hash.hexdigest()
