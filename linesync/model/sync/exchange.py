"""Exchanges: each member gives its data, and everybody gets the data of all.

1. The first arrival at a name opens a generation and fixes its members; later ones join it if they name the same members
   and are refused with both lists if not. Each member arrives once: a second live client under one name is refused, and
   so is who is no member.
2. An arrival first *gives*: its bytes come, elsewhere, and when they are complete this module is told a key for them. It
   knows nothing else of the data. When all members' keys are here, all who wait get them, and the generation is over.
3. A member that dies after it gave hurts nobody: its data counts, and if it comes back before the end, it gives anew. One
   that dies before fails the generation for all at once: its host is lost, or its client is gone while it gives. So
   does a newcomer's arrival while another member's host is lost. A host that restarts without an open arrival is no loss: it
   may still come. Who had not arrived at a generation that failed is told the same when it does, once, for ten minutes.
4. Who gives up or times out takes its data along; the others wait on, and their errors name it.
5. Data whose givers are all gone, and for which nobody waits, is kept for ten minutes.

A poll (timeout 0) succeeds only where it is the last: all others have given. Its own data may take its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Protocol

from ...errors import LinesyncError, LinesyncFailed, MemberLost, Mismatch, TimedOut, UsageError
from ..decisions import ArrivalId, Exchanged, Failed, Outcome
from ..hosts.members import MEMBERS_MAX, fold
from ..participants import Cause, Client, check_member, check_name, check_timeout, names_in_words, seconds_in_words
from ..timers import Timers
from .barrier_history import Failure, Past
from .barrier_terms import Terms
from .kept_results import RESULT_LIFE
from .waits import Acting, Edge, Place, Wait, Waits

__all__ = ["EXCHANGE_BYTES", "Exchanges", "Hosts"]

EXCHANGE_BYTES = 16 << 20  # that one member gives at most, unless the hub is told otherwise
NAMES_LISTED = 100  # names that one error or status row goes through, however many members there are
FOLDED_TOLD = 400  # characters of a list of members in one error
_FATAL = (Cause.LINE_LOST, Cause.STOPPED)  # a host lost like this cannot come; one that restarted can
_DEATHS = (*_FATAL, Cause.RESTARTED, Cause.CLIENT_GONE)  # of an arrival's client; all other ends are its own will


class Hosts(Protocol):
    """What an exchange asks of those who know the hosts."""

    def lost(self, host: str, /) -> tuple[Cause, str] | None:
        """Why a host is lost, as a cause and as half a sentence; None while it lives, or was never seen."""

    def word(self, host: str, /) -> str:
        """A word on a host that is missed (``never seen``, ``quiet``), empty for one that is well."""


class Exchanges:
    """All exchanges of a hub, by namespace and name. Times are monotonic seconds.

    :param limit: bytes that one member gives at most.
    :ivar dropped: is called with each key that was given here and is no longer needed. The keys of a generation that ended
        well are not among them: they belong to whoever got the outcome.
    """

    def __init__(self, waits: Waits, hosts: Hosts, *, limit: int = EXCHANGE_BYTES) -> None:
        self.waits = waits
        self.hosts = hosts
        self.limit = limit
        self.past = Past()
        self.dropped: Callable[[int], None] = lambda key: None
        self._open: dict[tuple[str, str], _Exchange] = {}
        self._left: Timers[_Exchange] = Timers()
        """The exchanges for which nobody waits, until they are forgotten."""

    def __len__(self) -> int:
        return len(self._open)

    def open(
        self,
        arrival: ArrivalId,
        namespace: str,
        name: str,
        members: Iterable[str],
        member: str,
        size: int,
        client: Client,
        now: float,
        timeout: float | None = None,
        within: str = "",
    ) -> list[Outcome]:
        """A member comes with data; :meth:`given` follows when it is here.

        :param members: who takes part, ``host`` or ``host#tag``; the same list (in any order) from everybody.
        :param member: who gives; empty for the client's host.
        :param size: how many bytes it will give.
        :param timeout: seconds; 0 polls, None waits for ever.
        :returns: nothing while it waits; for a retry what is known of it; else its failure: UsageError (a bad name, member,
            timeout, or too much data), Mismatch (other members, no member, one too many), MemberLost (a member's host),
            TimedOut (a poll that came too early), LinesyncFailed (too many waits).
        """

        def join() -> list[Outcome]:
            check_name("namespace", namespace)
            check_name("exchange", name)
            check_timeout(timeout)
            wanted = frozenset(members)
            exchange = self._open.get((namespace, name)) or self._new(namespace, name, wanted)
            who = member or client.host
            exchange.refuse(wanted, who, size)
            late = self.past.late(exchange.key, exchange.title, exchange.terms, who, now)
            if isinstance(late, LinesyncError):
                raise late
            if exchange.key not in self._open:
                exchange.refuse_lost(who)
            if timeout == 0:
                exchange.refuse_poll(who)
            # A poll's data takes the time that it takes; it is looked at again when that is here.
            wait = self.waits.open(arrival, client, exchange, who, now, timeout or None, within)
            self._open[exchange.key] = exchange
            self._left.cancel(exchange)
            exchange.join(wait, polls=timeout == 0)
            return []

        known = self.waits.find(client.host, arrival)
        if known is not None and not isinstance(known.place, _Exchange):
            error = UsageError(
                f"the arrival id {arrival} is in use at {known.place.title}; take a new id for each arrival"
            )
            return [Failed(arrival=arrival, client=client, error=error)]
        return self.waits.admit(arrival, client, now, join)

    def has_given(self, arrival: ArrivalId, client: Client) -> bool:
        """The data of an open arrival is here already: it is a retry."""
        wait = self._wait(arrival, client)
        return wait is not None and wait.name in self._place(wait).data

    def given(self, arrival: ArrivalId, client: Client, key: int, now: float) -> list[Outcome]:
        """An arrival's data is complete and has this key.

        :returns: :class:`Exchanged` for everybody when it is the last. Data that nobody waits for is dropped.
        """
        wait = self._wait(arrival, client)
        if wait is None or wait.name in self._place(wait).data:
            self.dropped(key)
            return []
        return self._place(wait).give(wait, key, now)

    def cannot_keep(self, arrival: ArrivalId, client: Client, why: str, now: float) -> list[Outcome]:
        """An arrival's data cannot be kept, so its exchange cannot end well: fail it for all."""
        wait = self._wait(arrival, client)
        return [] if wait is None else self._place(wait).cannot_keep(wait, why, now)

    def host_lost(self, host: str, cause: Cause, why: str, now: float) -> list[Outcome]:
        """A host is lost: fail the exchanges that lack its data. To be called while its clients' own waits are still in
        place."""
        outcomes: list[Outcome] = []
        for exchange in list(self._open.values()):
            outcomes += exchange.host_lost(host, cause, why, now)
        return outcomes

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Forget what is left under names of a namespace (None: all of them).

        :returns: how many things were forgotten, and the waits that are to fail; the data that these gave goes with them.
        """
        keys = [(namespace, name) for name in dict.fromkeys(names)] if names is not None else None
        forgotten = self.past.forget(namespace, keys)
        open_keys = [key for key in (self._open if keys is None else keys) if key[0] == namespace and key in self._open]
        waits: list[Wait] = []
        for key in open_keys:
            exchange = self._open[key]
            exchange.forget_left()
            waits += exchange.everybody()
            if not exchange.everybody():
                self.close(exchange)
        return forgotten + len(open_keys), waits

    def next_timer(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        return self._left.next_timer()

    def handle_timer(self, now: float) -> None:
        """Forget the data for which nobody has waited for ten minutes."""
        for exchange in self._left.pop_due(now):
            exchange.forget_left()
            self.close(exchange)

    def status(self, now: float) -> list[dict[str, object]]:
        """One JSON-able row for each open generation; ``waiting`` is in seconds."""
        return [exchange.status(now) for exchange in self._open.values()]

    # -- for the places ------------------------------------------------------------------------------------------------

    def close(self, exchange: _Exchange) -> None:
        """A generation is over."""
        self._left.cancel(exchange)
        if self._open.get(exchange.key) is exchange:
            del self._open[exchange.key]

    def nobody_waits(self, exchange: _Exchange, now: float) -> None:
        """All that is left of a generation is data."""
        self._left.set(exchange, now + RESULT_LIFE)

    def _new(self, namespace: str, name: str, members: frozenset[str]) -> _Exchange:
        if not members:
            raise UsageError("an exchange is between members; name all who take part (--hosts)")
        for member in members:
            check_member(member)
        if len(members) > MEMBERS_MAX:
            raise UsageError(f"an exchange is between {MEMBERS_MAX} members at most, not {len(members)}; make groups")
        return _Exchange(self, namespace, name, Terms(count=len(members), members=members))

    def _wait(self, arrival: ArrivalId, client: Client) -> Wait | None:
        """The open arrival of this client."""
        wait = self.waits.find(client.host, arrival)
        mine = wait is not None and wait.client == client and isinstance(wait.place, _Exchange)
        return wait if mine else None

    @staticmethod
    def _place(wait: Wait) -> _Exchange:
        assert isinstance(wait.place, _Exchange)
        return wait.place


class _Exchange(Place):
    """One open generation of one name."""

    OWNED = True

    def __init__(self, home: Exchanges, namespace: str, name: str, terms: Terms) -> None:
        super().__init__("exchange", namespace, name)
        self.terms = terms
        self.members = terms.members or frozenset()
        self.data: dict[str, int] = {}
        """Member to the key of what it gave, whether it still waits or is gone."""
        self._home = home
        self._generation = home.past.next_generation(self.key)
        self._there: dict[str, Wait] = {}  # member to its open arrival, in order of arrival
        self._polls: set[Wait] = set()
        self._gone: dict[str, Cause] = {}  # members that left, and have not come back
        self._dead: dict[str, str] = {}  # members that died before their data was in: the exchange fails in settle()
        self._over = False

    def everybody(self) -> list[Wait]:
        return list(self._there.values())

    # -- refusals ------------------------------------------------------------------------------------------------------

    def refuse(self, members: frozenset[str], member: str, size: int) -> None:
        """Raise for a newcomer who does not fit to those already there."""
        if members != self.members:
            there = self._arrived()
            raise Mismatch(
                f"{self.title} stands for {_folded(self.members)}, set by those already there "
                f"({names_in_words(there, len(there))}), and you came for {_folded(members)}; "
                "name the same members everywhere, or use another name",
                details={"members": self._some(self.members), "yours": self._some(members), "arrived": there},
            )
        if member not in self.members:
            raise Mismatch(
                f"{member} is no member of {self.title}, which is for {_folded(self.members)}; give as one of these (--as),"
                " or name it everywhere",
                details={"member": member, "members": self._some(self.members)},
            )
        if member in self._there:
            raise Mismatch(
                f"one too many at {self.title}: member {member} is already there and alive; "
                "end that one first, or give as another member",
                details={"member": member, "arrived": self._arrived()},
            )
        if not 0 <= size <= self._home.limit:
            raise UsageError(
                f"{member} would give {size:,} bytes to {self.title}, and a member gives at most {self._home.limit:,};"
                " give less, and copy what is larger as a file (linesync cp)",
                details={"size": size, "limit": self._home.limit},
            )

    def refuse_lost(self, newcomer: str) -> None:
        """Raise MemberLost for a newcomer while another member is lost."""
        lost = {member: why for member in self.members if member != newcomer and (why := self._lost(member))}
        if lost:
            raise self._member_lost(lost)

    def refuse_poll(self, newcomer: str) -> None:
        """Raise TimedOut for a poll that does not complete it."""
        if any(member not in self.data and member != newcomer for member in self.members):
            raise self._incomplete(f"{self.title} is not complete", newcomer)

    # -- who is there and who is not -----------------------------------------------------------------------------------

    def _missing(self) -> list[str]:
        """The members whose data is not here, sorted."""
        return sorted(self.members - self.data.keys())

    def _arrived(self) -> list[str]:
        """The members that have come, sorted."""
        return self._some(self.data.keys() | self._there.keys())

    @staticmethod
    def _some(names: Iterable[str]) -> list[str]:
        return list(islice(sorted(names), NAMES_LISTED))

    def _lost(self, member: str) -> str:
        """Why a member's host is lost, empty while it is not."""
        lost = self._home.hosts.lost(_host_of(member))
        return "" if lost is None or lost[0] not in _FATAL else _why(*lost)

    def _why_missing(self, member: str) -> str:
        if member in self._there:
            return "still giving"
        if member in self._gone:
            return f"left: {self._gone[member]}"
        lost = self._home.hosts.lost(_host_of(member))
        return _why(*lost) if lost else self._home.hosts.word(_host_of(member)) or "has not come"

    def _details(self) -> dict[str, object]:
        missing = self._missing()
        return {
            "generation": self._generation,
            "count": len(self.members),
            "given": self._some(self.data),
            "missing": {member: self._why_missing(member) for member in missing[:NAMES_LISTED]},
            "gone": {name: str(cause) for name, cause in islice(self._gone.items(), NAMES_LISTED)},
        }

    def _incomplete(self, headline: str, poller: str = "") -> TimedOut:
        """Word a timeout: who gave, who is missing and why."""
        missing = [member for member in self._missing() if member != poller]
        told = [f"{member} ({self._why_missing(member)})" for member in missing[:NAMES_LISTED]]
        gave = names_in_words(self._some(self.data), len(self.data))
        return TimedOut(
            f"{headline}: {len(self.data)} of {len(self.members)} gave their data: {gave}; missing: "
            + names_in_words(told, len(missing)),
            details=self._details(),
        )

    def _member_lost(self, lost: dict[str, str]) -> MemberLost:
        told = "; ".join(f"{member} is lost before its data was in ({why})" for member, why in islice(lost.items(), 12))
        gave = names_in_words(self._some(self.data), len(self.data))
        return MemberLost(
            f"{self.title} cannot be complete: {told}; had given: {gave}; bring it back and give again",
            details={"lost": dict(islice(lost.items(), NAMES_LISTED)), **self._details()},
        )

    # -- coming and going ----------------------------------------------------------------------------------------------

    def join(self, wait: Wait, *, polls: bool) -> None:
        """Add an arrival that fits. What an earlier life of the member gave is replaced."""
        self._there[wait.name] = wait
        self._gone.pop(wait.name, None)
        self._drop(wait.name)
        if polls:
            self._polls.add(wait)

    def give(self, wait: Wait, key: int, now: float) -> list[Outcome]:
        """Its data is complete."""
        self.data[wait.name] = key
        if wait in self._polls and len(self.data) < len(self.members):
            error = self._incomplete(f"{self.title} is not complete any more")
            return self._home.waits.fail([(wait, error)], Cause.TIMED_OUT, now)
        return self.settle(now)

    def timed_out(self, wait: Wait) -> TimedOut:
        return self._incomplete(f"timed out after {seconds_in_words(wait.timeout or 0)} at {self.title}")

    def leave(self, wait: Wait, cause: Cause) -> None:
        member = wait.name
        del self._there[member]
        self._polls.discard(wait)
        self._gone[member] = cause
        if self._over or cause not in _DEATHS:
            self._drop(member)
        elif member not in self.data:
            self._dead[member] = str(cause)

    def host_lost(self, host: str, cause: Cause, why: str, now: float) -> list[Outcome]:
        """Fail it for all if data that the host owes is not here."""
        dead = [name for name, wait in self._there.items() if wait.client.host == host and name not in self.data]
        if cause in _FATAL:
            dead += [name for name in self._missing() if name not in self._there and _host_of(name) == host]
        self._dead |= dict.fromkeys(sorted(dead), _why(cause, why))
        return self._fail(self._member_lost(self._dead), now) if dead else []

    def cannot_keep(self, wait: Wait, why: str, now: float) -> list[Outcome]:
        """Fail it for all: the data of this arrival has no place here."""
        error = LinesyncFailed(
            f"{self.title} failed: the hub cannot keep the data of {wait.name}: {why}",
            details={"member": wait.name, **self._details()},
        )
        return self._fail(error, now)

    def _fail(self, error: LinesyncError, now: float) -> list[Outcome]:
        """Fail everybody here, and remember it for those who have not come."""
        absent = set(self.members - self._there.keys() - self._dead.keys())
        self._over = True
        self._dead = {}
        self.forget_left()
        self._home.close(self)
        if absent:
            self._home.past.failed(self.key, Failure(self.terms, error, absent, 0, now))
        return self._home.waits.fail([(wait, error) for wait in self.everybody()], Cause.ABORTED, now)

    def forget_left(self) -> None:
        """Drop the data of those who do not wait any more."""
        for member in list(self.data):
            if member not in self._there:
                self._drop(member)

    def _drop(self, member: str) -> None:
        key = self.data.pop(member, None)
        if key is not None:
            self._home.dropped(key)

    def settle(self, now: float) -> list[Outcome]:
        if self._over:
            return []
        if self._dead:
            return self._fail(self._member_lost(self._dead), now)
        if len(self.data) == len(self.members):
            return self._release(now)
        if not self._there:
            if self.data:
                self._home.nobody_waits(self, now)
            else:
                self._home.close(self)
        return []

    def _release(self, now: float) -> list[Outcome]:
        members = tuple(sorted(self.members))
        value = Exchanged(
            generation=self._generation, members=members, keys=tuple(self.data[member] for member in members)
        )
        self._over = True
        waits = self.everybody()
        self._there.clear()
        self._home.close(self)
        self._home.past.released(self.key, self.terms, self._generation, members, (), now)
        return [self._home.waits.grant(wait, value, now) for wait in waits]

    # -- deadlocks and status ------------------------------------------------------------------------------------------

    def could_proceed(self, wait: Wait, acting: Acting) -> bool:
        return all(member in self._there or acting.member(member, self) for member in self._missing())

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        return [
            Edge(tuple(acting.waits_of(member)), f"{self.title}, to which {member} has not given")
            for member in self._missing()
            if member not in self._there and not acting.member(member, self)
        ]

    def status(self, now: float) -> dict[str, object]:
        namespace, name = self.key
        return {
            "namespace": namespace,
            "name": name,
            "members": fold(self.members),
            "arrived": [
                {"name": wait.name, "client": wait.client.number, "waiting": now - wait.since}
                for wait in self.everybody()
            ],
            **self._details(),
        }


def _host_of(member: str) -> str:
    return member.partition("#")[0]


def _folded(members: frozenset[str]) -> str:
    """A list of members for a message: folded, or its beginning where that is still long."""
    folded = fold(members)
    return folded if 0 < len(folded) <= FOLDED_TOLD else names_in_words(sorted(members), len(members))


def _why(cause: Cause, why: str) -> str:
    return f"{cause}: {why}" if why else str(cause)
