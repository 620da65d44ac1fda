"""What the table of arrivals and the search for deadlocks ask a service about one named thing, its *place*."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import TimedOut
from ..decisions import Outcome
from ..kept.waits import At
from ..participants import Cause

if TYPE_CHECKING:
    from .waits import Hold, Wait

__all__ = ["Acting", "Edge", "Place"]

_KINDS = {"events": "event", "topic": "message"}  # the words of titles for which the kinds of changes have others


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
    """One named thing at which arrivals wait; each service derives its own class from it.

    ``title`` is its name in messages: ``barrier 'boot'``. ``kind`` is the word for it in the kinds of changes.
    """

    OWNED: ClassVar[bool] = False
    """Whether clients can own what the waits at a place of this kind wait for."""
    number = 0
    """Grows in the order in which the places of one kind came into use."""

    def __init__(self, kind: str, namespace: str, name: str) -> None:
        self.key = (namespace, name)
        self.kind = _KINDS.get(kind, kind)
        self.title = f"{kind} '{name}'" + (f" of namespace '{namespace}'" if namespace != "default" else "")

    def owned(self) -> bool:
        """Whether clients can own what the waits at this place wait for, so that these can be part of a deadlock."""
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
        """What is stored of a wait here, besides what all waits have."""

    @abstractmethod
    def put_back(self, wait: Wait, at: Any) -> None:
        """Add a stored wait. Waits are added in the order in which they arrived.

        :param at: what :meth:`kept` returned for it.
        :raises ValueError: it does not fit.
        """

    def confirmed(self, wait: Wait) -> Hold:
        """Make a provisional grant final: it is the client's forever, or until it is given back."""
        raise AssertionError(f"{self.title} grants nothing provisionally")

    def able(self, waits: Sequence[Wait], acting: Acting) -> list[Wait]:
        """Those of some open waits that could succeed if all clients that can act did what the others wait for."""
        return list(waits) if self.could_proceed(waits[0], acting) else []

    def could_proceed(self, wait: Wait, acting: Acting) -> bool:
        """The same for one wait, at a place where either all open waits could succeed or none.

        Only a thing that has an owner can be missing forever. So a place without owners returns True.
        """
        return True

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        """The clients that cannot act and that an open wait waits for if it could not proceed."""
        return []
