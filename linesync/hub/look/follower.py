"""A reader that follows a console log, a trace or the changes. Its queue is limited: a slow reader loses the oldest pieces."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Follower"]


class Follower:
    """The queue of one reader.

    :param limit: the maximum number of bytes that wait for the reader; a single piece may be larger.
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
        """Remove the waiting pieces from the queue.

        :param most: stop when the removed pieces have this number of bytes or more; by default, remove all pieces.
        :returns: the number of pieces that were lost since the last call, and the removed pieces. All lost pieces are older
            than the removed pieces.
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
        """Wait until the queue is not empty."""
        await self._more.wait()
