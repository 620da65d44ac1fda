"""Namespaces with an owner. Such a namespace ends with its owner, and its objects are then forgotten.

1. Every name can be used as a namespace. Without an owner, it keeps its objects until a reset.
2. ``begin`` gives a namespace an owner: a client, or a process on the client's host. The agent or the hub on that host
   watches the process. A name that is in use is refused.
3. A namespace ends when its owner or the owner's host is gone, or when a client ends it.
4. A name that begins with ``@`` can be used only while the namespace has an owner. A process that lives longer than the owner
   therefore cannot leave objects in it.

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
PER_HOST = 100  # the maximum number of namespaces whose owners are on one host
TOTAL = 10_000  # the maximum number of namespaces with an owner
BEGIN_CHARS = 20  # the maximum number of digits of the start time of a process
COMMAND_CHARS = 200  # the maximum length of a displayed command, in characters


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a namespace: a process on the client's host, or the client itself.

    :ivar client: the client that began the namespace. It owns the namespace if ``pid`` is 0.
    :ivar pid: the id of the owning process on the client's host; 0 if the client is the owner.
    :ivar begin: the start time of the process in clock ticks. Pid and start time together identify one process.
    :ivar command: the command of the owner, for display.
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
        """The key of the owner; equal for all namespaces of one owner."""
        return (self.host, self.pid, self.begin) if self.pid else self.client

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else f"a script on {self.host}"


_Key = Client | tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Namespace:
    """The state of a namespace that has an owner.

    :ivar since: the time at which it began, in monotonic seconds.
    :ivar number: a number that grows with each new namespace.
    """

    name: str
    owner: Owner
    since: float
    number: int

    def state(self, things: int, now: float) -> NamespaceState:
        """The state of the namespace for display.

        :param things: the number of named objects (barriers, semaphores ...) in it.
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

    :param journal: gets the changes; by default a journal that is off.
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

        :param things: the number of named objects that already exist in it.
        :raises UsageError: the name, pid or command is not valid.
        :raises NotAllowed: the name is in use.
        :raises LinesyncFailed: there are too many namespaces with an owner.
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
            reason = f"it belongs to {found.owner}" if found is not None else "it is not empty"
            raise NotAllowed(
                f"namespace '{name}' is in use: {'it always exists' if name == DEFAULT else reason}; choose another name",
                details={"namespace": name},
            )
        of_host = sum(namespace.owner.host == owner.host for namespace in self._named.values())
        if of_host >= PER_HOST or len(self._named) >= TOTAL:
            raise LinesyncFailed(
                f"namespace '{name}' cannot begin: there are {len(self._named)}, {of_host} of them from {owner.host}, and the"
                f" limits are {TOTAL} and {PER_HOST}; end some of them with 'linesync namespace end NAME'"
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
                " --namespace' for a namespace without an owner",
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
        return [namespace.owner for namespace in self._named.values()]

    def of_client(self, client: Client) -> list[str]:
        """The namespaces that a client owns."""
        return list(self._owned.get(client, ()))

    def of_process(self, host: str, pid: int, begin: str) -> list[str]:
        """The namespaces that a process owns."""
        return list(self._owned.get((host, pid, begin), ()))

    def of_host(self, host: str) -> list[str]:
        """The namespaces whose owners are on a host."""
        return [name for name, namespace in self._named.items() if namespace.owner.host == host]

    def check(self, name: str) -> None:
        """Refuse a name that needs an owner and has none.

        :raises Aborted: the namespace has ended.
        """
        if name.startswith(OWNED_MARK) and name not in self._named:
            raise Aborted(
                f"there is no namespace '{name}' now: it has ended, or the hub has restarted since it began; begin a new"
                " namespace with 'linesync namespace new'",
                details={"cause": str(Cause.RESET), "by": "", "namespace": name},
            )

    def states(self, things: Mapping[str, int], now: float) -> list[NamespaceState]:
        """The namespaces with an owner in the order in which they began, and then the other used namespaces by name.

        :param things: the number of named objects in each namespace.
        """
        others = sorted(things.keys() - self._named.keys())
        return [namespace.state(things.get(name, 0), now) for name, namespace in self._named.items()] + [
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
        """Restore the namespaces.

        :raises BadRow: a row is not valid.
        """

        def restore_row(key: list[str], kept: KeptNamespace) -> None:
            (name,) = key
            client = rows.clients.client(kept.host, kept.client, kept.principal)
            owner = Owner(client, kept.pid, kept.begin, kept.command)
            self._add(Namespace(name, owner, kept.since + rows.shift, self._journal.numbered(kept.number)))

        rows.each("namespace", KeptNamespace, restore_row, by_number)
