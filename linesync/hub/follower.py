"""A reader that follows a log or the changes: it has a limited queue, and it loses the oldest pieces if it is too slow."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Follower"]


class Follower:
    """One reader, and the pieces that it has not taken yet.

    :param limit: the most bytes that wait for the reader; a single piece may be larger.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: deque[bytes] = deque()  # bound: console._FOLLOWER_MAX, changes._BEHIND, watch._TRACE_BEHIND
        self._size = 0
        self._lost = 0
        self._more = asyncio.Event()

    def put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        while self._size > self._limit and len(self._pieces) > 1:
            self._size -= len(self._pieces.popleft())
            self._lost += 1
        self._more.set()

    def take(self, most: int | None = None) -> tuple[int, list[bytes]]:
        """Take the pieces that wait.

        :param most: about how many bytes to take; by default, all.
        :returns: the number of pieces that were lost since the last call, and the pieces. All lost pieces came before these.
        """
        lost, self._lost = self._lost, 0
        taken: list[bytes] = []
        size = 0
        while self._pieces and (most is None or size < most):
            piece = self._pieces.popleft()
            size += len(piece)
            taken.append(piece)
        self._size -= size
        if not self._pieces:
            self._more.clear()
        return lost, taken

    async def more(self) -> None:
        """Wait until there is something to take."""
        await self._more.wait()
