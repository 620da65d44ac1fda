"""The objects of a test bus. They form trees: each object has at most one parent.

=========== ==================== ==================================================================
object      its parent           what it is
=========== ==================== ==================================================================
``Host``    none                 a machine, with or without a live agent
``Test``    none, or a test      the owner of everything below it
``Claim``   a test               a host that a test uses, under a role
``File``    any object           a file under a tag
``Command`` any object           a command line that can run many times
``Process`` a command            one run of a command on one claimed host
=========== ==================== ==================================================================

Every object has variables, and can have files. A number that grows with each object is part of its handle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from ..kept.testbus import (
    KeptClaim,
    KeptCommand,
    KeptFile,
    KeptObject,
    KeptProcess,
    KeptStart,
    KeptTest,
    KeptTestHost,
)
from ..participants import Client
from ..sync.namespaces import Owner

__all__ = ["KINDS", "STATES", "Claim", "Command", "File", "Host", "Node", "Process", "Test", "above", "below"]


@dataclass(slots=True, eq=False, kw_only=True)
class Node:
    """The part that all objects have in common.

    :ivar number: grows with each object of the hub.
    :ivar name: its name; names need not be unique.
    :ivar parent: the object above it; None for a root.
    :ivar depth: the number of objects from the root to this object, including both.
    :ivar children: the objects directly below it, by number.
    :ivar variables: the variables that were set at this object.
    :ivar size: the size of these variables in bytes.
    :ivar files: the files directly below it, by tag.
    """

    KIND: ClassVar[str]

    number: int
    name: str
    parent: Node | None = None
    depth: int = 1
    children: dict[int, Node] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    size: int = 0
    files: dict[str, File] = field(default_factory=dict)

    @property
    def handle(self) -> str:
        """The text that identifies the object. It is never used again for another object."""
        return f"{self.KIND}{self.number}"

    def __str__(self) -> str:
        """The object in messages."""
        return f"{self.KIND} '{self.name}' ({self.handle})"

    def kept(self) -> KeptObject:
        """The record of this object for a store."""
        raise AssertionError(f"{self.KIND} has no record")


@dataclass(slots=True, eq=False, kw_only=True)
class Host(Node):
    """A machine.

    :ivar users: the claims on it that are not released, by number.
    :ivar ending: the deleted processes that it has not ended, by number; and whether their test shared the host.
    :ivar unsure: whether it was lost while processes ran, and has not reported which of them still run.
    :ivar system: the boot id of its system at that time; empty if it is not known.
    """

    KIND: ClassVar[str] = "host"

    users: dict[int, Claim] = field(default_factory=dict)
    ending: dict[int, bool] = field(default_factory=dict)
    unsure: bool = False
    system: str = ""

    @property
    def free(self) -> bool:
        """Whether a test may use the host alone."""
        return not (self.users or self.ending or self.unsure)

    @property
    def sharable(self) -> bool:
        """Whether a test may use the host, and share it."""
        if self.free:
            return True
        return not self.unsure and all(claim.share for claim in self.users.values()) and all(self.ending.values())

    def kept(self) -> KeptObject:
        return KeptObject(0, self.name, KeptTestHost(host=self.name, unsure=self.unsure, system=self.system))


@dataclass(slots=True, eq=False, kw_only=True)
class Test(Node):
    """A test.

    :ivar owner: the client or process that owns it; None for a test in another test, which ends with that test.
    :ivar keep: whether the owner's host owns it, so that it continues when the owner ends.
    :ivar since: the time at which it was created.
    :ivar claims: the hosts that it uses, by role.
    :ivar total: the number of objects below it. Only a test without a parent counts.
    """

    KIND: ClassVar[str] = "test"

    owner: Owner | None
    keep: bool = False
    since: float
    claims: dict[str, Claim] = field(default_factory=dict)
    total: int = 0

    def kept(self) -> KeptObject:
        owner = self.owner
        client = owner.client if owner is not None else None
        return KeptObject(
            _number(self.parent),
            self.name,
            KeptTest(
                since=self.since,
                keep=self.keep,
                owner_host=client.host if client is not None else "",
                client=client.number if client is not None else "",
                principal=client.principal if client is not None else None,
                pid=owner.pid if owner is not None else 0,
                begin=owner.begin if owner is not None else "",
                command=owner.command if owner is not None else "",
            ),
        )


@dataclass(slots=True, eq=False, kw_only=True)
class Claim(Node):
    """A host that a test uses. Its name is the role.

    :ivar share: whether other tests may use the host at the same time.
    :ivar since: the time at which the test got the host.
    :ivar processes: the processes on the host that run for the test, by number.
    """

    KIND: ClassVar[str] = "claim"

    host: Host
    share: bool
    since: float
    processes: dict[int, Process] = field(default_factory=dict)

    @property
    def test(self) -> Test:
        assert isinstance(self.parent, Test)
        return self.parent

    def kept(self) -> KeptObject:
        return KeptObject(
            _number(self.parent), self.name, KeptClaim(on=self.host.number, share=self.share, since=self.since)
        )


@dataclass(slots=True, eq=False, kw_only=True)
class File(Node):
    """A file. Its name is the tag. The hub stores the data of all files by digest.

    :ivar digest: the SHA-256 of its data.
    :ivar length: its size in bytes.
    :ivar mode: its permission bits.
    """

    KIND: ClassVar[str] = "file"

    digest: str
    length: int
    mode: int

    def kept(self) -> KeptObject:
        return KeptObject(
            _number(self.parent), self.name, KeptFile(digest=self.digest, length=self.length, mode=self.mode)
        )


@dataclass(slots=True, eq=False, kw_only=True)
class Command(Node):
    """A command line. Its name is the name of the program.

    :ivar arguments: the program and its arguments, before the substitution.
    """

    KIND: ClassVar[str] = "command"

    arguments: tuple[str, ...]

    def kept(self) -> KeptObject:
        return KeptObject(_number(self.parent), self.name, KeptCommand(arguments=self.arguments))


STATES = (
    "waiting",
    "fetching",
    "running",
    "exited",
    "crashed",
    "timed out",
    "could not start",
    "host lost",
)
"""The states of a process."""


@dataclass(slots=True, eq=False, kw_only=True)
class Process(Node):
    """One run of a command on a claimed host. Its name is that of the command.

    :ivar claim: the claim.
    :ivar state: its state (:mod:`.processes`).
    :ivar parallel: whether it does not wait for other processes on the host.
    :ivar client: the client with which it ends; None for a process in the background.
    :ivar created: the time at which it was created.
    :ivar started: the time at which it was sent to its host; None before.
    :ivar ended: the time at which it ended; None before.
    :ivar status: its exit status; None if it has none.
    :ivar signal: the number of the signal that ended it; None if none did.
    :ivar core: whether it left a core dump.
    :ivar output: the number of bytes of its output.
    :ivar why: the reason why it could not start, or was lost.
    :ivar system: the boot id of the system on which it was started.
    :ivar start: what the host needs to start it; None after its end.
    """

    KIND: ClassVar[str] = "process"

    claim: Claim
    state: str
    parallel: bool
    client: Client | None
    created: float
    started: float | None = None
    ended: float | None = None
    status: int | None = None
    signal: int | None = None
    core: bool = False
    output: int = 0
    why: str = ""
    system: str = ""
    start: KeptStart | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """The program and its arguments, before the substitution."""
        assert isinstance(self.parent, Command)
        return self.parent.arguments

    def kept(self) -> KeptObject:
        return KeptObject(
            _number(self.parent),
            self.name,
            KeptProcess(
                on=self.claim.number,
                state=self.state,
                parallel=self.parallel,
                client_host=self.client.host if self.client is not None else "",
                client=self.client.number if self.client is not None else "",
                created=self.created,
                started=self.started,
                ended=self.ended,
                status=self.status,
                signal=self.signal,
                core=self.core,
                output=self.output,
                why=self.why,
                system=self.system,
            ),
        )


KINDS: dict[str, type[Node]] = {kind.KIND: kind for kind in (Host, Test, Claim, File, Command, Process)}
"""The class of each kind of object."""


def above(node: Node) -> Iterator[Node]:
    """An object and all objects above it, the nearest first."""
    at: Node | None = node
    while at is not None:
        yield at
        at = at.parent


def below(node: Node) -> list[Node]:
    """All objects below an object, and the object itself: the deepest first, the object last, and older before newer."""
    found: list[Node] = []
    todo = [node]
    while todo:
        at = todo.pop()
        found.append(at)
        todo += at.children.values()
    return found[::-1]


def _number(parent: Node | None) -> int:
    return parent.number if parent is not None else 0
