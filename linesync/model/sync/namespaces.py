"""Namespaces with an owner. Such a namespace ends with its owner, and then everything in it is forgotten.

1. Every name can be used as a namespace. Without an owner, it keeps its objects until a reset.
2. ``begin`` gives a namespace an owner: a client, or a process on the client's host, which the agent or the hub there
   watches. A name that is in use is refused.
3. A namespace ends when its owner or the owner's host is gone, or when a client ends it.
4. A name that begins with ``@`` is a namespace only from its begin to its end. So a process that outlives the owner cannot
   leave anything behind.

Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import Aborted, LinesyncFailed, NotAllowed, UsageError
from ..journal import Journal
from ..kept.objects import KeptNamespace
from ..kept.rows import Rows, by_number
from ..participants import Cause, Client, check_name
from ..state.namespace import NamespaceState, OwnerState

__all__ = ["Namespace", "Namespaces", "Owner"]

OWNED_MARK = "@"
"""The first character of names that are namespaces only while they have an owner."""
DEFAULT = "default"
PER_HOST = 100  # most namespaces with an owner on one host
TOTAL = 10_000  # most namespaces with an owner
BEGIN_CHARS = 20  # most digits of the start time of a process
COMMAND_CHARS = 200  # most characters of a command that is shown


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a namespace: a process on the client's host, or the client itself.

    :ivar client: the client that began the namespace; it owns the namespace if there is no process.
    :ivar pid: the process id on the client's host; 0 if the client is the owner.
    :ivar begin: when the process started, as its host counts it. With the pid, it identifies one process.
    :ivar command: the command that the owner runs, for people.
    """

    client: Client
    pid: int = 0
    begin: str = ""
    command: str = ""

    @property
    def host(self) -> str:
        return self.client.host

    @property
    def key(self) -> _Key:
        """Equal for all namespaces of one owner."""
        return (self.host, self.pid, self.begin) if self.pid else self.client

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else f"a script on {self.host}"


_Key = Client | tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Namespace:
    """The state of a namespace that has an owner.

    :ivar since: when it began.
    :ivar number: grows in the order in which namespaces began.
    """

    name: str
    owner: Owner
    since: float
    number: int

    def state(self, things: int, now: float) -> NamespaceState:
        """Its state for people and programs.

        :param things: how many barriers, semaphores ... it has.
        """
        owner = self.owner
        shown = OwnerState(
            host=owner.host,
            pid=owner.pid or None,
            client=None if owner.pid else owner.client.number,
            command=owner.command,
        )
        return NamespaceState(name=self.name, since=now - self.since, owner=shown, things=things)


class Namespaces:
    """All namespaces of a hub that have an owner.

    :param journal: gets the changes; by default one that is off.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal or Journal(on=False)
        self._journal.source("namespace", self._kept, lambda: self._named)
        self._named: dict[str, Namespace] = {}
        self._owned: dict[_Key, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._named)

    def begin(self, name: str, owner: Owner, now: float, things: int) -> None:
        """Begin a namespace.

        :param things: how many barriers, semaphores ... already have it.
        :raises UsageError: an invalid name, pid or command.
        :raises NotAllowed: the name is in use.
        :raises LinesyncFailed: there are too many.
        """
        check_name("namespace", name)
        shown = len(owner.command) <= COMMAND_CHARS and owner.command.isprintable()
        if not (0 <= owner.pid < 1 << 31 and len(owner.begin) <= BEGIN_CHARS and shown):
            raise UsageError(
                f"invalid owner of namespace '{name}': expected a process id, its start time, and at most {COMMAND_CHARS}"
                " printable characters of its command"
            )
        found = self._named.get(name)
        if found is not None or things or name == DEFAULT:
            whose = f"it belongs to {found.owner}" if found is not None else "it is not empty"
            raise NotAllowed(
                f"namespace '{name}' is in use: {'it always exists' if name == DEFAULT else whose}; choose another name",
                details={"namespace": name},
            )
        mine = sum(one.owner.host == owner.host for one in self._named.values())
        if mine >= PER_HOST or len(self._named) >= TOTAL:
            raise LinesyncFailed(
                f"namespace '{name}' cannot begin: there are {len(self._named)}, {mine} of them from {owner.host}, and the"
                f" limits are {TOTAL} and {PER_HOST}; end some with 'linesync namespace end NAME'"
            )
        self._add(Namespace(name, owner, now, self._journal.number()))
        self._journal.mark("namespace", name, new=True)

    def _add(self, namespace: Namespace) -> None:
        self._named[namespace.name] = namespace
        self._owned.setdefault(namespace.owner.key, {})[namespace.name] = None

    def end(self, name: str) -> Namespace:
        """Forget a namespace.

        :raises LinesyncFailed: there is no such namespace.
        """
        found = self._named.pop(name, None)
        if found is None:
            raise LinesyncFailed(
                f"there is no namespace '{name}' with an owner; see 'linesync namespace list', or use 'linesync reset"
                " --namespace' for one without an owner",
                details={"namespace": name},
            )
        self._journal.mark("namespace", name)
        owned = self._owned[found.owner.key]
        del owned[name]
        if not owned:
            del self._owned[found.owner.key]
        return found

    def owners(self) -> list[Owner]:
        """The owner of each namespace."""
        return [one.owner for one in self._named.values()]

    def of_client(self, client: Client) -> list[str]:
        """The namespaces that a client owns."""
        return list(self._owned.get(client, ()))

    def of_process(self, host: str, pid: int, begin: str) -> list[str]:
        """The namespaces that a process owns."""
        return list(self._owned.get((host, pid, begin), ()))

    def of_host(self, host: str) -> list[str]:
        """The namespaces whose owners are on a host."""
        return [name for name, one in self._named.items() if one.owner.host == host]

    def check(self, name: str) -> None:
        """Refuse a name that can only be a namespace with an owner, and is not.

        :raises Aborted: it has ended.
        """
        if name.startswith(OWNED_MARK) and name not in self._named:
            raise Aborted(
                f"there is no namespace '{name}' now: it has ended, or the hub has restarted since it began; begin another"
                " one with 'linesync namespace new'",
                details={"cause": str(Cause.RESET), "by": "", "namespace": name},
            )

    def states(self, things: Mapping[str, int], now: float) -> list[NamespaceState]:
        """The namespaces in order of their begin, and then the others that are in use, sorted by name.

        :param things: how many barriers, semaphores ... each namespace has.
        """
        others = sorted(things.keys() - self._named.keys())
        return [one.state(things.get(name, 0), now) for name, one in self._named.items()] + [
            NamespaceState(name=name, since=None, owner=None, things=things[name]) for name in others
        ]

    # -- storing -----------------------------------------------------------------------------------------------------------

    def _kept(self, name: str) -> KeptNamespace | None:
        found = self._named.get(name)
        if found is None:
            return None
        owner = found.owner
        return KeptNamespace(
            number=found.number,
            host=owner.client.host,
            client=owner.client.number,
            principal=owner.client.principal,
            pid=owner.pid,
            begin=owner.begin,
            command=owner.command,
            since=found.since,
        )

    def restore(self, rows: Rows) -> None:
        """Restore the namespaces; raises BadRow."""

        def put_back(key: list[str], kept: KeptNamespace) -> None:
            (name,) = key
            client = rows.clients.client(kept.host, kept.client, kept.principal)
            owner = Owner(client, kept.pid, kept.begin, kept.command)
            self._add(Namespace(name, owner, kept.since + rows.shift, self._journal.numbered(kept.number)))

        rows.each("namespace", KeptNamespace, put_back, by_number)
