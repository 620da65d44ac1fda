"""All live arrivals of all services, each with its place, its deadline and its outcome.

The services (barriers, semaphores ...) decide which arrivals get a grant. This module contains the parts that all services
share: retries, deadlines, deaths of clients, confirmations and limits.

1. The host and the id identify an arrival. The table *admits* a new arrival: the service either answers immediately or opens
   a wait at one of its *places* (one named barrier, one named semaphore). A retry finds the wait or the result and does not
   change it. It moves the arrival to the connection of the retry. The death of the old connection then no longer withdraws
   the arrival.
2. A wait is open, or granted and not yet confirmed, or *held* (confirmed, and owned until it is given back: a lock, or
   held units), or ended. The outcome of an ended wait is stored in :class:`Results`. Retries find it there until the client
   confirms it or it is too old. A hold ends with its owner, like an open wait.
3. Deadlines, deaths and withdrawals end waits in the same three steps. First, the errors of all ending waits are made. All
   parties are still at their places then, so the errors can name them. Second, all of these waits leave their places. Third,
   each place settles: it serves the remaining waits. No wait is therefore granted that ends in the same call.
4. A host that stops, restarts or gets a new session may still run work that needs its holds. A stopped client notices the
   loss only at the end of the lease that began with the last frame of the host. The holds therefore *lapse*: they no longer
   belong to the host, and the hub takes them back at the end of that lease. For the same reason, a hub that replaces a dead
   hub grants no holds before a lease has passed (:meth:`Waits.grant_no_holds_before`).
5. The number of arrivals is limited, for each host and in total. An arrival beyond a limit is refused with an error.

A deadline takes effect only when ``handle_timer`` is called. A release before that call succeeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ...errors import Aborted, LinesyncError, LinesyncFailed, UsageError
from ..decisions import ArrivalId, Failed, Granted, Noted, Outcome, Revoked, Value
from ..journal import Journal
from ..kept.objects import KeptTime
from ..kept.rows import Rows, by_key
from ..kept.values import value_of
from ..kept.waits import At, AtClaim, AtSemaphore, KeptWait
from ..participants import Cause, Client, cause_in_words, check_arrival
from ..state.status import Remembered
from ..timers import Timers
from .kept_results import Results
from .place import Acting, Edge, Hold, Place, Wait

__all__ = ["Acting", "Edge", "Hold", "Place", "Wait", "Waits"]

WAITS_PER_HOST = 10_000  # the maximum number of live arrivals of one host's clients
WAITS_PER_CLIENT = 5000  # the same for one client, so that the other scripts of its host can still arrive
_ALWAYS = float("-inf")
_HOLDS = "holds from"
WAITS = 100_000  # the maximum number of live arrivals of all hosts
_ARRIVING = ("barrier", "exchange")  # the kinds of places at which each arrival is a reported change of the state


class Waits:
    """The table of live arrivals, one for all services of a hub. All times are monotonic seconds.

    :param journal: gets the changes of all services; by default a journal that is off.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = journal or Journal(on=False)
        self.journal.source("wait", self._kept, lambda: self._numbered)
        self.journal.source("time", self._kept_time, lambda: [_HOLDS])
        self._numbered: dict[int, Wait] = {}
        """All live arrivals by number, and the holds that lapse."""
        self._live: dict[tuple[str, ArrivalId], Wait] = {}
        self._hosts: dict[str, dict[Wait, None]] = {}
        self._clients: dict[Client, dict[Wait, None]] = {}
        self._deadlines: Timers[Wait] = Timers()
        self._lapsing: Timers[Wait] = Timers()
        self.holds_from = _ALWAYS
        """The time before which no hold is granted."""
        self._results = Results(self.journal)
        self._noted: list[Noted] = []
        self.changes = 0
        """A counter that grows with each change of a wait and with each answer of a service."""
        self.owned_opened_at: float | None = None
        """The time at which the last wait that can be part of a deadlock was opened, for the search for deadlocks."""

    @property
    def results(self) -> Results:
        """The results that are kept."""
        return self._results

    def sizes(self) -> Remembered:
        """The sizes of the tables."""
        waits = len(self._live) + len(self._lapsing)
        return Remembered(waits=waits, deadlines=len(self._deadlines), results=len(self._results))

    # -- for the services ------------------------------------------------------------------------------------

    def admit(self, arrival: ArrivalId, client: Client, now: float, join: Callable[[], list[Outcome]]) -> list[Outcome]:
        """Answer a retry with its known outcome (an empty list while it still waits), or call ``join`` for a new arrival.

        :param join: answers a new arrival or opens its wait. It raises only if it has changed nothing. Its error becomes the
            outcome of the arrival.
        """
        try:
            check_arrival(arrival)
        except UsageError as error:
            return [Failed(arrival=arrival, client=client, error=error)]
        wait = self._live.get((client.host, arrival))
        if wait is not None:
            self._adopt(wait, client)
            return [wait.granted] if wait.granted else []
        result = self._results.adopt(arrival, client)
        if result is not None:
            return [result]
        try:
            outcomes = join()
            wait = self._live.get((client.host, arrival))
            if wait is not None and wait.granted is None and wait.place.kind not in _ARRIVING:
                self.note(f"{wait.place.kind} waiting", wait.place.key, wait.name, client=client)
            return outcomes
        except LinesyncError as error:
            return [self._keep(Failed(arrival=arrival, client=client, error=error), now)]

    def answer(self, arrival: ArrivalId, client: Client, value: Value, now: float) -> Outcome:
        """Keep and return the outcome of an arrival that succeeded without waiting."""
        self.changes += 1
        return self._keep(Granted(arrival=arrival, client=client, value=value), now)

    def refuse(self, arrival: ArrivalId, client: Client, error: LinesyncError, now: float) -> Outcome:
        """Keep and return the failure of an arrival that changed the state and did not wait."""
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
        """Start a wait.

        :param name: the name of the arrival in messages: its member or its host.
        :param timeout: seconds; None for no limit.
        :param within: the arrival id of the hold on whose behalf this arrival waits; empty for none.
        :raises LinesyncFailed: there are too many waits.
        """
        if len(self._clients.get(client, ())) >= WAITS_PER_CLIENT:
            raise LinesyncFailed(
                f"{place.title}: too many arrivals of this script wait or are held ({WAITS_PER_CLIENT}); end some of them first"
            )
        if len(self._live) + len(self._lapsing) >= WAITS or len(self._hosts.get(client.host, ())) >= WAITS_PER_HOST:
            of_host = len(self._hosts.get(client.host, ()))
            raise LinesyncFailed(
                f"{place.title}: too many arrivals wait on this hub ({len(self._live)}, {of_host} of them from "
                f"{client.host}); end some of them first"
            )
        number = self.journal.number()
        wait = Wait(arrival, client, place, name, now, timeout, within=within, number=number, order=number)
        self.changes += 1
        self._add(wait)
        self.journal.mark("wait", number, new=True)
        if place.owned():
            self.owned_opened_at = now
        if place.kind in _ARRIVING:
            self.note(f"{place.kind} arrival", place.key, name, client=client)
        return wait

    def grant(self, wait: Wait, value: Value, now: float, *, provisional: bool = False) -> Outcome:
        """Grant an open wait. A provisional grant stays live until its client confirms it."""
        granted = Granted(arrival=wait.arrival, client=wait.client, value=value, provisional=provisional)
        if not provisional:
            self._forget(wait)
            return self._keep(granted, now)
        self.changes += 1
        self._deadlines.cancel(wait)
        wait.granted = granted
        self.journal.mark("wait", wait.number)
        return granted

    def fail(self, ending: list[tuple[Wait, LinesyncError]], cause: Cause, now: float) -> list[Outcome]:
        """End waits with errors in one step, and then serve the remaining waits.

        :param ending: each ending wait with its error.
        """
        return self._end(ending, cause, now, together=True)

    def give_back(self, wait: Wait, now: float) -> list[Outcome]:
        """Give back a hold. Return the outcomes of the waits that are then served."""
        return self._end([(wait, _withdrawn(wait, Cause.GAVE_UP, ""))], Cause.GAVE_UP, now)

    def note(
        self,
        kind: str,
        key: tuple[str, str],
        who: str = "",
        value: int | None = None,
        why: str = "",
        client: Client | None = None,
    ) -> None:
        """Record a change for the followers of the changes. The parameters are those of :class:`Noted`."""
        self._noted.append(Noted(kind, key, who, value, why, client))

    def find(self, host: str, arrival: ArrivalId) -> Wait | None:
        """The live arrival with this id of a host's client, or None."""
        return self._live.get((host, arrival))

    def knows(self, host: str, arrival: ArrivalId) -> bool:
        """Whether an arrival is live, or its outcome is kept."""
        return (host, arrival) in self._live or self._results.get(host, arrival) is not None

    def of_host(self, host: str) -> list[Wait]:
        """The live arrivals of a host's clients, in order."""
        return list(self._hosts.get(host, ()))

    def of_client(self, client: Client) -> list[Wait]:
        """A client's live arrivals, in order."""
        return list(self._clients.get(client, ()))

    def by_client(self) -> dict[Client, int]:
        """The number of live arrivals of each client."""
        return {client: len(waits) for client, waits in self._clients.items()}

    def all(self) -> list[Wait]:
        """All live arrivals, in order."""
        return list(self._live.values())

    # -- for the hub -----------------------------------------------------------------------------------------

    def take_noted(self) -> list[Noted]:
        """Return the changes since the last call, in order."""
        noted, self._noted = self._noted, []
        return noted

    def confirm(self, arrival: ArrivalId, client: Client) -> bool:
        """Record that the client has received its outcome. A grant becomes final, and the result is forgotten.

        :returns: whether the arrival was granted and the client keeps the grant.
        """
        wait = self._live.get((client.host, arrival))
        if wait is None:
            return isinstance(self._results.drop(client.host, arrival), Granted)
        if wait.granted is None:
            return False
        if wait.held is None:
            hold = wait.place.confirmed(wait)
            if hold is Hold.FINAL:
                self._forget(wait)
                return True
            self.changes += 1
            wait.held = hold
            self.journal.mark("wait", wait.number)
            if hold is Hold.BY_HOST:
                self._unlink(wait)
        return True

    def commit(self, arrival: ArrivalId, client: Client, now: float) -> None:
        """Make a provisional grant final. Its result is kept: a retry with the same id after a lost reply gets the same
        grant and not a second grant.

        :raises LinesyncError: the hub has taken the grant back; with the reason if it is known. The client owns nothing.
        """
        wait = self._live.get((client.host, arrival))
        if wait is not None and wait.granted is not None:
            at = wait.place.kept(wait)
            self.confirm(arrival, client)
            if wait.held is None:
                taken = at if isinstance(at, AtSemaphore | AtClaim) else None
                self._results.put(replace(wait.granted, provisional=False), now, taken)
            return
        ended = self._results.get(client.host, arrival)
        if isinstance(ended, Failed):
            raise ended.error
        if ended is None:
            raise LinesyncFailed("the grant was returned, and nothing was taken; send the request again")

    def withdraw(self, arrival: ArrivalId, client: Client, now: float, cause: Cause) -> list[Outcome]:
        """End an arrival early, and return the outcomes. An arrival that has already ended returns its outcome; an unknown
        arrival returns an empty list."""
        wait = self._live.get((client.host, arrival))
        if wait is not None:
            self._adopt(wait, client)
            return self._end_for([wait], cause, "", now)
        result = self._results.get(client.host, arrival)
        return [replace(result, client=client)] if result else []

    def take_back(self, arrival: ArrivalId, client: Client, now: float) -> AtSemaphore | AtClaim | None:
        """Undo a committed take that its client gives up before it confirms it.

        :returns: the units or hosts that the caller must return; None if there is no such take.
        """
        taken = self._results.take_back(arrival, client)
        if taken is not None:
            cause = str(Cause.GAVE_UP)
            what = "the claimed hosts" if isinstance(taken, AtClaim) else f"semaphore '{taken.semaphore}': the units"
            why = f"{what} were returned ({cause}); arrive again, with a new id"
            self.refuse(arrival, client, LinesyncFailed(why, details={"cause": cause}), now)
        return taken

    def reset(self, namespace: str, names: tuple[str, ...] | None) -> None:
        """Handle a reset of semaphores; see :meth:`Results.reset`."""
        self._results.reset(namespace, names)

    def client_gone(
        self, client: Client, now: float, cause: Cause, why: str = "", lease_end: float = _ALWAYS
    ) -> list[Outcome]:
        """End the waits, the holds and the unconfirmed grants of a dead client.

        :param lease_end: the time at which the hub takes back the holds of the client; a past time for immediately.
        """
        return self._end_for(list(self._clients.get(client, ())), cause, why, now, lease_end)

    def host_gone(
        self, host: str, now: float, cause: Cause, why: str = "", lease_end: float = _ALWAYS
    ) -> list[Outcome]:
        """Do the same as :meth:`client_gone` for every client of a host."""
        return self._end_for(list(self._hosts.get(host, ())), cause, why, now, lease_end)

    @property
    def holds(self) -> bool:
        """Whether there is a hold, or clients of an earlier hub may have a hold."""
        if len(self._lapsing) or self.holds_from != _ALWAYS:
            return True
        return any(wait.held is not None for wait in self._live.values())

    def grant_no_holds_before(self, when: float) -> None:
        """Grant no holds before this time, because clients of an earlier hub may have holds until then."""
        self.holds_from = when
        self.journal.mark("time", _HOLDS)

    def next_timer(self) -> float | None:
        """The time of the next :meth:`handle_timer`, or None."""
        opens = None if self.holds_from == _ALWAYS else self.holds_from
        times = (self._deadlines.next_timer(), self._results.next_timer(), self._lapsing.next_timer(), opens)
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> list[Outcome]:
        """Take back the holds that have lapsed, time out the waits whose deadline has passed, and forget old results."""
        self._results.handle_timer(now)
        outcomes = self._end_for(self._lapsing.pop_due(now), Cause.LINE_LOST, "", now)
        if self.holds_from <= now:
            outcomes += self._open_for_holds(now)
        due = self._deadlines.pop_due(now)
        return [*outcomes, *self._end([(wait, wait.place.timed_out(wait)) for wait in due], Cause.TIMED_OUT, now)]

    def _open_for_holds(self, now: float) -> list[Outcome]:
        if self.holds_from == _ALWAYS:
            return []
        self.holds_from = _ALWAYS
        self.journal.mark("time", _HOLDS)
        places = dict.fromkeys(wait.place for wait in self.all() if wait.granted is None and wait.place.owned())
        return [outcome for place in places for outcome in place.settle(now)]

    # -- storing ---------------------------------------------------------------------------------------------

    def _kept(self, number: int) -> KeptWait | None:
        wait = self._numbered.get(number)
        return wait.kept(self._lapsing.due(wait)) if wait is not None else None

    def _kept_time(self, name: str) -> KeptTime | None:
        return KeptTime(self.holds_from) if self.holds_from != _ALWAYS else None

    def restore(self, rows: Rows, place: Callable[[At], Place]) -> None:
        """Restore the arrivals and the results, after all places.

        :param place: returns the place of an arrival; raises KeyError if it is not stored.
        :raises BadRow: a row is not valid, or contradicts other rows.
        """

        def restore_row(parts: list[str], kept: KeptWait) -> None:
            client = rows.clients.client(kept.host, kept.client, kept.principal)
            wait = Wait(
                kept.arrival,
                client,
                place(kept.at),
                kept.name,
                kept.since + rows.shift,
                kept.timeout,
                held=Hold[kept.held] if kept.held is not None else None,
                within=kept.within,
                number=int(parts[0]),
                order=self.journal.numbered(max(kept.order, int(parts[0]))),
            )
            if kept.granted is not None:
                value = value_of(kept.granted)
                wait.granted = Granted(arrival=kept.arrival, client=client, value=value, provisional=True)
            elif wait.held is not None:
                raise ValueError("it is held, but was not granted")
            if kept.lapses is not None:
                if wait.held is None:
                    raise ValueError("it lapses, but is not held")
                wait.lapses = True
                wait.place.restore_wait(wait, kept.at)
                self._numbered[wait.number] = wait
                lapsing.append((wait, kept.lapses + rows.shift))
                return
            if (client.host, kept.arrival) in self._live:
                raise ValueError(f"there is another arrival {kept.arrival} of {client.host}")
            wait.place.restore_wait(wait, kept.at)
            self._add(wait)
            if wait.granted is None and wait.place.owned():
                self.owned_opened_at = rows.now

        def wait_until(parts: list[str], kept: KeptTime) -> None:
            if parts != [_HOLDS]:
                raise ValueError("the purpose of the time is not known")
            self.holds_from = kept.at + rows.shift

        lapsing: list[tuple[Wait, float]] = []
        rows.each("time", KeptTime, wait_until)
        rows.each("wait", KeptWait, restore_row, by_key)
        for wait, due in sorted(lapsing, key=lambda entry: entry[0].order):
            self._lapsing.set(wait, due)
        for client, waits in self._clients.items():
            self._clients[client] = dict.fromkeys(sorted(waits, key=lambda wait: wait.order))
        self._results.restore(rows)

    # -- inside ----------------------------------------------------------------------------------------------

    def _add(self, wait: Wait) -> None:
        """Add an arrival to the tables."""
        self._numbered[wait.number] = wait
        self._live[wait.client.host, wait.arrival] = wait
        self._hosts.setdefault(wait.client.host, {})[wait] = None
        if wait.held is not Hold.BY_HOST:
            self._clients.setdefault(wait.client, {})[wait] = None
        if wait.timeout is not None and wait.granted is None:
            self._deadlines.set(wait, wait.since + wait.timeout)

    def _adopt(self, wait: Wait, client: Client) -> None:
        if wait.client == client or wait.held is Hold.BY_HOST:
            return
        self.changes += 1
        self._unlink(wait)
        wait.client = client
        wait.order = self.journal.number()
        self.journal.mark("wait", wait.number)
        self._clients.setdefault(client, {})[wait] = None
        if wait.granted is not None:
            wait.granted = replace(wait.granted, client=client)

    def _end_for(
        self, waits: Iterable[Wait], cause: Cause, why: str, now: float, lease_end: float = _ALWAYS
    ) -> list[Outcome]:
        return self._end([(wait, _withdrawn(wait, cause, why)) for wait in waits], cause, now, lease_end)

    def _end(
        self,
        ending: list[tuple[Wait, LinesyncError]],
        cause: Cause,
        now: float,
        lease_end: float = _ALWAYS,
        *,
        together: bool = False,
    ) -> list[Outcome]:
        """End waits with errors, and serve the remaining waits.

        :param lease_end: the end of the owner's lease. If it is in the future, holds lapse instead of ending.
        :param together: whether the waits that end at one place are reported as one change of the state.
        """
        outcomes: list[Outcome] = []
        places: dict[Place, None] = {}
        failed: set[Place] = set()
        for wait, error in ending:
            place = wait.place
            if wait.lapses:  # its client already knows the loss
                self._lapsing.cancel(wait)
                del self._numbered[wait.number]
                self.journal.mark("wait", wait.number)
                place.leave(wait, cause)
                places[place] = None
                continue
            if wait.granted is None and not together:
                self.note(f"{place.kind} left", place.key, wait.name, why=str(cause), client=wait.client)
            elif wait.granted is None and place not in failed:
                self.note(f"{place.kind} failed", place.key, why=error.message)
                failed.add(place)
            wait.lapses = wait.held is not None and lease_end > now
            if wait.lapses:
                self._lapsing.set(wait, lease_end)
                wait.order = self.journal.number()
            else:
                place.leave(wait, cause)
                places[place] = None
            self._forget(wait)
            if wait.held is None:
                outcomes.append(self._keep(Failed(arrival=wait.arrival, client=wait.client, error=error), now))
            elif cause not in (Cause.GAVE_UP, Cause.CLIENT_GONE):
                outcomes.append(Revoked(arrival=wait.arrival, client=wait.client, why=error.message))
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
        self.journal.mark("wait", wait.number)
        if not wait.lapses:
            del self._numbered[wait.number]
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
    """The error for the client of an arrival that was ended early or whose hold was taken back."""
    reason = cause_in_words(cause, why)
    if wait.held is not None:
        return LinesyncFailed(f"{wait.place.title} was returned ({reason})", details={"cause": str(cause)})
    event = "the grant was returned" if wait.granted else "the arrival was withdrawn"
    kind = Aborted if cause is Cause.ABORTED else LinesyncFailed
    return kind(f"{wait.place.title}: {event} ({reason}); arrive again, with a new id", details={"cause": str(cause)})
