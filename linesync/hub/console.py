"""The console log of each line: the bytes outside frames, limited in size, for readers that may follow it."""

from __future__ import annotations

import asyncio
import re
from collections import deque

__all__ = ["ConsoleLog", "escaped"]

_KEPT = 1 << 20  # bytes of text that are kept of each line
_FOLLOWER_MAX = 1 << 20  # bytes that a slow follower may be behind before it loses the oldest ones


_NOT_SHOWN = re.compile(rb"\r(?!\n)|[^\t\n\r -~]")


def escaped(data: bytes) -> bytes:
    """Noise in the form in which it is shown: printable ASCII, tabs and line ends unchanged, and each other byte as
    ``\\xNN``. A kernel message that begins like a frame counts as noise, and must stay readable."""
    return _NOT_SHOWN.sub(lambda found: b"\\x%02x" % found[0][0], data)


class Follower:
    """One reader of a log, with the text that it has not taken yet."""

    def __init__(self, backlog: bytes) -> None:
        self._pieces: deque[bytes] = deque([backlog] if backlog else [])
        self._size = len(backlog)
        self._more = asyncio.Event()
        if backlog:
            self._more.set()

    def put(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        while self._size > _FOLLOWER_MAX and len(self._pieces) > 1:
            self._size -= len(self._pieces.popleft())
        self._more.set()

    def take(self) -> bytes:
        """All text that is there."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._more.clear()
        return data

    async def more(self) -> None:
        """Wait until there is something to take."""
        await self._more.wait()


class ConsoleLog:
    """The text of one line."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._followers: set[Follower] = set()

    def add(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > _KEPT * 5 // 4:
            del self._kept[: len(self._kept) - _KEPT]
        for follower in self._followers:
            follower.put(data)

    @property
    def text(self) -> bytes:
        """The last mebibyte."""
        return bytes(self._kept[-_KEPT:])

    def follow(self, *, backlog: bool = True) -> Follower:
        follower = Follower(self.text if backlog else b"")
        self._followers.add(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        self._followers.discard(follower)
