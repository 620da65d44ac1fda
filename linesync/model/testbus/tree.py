"""The trees of all objects of a test bus: numbers, names, limits, and rows for a store."""

from __future__ import annotations

from ...errors import LinesyncFailed, Mismatch, UsageError
from ..journal import Journal
from ..kept.rows import Rows, by_key
from ..kept.testbus import (
    KeptClaim,
    KeptCommand,
    KeptFile,
    KeptObject,
    KeptProcess,
    KeptTest,
    KeptTestHost,
    KeptVariable,
)
from ..participants import HUB, check_host, check_name, names_in_words
from ..sync.namespaces import Owner
from .checks import (
    BELOW_MAX,
    DEPTH_MAX,
    ENVIRONMENT_BYTES,
    ENVIRONMENTS_BYTES,
    FILES_BYTES,
    FILES_MAX,
    OBJECTS_MAX,
    VALUE_BYTES,
    VARIABLES_MAX,
    check_variable,
    size_of,
)
from .objects import STATES, Claim, Command, File, Host, Node, Process, Test

__all__ = ["Tree", "root_of"]

_NUMBER = "test bus object"
_HUB = 1  # the number of the controller's host, which always exists and has no row


class Tree:
    """All objects of one test bus.

    :ivar hosts: the hosts by name.
    :ivar version: grows when a host is added or removed.
    :ivar bytes: the size of all variables.
    :ivar stored: the size of all files, each digest once.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._all: dict[int, Node] = {}
        self._named: dict[tuple[str, str], dict[int, Node]] = {}
        self._digests: dict[str, dict[int, File]] = {}
        self._last = _HUB
        self.hosts: dict[str, Host] = {}
        self.bytes = 0
        self.stored = 0
        self.version = 0
        self._put(Host(number=_HUB, name=HUB))
        journal.source("test object", self._kept, lambda: [number for number in self._all if number != _HUB])
        journal.source("test variable", self._kept_variable, self._variable_keys)
        journal.counter(_NUMBER, lambda: self._last)

    def __len__(self) -> int:
        return len(self._all)

    def all(self) -> list[Node]:
        """All objects, the oldest first."""
        return list(self._all.values())

    # -- finding -------------------------------------------------------------------------------------------------------

    def get(self, handle: str) -> Node:
        """The object with a handle.

        :raises LinesyncFailed: there is no such object.
        """
        kind = handle.rstrip("0123456789")
        digits = handle[len(kind) :]
        found = self._all.get(int(digits)) if digits.isascii() and 0 < len(digits) <= 15 else None
        if found is None or found.handle != handle:
            raise LinesyncFailed(
                f"there is no object '{handle[:40]}' on the test bus: it was deleted, or its owner has ended; see 'linesync"
                " test show'",
                details={"handle": handle[:40]},
            )
        return found

    def find(self, kind: str, name: str, context: Node | None = None) -> Node | None:
        """The object of a kind with a name, or None.

        :param context: the object directly above it; None for objects at any place.
        :raises Mismatch: several objects have the name.
        """
        found = [
            node for node in self._named.get((kind, name), {}).values() if context is None or node.parent is context
        ]
        if len(found) > 1:
            handles = [node.handle for node in found]
            where = f" in {context}" if context is not None else ""
            raise Mismatch(
                f"the name '{name}' is not unique{where}: {names_in_words(handles, len(handles))} have it; use a handle",
                details={"handles": handles[:100]},
            )
        return found[0] if found else None

    def digests(self) -> set[str]:
        """The digests of all files."""
        return set(self._digests)

    def has_digest(self, digest: str) -> bool:
        """Whether a file has this digest."""
        return digest in self._digests

    # -- adding and removing -------------------------------------------------------------------------------------------

    def check_room(self, parent: Node | None, objects: int = 1) -> None:
        """Refuse new objects directly below an object that would exceed a limit."""
        if len(self._all) + objects > OBJECTS_MAX:
            raise LinesyncFailed(
                f"the test bus has {len(self._all)} objects, and the limit is {OBJECTS_MAX}; delete some"
            )
        if parent is None:
            return
        if parent.depth >= DEPTH_MAX:
            raise UsageError(f"{parent} is too deep for further objects: the limit is {DEPTH_MAX} levels")
        root = root_of(parent)
        if isinstance(root, Test) and root.total + objects > BELOW_MAX:
            raise LinesyncFailed(f"{root} has {root.total} objects, and the limit is {BELOW_MAX}; delete some of them")

    def next_number(self) -> int:
        """The number of a new object."""
        self._last += 1
        self._journal.mark("counter", _NUMBER)
        return self._last

    def add(self, node: Node) -> None:
        """Add a new object, whose number is from :meth:`next_number`. The caller has checked the limits."""
        self._put(node)
        self._journal.mark("test object", node.number, new=True)

    def _put(self, node: Node) -> None:
        parent = node.parent
        self._all[node.number] = node
        self._named.setdefault((node.KIND, node.name), {})[node.number] = node
        if parent is not None:
            node.depth = parent.depth + 1
            parent.children[node.number] = node
            root = root_of(parent)
            if isinstance(root, Test):
                root.total += 1
        if isinstance(node, Host):
            self.hosts[node.name] = node
            self.version += 1
        elif isinstance(node, Claim):
            node.host.users[node.number] = node
            node.test.claims[node.name] = node
        elif isinstance(node, Process):
            node.claim.processes[node.number] = node
        elif isinstance(node, File) and parent is not None:
            parent.files[node.name] = node
            self._count(node)

    def remove(self, node: Node) -> None:
        """Remove an object that has no children."""
        assert not node.children
        self._unset_all(node)
        del self._all[node.number]
        self._journal.mark("test object", node.number)
        same = self._named[node.KIND, node.name]
        del same[node.number]
        if not same:
            del self._named[node.KIND, node.name]
        if node.parent is not None:
            del node.parent.children[node.number]
            root = root_of(node.parent)
            if isinstance(root, Test):
                root.total -= 1
        if isinstance(node, Host):
            del self.hosts[node.name]
            self.version += 1
        elif isinstance(node, Claim):
            del node.host.users[node.number]
            del node.test.claims[node.name]
        elif isinstance(node, Process):
            del node.claim.processes[node.number]
        elif isinstance(node, File) and node.parent is not None:
            del node.parent.files[node.name]
            self._uncount(node)

    # -- files ---------------------------------------------------------------------------------------------------------

    def check_file(self, parent: Node, tag: str, digest: str, length: int) -> None:
        """Refuse a file that would exceed a limit."""
        old = parent.files.get(tag)
        if old is None:
            self.check_room(parent)
            if len(parent.files) >= FILES_MAX:
                raise LinesyncFailed(f"{parent} has {FILES_MAX} files, which is the limit; delete some of them")
        known = self._digests.get(digest)
        if known is not None and (other := next(iter(known.values()))).length != length:
            raise UsageError(
                f"the file '{tag}' has {length} bytes, but another file with the same digest has {other.length}"
            )
        if known is None and self.stored + length > FILES_BYTES:
            raise LinesyncFailed(
                f"the file '{tag}' of {length} bytes does not fit: the files of the test bus have {self.stored} bytes, and the"
                f" limit is {FILES_BYTES}; delete some of them"
            )

    def replace(self, file: File, digest: str, length: int, mode: int) -> None:
        """Give a file other data."""
        self._uncount(file)
        file.digest, file.length, file.mode = digest, length, mode
        self._count(file)
        self._journal.mark("test object", file.number)

    def _count(self, file: File) -> None:
        users = self._digests.setdefault(file.digest, {})
        if not users:
            self.stored += file.length
        users[file.number] = file

    def _uncount(self, file: File) -> None:
        users = self._digests[file.digest]
        del users[file.number]
        if not users:
            del self._digests[file.digest]
            self.stored -= file.length

    # -- variables -----------------------------------------------------------------------------------------------------

    def set(self, node: Node, values: dict[str, str]) -> None:
        """Set variables of an object: all of them, or none.

        :raises UsageError: an invalid name, or a value that is too large.
        :raises LinesyncFailed: the variables exceed a limit.
        """
        added = 0
        for name, value in values.items():
            check_variable(name)
            if "\0" in value:
                raise UsageError(f"invalid value of the variable '{name}': a value cannot contain a null byte")
            if len(value) > VALUE_BYTES or size_of(value) > VALUE_BYTES:
                raise UsageError(
                    f"the value of the variable '{name}' has more than {VALUE_BYTES} bytes; use a file for it"
                )
            added += len(name) + size_of(value) - self._size(node, name)
        if len(node.variables.keys() | values.keys()) > VARIABLES_MAX or node.size + added > ENVIRONMENT_BYTES:
            raise LinesyncFailed(
                f"the variables do not fit into {node}: an object has at most {VARIABLES_MAX} variables with"
                f" {ENVIRONMENT_BYTES} bytes in total"
            )
        if self.bytes + added > ENVIRONMENTS_BYTES:
            raise LinesyncFailed(
                f"the variables do not fit into {node}: the variables of the test bus have {self.bytes} bytes, and the limit"
                f" is {ENVIRONMENTS_BYTES}; delete some objects"
            )
        for name, value in values.items():
            self._set(node, name, value)

    def _size(self, node: Node, name: str) -> int:
        old = node.variables.get(name)
        return 0 if old is None else len(name) + size_of(old)

    def _set(self, node: Node, name: str, value: str) -> None:
        self._journal.mark("test variable", (str(node.number), name), new=name not in node.variables)
        added = len(name) + size_of(value) - self._size(node, name)
        node.size += added
        self.bytes += added
        node.variables[name] = value

    def unset(self, node: Node, names: tuple[str, ...]) -> int:
        """Delete variables of an object, and return how many there were. A variable of an outer object becomes visible."""
        found = [name for name in dict.fromkeys(names) if name in node.variables]
        for name in found:
            freed = self._size(node, name)
            node.size -= freed
            self.bytes -= freed
            del node.variables[name]
            self._journal.mark("test variable", (str(node.number), name))
        return len(found)

    def _unset_all(self, node: Node) -> None:
        self.unset(node, tuple(node.variables))

    # -- storing -------------------------------------------------------------------------------------------------------

    def _kept(self, number: int) -> KeptObject | None:
        node = self._all.get(number)
        return node.kept() if node is not None else None

    def _kept_variable(self, key: tuple[str, str]) -> KeptVariable | None:
        node = self._all.get(int(key[0]))
        value = node.variables.get(key[1]) if node is not None else None
        return KeptVariable(value) if value is not None else None

    def _variable_keys(self) -> list[tuple[str, str]]:
        return [(str(node.number), name) for node in self._all.values() for name in node.variables]

    def restore(self, rows: Rows) -> None:
        """Restore all objects.

        :raises BadRow: a row is not valid, or contradicts other rows.
        """

        def restore_object(key: list[str], kept: KeptObject) -> None:
            (text,) = key
            number = int(text)
            parent = self._all[kept.parent] if kept.parent else None
            if number <= _HUB or isinstance(parent, File):
                raise ValueError("its number or its parent is not valid")
            node = self._made(number, kept, parent, rows)
            self._last = max(self._last, number)
            self._put(node)

        def restore_variable(key: list[str], kept: KeptVariable) -> None:
            number, name = key
            check_variable(name)
            self._set(self._all[int(number)], name, kept.value)

        self._last = rows.counter(_NUMBER, self._last)
        rows.each("test object", KeptObject, restore_object, by_key)
        rows.each("test variable", KeptVariable, restore_variable)

    def _made(self, number: int, kept: KeptObject, parent: Node | None, rows: Rows) -> Node:
        """Make an object from its record; raises ValueError, KeyError or UsageError."""
        name = kept.name
        match kept.what:
            case KeptTestHost():
                check_host(name)
                if parent is not None or name in self.hosts or kept.what.host != name:
                    raise ValueError("it has a parent, or another host has its name")
                return Host(number=number, name=name, unsure=kept.what.unsure, system=kept.what.system)
            case KeptTest() as what:
                check_name("test", name)
                if parent is not None and not isinstance(parent, Test):
                    raise ValueError("its parent is not a test")
                if (parent is None) and not what.owner_host:
                    raise ValueError("it has no owner")
                client = rows.clients.client(what.owner_host, what.client, what.principal)
                owner = Owner(client, what.pid, what.begin, what.command) if what.owner_host else None
                since = what.since + rows.shift
                return Test(number=number, name=name, parent=parent, owner=owner, keep=what.keep, since=since)
            case KeptClaim() as what:
                host = self._all[what.on]
                if not isinstance(parent, Test) or not isinstance(host, Host):
                    raise ValueError("its parent is not a test, or its host is not a host")
                if name in parent.claims or (
                    host.users and (not what.share or any(not claim.share for claim in host.users.values()))
                ):
                    raise ValueError("its role or its host is taken")
                since = what.since + rows.shift
                return Claim(number=number, name=name, parent=parent, host=host, share=what.share, since=since)
            case KeptFile() as what:
                if parent is None or name in parent.files:
                    raise ValueError("it has no parent, or another file has its tag")
                return File(
                    number=number, name=name, parent=parent, digest=what.digest, length=what.length, mode=what.mode
                )
            case KeptCommand() as what:
                if parent is None or not what.arguments:
                    raise ValueError("it has no parent, or no arguments")
                return Command(number=number, name=name, parent=parent, arguments=what.arguments)
            case KeptProcess() as what:
                return self._made_process(number, kept, what, rows)

    def _made_process(self, number: int, kept: KeptObject, what: KeptProcess, rows: Rows) -> Process:
        claim, parent = self._all[what.on], self._all[kept.parent]
        if not isinstance(claim, Claim) or not isinstance(parent, Command) or what.state not in STATES:
            raise ValueError("its claim, its command or its state is not valid")
        shift = rows.shift
        return Process(
            number=number,
            name=kept.name,
            parent=parent,
            claim=claim,
            state=what.state,
            parallel=what.parallel,
            client=rows.clients.client(what.client_host, what.client) if what.client_host else None,
            created=what.created + shift,
            started=what.started + shift if what.started is not None else None,
            ended=what.ended + shift if what.ended is not None else None,
            status=what.status,
            signal=what.signal,
            core=what.core,
            output=what.output,
            why=what.why,
            system=what.system,
        )


def root_of(node: Node) -> Node:
    """The object at the top of the tree of an object."""
    while node.parent is not None:
        node = node.parent
    return node
