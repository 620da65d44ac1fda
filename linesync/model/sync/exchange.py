"""Exchanges: each member gives its data, and all members get the data of all.

1. The first arrival at a name opens a generation and sets its members. A later arrival joins if it names the same members.
   Otherwise it is refused, and the error shows both lists. Each member arrives once: a second live client with the same
   member name is refused, and so is a client that is not a member.
2. An arrival first *gives* its data. The bytes are received elsewhere. When they are complete, this module gets a key for
   them and knows nothing else of the data. When the keys of all members are here, all arrivals that wait get them, and the
   generation is over.
3. A member that dies after it gave its data does not disturb the others: its data counts. If it comes back before the end,
   it gives its data again. A member that dies earlier (its host is lost, or its client is gone while it gives) fails the
   generation for all immediately. An arrival while another member's host is lost is refused. A host that restarts without
   an open arrival is not a loss, because it may still arrive. A member that had not arrived at a failed generation gets
   the same error when it arrives, once, within ten minutes.
4. When a member gives up or times out, its data is dropped. The others continue to wait, and their errors name it.
5. If no arrival waits any more, the data that was given is kept for ten minutes.

A poll (timeout 0) succeeds only if all other members have given their data. The transfer of its own data may take longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Protocol

from ...errors import LinesyncError, LinesyncFailed, MemberLost, Mismatch, TimedOut, UsageError
from ..decisions import ArrivalId, Exchanged, Failed, Outcome
from ..hosts.members import MEMBERS_MAX, fold
from ..participants import (
    LOST,
    Cause,
    Client,
    cause_in_words,
    check_member,
    check_name,
    check_timeout,
    host_of,
    names_in_words,
    seconds_in_words,
)
from ..state.exchange import ExchangeState
from ..timers import Timers
from .barrier_history import Failure, Past
from .barrier_terms import Terms
from .kept_results import RESULT_LIFE
from .waits import Acting, Edge, Place, Wait, Waits

__all__ = ["EXCHANGE_BYTES", "Exchanges", "Hosts"]

EXCHANGE_BYTES = 16 << 20  # the most bytes that one member gives; the hub can set another limit
NAMES_LISTED = 100  # the most names in one error or status row, for any number of members
FOLDED_SHOWN = 400  # characters of a list of members in one error
_DEATHS = (*LOST, Cause.RESTARTED, Cause.CLIENT_GONE)  # the client died; with all other causes it ended by itself


class Hosts(Protocol):
    """What an exchange needs to know about the hosts."""

    def lost(self, host: str, /) -> tuple[Cause, str] | None:
        """Why a host is lost, as a cause and as a clause; None while it is alive or if it was never seen."""

    def word(self, host: str, /) -> str:
        """The state of a host that is missing (``never seen``, ``quiet``); empty for a host that is well."""


class Exchanges:
    """All exchanges of a hub, by namespace and name. Times are monotonic seconds.

    :param limit: the most bytes that one member gives.
    :ivar dropped: is called with each given key that is no longer needed. The keys of a generation that succeeded are not
        among them: they belong to the receiver of the outcome.
    """

    def __init__(self, waits: Waits, hosts: Hosts, *, limit: int = EXCHANGE_BYTES) -> None:
        self.waits = waits
        self.hosts = hosts
        self.limit = limit
        self.past = Past()
        self.dropped: Callable[[int], None] = lambda key: None
        self._open: dict[tuple[str, str], _Exchange] = {}
        self._left: Timers[_Exchange] = Timers()
        """The exchanges at which no arrival waits, until they are forgotten."""

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
        """A member arrives; :meth:`given` follows when its data is complete.

        :param members: the members, ``host`` or ``host#tag``; the same list (in any order) from all of them.
        :param member: the member that gives; empty for the client's host.
        :param size: the number of bytes that it will give.
        :param timeout: seconds; 0 polls, None waits without limit.
        :returns: nothing while it waits; for a retry its known outcome; else its failure: UsageError (an invalid name,
            member or timeout, or too much data), Mismatch (other members, not a member, or a member that is already
            waiting), MemberLost (a member's host), TimedOut (a poll that came too early), LinesyncFailed (too many waits).
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
            # The transfer of a poll's data takes time; the poll is checked again when it is complete.
            wait = self.waits.open(arrival, client, exchange, who, now, timeout or None, within)
            self._open[exchange.key] = exchange
            self._left.cancel(exchange)
            exchange.join(wait, polls=timeout == 0)
            return []

        known = self.waits.find(client.host, arrival)
        if known is not None and not isinstance(known.place, _Exchange):
            error = UsageError(
                f"the arrival id {arrival} is already in use at {known.place.title}; use a new id for each arrival"
            )
            return [Failed(arrival=arrival, client=client, error=error)]
        return self.waits.admit(arrival, client, now, join)

    def has_given(self, arrival: ArrivalId, client: Client) -> bool:
        """Whether the data of an open arrival is already here, because the arrival is a retry."""
        wait = self._wait(arrival, client)
        return wait is not None and wait.name in self._place(wait).data

    def given(self, arrival: ArrivalId, client: Client, key: int, now: float) -> list[Outcome]:
        """Record that an arrival's data is complete and has this key.

        :returns: :class:`Exchanged` for all arrivals if it is the last. The data of an arrival that has ended is dropped.
        """
        wait = self._wait(arrival, client)
        if wait is None or wait.name in self._place(wait).data:
            self.dropped(key)
            return []
        return self._place(wait).give(wait, key, now)

    def cannot_keep(self, arrival: ArrivalId, client: Client, why: str, now: float) -> list[Outcome]:
        """Fail the exchange for all because an arrival's data cannot be stored."""
        wait = self._wait(arrival, client)
        return [] if wait is None else self._place(wait).cannot_keep(wait, why, now)

    def host_lost(self, host: str, cause: Cause, why: str, now: float) -> list[Outcome]:
        """Fail the exchanges that lack the data of a lost host. Call this before the waits of its own clients end."""
        outcomes: list[Outcome] = []
        for exchange in list(self._open.values()):
            outcomes += exchange.host_lost(host, cause, why, now)
        return outcomes

    def names(self) -> set[tuple[str, str]]:
        """The namespaces and names that a reset would forget."""
        return {*self._open, *self.past.names()}

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Forget the exchanges with these names in a namespace (None: all of them).

        :returns: how many things were forgotten, and the waits that the caller must fail; their data is dropped with them.
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
        """Forget the data of exchanges at which no arrival has waited for ten minutes."""
        for exchange in self._left.pop_due(now):
            exchange.forget_left()
            self.close(exchange)

    def status(self, now: float) -> list[ExchangeState]:
        """The state of each open generation."""
        return [exchange.state(now) for exchange in self._open.values()]

    # -- for the places ------------------------------------------------------------------------------------------------

    def close(self, exchange: _Exchange) -> None:
        """Remove a generation that is over."""
        self._left.cancel(exchange)
        if self._open.get(exchange.key) is exchange:
            del self._open[exchange.key]

    def keep_data(self, exchange: _Exchange, now: float) -> None:
        """No arrival waits any more, so start the timer that forgets the data."""
        self._left.set(exchange, now + RESULT_LIFE)

    def _new(self, namespace: str, name: str, members: frozenset[str]) -> _Exchange:
        if not members:
            raise UsageError("an exchange needs members; name all of them (--hosts)")
        for member in members:
            check_member(member)
        if len(members) > MEMBERS_MAX:
            raise UsageError(f"an exchange has at most {MEMBERS_MAX} members, not {len(members)}; make groups")
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
        """Member to the key of its data, whether it still waits or is gone."""
        self._home = home
        self._generation = home.past.next_generation(self.key)
        self._there: dict[str, Wait] = {}  # member to its open arrival, in order of arrival
        self._polls: set[Wait] = set()
        self._gone: dict[str, Cause] = {}  # members that left and have not come back
        self._dead: dict[str, str] = {}  # members that died before their data was complete; settle() fails the exchange
        self._over = False

    def everybody(self) -> list[Wait]:
        return list(self._there.values())

    # -- refusals ------------------------------------------------------------------------------------------------------

    def refuse(self, members: frozenset[str], member: str, size: int) -> None:
        """Raise for an arrival that does not match this exchange."""
        if members != self.members:
            there = self._arrived()
            raise Mismatch(
                f"{self.title} is for {_folded(self.members)}, which its first arrival fixed (arrived: "
                f"{names_in_words(there, len(there))}), but this arrival is for {_folded(members)}; "
                "name the same members everywhere, or use another name",
                details={"members": self._some(self.members), "yours": self._some(members), "arrived": there},
            )
        if member not in self.members:
            raise Mismatch(
                f"{member} is not a member of {self.title}, which is for {_folded(self.members)}; "
                "give as one of its members (--as), or name all members everywhere",
                details={"member": member, "members": self._some(self.members)},
            )
        if member in self._there:
            raise Mismatch(
                f"member {member} is already waiting at {self.title}; end that wait first, or give as another member",
                details={"member": member, "arrived": self._arrived()},
            )
        if not 0 <= size <= self._home.limit:
            raise UsageError(
                f"{member} cannot give {size:,} bytes to {self.title}: a member gives at most {self._home.limit:,} bytes; "
                "copy larger data as a file (linesync cp)",
                details={"size": size, "limit": self._home.limit},
            )

    def refuse_lost(self, newcomer: str) -> None:
        """Raise MemberLost for an arrival while another member is lost."""
        lost = {member: why for member in self.members if member != newcomer and (why := self._lost(member))}
        if lost:
            raise self._member_lost(lost)

    def refuse_poll(self, newcomer: str) -> None:
        """Raise TimedOut for a poll that does not complete it."""
        if any(member not in self.data and member != newcomer for member in self.members):
            raise self._incomplete(f"{self.title} is not complete", newcomer)

    # -- members that have arrived and members that are missing --------------------------------------------------------

    def _missing(self) -> list[str]:
        """The members whose data is not complete, sorted."""
        return sorted(self.members - self.data.keys())

    def _arrived(self) -> list[str]:
        """The members that have arrived, sorted."""
        return self._some(self.data.keys() | self._there.keys())

    @staticmethod
    def _some(names: Iterable[str]) -> list[str]:
        return list(islice(sorted(names), NAMES_LISTED))

    def _lost(self, member: str) -> str:
        """Why a member's host is lost, empty while it is not."""
        lost = self._home.hosts.lost(host_of(member))
        return "" if lost is None or lost[0] not in LOST else cause_in_words(*lost)

    def _why_missing(self, member: str) -> str:
        if member in self._there:
            return "still giving"
        if member in self._gone:
            return f"left: {self._gone[member]}"
        lost = self._home.hosts.lost(host_of(member))
        return cause_in_words(*lost) if lost else self._home.hosts.word(host_of(member)) or "has not arrived"

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
        """The error for a timeout: which members gave, and which are missing and why."""
        missing = [member for member in self._missing() if member != poller]
        described = [f"{member} ({self._why_missing(member)})" for member in missing[:NAMES_LISTED]]
        gave = names_in_words(self._some(self.data), len(self.data))
        return TimedOut(
            f"{headline}: {len(self.data)} of {len(self.members)} members gave their data: {gave}; missing: "
            + names_in_words(described, len(missing)),
            details=self._details(),
        )

    def _member_lost(self, lost: dict[str, str]) -> MemberLost:
        described = "; ".join(
            f"{member} was lost before it gave its data ({why})" for member, why in islice(lost.items(), 12)
        )
        gave = names_in_words(self._some(self.data), len(self.data))
        return MemberLost(
            f"{self.title} cannot be complete: {described}; gave their data: {gave}; bring it back and give again",
            details={"lost": dict(islice(lost.items(), NAMES_LISTED)), **self._details()},
        )

    # -- arriving and leaving ------------------------------------------------------------------------------------------

    def join(self, wait: Wait, *, polls: bool) -> None:
        """Add an arrival that matches. Its data replaces what the member gave before it died."""
        self._there[wait.name] = wait
        self._gone.pop(wait.name, None)
        self._drop(wait.name)
        if polls:
            self._polls.add(wait)

    def give(self, wait: Wait, key: int, now: float) -> list[Outcome]:
        """Record the data of an arrival, which is complete."""
        self.data[wait.name] = key
        if wait in self._polls and len(self.data) < len(self.members):
            error = self._incomplete(f"{self.title} is no longer complete")
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
        """Fail the exchange for all if the data of a lost host's member is missing."""
        dead = [name for name, wait in self._there.items() if wait.client.host == host and name not in self.data]
        if cause in LOST:
            dead += [name for name in self._missing() if name not in self._there and host_of(name) == host]
        self._dead |= dict.fromkeys(sorted(dead), cause_in_words(cause, why))
        return self._fail(self._member_lost(self._dead), now) if dead else []

    def cannot_keep(self, wait: Wait, why: str, now: float) -> list[Outcome]:
        """Fail the exchange for all because the hub cannot store the data of this arrival."""
        error = LinesyncFailed(
            f"{self.title} failed: the hub cannot store the data of {wait.name}: {why}",
            details={"member": wait.name, **self._details()},
        )
        return self._fail(error, now)

    def _fail(self, error: LinesyncError, now: float) -> list[Outcome]:
        """Fail all arrivals, and remember the error for the members that have not arrived."""
        absent = set(self.members - self._there.keys() - self._dead.keys())
        self._over = True
        self._dead = {}
        self.forget_left()
        self._home.close(self)
        if absent:
            self._home.past.failed(self.key, Failure(self.terms, error, absent, 0, now))
        return self._home.waits.fail([(wait, error) for wait in self.everybody()], Cause.ABORTED, now)

    def forget_left(self) -> None:
        """Drop the data of the members that no longer wait."""
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
                self._home.keep_data(self, now)
            else:
                self._home.close(self)
        return []

    def _release(self, now: float) -> list[Outcome]:
        members = tuple(sorted(self.members))
        value = Exchanged(
            generation=self._generation, members=members, keys=tuple(self.data[member] for member in members)
        )
        self._over = True
        self._home.waits.note("exchange complete", self.key, value=self._generation)
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
            Edge(tuple(acting.waits_of(member)), f"{self.title}, to which {member} has not given its data")
            for member in self._missing()
            if member not in self._there and not acting.member(member, self)
        ]

    def state(self, now: float) -> ExchangeState:
        namespace, name = self.key
        missing = islice(self._missing(), NAMES_LISTED)
        return ExchangeState(
            namespace=namespace,
            name=name,
            members=fold(self.members),
            arrived=tuple([wait.state(now) for wait in self.everybody()]),
            generation=self._generation,
            count=len(self.members),
            given=tuple(self._some(self.data)),
            missing={member: self._why_missing(member) for member in missing},
            gone={name: str(cause) for name, cause in islice(self._gone.items(), NAMES_LISTED)},
        )


def _folded(members: frozenset[str]) -> str:
    """A list of members for a message: folded, or only its first names if the folded list is too long."""
    folded = fold(members)
    return folded if 0 < len(folded) <= FOLDED_SHOWN else names_in_words(sorted(members), len(members))
