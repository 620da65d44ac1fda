"""Every live arrival of every service: who waits where, until when, and what became of it.

The services (barrier, semaphore, and those to come) decide who gets what. Whatever is the same for all of
them is here, once: retries, deadlines, death, confirmation and bounds.

1. An arrival is known by its host and its id. A first arrival is *admitted*: the service either answers at
   once or opens a wait at one of its *places* (one named barrier, one named semaphore). A retry finds the
   wait or the result and changes nothing; it moves the arrival to the connection that asks, so that the old
   connection's death no longer withdraws it.
2. A wait is open, or granted and not yet confirmed, or *held* (confirmed, and owned until it is given back: a
   lock, leased units), or over. When it is over its outcome goes to :class:`Results`, where retries find it
   until the client confirms or the result grows old. What is held ends with its owner, as an open wait does.
3. Deadlines, deaths and withdrawals end waits in the same three steps: the errors of all that end together
   are worded first, while everybody is still there to be named; then all of them leave their places; then
   each place settles, that is serves those who remain. So nothing is ever granted to somebody who ends in the
   same call.
4. All numbers are bounded, for each host and for all together; who comes on top is refused with a sentence.

A deadline takes effect when ``handle_timer`` is called, not before: a release that comes first wins.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar

from ...errors import Aborted, LinesyncError, LinesyncFailed, TimedOut, UsageError
from ..decisions import ArrivalId, Failed, Granted, Outcome, Revoked, Value
from ..participants import Cause, Client, check_arrival
from ..timers import Timers
from .kept_results import Results

__all__ = ["Acting", "Edge", "Hold", "Place", "Wait", "Waits"]

WAITS_PER_HOST = 10_000  # live arrivals (open, or granted and unconfirmed) of one host's clients
WAITS = 100_000  # live arrivals of all hosts


class Hold(Enum):
    """What becomes of a grant when its client has confirmed it."""

    FOR_GOOD = 0
    """It has left the service."""
    BY_CLIENT = 1
    """The client holds it until it gives it back or is gone."""
    BY_HOST = 2
    """The client's host holds it, over the client's end, until it is given back or the host is gone."""


class Acting(ABC):
    """Who may still act, as the search for deadlocks asks it."""

    @abstractmethod
    def holder(self, wait: Wait) -> bool:
        """The owner of what was granted may give it back."""

    @abstractmethod
    def holder_waits(self, wait: Wait) -> list[Wait]:
        """The open waits that keep an owner from giving back."""

    @abstractmethod
    def member(self, name: str, at: Place | None = None) -> bool:
        """The member may arrive, or is no part of a deadlock (nobody has seen it, or it is lost).

        :param at: where it is awaited. When all clients of its host wait there, as other members, it has yet to begin.
        """

    @abstractmethod
    def waits_of(self, name: str) -> list[Wait]:
        """The open waits that keep a member from arriving."""


@dataclass(slots=True, frozen=True)
class Edge:
    """One reason why a wait does not end: somebody else, who waits too.

    :ivar waits: the open waits that keep that somebody from acting.
    :ivar why: half a sentence: ``lock 'flash', which sut holds``.
    """

    waits: tuple[Wait, ...]
    why: str


class Place(ABC):
    """One named thing that arrivals wait at; the services derive theirs from it.

    ``title`` is how messages call it: ``barrier 'boot'``.
    """

    OWNED: ClassVar[bool] = False
    """Whether what a place of this kind lacks may have an owner."""

    def __init__(self, kind: str, namespace: str, name: str) -> None:
        self.key = (namespace, name)
        self.title = f"{kind} '{name}'" + (f" of namespace '{namespace}'" if namespace != "default" else "")

    def owned(self) -> bool:
        """Whether what this one lacks may have an owner, so that waits at it can be part of a deadlock."""
        return self.OWNED

    @abstractmethod
    def timed_out(self, wait: Wait) -> TimedOut:
        """Word the error for an open wait whose deadline has passed; everybody is still in place."""

    @abstractmethod
    def leave(self, wait: Wait, cause: Cause) -> None:
        """Take an open wait out, or take back what an unconfirmed one was granted. Serves nobody yet."""

    @abstractmethod
    def settle(self, now: float) -> list[Outcome]:
        """Serve whoever can be served now; vanish when there is nothing left to remember."""

    def confirmed(self, wait: Wait) -> Hold:
        """What was granted provisionally is now the client's: for good, or held until it is given back."""
        raise AssertionError(f"{self.title} grants nothing provisionally")

    def able(self, waits: Sequence[Wait], acting: Acting) -> list[Wait]:
        """Those of some open waits that could end well if everybody who may act did all that others wait for."""
        return list(waits) if self.could_proceed(waits[0], acting) else []

    def could_proceed(self, wait: Wait, acting: Acting) -> bool:
        """The same for a place where all open waits can, or none.

        Only what has an owner can be missing for ever; a place without owners says True.
        """
        return True

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        """Those who cannot act and whom an open wait that could not proceed waits for."""
        return []


@dataclass(slots=True, eq=False)
class Wait:
    """One live arrival.

    :ivar name: what messages and ``status`` call the arrival: its member or its host.
    :ivar since: when it was opened, monotonic seconds.
    :ivar timeout: the seconds it was given, None for ever.
    :ivar granted: the grant that waits for confirmation or is held, or None while the wait is open.
    :ivar held: who owns it once it is confirmed; None before.
    :ivar within: the arrival id of the held grant on whose behalf this one waits, empty for none.
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


class Waits:
    """The table of live arrivals; one for all services of a hub. All times are monotonic seconds."""

    def __init__(self) -> None:
        self._live: dict[tuple[str, ArrivalId], Wait] = {}
        self._hosts: dict[str, dict[Wait, None]] = {}
        self._clients: dict[Client, dict[Wait, None]] = {}
        self._deadlines: Timers[Wait] = Timers()
        self._results = Results()
        self.changes = 0
        """Grows whenever a wait begins, ends, or has another state or client, and whenever somebody gave or took."""
        self.owned_opened_at: float | None = None
        """When a wait was last opened that can be part of a deadlock; for the search for those."""

    def sizes(self) -> dict[str, int]:
        """How much is held: ``waits`` live arrivals, ``deadlines`` set, ``results`` kept."""
        return {"waits": len(self._live), "deadlines": len(self._deadlines), "results": len(self._results)}

    # -- for the services ------------------------------------------------------------------------------------

    def admit(self, arrival: ArrivalId, client: Client, now: float, join: Callable[[], list[Outcome]]) -> list[Outcome]:
        """Answer a retry with what is known of it (nothing, while it still waits); else call ``join``.

        An error that ``join`` raises, having changed nothing, becomes the arrival's outcome.
        """
        try:
            check_arrival(arrival)
        except UsageError as error:
            return [Failed(arrival=arrival, client=client, error=error)]
        wait = self._live.get((client.host, arrival))
        if wait is not None:
            self._adopt(wait, client)
            return [wait.granted] if wait.granted else []
        result = self._results.get(client.host, arrival)
        if result is not None:
            return [replace(result, client=client)]
        try:
            return join()
        except LinesyncError as error:
            return [self._keep(Failed(arrival=arrival, client=client, error=error), now)]

    def answer(self, arrival: ArrivalId, client: Client, value: Value, now: float) -> Outcome:
        """The outcome of an arrival that never had to wait."""
        self.changes += 1
        return self._keep(Granted(arrival=arrival, client=client, value=value), now)

    def refuse(self, arrival: ArrivalId, client: Client, error: LinesyncError, now: float) -> Outcome:
        """The failure of an arrival that never had to wait and changed something all the same."""
        return self._keep(Failed(arrival=arrival, client=client, error=error), now)

    def open(
        self,
        arrival: ArrivalId,
        client: Client,
        place: Place,
        name: str,
        now: float,
        timeout: float | None,
        within: str = "",
    ) -> Wait:
        """Start a wait of ``timeout`` seconds (None: for ever).

        :raises LinesyncFailed: there are too many already.
        """
        if len(self._live) >= WAITS or len(self._hosts.get(client.host, ())) >= WAITS_PER_HOST:
            mine = len(self._hosts.get(client.host, ()))
            raise LinesyncFailed(
                f"{place.title}: {len(self._live)} arrivals wait on this hub, {mine} from {client.host}; "
                "no more are taken, so end some of them first"
            )
        wait = Wait(arrival, client, place, name, now, timeout, within=within)
        self.changes += 1
        self._live[client.host, arrival] = wait
        self._hosts.setdefault(client.host, {})[wait] = None
        self._clients.setdefault(client, {})[wait] = None
        if timeout is not None:
            self._deadlines.set(wait, now + timeout)
        if place.owned():
            self.owned_opened_at = now
        return wait

    def grant(self, wait: Wait, value: Value, now: float, *, provisional: bool = False) -> Outcome:
        """Give an open wait what it came for; a provisional grant stays live until confirmed."""
        granted = Granted(arrival=wait.arrival, client=wait.client, value=value, provisional=provisional)
        if not provisional:
            self._forget(wait)
            return self._keep(granted, now)
        self.changes += 1
        self._deadlines.cancel(wait)
        wait.granted = granted
        return granted

    def fail(self, ending: list[tuple[Wait, LinesyncError]], cause: Cause, now: float) -> list[Outcome]:
        """End these waits with these errors, all at once; then those who stay are served."""
        return self._end(ending, cause, now)

    def give_back(self, wait: Wait, now: float) -> list[Outcome]:
        """What is held goes back; returns whom that serves."""
        return self._end([(wait, _withdrawn(wait, Cause.GAVE_UP, ""))], Cause.GAVE_UP, now)

    def find(self, host: str, arrival: ArrivalId) -> Wait | None:
        """A live arrival of a host's clients."""
        return self._live.get((host, arrival))

    def of_host(self, host: str) -> list[Wait]:
        """The live arrivals of a host's clients, in order."""
        return list(self._hosts.get(host, ()))

    def of_client(self, client: Client) -> list[Wait]:
        """A client's live arrivals, in order."""
        return list(self._clients.get(client, ()))

    def by_client(self) -> dict[Client, int]:
        """How many live arrivals each client has."""
        return {client: len(waits) for client, waits in self._clients.items()}

    def all(self) -> list[Wait]:
        """All live arrivals, in order."""
        return list(self._live.values())

    # -- for the hub -----------------------------------------------------------------------------------------

    def confirm(self, arrival: ArrivalId, client: Client) -> bool:
        """The client has its outcome: a grant is final now, and the result is forgotten.

        :returns: True when the arrival was granted and that stands, else False.
        """
        wait = self._live.get((client.host, arrival))
        if wait is None:
            return isinstance(self._results.drop(client.host, arrival), Granted)
        if wait.granted is None:
            return False
        if wait.held is None:
            hold = wait.place.confirmed(wait)
            if hold is Hold.FOR_GOOD:
                self._forget(wait)
                return True
            self.changes += 1
            wait.held = hold
            if hold is Hold.BY_HOST:
                self._unlink(wait)
        return True

    def commit(self, arrival: ArrivalId, client: Client, now: float) -> None:
        """Make a grant final that goes back otherwise. Its result is kept, so that whoever asks again under the same id
        after a lost reply gets the same grant and not a second one.

        :raises LinesyncError: it has gone back, with the reason where that is known; nothing is the client's.
        """
        wait = self._live.get((client.host, arrival))
        if wait is not None and wait.granted is not None:
            self.confirm(arrival, client)
            if wait.held is None:
                self._keep(replace(wait.granted, provisional=False), now)
            return
        ended = self._results.get(client.host, arrival)
        if isinstance(ended, Failed):
            raise ended.error
        if ended is None:
            raise LinesyncFailed("what was granted has gone back, and nothing was taken; ask again")

    def withdraw(self, arrival: ArrivalId, client: Client, now: float, cause: Cause) -> list[Outcome]:
        """End an arrival early. One that has ended answers with what became of it, an unknown one not."""
        wait = self._live.get((client.host, arrival))
        if wait is not None:
            self._adopt(wait, client)
            return self._end_for([wait], cause, "", now)
        result = self._results.get(client.host, arrival)
        return [replace(result, client=client)] if result else []

    def client_gone(self, client: Client, now: float, cause: Cause, why: str = "") -> list[Outcome]:
        """Withdraw everything that a dead client waits for or has not confirmed."""
        return self._end_for(list(self._clients.get(client, ())), cause, why, now)

    def host_gone(self, host: str, now: float, cause: Cause, why: str = "") -> list[Outcome]:
        """The same for every client of a host."""
        return self._end_for(list(self._hosts.get(host, ())), cause, why, now)

    def next_timer(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        times = (self._deadlines.next_timer(), self._results.next_timer())
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> list[Outcome]:
        """Time out the waits whose deadline has come; forget results that grew old."""
        self._results.handle_timer(now)
        due = self._deadlines.pop_due(now)
        return self._end([(wait, wait.place.timed_out(wait)) for wait in due], Cause.TIMED_OUT, now)

    # -- inside ----------------------------------------------------------------------------------------------

    def _adopt(self, wait: Wait, client: Client) -> None:
        if wait.client == client or wait.held is Hold.BY_HOST:
            return
        self.changes += 1
        self._unlink(wait)
        wait.client = client
        self._clients.setdefault(client, {})[wait] = None
        if wait.granted is not None:
            wait.granted = replace(wait.granted, client=client)

    def _end_for(self, waits: Iterable[Wait], cause: Cause, why: str, now: float) -> list[Outcome]:
        return self._end([(wait, _withdrawn(wait, cause, why)) for wait in waits], cause, now)

    def _end(self, ending: list[tuple[Wait, LinesyncError]], cause: Cause, now: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        places: dict[Place, None] = {}
        for wait, error in ending:
            wait.place.leave(wait, cause)
            self._forget(wait)
            if wait.held is None:
                outcomes.append(self._keep(Failed(arrival=wait.arrival, client=wait.client, error=error), now))
            elif cause not in (Cause.GAVE_UP, Cause.CLIENT_GONE):
                outcomes.append(Revoked(arrival=wait.arrival, client=wait.client, why=error.message))
            places[wait.place] = None
        for place in places:
            outcomes += place.settle(now)
        return outcomes

    def _keep(self, outcome: Outcome, now: float) -> Outcome:
        self._results.put(outcome, now)
        return outcome

    def _forget(self, wait: Wait) -> None:
        self.changes += 1
        self._deadlines.cancel(wait)
        del self._live[wait.client.host, wait.arrival]
        siblings = self._hosts[wait.client.host]
        del siblings[wait]
        if not siblings:
            del self._hosts[wait.client.host]
        if wait.held is not Hold.BY_HOST:
            self._unlink(wait)

    def _unlink(self, wait: Wait) -> None:
        owned = self._clients[wait.client]
        del owned[wait]
        if not owned:
            del self._clients[wait.client]


def _withdrawn(wait: Wait, cause: Cause, why: str) -> LinesyncError:
    """What an arrival's own client hears when it did not end by itself, or when what it holds went back."""
    reason = f"{cause}: {why}" if why else str(cause)
    if wait.held is not None:
        return LinesyncFailed(f"{wait.place.title} went back ({reason})", details={"cause": str(cause)})
    what = "what was granted went back" if wait.granted else "the arrival was withdrawn"
    kind = Aborted if cause is Cause.ABORTED else LinesyncFailed
    return kind(f"{wait.place.title}: {what} ({reason}); arrive anew, under a new id", details={"cause": str(cause)})
