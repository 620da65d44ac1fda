"""The console log of a line: the bytes outside frames. Its size is limited, and readers can follow it."""

from __future__ import annotations

import re

from .follower import Follower

__all__ = ["ConsoleLog", "escaped"]

_KEPT = 1 << 20  # the bytes of text that are kept of each line
_FOLLOWER_MAX = 1 << 20  # the maximum number of bytes that wait for a follower; above it, the oldest bytes are lost
_NOT_SHOWN = re.compile(rb"\r(?!\n)|[^\t\n\r -~]")


def escaped(data: bytes) -> bytes:
    """Noise as text for display. Printable ASCII, tabs and line ends stay unchanged. Each other byte becomes ``\\xNN``.

    Text stays readable, because a kernel message that begins like a frame also counts as noise.
    """
    return _NOT_SHOWN.sub(lambda found: b"\\x%02x" % found[0][0], data)


class ConsoleLog:
    """The console log of one line."""

    def __init__(self) -> None:
        self._kept = bytearray()  # bound: console._KEPT
        self._followers: set[Follower] = set()  # bound: limits.CHANNELS, limits.SESSIONS

    def add(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > _KEPT * 5 // 4:
            del self._kept[: len(self._kept) - _KEPT]
        for follower in self._followers:
            follower.put(data)

    @property
    def text(self) -> bytes:
        """The last mebibyte of the log."""
        return bytes(self._kept[-_KEPT:])

    def follow(self, *, backlog: bool = True) -> Follower:
        follower = Follower(_FOLLOWER_MAX)
        if backlog and self._kept:
            follower.put(self.text)
        self._followers.add(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        self._followers.discard(follower)
