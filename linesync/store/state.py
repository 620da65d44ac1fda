"""The state of a hub, as rows and blobs: the operations for the hub's event loop, and the two errors of a commit.

A *row* is a kind, a key and a value. The value is JSON text; the store does not look into it. A *blob* is bytes under a
number, which are written piece by piece. A *commit* changes rows and removes blobs, all or nothing.

1. Commits are stored in their order. When a commit is done, it and all earlier ones are on the disk.
2. :class:`NotStored` means that the disk is full. The commit is certainly not on the disk, and never will be. All commits
   that were made after it and before the event loop got this error fail with it too, because they may depend on it. So the
   disk has the rows as they were after the last commit that is done. The caller either undoes the changes of the failed
   commits in its own memory, or puts their rows into a later commit. Later commits work again as soon as there is room.
3. :class:`StateFailed` means that a write or a sync failed, so the commit may or may not be on the disk. It is final: every
   later commit fails with it, and nothing is tried again. Only a hub that starts again can find out what is on the disk.
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
LONGEST = 64 << 20  # bytes of a value or a piece


class NotStored(LinesyncFailed):
    """The disk is full. The commit is certainly not on the disk; later ones are tried again.

    :ivar path: the file that the disk has no space for.
    """

    path = "the hub's state"


class StateFailed(LinesyncFailed):
    """A write or a sync failed. The commit may be on the disk or not, and no later one will be."""


class State(Protocol):
    """The rows and blobs of a hub. All methods are for one event loop, and none of them blocks it."""

    @property
    def hub(self) -> str:
        """The id of the hub, which never changes."""

    @property
    def offset(self) -> float:
        """Seconds to add to the monotonic clock to get the time in rows, which continues over restarts and reboots."""

    @property
    def full(self) -> bool:
        """Whether so many bytes wait that the caller should accept no more input until :meth:`room` returns."""

    @property
    def failed(self) -> StateFailed | None:
        """The error after which nothing is stored any more, or None."""

    async def room(self) -> None:
        """Wait until the state is not full."""

    def commit(self, changes: Sequence[Change], *, remove: Iterable[int] = ()) -> asyncio.Future[None]:
        """Change rows and remove blobs.

        :param remove: the numbers of blobs; unknown ones are ignored.
        :return: done when all of that is on the disk; fails with :class:`NotStored` or :class:`StateFailed`.
        :raises ValueError: a text is not valid Unicode, or is too long.
        """

    def append(self, number: int, offset: int, data: bytes) -> asyncio.Future[None]:
        """Write a piece of a blob. A piece replaces an earlier piece with the same offset and length.

        :param offset: the number of bytes of the blob before the piece.
        :return: as :meth:`commit`.
        :raises ValueError: the piece is too long.
        """

    def read(self, number: int, offset: int, count: int) -> asyncio.Future[bytes]:
        """Read up to ``count`` bytes of a blob after all that was committed before; fewer only at its end. An unknown
        number gives no bytes.

        :return: fails with a LinesyncFailed if the disk cannot be read.
        """

    async def close(self) -> None:
        """Wait until all commits are done, and close the file. Later commits fail.

        :raises StateFailed: something is not stored.
        """


def check_change(change: Change) -> int:
    """The approximate number of bytes that a change needs in the queue.

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
