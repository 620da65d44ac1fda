"""The paths of the receiver of a copy: it finds what is there, makes folders and links, and sets attributes.

In a tree, each folder is opened relative to its parent, and symbolic links are not followed. A sender can therefore not write
outside the target, even with links that it has sent before.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from ...errors import LinesyncFailed
from ...model.trees.entries import FILE, FOLDER, LINK, Entry, kept_mode
from ...model.trees.names import HERE
from ...model.trees.verdicts import Found
from ...protocol.tree_records import Fields
from ..files.leftovers import temporary_name
from ..files.parts import LEAST, Part
from ..files.paths import kind_of, status_of
from .facts import Options, kind_of_entry, own_groups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Folders", "Node", "Owners", "find", "make_folder", "make_link", "make_twin", "set_attributes"]

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN = 16  # the maximum number of folders that are kept open


class Node:
    """An entry that the sender has sent.

    :ivar follows: whether a symbolic link at its path is followed; only without -r.
    :ivar is_new: whether this copy has made the folder.
    :ivar has_arrived: whether the folder is here. At the end of the copy, it gets its attributes.
    :ivar failed: whether it could not be read or written.
    """

    __slots__ = ("entry", "failed", "follows", "has_arrived", "is_new", "name", "number", "parent", "part", "part_hash")

    def __init__(self, number: int, parent: Node, name: bytes, entry: Entry) -> None:
        self.number = number
        self.parent = parent
        self.name = name
        self.entry = entry
        self.follows = self.is_new = self.has_arrived = self.failed = False
        self.part: Part | None = None
        self.part_hash: _Hash | None = None

    @property
    def kind(self) -> str:
        return self.entry.kind

    @property
    def path(self) -> str:
        """The path of the entry, for errors and for files."""
        names = []
        node = self
        while node.parent is not node:
            if node.name != HERE:
                names.append(node.name)
            node = node.parent
        return os.fsdecode(os.path.join(node.name, *reversed(names)))


class Folders:
    """The open folders of a copy.

    :param path: the target of the copy.
    :param where: the host and a colon, for errors.
    """

    def __init__(self, path: bytes, where: str) -> None:
        self.status = status_of(os.fsdecode(path))
        self._where = where
        self._open: dict[Node, int] = {}  # bound: placing._OPEN

    @property
    def is_folder(self) -> bool:
        """Whether the target is an existing folder."""
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)

    @staticmethod
    def root(folder: bytes) -> Node:
        """The folder that contains the targets of the sources."""
        node = Node(0, None, folder, Entry(0, FOLDER, folder, 0))  # type: ignore[arg-type]
        node.parent = node
        return node

    def descriptor(self, node: Node) -> int:
        """An open descriptor of a folder. It stays open until other folders need its place.

        :raises LinesyncFailed: there is no such folder.
        :raises OSError: the folder cannot be opened.
        """
        found = self._open.pop(node, -1)
        if found < 0:
            found = self._open_node(node)
        self._open[node] = found  # the entries are in the order of their last use
        while len(self._open) > _OPEN:
            os.close(self._open.pop(next(iter(self._open))))
        return found

    def _open_node(self, node: Node) -> int:
        if node.parent is not node:
            name = b"." if node.name == HERE else node.name
            return os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=self.descriptor(node.parent))
        path = os.fsdecode(node.name)
        try:
            return os.open(path, _FOLDER_FLAGS)
        except PermissionError:  # this user may write to the directory, but not list it
            return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise LinesyncFailed(
                f"cannot write to {self._where}{path}: there is no such folder; create it first"
            ) from None

    def finish(self, node: Node, options: Options, owners: Owners) -> None:
        """Give a folder its final mode, and with -p its other attributes."""
        descriptor = self.descriptor(node)
        if options.preserve:
            owners.apply(node, descriptor)
        elif node.is_new and node.entry.mode & 0o700 != 0o700:
            os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) & ~0o700 | node.entry.mode & 0o700)

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])


class Owners:
    """The users and groups of the sender, with the numbers that they have on this machine.

    :ivar settable: whether this process can give files to other users.
    """

    def __init__(self) -> None:
        self.settable = os.geteuid() == 0
        self._users: dict[int, int] = {}  # bound: placing._NAMES
        self._groups: dict[int, int] = {}  # bound: placing._NAMES

    def take_user(self, fields: Fields) -> None:
        from pwd import getpwnam

        number, name = fields
        assert isinstance(number, int) and isinstance(name, bytes)
        if len(self._users) < _NAMES:
            try:
                self._users[number] = getpwnam(os.fsdecode(name)).pw_uid
            except (KeyError, ValueError):
                self._users[number] = number

    def take_group(self, fields: Fields) -> None:
        from grp import getgrnam

        number, name = fields
        assert isinstance(number, int) and isinstance(name, bytes)
        if len(self._groups) < _NAMES:
            try:
                self._groups[number] = getgrnam(os.fsdecode(name)).gr_gid
            except (KeyError, ValueError):
                self._groups[number] = number

    def apply(self, node: Node, descriptor: int) -> None:
        """Give an open file or folder the owner, the mode and the time of its source."""
        found = node.entry.attributes
        if found is None:
            return
        uid, gid = self._wanted(node)
        status = os.fstat(descriptor)
        if (status.st_uid, status.st_gid) != (uid, gid):
            self._change_owner(descriptor, uid, gid)
            status = os.fstat(descriptor)
        same = (status.st_uid, status.st_gid) == (uid, gid)
        mode = kept_mode(node.entry.mode, same_owner=same)
        if stat.S_IMODE(status.st_mode) != mode:
            os.fchmod(descriptor, mode)
        if status.st_mtime_ns != found.mtime:
            os.utime(descriptor, ns=(status.st_atime_ns, found.mtime))

    def _change_owner(self, descriptor: int, uid: int, gid: int) -> None:
        if self.settable:
            os.fchown(descriptor, uid, gid)
        elif gid in own_groups():
            with suppress(OSError):
                os.fchown(descriptor, -1, gid)

    def _wanted(self, node: Node) -> tuple[int, int]:
        found = node.entry.attributes
        assert found is not None
        return self._users.get(found.uid, found.uid), self._groups.get(found.gid, found.gid)

    def apply_to_link(self, node: Node, name: bytes, folder: int) -> None:
        """Give a new symbolic link the owner and the time of its source."""
        found = node.entry.attributes
        if found is None:
            return
        if self.settable:
            uid, gid = self._wanted(node)
            os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
        with suppress(OSError):  # not every file system keeps the time of a link
            os.utime(name, ns=(found.mtime, found.mtime), dir_fd=folder, follow_symlinks=False)


_NAMES = 4096  # the maximum number of users, and of groups, of the sender


def find(node: Node, folder: int, shown: str, *, known: bool) -> Found:
    """Find the file, folder or link at the path of an entry.

    :param known: whether this machine knows contents of the same size.
    :raises LinesyncFailed: the path has another kind of file, which the copy must not replace.
    """
    name = b"." if node.name == HERE else node.name
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=node.follows)
    except FileNotFoundError:
        return Found(known=known, part=_find_part(node))
    kind = kind_of_entry(status.st_mode)
    wanted = FILE if node.kind not in (FOLDER, LINK) else node.kind
    if kind != wanted:
        is_what = "a symbolic link" if stat.S_ISLNK(status.st_mode) else kind_of(status.st_mode)
        what = {FOLDER: "a directory", LINK: "a symbolic link"}.get(wanted, "a regular file")
        block = "add --device to overwrite its contents" if stat.S_ISBLK(status.st_mode) else ""
        raise LinesyncFailed(
            f"cannot write {shown}: it is {is_what}, not {what}; {block or 'remove it first, or name another target'}"
        )
    target = os.readlink(name, dir_fd=folder) if kind == LINK else b""
    part = _find_part(node) if kind == FILE else 0
    return Found(node.kind, status.st_size, target, known, part)


def _find_part(node: Node) -> int:
    """Open the part of a file, if there is one. Returns its length."""
    if node.kind == FILE and node.entry.size >= LEAST and node.part is None:
        path = os.path.abspath(os.path.realpath(node.path) if node.follows else node.path)
        node.part = Part.find(path)
    return 0 if node.part is None else node.part.size


def make_folder(node: Node, folder: int) -> None:
    """Make a folder in which this user can write. It gets its final mode at the end of the copy."""
    os.mkdir(node.name, node.entry.mode & 0o777 | 0o700, dir_fd=folder)
    node.is_new = True


def make_link(node: Node, folder: int, options: Options, owners: Owners) -> None:
    """Make a symbolic link. It replaces another one."""
    temporary = os.fsencode(temporary_name(os.fsdecode(node.name)))
    os.symlink(node.entry.target, temporary, dir_fd=folder)
    _rename(temporary, node.name, folder, lambda: owners.apply_to_link(node, temporary, folder))


def make_twin(node: Node, folders: Folders, nodes: list[Node], where: str) -> None:
    """Make a hard link to a file that was sent before."""
    if not 0 < node.entry.twin < node.number or nodes[node.entry.twin].kind != FILE:
        raise LinesyncFailed("the other end of the copy sent an invalid hard link; update linesync there")
    twin = nodes[node.entry.twin]
    shown = where + node.path
    if twin.failed:
        raise LinesyncFailed(
            f"cannot write {shown}: it is a hard link to {twin.path}, which was not written; copy it again"
        )
    source, folder = folders.descriptor(twin.parent), folders.descriptor(node.parent)
    there = os.stat(twin.name, dir_fd=source, follow_symlinks=False)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.stat(node.name, dir_fd=folder, follow_symlinks=False), there):
            return
    temporary = os.fsencode(temporary_name(os.fsdecode(node.name)))
    os.link(twin.name, temporary, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
    _rename(temporary, node.name, folder)


def _rename(temporary: bytes, name: bytes, folder: int, before: object = None) -> None:
    try:
        if callable(before):
            before()
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def set_attributes(node: Node, folder: int, owners: Owners) -> None:
    """Give a file that has the right contents the attributes of its source."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if node.follows else os.O_NOFOLLOW)
    descriptor = os.open(node.name, flags, dir_fd=folder)
    try:
        owners.apply(node, descriptor)
    finally:
        os.close(descriptor)
