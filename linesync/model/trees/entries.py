"""The entries of a tree: files, folders and links, with their digests.

The digest of a file is the start of the SHA-256 of its contents. The digest of a folder includes the names, kinds, digests and,
if they are copied, the attributes of everything in it. Two folders with the same digest are therefore the same (a Merkle tree).
"""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import LinesyncFailed
from ...frozen_record import Record
from ...protocol import tree_records
from ...protocol.tree_records import ENTRY, Fields

__all__ = [
    "DIGEST_BYTES",
    "FILE",
    "FOLDER",
    "HARD_LINK",
    "LINK",
    "Attributes",
    "Entry",
    "Summary",
    "digest_of_folder",
    "digest_of_link",
    "entry_of",
    "kept_mode",
    "record_of",
]

FILE, FOLDER, LINK, HARD_LINK = "f", "d", "l", "h"
"""The kinds of entries: a regular file, a folder, a symbolic link, and another name of an earlier file."""
_KINDS = (FILE, FOLDER, LINK, HARD_LINK)
DIGEST_BYTES = 16
"""The number of bytes of a SHA-256 that a comparison uses."""
_SET_ID = 0o6000


class Attributes(Record):
    """The attributes that a copy with -p keeps."""

    mtime: int
    """Nanoseconds since 1970."""
    uid: int
    gid: int


class Entry(Record):
    """A file, a folder or a link that is copied."""

    parent: int
    """The number of its folder. The entries are numbered 1, 2, 3 ... in the order in which they are sent; 0 stands for the
    target of the copy."""
    kind: str
    name: bytes
    mode: int
    """The permission bits."""
    size: int = 0
    """The size of a file in bytes."""
    attributes: Attributes | None = None
    target: bytes = b""
    """The text of a symbolic link."""
    twin: int = 0
    """The number of the file that has the same contents on the disk, for a hard link."""
    digest: bytes = b""
    """Empty if it is unknown."""


class Summary(Record):
    """The part of an entry that the digest of its folder includes."""

    name: bytes
    kind: str
    digest: bytes
    mode: int
    mtime: int
    owner: str
    """The names or the numbers of its user and its group; empty if owners are not copied."""


def record_of(entry: Entry) -> bytes:
    """The record of an entry."""
    found = entry.attributes
    packed = b"" if found is None else tree_records.numbers(tree_records.unsigned(found.mtime), found.uid, found.gid)
    target = tree_records.number(entry.twin) if entry.kind == HARD_LINK else entry.target
    return tree_records.record(
        ENTRY, entry.parent, ord(entry.kind), entry.name, entry.mode, entry.size, packed, target, entry.digest
    )


def entry_of(fields: Fields) -> Entry:
    """Read the record of an entry.

    :raises LinesyncFailed: the record is invalid.
    """
    parent, kind, name, mode, size, packed, target, digest = fields
    assert isinstance(parent, int) and isinstance(kind, int) and isinstance(mode, int) and isinstance(size, int)
    assert isinstance(name, bytes) and isinstance(packed, bytes) and isinstance(target, bytes)
    assert isinstance(digest, bytes)
    attributes, twin = None, 0
    values = tree_records.read_numbers(packed)
    if len(values) == 3:
        attributes = Attributes(tree_records.signed(values[0]), values[1], values[2])
    if kind == ord(HARD_LINK):
        found = tree_records.read_numbers(target)
        twin, target = found[0] if len(found) == 1 else 0, b""
    letter = chr(kind) if kind < 0x80 else ""
    if letter not in _KINDS or len(values) not in (0, 3) or len(digest) not in (0, DIGEST_BYTES) or mode > 0o7777:
        raise LinesyncFailed(
            "the other end of the copy sent an invalid entry; install the same version of linesync on both ends"
        )
    return Entry(parent, letter, name, mode, size, attributes, target, twin, digest)


def digest_of_folder(children: Iterable[Summary], *, attributes: bool) -> bytes:
    """The digest of a folder.

    :param attributes: whether the digest includes the attributes (-p).
    """
    from hashlib import sha256  # slow to import, and only copies need it

    total = sha256()
    for child in sorted(children, key=lambda child: child.name):
        own = f"{child.mode} {child.mtime} {child.owner}".encode("utf-8", "replace") if attributes else b""
        for part in (child.kind.encode(), child.name, child.digest, own):
            total.update(tree_records.number(len(part)) + part)
    return total.digest()[:DIGEST_BYTES]


def digest_of_link(target: bytes) -> bytes:
    """The digest of a symbolic link."""
    from hashlib import sha256

    return sha256(b"link " + target).digest()[:DIGEST_BYTES]


def kept_mode(mode: int, *, same_owner: bool) -> int:
    """The permission bits of a copy with -p. A file that gets another owner loses its set-uid and set-gid bits."""
    return mode if same_owner else mode & ~_SET_ID
