"""The facts about files that both ends of a copy need: kinds, owners and digests."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache

from ...errors import LinesyncFailed
from ...model.trees.entries import DIGEST_BYTES as DIGEST_BYTES
from ...model.trees.entries import FILE, FOLDER, LINK, Summary, digest_of_folder, digest_of_link
from ..files.paths import sha256

__all__ = ["Options", "Stopped", "Tree", "group_name", "hash_file", "kind_of_entry", "own_groups", "user_name"]

_READ = 1 << 20  # bytes of one read
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Options:
    """The options that both ends of a copy know.

    :ivar recursive: copy folders, and links as links (-r).
    :ivar preserve: keep modes, times and owners (-p).
    :ivar owners: the receiver can set the owners of files, so the comparison includes them.
    """

    def __init__(self, *, recursive: bool = False, preserve: bool = False) -> None:
        self.recursive = recursive
        self.preserve = preserve
        self.owners = False


class Stopped(LinesyncFailed):
    """The copy was stopped while a thread worked for it."""


def kind_of_entry(mode: int) -> str:
    """The kind of the entry for a file, or an empty string if such a file cannot be copied."""
    return FILE if stat.S_ISREG(mode) else FOLDER if stat.S_ISDIR(mode) else LINK if stat.S_ISLNK(mode) else ""


@lru_cache(256)
def user_name(uid: int) -> str:
    """The name of a user, or its number if it has no name."""
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except (KeyError, OSError, OverflowError):
        return str(uid)


@lru_cache(256)
def group_name(gid: int) -> str:
    """The name of a group, or its number if it has no name."""
    from grp import getgrgid

    try:
        return getgrgid(gid).gr_name
    except (KeyError, OSError, OverflowError):
        return str(gid)


def own_groups() -> set[int]:
    """The groups of this process."""
    return {os.getegid(), *os.getgroups()}


def hash_file(descriptor: int, check: Callable[[], None], limit: int | None = None) -> bytes:
    """The SHA-256 of a file from its current position.

    :param check: called between two reads; it raises Stopped if the copy was stopped.
    :param limit: the number of bytes; None for all.
    """
    total = sha256()
    while limit is None or limit > 0:
        check()
        data = os.read(descriptor, _READ if limit is None else min(_READ, limit))
        if not data:
            break
        total.update(data)
        limit = None if limit is None else limit - len(data)
    return total.digest()


class Tree:
    """A file, a folder with everything in it, or a link, with its digest.

    :param name: its name.
    :ivar children: the entries of a folder by name.
    :ivar digest: the digest; empty if it could not be read. Then the digest of its folder differs from all others.
    """

    __slots__ = ("children", "digest", "kind", "name", "status", "target")

    def __init__(self, name: bytes, status: os.stat_result) -> None:
        self.name = name
        self.status = status
        self.kind = kind_of_entry(status.st_mode)
        self.target = b""
        self.digest = b""
        self.children: dict[bytes, Tree] = {}

    def summary(self, options: Options) -> Summary:
        """The facts about this entry that the digest of its folder includes."""
        status = self.status
        owner = f"{user_name(status.st_uid)}:{group_name(status.st_gid)}" if options.owners else ""
        # A link has no mode, and few file systems keep its time.
        mtime = 0 if self.kind == LINK else status.st_mtime_ns
        mode = 0 if self.kind == LINK else stat.S_IMODE(status.st_mode)
        return Summary(self.name, self.kind, self.digest, mode, mtime, owner)


def read_tree(name: bytes, folder: int | None, options: Options, check: Callable[[], None]) -> Tree:
    """Read a file, or a folder with everything in it, and compute the digests. Symbolic links are not followed.

    :param folder: the descriptor of the folder that contains ``name``; None for the current directory.
    :param check: raises Stopped if the copy was stopped.
    :raises OSError: the entry itself cannot be read. Entries in a folder that cannot be read have no digest.
    """
    tree = Tree(name, os.stat(name, dir_fd=folder, follow_symlinks=False))
    if tree.kind == LINK:
        tree.target = os.readlink(name, dir_fd=folder)
        tree.digest = digest_of_link(tree.target)
    elif tree.kind == FILE:
        descriptor = os.open(name, READ_FLAGS | os.O_NOFOLLOW, dir_fd=folder)
        try:
            tree.digest = hash_file(descriptor, check)[:DIGEST_BYTES]
        finally:
            os.close(descriptor)
    elif tree.kind == FOLDER:
        descriptor = os.open(name, READ_FLAGS | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=folder)
        try:
            _read_children(tree, descriptor, options, check)
        finally:
            os.close(descriptor)
    return tree


def _read_children(tree: Tree, descriptor: int, options: Options, check: Callable[[], None]) -> None:
    for child in _names(descriptor):
        check()
        try:
            found = read_tree(child, descriptor, options, check)
        except OSError:
            try:
                found = Tree(child, os.stat(child, dir_fd=descriptor, follow_symlinks=False))
            except OSError:
                continue  # another process has removed it
        tree.children[child] = found
    known = all(found.digest for found in tree.children.values())
    summaries = [found.summary(options) for found in tree.children.values()]
    tree.digest = digest_of_folder(summaries, attributes=options.preserve) if known else b""


def _names(descriptor: int) -> Iterator[bytes]:
    for name in sorted(os.listdir(descriptor)):
        yield os.fsencode(name)
