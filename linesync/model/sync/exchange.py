"""Exchanges: each member gives its data, and each member gets the data of all members.

1. The first arrival at a name opens a generation and sets its members. A later arrival joins if it names the same members.
   Otherwise it is refused, and the error shows both lists. Each member arrives once: a second live client with the same
   member name is refused, and so is a client that is not a member.
2. An arrival first *gives* its data. The hub receives and stores the bytes outside this module. When they are complete, this
   module gets a key for them and knows nothing else about the data. When it has the keys of all members, all waiting
   arrivals get the keys, and the generation ends. The data is kept as long as a result needs it
   (:mod:`linesync.model.sync.kept_results`).
3. A member that dies after it gave its data does not disturb the other members: its data counts. If it arrives again before
   the end, it gives its data again. A member that dies earlier (its host is lost, or its client is gone while it gives)
   fails the generation for all members immediately. An arrival while another member's host is lost is refused. A host that
   restarts without an open arrival is not a loss, because it may still arrive. A member that had not arrived at a failed
   generation gets the same error when it arrives, once, within ten minutes.
4. When a member gives up or times out, its data is dropped. The other members continue to wait, and their errors name it.
5. When no arrival waits any more, the data is kept for another ten minutes.

A poll (timeout 0) succeeds only if all other members have given their data. The transfer of its own data may take longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...errors import LinesyncError, UsageError
from ..decisions import ArrivalId, Outcome
from ..hosts.members import MEMBERS_MAX
from ..kept.objects import KeptExchange, KeptGiven, KeptTerms
from ..kept.rows import Rows, by_number
from ..kept.waits import AtExchange
from ..participants import Cause, Client, check_member, check_name, check_timeout
from ..state.sync.exchange import ExchangeState
from ..timers import Timers
from .barriers.history import Past
from .barriers.terms import Terms
from .exchange_generation import Generation, Hosts
from .kept_results import RESULT_LIFE
from .place import Place
from .waits import Wait, Waits

__all__ = ["EXCHANGE_BYTES", "Exchanges"]

EXCHANGE_BYTES = 16 << 20  # the default limit of the data of one member, in bytes


class Exchanges:
    """All exchanges of a hub, by namespace and name. Times are monotonic seconds.

    :param limit: the limit of the data of one member, in bytes.
    :ivar dropped: called with each key whose data is no longer needed.
    """

    def __init__(self, waits: Waits, hosts: Hosts, *, limit: int = EXCHANGE_BYTES) -> None:
        self.waits = waits
        self.hosts = hosts
        self.limit = limit
        self.past = Past(waits.journal, "exchange")
        self.dropped: Callable[[int], None] = lambda key: None
        waits.results.unneeded = self._drop_all
        self._open: dict[tuple[str, str], Generation] = {}
        self._left: Timers[Generation] = Timers()
        """The exchanges at which no arrival waits, with the time at which they are forgotten."""
        waits.journal.source("exchange", self._kept, lambda: self._open)
        waits.journal.source("exchange terms", self._kept_terms, lambda: self._open)
        waits.journal.source("exchange given", self._kept_given, self._all_given)

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
        """Open an arrival of a member. The caller calls :meth:`given` when the data of the member is complete.

        :param members: the members, ``host`` or ``host#tag``; the same list (in any order) from all of them.
        :param member: the member that gives; empty for the client's host.
        :param size: the size of its data in bytes.
        :param timeout: seconds; 0 polls, None waits without limit.
        :param within: the arrival id of the hold on whose behalf this arrival waits; empty for none.
        :returns: an empty list while it waits; for a retry its known outcome; else its failure: UsageError (an invalid name,
            member or timeout, or too much data), Mismatch (other members, not a member, or a member that is already
            waiting), MemberLost (a member's host), TimedOut (a poll before all other members gave their data),
            LinesyncFailed (too many waits).
        :raises UsageError: the id belongs to a wait at another object.
        """

        def join() -> list[Outcome]:
            check_name("namespace", namespace)
            check_name("exchange", name)
            check_timeout(timeout)
            wanted = frozenset(members)
            exchange = self._open.get((namespace, name)) or self._new(namespace, name, wanted)
            giver = member or client.host
            exchange.refuse(wanted, giver, size)
            earlier = self.past.late(exchange.key, exchange.title, exchange.terms, giver, now)
            if isinstance(earlier, LinesyncError):
                raise earlier
            if exchange.key not in self._open:
                exchange.refuse_lost(giver)
            if timeout == 0:
                exchange.refuse_poll(giver)
            # The data of a poll takes time to arrive. The poll is checked again when its data is complete.
            wait = self.waits.open(arrival, client, exchange, giver, now, timeout or None, within)
            if exchange.key not in self._open:
                exchange.number = self.waits.journal.number()
                self._open[exchange.key] = exchange
                self._mark(exchange, new=True)
            self._set_until(exchange, None)
            exchange.join(wait, polls=timeout == 0)
            return []

        self.check_arrival(arrival, client)
        return self.waits.admit(arrival, client, now, join)

    def check_arrival(self, arrival: ArrivalId, client: Client) -> None:
        """Raise UsageError if a wait at another object has this id. That wait continues."""
        known = self.waits.find(client.host, arrival)
        if known is not None and not isinstance(known.place, Generation):
            raise UsageError(
                f"the arrival id {arrival} is already in use at {known.place.title}; use a new id for each arrival"
            )

    def is_open(self, namespace: str, name: str) -> bool:
        """Whether an exchange with this name is not complete."""
        return (namespace, name) in self._open

    def has_given(self, arrival: ArrivalId, client: Client) -> bool:
        """Whether the hub already has the data of an open arrival, because the arrival is a retry."""
        wait = self._wait(arrival, client)
        return wait is not None and wait.name in self._place(wait).data

    def given(self, arrival: ArrivalId, client: Client, key: int, now: float) -> list[Outcome]:
        """Record that the data of an arrival is complete. The data of an arrival that has ended is dropped.

        :param key: the key under which the caller has stored the data.
        :returns: :class:`Exchanged` for all arrivals if this data is the last.
        """
        wait = self._wait(arrival, client)
        if wait is None or wait.name in self._place(wait).data:
            self.dropped(key)
            return []
        return self._place(wait).give(wait, key, now)

    def cannot_keep(self, arrival: ArrivalId, client: Client, why: str, now: float) -> list[Outcome]:
        """Fail the exchange for all members because the data of an arrival cannot be stored.

        :param why: the reason as a clause.
        """
        wait = self._wait(arrival, client)
        return [] if wait is None else self._place(wait).cannot_keep(wait, why, now)

    def host_lost(self, host: str, cause: Cause, why: str, now: float) -> list[Outcome]:
        """Fail the exchanges that lack the data of a lost host. The caller ends the waits of its clients after this call."""
        outcomes: list[Outcome] = []
        for exchange in list(self._open.values()):
            outcomes += exchange.host_lost(host, cause, why, now)
        return outcomes

    def names(self) -> set[tuple[str, str]]:
        """The namespace and name of each object that a reset would forget."""
        return {*self._open, *self.past.names()}

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Forget exchanges of a namespace.

        :param names: the exchanges; None for all exchanges of the namespace.
        :returns: the number of forgotten objects, and the waits that the caller must fail. Their data is dropped with them.
        """
        keys = [(namespace, name) for name in dict.fromkeys(names)] if names is not None else None
        forgotten = self.past.forget(namespace, keys)
        open_keys = [key for key in (self._open if keys is None else keys) if key[0] == namespace and key in self._open]
        waits: list[Wait] = []
        for key in open_keys:
            exchange = self._open[key]
            exchange.forget_left()
            waits += exchange.all_waits()
            if not exchange.all_waits():
                self.close(exchange)
        return forgotten + len(open_keys), waits

    def next_timer(self) -> float | None:
        """The time of the next :meth:`handle_timer`, or None."""
        return self._left.next_timer()

    def handle_timer(self, now: float) -> None:
        """Forget the data of exchanges at which no arrival has waited for ten minutes."""
        for exchange in self._left.pop_due(now):
            exchange.forget_left()
            self.close(exchange)

    def data(self) -> set[int]:
        """The keys of all data that is needed."""
        return {key for exchange in self._open.values() for key in exchange.data.values()} | self.waits.results.data()

    def data_lost(self, keys: set[int], why: str, now: float) -> list[Outcome]:
        """Fail the open exchanges that need lost data, for all their members."""
        outcomes: list[Outcome] = []
        for exchange in list(self._open.values()):
            if not keys.isdisjoint(exchange.data.values()):
                outcomes += exchange.data_lost(why, now)
        return outcomes

    def _drop_all(self, keys: tuple[int, ...]) -> None:
        for key in keys:
            self.dropped(key)

    def is_open_arrival(self, host: str, arrival: ArrivalId) -> bool:
        """Whether this arrival waits at an exchange, and its data is not complete."""
        wait = self.waits.find(host, arrival)
        return wait is not None and isinstance(wait.place, Generation) and wait.name not in wait.place.data

    def status(self, now: float) -> list[ExchangeState]:
        """The state of each open generation."""
        return [exchange.state(now) for exchange in self._open.values()]

    # -- storing -------------------------------------------------------------------------------------------------------

    def _kept(self, key: tuple[str, str]) -> KeptExchange | None:
        exchange = self._open.get(key)
        return exchange.kept_itself() if exchange is not None else None

    def _kept_terms(self, key: tuple[str, str]) -> KeptTerms | None:
        exchange = self._open.get(key)
        return exchange.terms.kept() if exchange is not None else None

    def _kept_given(self, key: tuple[str, str, str]) -> KeptGiven | None:
        namespace, name, member = key
        exchange = self._open.get((namespace, name))
        return exchange.kept_member(member) if exchange is not None else None

    def _all_given(self) -> list[tuple[str, str, str]]:
        return [(*key, member) for key, exchange in self._open.items() for member in exchange.marked()]

    def restore(self, rows: Rows) -> None:
        """Restore the history and the open generations, but not the arrivals.

        :raises BadRow: a row is not valid.
        """
        terms: dict[tuple[str, ...], Terms] = {}

        def read_terms(key: list[str], kept: KeptTerms) -> None:
            terms[tuple(key)] = Terms.restore(kept)

        def restore_row(key: list[str], kept: KeptExchange) -> None:
            namespace, name = key
            exchange = Generation(self, namespace, name, terms[namespace, name])
            exchange.restore(kept, rows.shift)
            exchange.number = self.waits.journal.numbered(kept.number)
            self._open[exchange.key] = exchange
            if exchange.until is not None:
                self._left.set(exchange, exchange.until)

        def given(key: list[str], kept: KeptGiven) -> None:
            namespace, name, member = key
            self._open[namespace, name].restore_member(member, kept)

        self.past.restore(rows)
        rows.each("exchange terms", KeptTerms, read_terms)
        rows.each("exchange", KeptExchange, restore_row, by_number)
        rows.each("exchange given", KeptGiven, given)

    def place(self, at: AtExchange) -> Place:
        """The open generation of a stored arrival.

        :raises KeyError: it is not stored.
        """
        return self._open[at.namespace, at.exchange]

    # -- the interface for the generations -----------------------------------------------------------------------------

    def close(self, exchange: Generation) -> None:
        """Remove a generation that has ended."""
        self._left.cancel(exchange)
        if self._open.get(exchange.key) is exchange:
            del self._open[exchange.key]
            self._mark(exchange)

    def _mark(self, exchange: Generation, *, new: bool = False) -> None:
        """Mark the records of a generation that was opened or has ended."""
        self.waits.journal.mark("exchange", exchange.key, new=new)
        self.waits.journal.mark("exchange terms", exchange.key, new=new)
        for member in exchange.marked():
            self.waits.journal.mark("exchange given", (*exchange.key, member))

    def keep_data(self, exchange: Generation, now: float) -> None:
        """Start the timer that forgets the data of a generation at which no arrival waits."""
        self._set_until(exchange, now + RESULT_LIFE)

    def _set_until(self, exchange: Generation, until: float | None) -> None:
        if until is not None:
            self._left.set(exchange, until)
        else:
            self._left.cancel(exchange)
        if exchange.until != until:
            exchange.until = until
            self.waits.journal.mark("exchange", exchange.key)

    def _new(self, namespace: str, name: str, members: frozenset[str]) -> Generation:
        if not members:
            raise UsageError("an exchange needs members; name all of them (--hosts)")
        for member in members:
            check_member(member)
        if len(members) > MEMBERS_MAX:
            raise UsageError(
                f"an exchange has at most {MEMBERS_MAX} members, not {len(members)}; use several exchanges"
            )
        return Generation(self, namespace, name, Terms(count=len(members), members=members))

    def _wait(self, arrival: ArrivalId, client: Client) -> Wait | None:
        """The open arrival with this id if it belongs to this client, or None."""
        wait = self.waits.find(client.host, arrival)
        belongs = wait is not None and wait.client == client and isinstance(wait.place, Generation)
        return wait if belongs else None

    @staticmethod
    def _place(wait: Wait) -> Generation:
        assert isinstance(wait.place, Generation)
        return wait.place
