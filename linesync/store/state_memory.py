"""A hub's state without a file, for hubs that may lose their state when they end, and for tests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

from .state import Change, StateFailed, check_change

__all__ = ["MemoryState"]

T = TypeVar("T")


class MemoryState:
    """A state that keeps only the blobs, because rows are read only when a hub starts; see
    :class:`linesync.store.state.State`.

    Each operation is done when its method returns. There is no thread.
    """

    offset = 0.0
    full = False
    failed: StateFailed | None = None

    def __init__(self) -> None:
        self.hub = os.urandom(8).hex()
        self._blobs: dict[int, bytearray] = {}

    async def room(self) -> None:
        return

    def commit(self, changes: Sequence[Change], *, remove: Iterable[int] = ()) -> asyncio.Future[None]:
        for change in changes:
            check_change(change)
        for number in remove:
            self._blobs.pop(number, None)
        return _done(None)

    def append(self, number: int, offset: int, data: bytes) -> asyncio.Future[None]:
        blob = self._blobs.setdefault(number, bytearray())
        blob[offset : offset + len(data)] = data
        return _done(None)

    def read(self, number: int, offset: int, count: int) -> asyncio.Future[bytes]:
        return _done(bytes(self._blobs.get(number, b"")[offset : offset + count]))

    async def close(self) -> None:
        self._blobs.clear()


def _done(value: T) -> asyncio.Future[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future
