"""The hub's whole synchronising side as one pure machine: hosts, barriers, semaphores.

The hub feeds it requests, deaths and the clock, sends each event it returns to whom it concerns, and calls
``handle_timer`` when ``next_timer`` says so. What ties the rooms together is here and only here:

1. When a host is lost, restarted or stopped, everything its clients wait for or have not confirmed ends in
   the same call; the event that says so comes first, the outcomes after it.
2. A host's lease is looked at before deadlines, so that a wait whose host is dead fails with that cause.
3. Nothing is ever sent again by itself: a retry asks.

Times are monotonic seconds and never run backwards. No call raises on what a peer may have sent, except
``register``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .barrier import CountBarriers
from .membership import LEASE, Membership
from .outcomes import ArrivalId, Event, HostEvent, HostLost, Outcome
from .party import Cause, Client
from .semaphore import Semaphores
from .waits import Waits

__all__ = ["SyncServices"]


class SyncServices:
    """All services of one hub, in all namespaces.

    :param lease: seconds without a valid frame after which a host is lost.
    """

    def __init__(self, *, lease: float = LEASE) -> None:
        self._waits = Waits()
        self._barriers = CountBarriers(self._waits)
        self._semaphores = Semaphores(self._waits)
        self._membership = Membership(lease=lease)

    # -- requests --------------------------------------------------------------------------------------------

    def barrier(
        self,
        arrival: ArrivalId,
        namespace: str,
        name: str,
        count: int,
        client: Client,
        now: float,
        timeout: float | None = None,
        as_member: str | None = None,
    ) -> list[Outcome]:
        """Arrive at a count barrier; see :meth:`CountBarriers.arrive`."""
        return self._barriers.arrive(arrival, namespace, name, count, client, now, timeout, as_member)

    def semaphore(
        self,
        arrival: ArrivalId,
        namespace: str,
        name: str,
        delta: int,
        client: Client,
        now: float,
        timeout: float | None = None,
    ) -> list[Outcome]:
        """Give, take or read units; see :meth:`Semaphores.change`."""
        return self._semaphores.change(arrival, namespace, name, delta, client, now, timeout)

    def confirm(self, arrival: ArrivalId, client: Client) -> bool:
        """The client has its outcome; False when it was no grant, or one that went back."""
        return self._waits.confirm(arrival, client)

    def withdraw(self, arrival: ArrivalId, client: Client, now: float, cause: Cause = Cause.GAVE_UP) -> list[Outcome]:
        """The client gives up. The answer is its failure, or what had become of the arrival before."""
        return self._waits.withdraw(arrival, client, now, cause)

    # -- life ------------------------------------------------------------------------------------------------

    def client_gone(self, client: Client, now: float, cause: Cause = Cause.CLIENT_GONE, why: str = "") -> list[Outcome]:
        """A client's connection ended: withdraw its waits, take back what it has not confirmed."""
        return self._waits.client_gone(client, now, cause, why)

    def register(
        self,
        name: str,
        session: str,
        boot: str,
        line: str,
        now: float,
        *,
        capabilities: Iterable[str] = (),
        published: Mapping[str, str] | None = None,
    ) -> list[Event]:
        """A host says who it is; raises as :meth:`Membership.register` does."""
        events = self._membership.register(
            name, session, boot, line, now, capabilities=capabilities, published=published
        )
        return self._spread(events, now)

    def heard(self, name: str, session: str, now: float) -> list[Event]:
        """A valid frame came from a host; cheap enough to be called for each."""
        return [*self._membership.heard(name, session, now)]

    def line_lost(self, name: str, session: str, why: str = "") -> None:
        """A host's line dropped; nothing fails before its lease runs out."""
        self._membership.line_lost(name, session, why)

    def line_back(self, name: str, session: str, line: str, now: float) -> list[Event]:
        """A host's session resumed, perhaps on another line."""
        return [*self._membership.line_back(name, session, line, now)]

    def ended(self, name: str, session: str, cause: Cause, why: str, now: float) -> list[Event]:
        """A host's session is over for good: stopped, or restarted."""
        return self._spread(self._membership.ended(name, session, cause, why, now), now)

    def extend_all(self, now: float) -> None:
        """The hub itself was stalled: all leases begin anew."""
        self._membership.extend_all(now)

    def absent(self, host: str) -> Cause | None:
        """Why a host cannot be waited for, or None while it lives."""
        return self._membership.absent(host)

    # -- time and sight --------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """When to call :meth:`handle_timer`, or None; may be earlier than needed, never later."""
        times = (self._membership.next_timer(), self._waits.next_timer())
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> list[Event]:
        """Do what is due: leases, then deadlines, then old results."""
        events = self._spread(self._membership.handle_timer(now), now)
        return [*events, *self._waits.handle_timer(now)]

    def status(self, now: float) -> dict[str, object]:
        """All there is, JSON-able: hosts, barriers, semaphores, and how many waits and results are held."""
        return {
            "hosts": self._membership.status(now),
            "barriers": self._barriers.status(now),
            "semaphores": self._semaphores.status(now),
            "held": self._waits.sizes(),
        }

    def _spread(self, events: list[HostEvent], now: float) -> list[Event]:
        spread: list[Event] = []
        for event in events:
            spread.append(event)
            if isinstance(event, HostLost):
                spread += self._waits.host_gone(event.host, now, event.cause, event.why)
        return spread
