"""The handlers of all requests and notes that are not arrivals. Each operation has one small function.

The model decides the other requests (:mod:`linesync.hub.dispatch`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sized
from typing import Any, Protocol, TypeVar

from .. import protocol
from ..errors import LinesyncFailed, UsageError
from ..jobs.owners import Owners
from ..model.decisions import Event, Outcome
from ..model.participants import HUB, Client, names_in_words
from ..model.policy import Policy, asked_socket
from ..model.state.group import Announced, Terms
from ..model.state.hosts import HostState
from ..model.state.principal import Principal
from ..model.state.record import State
from ..model.state.status import Status
from ..model.sync.namespaces import Owner
from ..model.sync.services import SyncServices
from ..protocol import Message, operations
from ..protocol.ids import Id
from ..runtime.lines.link_state import LinkState
from ..runtime.listening.reports import Report
from .draining import Draining
from .sessions import HubSession

__all__ = ["HANDLERS", "Asked"]

S = TypeVar("S", bound=State)


class Hub(Protocol):
    """The part of the hub that handlers use."""

    report: Report
    owners: Owners
    draining: Draining
    links: Callable[[], list[LinkState]]
    """Returns the rows of ``links``."""

    @property
    def policy(self) -> Policy:
        """The rules of the hub."""

    @property
    def services(self) -> SyncServices: ...
    @property
    def lease_option(self) -> str: ...
    def tell(self, events: Iterable[Event | Outcome]) -> None: ...
    def resume(self, session: HubSession, message: protocol.Continue) -> str: ...
    def register(self, session: HubSession, message: protocol.Register, now: float) -> str: ...
    def hosts(self, now: float) -> tuple[HostState, ...]: ...
    def status(self, now: float) -> Status: ...


class Asked:
    """A request or note that the hub has received.

    :ivar session: the session in which it arrived.
    :ivar number: its id as text, which the reply repeats; ``-`` for a note.
    :ivar id: the same id, decoded.
    :ivar message: the decoded request or note.
    :ivar now: the time of its arrival in monotonic seconds.
    """

    __slots__ = ("id", "message", "now", "number", "session")

    def __init__(self, session: HubSession, number: str, id_: Id, message: Any, now: float) -> None:
        self.session = session
        self.number = number
        self.id = id_
        self.message = message
        self.now = now

    @property
    def client(self) -> Client:
        """The client that sent the message."""
        return self.session.client(self.id.script)

    def named(self) -> tuple[str, Client]:
        """The arrival to which a message refers by a request id, and the client of the arrival."""
        request = self.message.request
        arrival = self.session.arrival(request, self.message.arrival)
        return arrival, self.session.client(Id.read(request).script)


Handler = Callable[[Hub, Asked], str | None]
"""Handles one message; returns the reply, or None for a note."""


def _commit(hub: Hub, asked: Asked) -> str:
    arrival, client = asked.named()
    hub.services.commit(arrival, client, asked.now)
    if not asked.message.arrival:  # a retry is not possible, so the hub does not keep the result
        hub.services.confirm(arrival, client)
    return protocol.encode_ok()


def _confirm(hub: Hub, asked: Asked) -> None:
    hub.services.confirm(*asked.named())


def _withdraw(hub: Hub, asked: Asked) -> None:
    arrival, client = asked.named()
    hub.tell(hub.services.withdraw(arrival, client, asked.now))
    hub.tell(hub.services.groups.withdraw(arrival, client, asked.now))
    hub.draining.end(asked.session, "the client withdrew the request", number=asked.message.request)


def _give_back(hub: Hub, asked: Asked) -> str:
    hub.tell(hub.services.give_back(asked.message.arrival, asked.client, asked.now))
    return protocol.encode_ok()


def _unlock(hub: Hub, asked: Asked) -> str:
    lock = asked.message
    hub.tell(hub.services.locks.give_back(lock.ns, lock.name, lock.token, asked.client.host, asked.now))
    return protocol.encode_ok()


def _failed(waits: Sized) -> str:
    return "1 wait failed" if len(waits) == 1 else f"{len(waits)} waits failed"


def _reset(hub: Hub, asked: Asked) -> str:
    message = asked.message
    forgotten, waits, outcomes = hub.services.reset(message.ns, message.names, asked.client.host, asked.now)
    hub.tell(outcomes)
    names = names_in_words(message.names, len(message.names)) if message.names else "all names"
    hub.report(
        f"{asked.client.principal} reset {names} of namespace '{message.ns}'; {_failed(waits)}",
        peer=asked.session.endpoint,
    )
    return protocol.encode_ok(str(forgotten), str(len(waits)))


def _begin_namespace(hub: Hub, asked: Asked) -> str:
    message, session = asked.message, asked.session
    if message.pid and not session.host:
        if not session.local:
            raise LinesyncFailed(
                f"the hub cannot watch process {message.pid} over {session.line}: it may run on another machine; connect"
                " over the hub's socket, or run an agent on that machine and use the agent's socket"
            )
        hub.owners.watch(message.pid, message.begin)
    elif message.pid and not message.watched:
        raise LinesyncFailed(
            f"the agent on {session.host} cannot watch process {message.pid}: its linesync is too old; update it"
        )
    owner = Owner(asked.client, message.pid, message.begin, message.command)
    hub.services.begin_namespace(message.name, owner, asked.now)
    return protocol.encode_ok()


def _end_namespace(hub: Hub, asked: Asked) -> str:
    name = asked.message.name
    forgotten, waits, outcomes = hub.services.end_namespace(name, asked.client.host, asked.now)
    hub.tell(outcomes)
    hub.report(f"{asked.client.principal} ended namespace '{name}'; {_failed(waits)}")
    return protocol.encode_ok(str(forgotten), str(len(waits)))


def _owner_gone(hub: Hub, asked: Asked) -> None:
    message = asked.message
    hub.tell(hub.services.owner_gone(asked.session.host, message.pid, message.begin, asked.now))


def _namespaces(hub: Hub, asked: Asked) -> str:
    return protocol.encode_ok(json.dumps([space.as_json() for space in hub.services.namespace_states(asked.now)]))


def _join(hub: Hub, asked: Asked) -> str:
    message, client = asked.message, asked.client
    hub.services.namespaces.check(message.ns)
    member, outcomes = hub.services.groups.join(
        message.ns,
        message.name,
        f"{client.host}#{message.tag}" if message.tag else client.host,
        client,
        _read_state(Terms, message.Terms or "{}"),
        _services(message.Services),
        asked.now,
        passive=message.Passive,
        arrival=asked.session.arrival(asked.number, ""),
    )
    hub.tell(outcomes)
    return protocol.encode_ok(str(member.number), member.name, str(member.sent))


def _services(text: str) -> list[Announced]:
    """Read the services of a member; raises UsageError."""
    try:
        rows = json.loads(text or "[]")
        return [Announced.from_json(row) for row in (rows if isinstance(rows, list) else [rows])]
    except (ValueError, RecursionError) as error:
        raise UsageError(f"invalid services of a member: {error}") from None


def _read_state(kind: type[S], text: str) -> S:
    """Read a state from a field with JSON; raises UsageError."""
    try:
        return kind.from_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"invalid {kind.__name__.lower()} of a group: {error}") from None


def _leave(hub: Hub, asked: Asked) -> str:
    message, client = asked.message, asked.client
    member = f"{client.host}#{message.tag}" if message.tag else client.host
    hub.tell(hub.services.groups.leave(message.ns, message.name, member, client, asked.now, message.member))
    return protocol.encode_ok()


def _announce(hub: Hub, asked: Asked) -> str:
    message = asked.message
    hub.tell(hub.services.groups.announce(message.member, asked.client, _services(message.services), asked.now))
    return protocol.encode_ok()


def _rerun(hub: Hub, asked: Asked) -> str:
    message = asked.message
    service = message.service if message.service >= 0 else None
    hub.tell(hub.services.groups.rerun(message.ns, message.name, service, asked.now))
    return protocol.encode_ok()


def _stop_group(hub: Hub, asked: Asked) -> str:
    message = asked.message
    hub.tell(hub.services.groups.stop(message.ns, message.name, asked.now))
    hub.report(f"{asked.client.principal} stopped group '{message.name}'", peer=asked.session.endpoint)
    return protocol.encode_ok()


def _group(hub: Hub, asked: Asked) -> str:
    message = asked.message
    return protocol.encode_ok(json.dumps(hub.services.groups.state(message.ns, message.name, asked.now).as_json()))


def _concurrent(hub: Hub, asked: Asked) -> None:
    asked.session.kept.concurrent = not asked.session.host
    asked.session.kept.changed()


def _client_gone(hub: Hub, asked: Asked) -> None:
    hub.draining.end(asked.session, "its client is gone", script=asked.message.client)
    hub.tell(hub.services.client_gone(asked.session.client(asked.message.client), asked.now))


def _continue(hub: Hub, asked: Asked) -> str:
    return hub.resume(asked.session, asked.message)


def _drain(hub: Hub, asked: Asked) -> None:
    hub.draining.begin(asked.session, asked.number, asked.message.timeout, str(asked.client.principal))


def _register(hub: Hub, asked: Asked) -> str:
    return hub.register(asked.session, asked.message, asked.now)


def _going_down(hub: Hub, asked: Asked) -> str:
    hub.services.going_down(asked.session.host, asked.session.id)
    return protocol.encode_ok()


def _lease(hub: Hub, asked: Asked) -> str:
    """The age in the reply is 0, because the hub hears the client now.

    A script on the controller sends this request. An older agent also forwards it, because it does not know the request.
    """
    return protocol.encode_ok("0", lease=hub.lease_option)


def _hosts(hub: Hub, asked: Asked) -> str:
    return protocol.encode_ok(json.dumps([host.as_json() for host in hub.hosts(asked.now)]))


def _status(hub: Hub, asked: Asked) -> str:
    return protocol.encode_ok(json.dumps(hub.status(asked.now).as_json()))


def _policy(hub: Hub, asked: Asked) -> str:
    message = asked.message
    operations.check_permission(message.permission)
    uid = message.user if message.source == HUB and message.user >= 0 else None
    principal = Principal(line="", host=message.source, script="", uid=uid)
    socket = asked_socket(message.Connect, message.Listen)
    decision = hub.policy.decide(principal, message.permission, message.to, socket)
    return protocol.encode_ok(json.dumps(decision.as_json()))


def _links(hub: Hub, asked: Asked) -> str:
    return protocol.encode_ok(json.dumps([link.as_json() for link in hub.links()]))


HANDLERS: dict[type[Message], Handler] = {
    protocol.Commit: _commit,
    protocol.Confirm: _confirm,
    protocol.Withdraw: _withdraw,
    protocol.GiveBack: _give_back,
    protocol.Unlock: _unlock,
    protocol.Reset: _reset,
    protocol.NamespaceBegin: _begin_namespace,
    protocol.NamespaceEnd: _end_namespace,
    protocol.Namespaces: _namespaces,
    protocol.GroupJoin: _join,
    protocol.GroupLeave: _leave,
    protocol.GroupAnnounce: _announce,
    protocol.GroupRerun: _rerun,
    protocol.GroupStop: _stop_group,
    protocol.GroupShow: _group,
    protocol.OwnerGone: _owner_gone,
    protocol.Concurrent: _concurrent,
    protocol.ClientGone: _client_gone,
    protocol.Continue: _continue,
    protocol.Register: _register,
    protocol.GoingDown: _going_down,
    protocol.Drain: _drain,
    protocol.Lease: _lease,
    protocol.Hosts: _hosts,
    protocol.Status: _status,
    protocol.PolicyCheck: _policy,
    protocol.Links: _links,
}
