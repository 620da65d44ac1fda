"""One live arrival (:class:`Wait`), and the named object at which it waits (:class:`Place`).

``Place`` is the interface that the table of arrivals and the search for deadlocks use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from ...errors import TimedOut
from ..decisions import ArrivalId, Granted, Outcome
from ..kept.values import KeptLevel, KeptObjects, KeptToken, kept_value
from ..kept.waits import At, KeptWait
from ..participants import Cause, Client
from ..state.record import Waiting

__all__ = ["Acting", "Edge", "Hold", "Place", "Wait"]

_KINDS = {
    "events": "event",
    "topic": "message",
}  # the kind of place in a title, and the kind in a change of the state where it is different


class Hold(Enum):
    """The owner of a grant after its client has confirmed it."""

    FINAL = 0
    """The client owns it, and never gives it back. The service forgets the grant."""
    BY_CLIENT = 1
    """The client holds it until the client gives it back or is gone."""
    BY_HOST = 2
    """The client's host holds it until a client gives it back or the host is gone. The client may end earlier."""


class Acting(ABC):
    """The clients that can still act, for the search for deadlocks."""

    @abstractmethod
    def holder(self, wait: Wait) -> bool:
        """Whether the owner of a grant can give it back."""

    @abstractmethod
    def holder_waits(self, wait: Wait) -> list[Wait]:
        """The open waits that prevent an owner from giving back its grant."""

    @abstractmethod
    def client(self, client: Client) -> bool:
        """Whether a client can act."""

    @abstractmethod
    def client_waits(self, client: Client) -> list[Wait]:
        """The open waits that prevent a client from acting."""

    @abstractmethod
    def member(self, name: str, at: Place | None = None) -> bool:
        """Whether the member can still arrive, or cannot be part of a deadlock (its host was never seen, or is lost).

        :param at: the place that waits for the member. If all clients of its host wait at this place as other members, the
            member can still arrive, because its client may start later.
        """

    @abstractmethod
    def waits_of(self, name: str) -> list[Wait]:
        """The open waits that prevent a member from arriving."""


@dataclass(slots=True, frozen=True)
class Edge:
    """A reason why a wait does not end: another client that also waits.

    :ivar waits: the open waits of the other client.
    :ivar why: the reason as a clause: ``lock 'flash', which sut holds``.
    """

    waits: tuple[Wait, ...]
    why: str


class Place(ABC):
    """One named object at which arrivals wait. Each service derives its own class from it.

    :ivar title: its name in messages: ``barrier 'boot'``.
    :ivar kind: its kind in the changes of the state: ``barrier``.
    """

    OWNED: ClassVar[bool] = False
    """Whether the waits at a place of this kind wait for an object with an owner."""
    number = 0
    """A number that grows with each new place of one kind."""

    def __init__(self, kind: str, namespace: str, name: str) -> None:
        self.key = (namespace, name)
        self.kind = _KINDS.get(kind, kind)
        self.title = f"{kind} '{name}'" + (f" of namespace '{namespace}'" if namespace != "default" else "")

    def owned(self) -> bool:
        """Whether the waits at this place wait for an object with an owner. Only such waits can be part of a deadlock."""
        return self.OWNED

    @abstractmethod
    def timed_out(self, wait: Wait) -> TimedOut:
        """The error for an open wait whose deadline has passed. No wait has left the place yet."""

    @abstractmethod
    def leave(self, wait: Wait, cause: Cause) -> None:
        """Remove an open wait, or take back its grant. Other waits are served later, in :meth:`settle`."""

    @abstractmethod
    def settle(self, now: float) -> list[Outcome]:
        """Serve the waits that can be served, and remove the place if it is empty."""

    @abstractmethod
    def kept(self, wait: Wait) -> At:
        """The stored fields of a wait that depend on the kind of place."""

    @abstractmethod
    def restore_wait(self, wait: Wait, at: Any) -> None:
        """Add a stored wait. Waits are added in the order in which they arrived.

        :param at: the result of :meth:`kept` for this wait.
        :raises ValueError: the stored wait contradicts the state of this place.
        """

    def confirmed(self, wait: Wait) -> Hold:
        """Make a provisional grant final, and return its owner."""
        raise AssertionError(f"{self.title} grants nothing provisionally")

    def able(self, waits: Sequence[Wait], acting: Acting) -> list[Wait]:
        """Return the waits that could succeed if every client that can act performed all actions for which others wait.

        :param waits: the open waits at this place.
        """
        return list(waits) if self.could_proceed(waits[0], acting) else []

    def could_proceed(self, wait: Wait, acting: Acting) -> bool:
        """Whether an open wait could succeed, at a place where either all open waits could succeed or none.

        Only an object with an owner can be missing forever. A place without owners therefore returns True.
        """
        return True

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        """The reasons why an open wait cannot succeed: the clients that it waits for and that cannot act."""
        return []


@dataclass(slots=True, eq=False)
class Wait:
    """One live arrival.

    :ivar name: the name of the arrival in messages and ``status``: its member or its host.
    :ivar since: the time at which it was opened, in monotonic seconds.
    :ivar timeout: its timeout in seconds; None for no limit.
    :ivar granted: the grant that waits for confirmation or is held; None while the wait is open.
    :ivar held: the owner of the grant after the confirmation; None before.
    :ivar within: the arrival id of the hold on whose behalf this arrival waits; empty for none.
    :ivar lapses: whether the host of the hold is lost. The hub takes the hold back when the lease of the host ends.
    :ivar number: a number that grows with each arrival.
    :ivar order: a number that grows each time an arrival gets a client, or a hold begins to lapse.
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

        :param lapses: the time at which the hub takes its hold back; None if the hold does not lapse.
        """
        granted = kept_value(self.granted.value) if self.granted is not None else None
        assert granted is None or isinstance(granted, KeptLevel | KeptToken | KeptObjects)
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
