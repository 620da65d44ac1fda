"""The handlers of all requests and notes that are not arrivals: one small function for each operation.

Requests that end in an outcome of the model are in :mod:`linesync.hub.dispatch`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import protocol
from ..model.participants import Client
from ..protocol import Message
from ..protocol.ids import Id
from .sessions import HubSession

if TYPE_CHECKING:
    from .requests import Requests

__all__ = ["HANDLERS", "Asked"]


class Asked:
    """One request or note.

    :ivar number: its id as text, which the reply repeats.
    :ivar now: when it came, monotonic seconds.
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
        """The client that sent it."""
        return self.session.client(self.id.script)

    def named(self) -> tuple[str, Client]:
        """The arrival that a message names by the id of its request, and the client of the arrival."""
        request = self.message.request
        arrival = self.session.arrival(request, self.message.arrival)
        return arrival, self.session.client(Id.read(request).script)


Handler = Callable[["Requests", Asked], str | None]
"""Handles one message; returns the reply, or None for a note."""


def _commit(hub: Requests, asked: Asked) -> str:
    arrival, client = asked.named()
    hub.services.commit(arrival, client, asked.now)
    if not asked.message.arrival:  # a retry is not possible, so the result need not be kept
        hub.services.confirm(arrival, client)
    return protocol.encode_ok()


def _confirm(hub: Requests, asked: Asked) -> None:
    hub.services.confirm(*asked.named())


def _withdraw(hub: Requests, asked: Asked) -> None:
    arrival, client = asked.named()
    hub.tell(hub.services.withdraw(arrival, client, asked.now))


def _give_back(hub: Requests, asked: Asked) -> str:
    hub.tell(hub.services.give_back(asked.message.arrival, asked.client, asked.now))
    return protocol.encode_ok()


def _unlock(hub: Requests, asked: Asked) -> str:
    lock = asked.message
    hub.tell(hub.services.locks.give_back(lock.ns, lock.name, lock.token, asked.client.host, asked.now))
    return protocol.encode_ok()


def _reset(hub: Requests, asked: Asked) -> str:
    message = asked.message
    forgotten, waits, outcomes = hub.services.reset(message.ns, message.names, asked.client.host, asked.now)
    hub.tell(outcomes)
    return protocol.encode_ok(str(forgotten), str(len(waits)))


def _concurrent(hub: Requests, asked: Asked) -> None:
    asked.session.concurrent = not asked.session.host


def _client_gone(hub: Requests, asked: Asked) -> None:
    hub.tell(hub.services.client_gone(asked.session.client(asked.message.client), asked.now))


def _register(hub: Requests, asked: Asked) -> str:
    return hub.register(asked.session, asked.message, asked.now)


def _lease(hub: Requests, asked: Asked) -> str:
    """The hub hears the client now. (An agent that does not know the request passes it on.)"""
    return protocol.encode_ok("0", lease=hub.lease_option)


def _hosts(hub: Requests, asked: Asked) -> str:
    return protocol.encode_ok(json.dumps(hub.hosts(asked.now)))


def _status(hub: Requests, asked: Asked) -> str:
    return protocol.encode_ok(json.dumps(hub.status(asked.now), default=str))


def _links(hub: Requests, asked: Asked) -> str:
    return protocol.encode_ok(json.dumps(hub.links()))


HANDLERS: dict[type[Message], Handler] = {
    protocol.Commit: _commit,
    protocol.Confirm: _confirm,
    protocol.Withdraw: _withdraw,
    protocol.GiveBack: _give_back,
    protocol.Unlock: _unlock,
    protocol.Reset: _reset,
    protocol.Concurrent: _concurrent,
    protocol.ClientGone: _client_gone,
    protocol.Register: _register,
    protocol.Lease: _lease,
    protocol.Hosts: _hosts,
    protocol.Status: _status,
    protocol.Links: _links,
}
