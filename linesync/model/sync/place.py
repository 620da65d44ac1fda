"""One live arrival, and its *place*: the interface through which the table of arrivals and the search for deadlocks use one
named object of a service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from ...errors import TimedOut
from ..decisions import ArrivalId, Granted, Outcome
from ..kept.values import KeptLevel, KeptToken, kept_value
from ..kept.waits import At, KeptWait
from ..participants import Cause, Client
from ..state.record import Waiting

__all__ = ["Acting", "Edge", "Hold", "Place", "Wait"]

_KINDS = {
    "events": "event",
    "topic": "message",
}  # words in titles, and the words of the kinds of changes that differ from them


class Hold(Enum):
    """Who owns a grant after its client has confirmed it."""

    FOR_GOOD = 0
    """The client, forever; the service forgets it."""
    BY_CLIENT = 1
    """The client holds it until it gives it back or is gone."""
    BY_HOST = 2
    """The client's host holds it, even after the client is gone, until it is given back or the host is gone."""


class Acting(ABC):
    """Which clients can still act; for the search for deadlocks."""

    @abstractmethod
    def holder(self, wait: Wait) -> bool:
        """Whether the owner of a grant can give it back."""

    @abstractmethod
    def holder_waits(self, wait: Wait) -> list[Wait]:
        """The open waits because of which an owner cannot give back its grant."""

    @abstractmethod
    def member(self, name: str, at: Place | None = None) -> bool:
        """Whether the member can still arrive, or is not part of a deadlock (its host was never seen, or is lost).

        :param at: the place that waits for the member. If all clients of its host wait there as other members, the client
            for this member has not started yet.
        """

    @abstractmethod
    def waits_of(self, name: str) -> list[Wait]:
        """The open waits because of which a member cannot arrive."""


@dataclass(slots=True, frozen=True)
class Edge:
    """One reason why a wait does not end: another client that waits too.

    :ivar waits: the open waits because of which the other client cannot act.
    :ivar why: the reason as a clause: ``lock 'flash', which sut holds``.
    """

    waits: tuple[Wait, ...]
    why: str


class Place(ABC):
    """One named object at which arrivals wait; each service derives its own class from it.

    ``title`` is its name in messages: ``barrier 'boot'``. ``kind`` is the word for it in the kinds of changes.
    """

    OWNED: ClassVar[bool] = False
    """Whether a client can own the object that waits at a place of this kind wait for."""
    number = 0
    """Grows in the order in which the places of one kind came into use."""

    def __init__(self, kind: str, namespace: str, name: str) -> None:
        self.key = (namespace, name)
        self.kind = _KINDS.get(kind, kind)
        self.title = f"{kind} '{name}'" + (f" of namespace '{namespace}'" if namespace != "default" else "")

    def owned(self) -> bool:
        """Whether a client can own the object that waits at this place wait for, so that the waits can be part of a deadlock."""
        return self.OWNED

    @abstractmethod
    def timed_out(self, wait: Wait) -> TimedOut:
        """The error for an open wait whose deadline has passed; all waits are still in place."""

    @abstractmethod
    def leave(self, wait: Wait, cause: Cause) -> None:
        """Remove an open wait, or take back an unconfirmed grant. This serves no other wait yet."""

    @abstractmethod
    def settle(self, now: float) -> list[Outcome]:
        """Serve the waits that can be served now; remove the place if there is nothing left to remember."""

    @abstractmethod
    def kept(self, wait: Wait) -> At:
        """The stored fields of a wait at this place, besides the fields that all waits have."""

    @abstractmethod
    def put_back(self, wait: Wait, at: Any) -> None:
        """Add a stored wait. Waits are added in the order in which they arrived.

        :param at: what :meth:`kept` returned for it.
        :raises ValueError: the stored wait does not fit this place.
        """

    def confirmed(self, wait: Wait) -> Hold:
        """Make a provisional grant final: it is the client's forever, or until it is given back."""
        raise AssertionError(f"{self.title} grants nothing provisionally")

    def able(self, waits: Sequence[Wait], acting: Acting) -> list[Wait]:
        """The waits among these open waits that could succeed if every client that can act did all that others wait for."""
        return list(waits) if self.could_proceed(waits[0], acting) else []

    def could_proceed(self, wait: Wait, acting: Acting) -> bool:
        """The same for one wait, at a place where either all open waits could succeed or none.

        Only an object that has an owner can be missing forever. So a place without owners returns True.
        """
        return True

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        """The clients that cannot act and that an open wait waits for if it could not proceed."""
        return []


@dataclass(slots=True, eq=False)
class Wait:
    """One live arrival.

    :ivar name: the name of the arrival in messages and ``status``: its member or its host.
    :ivar since: when it was opened, monotonic seconds.
    :ivar timeout: its timeout in seconds; None if there is none.
    :ivar granted: the grant that waits for confirmation or is held; None while the wait is open.
    :ivar held: who owns the grant after the confirmation; None before.
    :ivar within: the arrival id of the held grant on whose behalf this one waits; empty if there is none.
    :ivar lapses: whether its host is lost, so that the hub takes the hold back when the lease of the host ends.
    :ivar number: grows in the order of arrival.
    :ivar order: grows in the order in which the arrivals of one client became its own, or in which holds began to lapse.
    """

    arrival: ArrivalId
    client: Client
    place: Place
    name: str
    since: float
    timeout: float | None
    granted: Granted | None = None
    held: Hold | None = None
    within: str = ""
    lapses: bool = False
    number: int = 0
    order: int = 0

    def state(self, now: float) -> Waiting:
        return Waiting(name=self.name, client=self.client.number, waiting=now - self.since)

    def kept(self, lapses: float | None) -> KeptWait:
        """The record of this wait for a store.

        :param lapses: when the hub takes its hold back, if it lapses.
        """
        granted = kept_value(self.granted.value) if self.granted is not None else None
        assert granted is None or isinstance(granted, KeptLevel | KeptToken)
        return KeptWait(
            self.arrival,
            self.client.host,
            self.client.number,
            self.client.principal,
            self.name,
            self.since,
            self.timeout,
            self.within,
            self.order,
            granted,
            self.held.name if self.held is not None else None,
            self.place.kept(self),
            lapses,
        )
