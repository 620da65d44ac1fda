"""Converts requests to calls of the model, and grants of the model to replies."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .. import protocol
from ..errors import UsageError
from ..model.decisions import (
    ArrivalId,
    Batch,
    Exchanged,
    Granted,
    Level,
    Messages,
    Names,
    Outcome,
    Posted,
    Released,
    Token,
)
from ..model.hosts.members import unfold
from ..model.participants import Client
from ..model.sync.barriers.terms import Reuse, Terms
from ..model.sync.services import SyncServices
from ..protocol import (
    Barrier,
    EventSet,
    EventWait,
    GroupCast,
    GroupMembers,
    GroupNext,
    GroupPost,
    Lock,
    Message,
    Receive,
    ReceiveAll,
    Semaphore,
    Send,
)

__all__ = ["ARRIVALS", "granted"]

Arrive = Callable[[SyncServices, Any, ArrivalId, Client, float], list[Outcome]]


def _barrier(services: SyncServices, request: Barrier, arrival: ArrivalId, client: Client, now: float) -> list[Outcome]:
    members = _members(request.Members) if request.Members else None
    terms = Terms(
        count=request.count or len(members or ()),
        members=members,
        reuse=Reuse.read(request.Reuse),
        tolerate=request.Tolerate,
        rejoin=request.Rejoin,
    )
    return services.barriers.arrive(
        arrival,
        request.ns,
        request.name,
        terms,
        client,
        now,
        request.timeout,
        request.member or None,
        abort=request.Abort,
        all_parties=request.who,
        within=request.within,
    )


def _semaphore(
    services: SyncServices, request: Semaphore, arrival: ArrivalId, client: Client, now: float
) -> list[Outcome]:
    return services.semaphores.change(
        arrival,
        request.ns,
        request.name,
        request.delta,
        client,
        now,
        request.timeout,
        hold=request.Hold,
        bound=request.Bound,
        within=request.within,
    )


def _lock(services: SyncServices, request: Lock, arrival: ArrivalId, client: Client, now: float) -> list[Outcome]:
    return services.locks.take(
        arrival, request.ns, request.name, client, now, request.timeout, keep=request.Keep, within=request.within
    )


def _event_set(
    services: SyncServices, request: EventSet, arrival: ArrivalId, client: Client, now: float
) -> list[Outcome]:
    change = services.events.clear if request.Clear else services.events.set
    return change(arrival, request.ns, request.names, client, now)


def _event_wait(
    services: SyncServices, request: EventWait, arrival: ArrivalId, client: Client, now: float
) -> list[Outcome]:
    return services.events.wait(
        arrival, request.ns, request.names, request.Any, client, now, request.timeout, request.within
    )


def _send(services: SyncServices, request: Send, arrival: ArrivalId, client: Client, now: float) -> list[Outcome]:
    sender = request.member or client.host
    return services.mailbox.send(arrival, request.ns, request.topic, request.items, sender, client, now)


def _receive(services: SyncServices, request: Receive, arrival: ArrivalId, client: Client, now: float) -> list[Outcome]:
    return services.mailbox.receive(
        arrival,
        request.ns,
        request.topic,
        request.first,
        request.most,
        request.Others,
        request.member or client.host,
        client,
        now,
        request.timeout,
        request.within,
    )


def _receive_all(
    services: SyncServices, request: ReceiveAll, arrival: ArrivalId, client: Client, now: float
) -> list[Outcome]:
    return services.mailbox.receive_all(
        arrival,
        request.ns,
        request.topic,
        request.member or client.host,
        request.Role,
        client,
        now,
        request.timeout,
        request.within,
    )


def _next(services: SyncServices, request: GroupNext, arrival: ArrivalId, client: Client, now: float) -> list[Outcome]:
    return services.groups.next(
        arrival,
        request.member,
        client,
        request.after,
        now,
        number=request.done,
        result=request.result,
        text=request.text,
        runs=request.Runs,
        full=request.Full,
    )


def _cast(services: SyncServices, request: GroupCast, arrival: ArrivalId, client: Client, now: float) -> list[Outcome]:
    return services.groups.cast(
        arrival,
        request.member,
        client,
        request.epoch,
        request.data,
        protocol.data_size(request.data),
        now,
        part=request.Part,
        more=request.More,
        state=request.State,
    )


def _post(services: SyncServices, request: GroupPost, arrival: ArrivalId, client: Client, now: float) -> list[Outcome]:
    return services.groups.post(
        arrival,
        request.ns,
        request.name,
        f"{client.host}#{request.tag}" if request.tag else client.host,
        client,
        request.data,
        protocol.data_size(request.data),
        now,
        part=request.Part,
        more=request.More,
    )


def _members_of(
    services: SyncServices, request: GroupMembers, arrival: ArrivalId, client: Client, now: float
) -> list[Outcome]:
    return services.groups.wait(arrival, request.ns, request.name, request.count, client, now, request.timeout)


ARRIVALS: dict[type[Message], Arrive] = {
    Barrier: _barrier,
    Semaphore: _semaphore,
    Lock: _lock,
    EventSet: _event_set,
    EventWait: _event_wait,
    Send: _send,
    Receive: _receive,
    ReceiveAll: _receive_all,
    GroupNext: _next,
    GroupCast: _cast,
    GroupPost: _post,
    GroupMembers: _members_of,
}
"""For each request that the model decides, the function that passes the request to the model and returns the outcomes. It
raises UsageError if a field of the request is invalid."""


@lru_cache(maxsize=8)
def _members(text: str) -> frozenset[str]:
    """The members of a folded list. The results are cached, because all members send the same list."""
    return frozenset(unfold(text))


def granted(outcome: Granted) -> str:
    """The reply to a request that was granted."""
    match outcome.value:
        case Level(value=value):
            return protocol.encode_ok(str(value))
        case Token(token=token):
            return protocol.encode_ok(str(token))
        case Names(names=names):
            return protocol.encode_ok(*names)
        case Posted(number=number):
            return protocol.encode_ok(str(number))
        case Messages(messages=read):
            messages = [(message.number, message.sender, message.items) for message in read]
            return protocol.encode_ok(json.dumps(messages, separators=(",", ":")))
        case Batch(events=events):
            rows = [(one.number, one.kind, one.service, one.sender, one.data) for one in events]
            return protocol.encode_ok(*protocol.event_words(rows))
        case Released() as released:
            numbers = str(released.generation), str(released.position)
            count = 0 if released.count == len(released.parties) else released.count
            return protocol.encode_ok(*numbers, *released.parties, count=count, lost=released.lost)
        case Exchanged():
            error = UsageError(
                f"the arrival id {outcome.arrival} is already in use at an exchange; use a new id for each arrival"
            )
            return protocol.encode_error(error)
    raise AssertionError(f"{outcome.value!r} has no text")
