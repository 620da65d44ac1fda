"""A request of a test for hosts: it waits, or its client has not confirmed the hosts that it got."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ....errors import TimedOut
from ...decisions import Outcome
from ...kept.waits import AtClaim
from ...participants import Cause, names_in_words, seconds_in_words
from ...state.testbus import ClaimingState, Want
from ...sync.place import Acting, Edge, Hold, Place, Wait
from ..objects import Claim, Node, Test
from ..tree import root_of

__all__ = ["Request"]

NAMESPACE = "default"


class Home(Protocol):
    """The part of the claims that a request uses."""

    def missing(self, request: Request) -> list[str]: ...
    def left(self, request: Request, cause: Cause) -> None: ...
    def done(self, request: Request) -> None: ...
    def settle(self, now: float) -> list[Outcome]: ...
    def could_proceed(self, request: Request, acting: Acting) -> bool: ...
    def edges(self, request: Request, acting: Acting) -> Iterator[Edge]: ...
    def restored(self, request: Request, wait: Wait, claims: tuple[int, ...]) -> None: ...


class Request(Place):
    """A request for one or more hosts, which gets all of them or none.

    :ivar test: the test that asks.
    :ivar root: the test at the top of its tree.
    :ivar wants: the hosts that it asks for.
    :ivar claims: the hosts that it got and that its client has not confirmed.
    """

    OWNED = True
    wait: Wait

    def __init__(self, home: Home, test: Test, wants: tuple[Want, ...]) -> None:
        super().__init__("claim", NAMESPACE, test.handle)
        self._home = home
        self.test = test
        self.root: Node = root_of(test)
        self.wants = wants
        self.claims: list[Claim] = []
        roles = [want.role for want in wants]
        self.title = f"the claim of {names_in_words(roles, len(roles))} for {test}"

    def timed_out(self, wait: Wait) -> TimedOut:
        return self.unmet(f"timed out after {seconds_in_words(wait.timeout or 0)} at")

    def unmet(self, headline: str) -> TimedOut:
        """The error for a request that was not met. It names the reason for each want."""
        missing = self._home.missing(self)
        return TimedOut(
            f"{headline} {self.title}: {names_in_words(missing, len(missing))}",
            details={"missing": dict(zip([want.role for want in self.wants], missing, strict=True))},
        )

    def leave(self, wait: Wait, cause: Cause) -> None:
        self._home.left(self, cause)

    def settle(self, now: float) -> list[Outcome]:
        return self._home.settle(now)

    def confirmed(self, wait: Wait) -> Hold:
        self._home.done(self)
        return Hold.FINAL

    def could_proceed(self, wait: Wait, acting: Acting) -> bool:
        return self._home.could_proceed(self, acting)

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        return list(self._home.edges(self, acting))

    def kept(self, wait: Wait) -> AtClaim:
        return AtClaim(self.test.number, self.wants, tuple([claim.number for claim in self.claims]))

    def restore_wait(self, wait: Wait, at: AtClaim) -> None:
        if wait.granted is None and at.claims:
            raise ValueError(f"{self.title} has hosts, but waits")
        self._home.restored(self, wait, at.claims)

    def state(self, now: float) -> ClaimingState:
        return ClaimingState(
            test=self.test.handle,
            name=self.wait.name,
            client=self.wait.client.number,
            waiting=now - self.wait.since,
            wants=self.wants,
            missing=tuple(self._home.missing(self)),
        )
