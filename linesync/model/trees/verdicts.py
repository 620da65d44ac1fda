"""The decision about each entry of a copy: is it the same, must it be sent, or is more information needed?

The receiver decides in rounds. In each round, the sender sends entries, and the receiver answers with one verdict for each.
The entries of the first round have no digests, because on a new target nothing can be compared. The receiver asks for the
digest of an entry that may be the same. If the digests of two folders differ, the sender sends the entries of the folder with
their digests in the next round.
"""

from __future__ import annotations

from ...errors import LinesyncFailed
from ...frozen_record import Record
from .entries import FILE, FOLDER, LINK, Entry

__all__ = ["ALL", "ASK", "OPEN", "REFUSED", "REST", "SAME", "VERDICTS", "Found", "verdict"]

SAME = "="
"""Nothing has to be sent."""
ALL = "+"
"""The file must be sent; or the folder is new here, so all of its entries must be sent without digests."""
ASK = "?"
"""Send the digest."""
OPEN = "/"
"""The folder exists and differs: send its entries with their digests."""
REST = "@"
"""A part of the file is here: send the rest."""
REFUSED = "-"
"""The entry cannot be written here, for a reason that the receiver has reported."""
VERDICTS = SAME + ALL + ASK + OPEN + REST + REFUSED


class Found(Record):
    """The state of the receiver for an entry: the object at its path, and known contents elsewhere."""

    kind: str = ""
    """``FILE``, ``FOLDER``, ``LINK``, another text for another kind, or empty if the path is free."""
    size: int = 0
    target: bytes = b""
    """The text of a symbolic link."""
    known: bool = False
    """Whether the receiver knows a file of the same size elsewhere. It may have the same contents."""
    part: int = 0
    """The number of bytes of the file that an interrupted copy has left."""


def verdict(entry: Entry, found: Found, digest: bytes | None = None) -> str:
    """The verdict about an entry.

    :param digest: the digest of what the receiver has; None before it is computed. It is needed if the digest of the entry is
        known and ``ASK`` is returned.
    """
    if found.kind and found.kind != entry.kind:
        return REFUSED
    if entry.kind == LINK:
        return SAME if found.kind and found.target == entry.target else ALL
    if entry.kind == FOLDER:
        if not found.kind:
            return ALL
        if not entry.digest or digest is None:
            return ASK
        return SAME if digest == entry.digest else OPEN
    if entry.kind != FILE:
        return SAME  # a hard link, which is made at the end
    return _of_file(entry, found, digest)


def _of_file(entry: Entry, found: Found, digest: bytes | None) -> str:
    if found.kind and found.size == entry.size:
        if not entry.digest or digest is None:
            return ASK
        if digest == entry.digest:
            return SAME
    if found.part:
        return REST
    if found.known and entry.size and not entry.digest:
        return ASK
    return ALL


def check(verdicts: str) -> None:
    """Refuse unknown verdicts of a receiver.

    :raises LinesyncFailed: a verdict is unknown.
    """
    if set(verdicts) - set(VERDICTS):
        raise LinesyncFailed(
            "the other end of the copy sent an unknown verdict; install the same version of linesync on both ends"
        )
