"""The state of a hub, as rows and blobs: the operations for the hub's event loop, and the two errors of a commit.

A *row* is a kind, a key and a value. The value is JSON text that the store does not interpret. A *blob* is a sequence of bytes
with a number; it is written in pieces. A *commit* changes rows and removes blobs. Either all of its changes are stored, or
none.

1. Commits are stored in their order. When a commit is done, it and all earlier commits are on the disk.
2. :class:`NotStored` means that the disk is full. The commit is not on the disk and will never be stored. All commits that
   were made between it and the report of this error fail too, because they may depend on it. The disk then has the rows of
   the last commit that is done. The caller either undoes the changes of the failed commits in its own memory, or puts their
   rows into a later commit. Later commits succeed again as soon as the disk has space.
3. :class:`StateFailed` means that a write or a sync failed. It is unknown whether the commit is on the disk. This error is
   final: every later commit fails with it, and no write is tried again. Only a new start of the hub can read the state that
   is on the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

from ..errors import LinesyncFailed

__all__ = ["Change", "NotStored", "Row", "State", "StateFailed", "check_change"]

Row: TypeAlias = tuple[str, str, str]
"""A kind, a key and a value."""
Change: TypeAlias = tuple[str, str, str | None]
"""A kind, a key and the new value; None removes the row."""
LONGEST = 64 << 20  # the maximum size in bytes of a row or of a piece of a blob


class NotStored(LinesyncFailed):
    """The disk is full. The commit is not on the disk. Later commits may succeed.

    :ivar path: the file for which the disk has no space.
    """

    path = "the hub's state"


class StateFailed(LinesyncFailed):
    """A write or a sync failed. It is unknown whether the commit is on the disk. No later commit will be stored."""


class State(Protocol):
    """The rows and blobs of a hub. All methods are for one event loop, and none of them blocks it."""

    @property
    def hub(self) -> str:
        """The id of the hub, which never changes."""

    @property
    def offset(self) -> float:
        """The difference in seconds between the time in rows and the monotonic clock. The time in rows continues over
        restarts and reboots."""

    @property
    def full(self) -> bool:
        """Whether too many bytes wait for the disk. The caller should then accept no more input until :meth:`room` returns."""

    @property
    def failed(self) -> StateFailed | None:
        """The error after which no commit is stored any more, or None."""

    async def room(self) -> None:
        """Wait until the state is not full."""

    def commit(self, changes: Sequence[Change], *, remove: Iterable[int] = ()) -> asyncio.Future[None]:
        """Change rows and remove blobs.

        :param changes: the changes of rows, in order.
        :param remove: the numbers of the blobs to remove; unknown numbers are ignored.
        :return: a future that is done when the commit is on the disk; it fails with :class:`NotStored` or
            :class:`StateFailed`.
        :raises ValueError: a text is not valid Unicode, or is too long.
        """

    def append(self, number: int, offset: int, data: bytes) -> asyncio.Future[None]:
        """Write a piece of a blob. A piece replaces an earlier piece with the same offset and length.

        :param number: the number of the blob.
        :param offset: the number of bytes of the blob before the piece.
        :return: a future like that of :meth:`commit`.
        :raises ValueError: the piece is too long.
        """

    def read(self, number: int, offset: int, count: int) -> asyncio.Future[bytes]:
        """Read up to ``count`` bytes of a blob from ``offset`` on; fewer only at its end. An unknown number gives no bytes.

        All earlier commits take effect before the read.

        :return: a future with the bytes; it fails with a LinesyncFailed if the disk cannot be read.
        """

    async def close(self) -> None:
        """Wait until all commits are done, and close the file. Later commits fail.

        :raises StateFailed: a commit was not stored.
        """


def check_change(change: Change) -> int:
    """Check a change, and return the approximate number of bytes that it needs in the queue.

    :raises ValueError: a text is not valid Unicode, or is too long.
    """
    kind, key, value = change
    for text in (kind, key, value or ""):
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise ValueError(f"the row {kind!a} {key!a} is not valid Unicode") from None
    size = len(kind) + len(key) + len(value or "")
    if size > LONGEST:
        raise ValueError(f"the row {kind!a} {key!a} has {size:,} characters: expected at most {LONGEST:,}")
    return size + 100
