"""Counting semaphores with dissem's rules: the first use creates a semaphore with the value 0, and the value never
becomes negative.

1. ``+N`` gives N units and never waits. ``-N`` takes N units, or waits until there are N units. ``0`` reads the value. A
   *taker* is an arrival that takes units.
2. Takers are served strictly in order of arrival. While the first taker wants 3 units and there are 2, a later taker of 1
   unit waits too. Otherwise a stream of small takers would starve a large taker.
3. Whenever units arrive or the queue changes, takers are served from the head of the queue as long as there are enough units
   for the head: ``+4`` serves four takers of 1 unit.
4. The units of a taker are at first *lent*. When the client confirms them, they leave the semaphore. If the client is gone
   before that, they return and serve the next takers. A request that gives units is final immediately.
5. A taker may *hold* its units. They are still lent after the confirmation, and return when the client gives them back or is
   gone.
6. A bound limits the sum of the value and the lent units. A request sets the bound. Until a reset, a request with another
   bound is refused. A request that gives or wants more than the bound allows is refused too.
7. A semaphore with the value 0, no bound, no waiting taker and no lent units is forgotten: it equals a new semaphore.

Units are conserved: the value is the number of units given, minus the units that left, minus the units that are lent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice, takewhile

from ...errors import LinesyncFailed, Mismatch, TimedOut, UsageError
from ..decisions import ArrivalId, Level, Outcome
from ..kept.objects import KeptSemaphore
from ..kept.rows import Rows, by_number
from ..kept.waits import AtSemaphore
from ..participants import NAMES_SHOWN, Cause, Client, check_name, check_timeout, seconds_in_words
from ..state.sync.semaphore import Loan, SemaphoreState, Taker
from .place import Acting, Edge, Place
from .waits import Hold, Wait, Waits

__all__ = ["Semaphores"]

UNITS_MAX = (1 << 53) - 1
"""The maximum number of units of one semaphore, including lent units. Every JSON reader reads this number exactly."""
NAMES_MAX = 10_000  # the maximum number of semaphores
QUEUE_LISTED = 100  # the maximum number of takers in the details of one error


class Semaphores:
    """All semaphores of a hub, by namespace and name."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._named: dict[tuple[str, str], _Semaphore] = {}
        waits.journal.source("semaphore", self._kept, lambda: self._named)

    def __len__(self) -> int:
        return len(self._named)

    def change(
        self,
        arrival: ArrivalId,
        namespace: str,
        name: str,
        delta: int,
        client: Client,
        now: float,
        timeout: float | None = None,
        *,
        hold: bool = False,
        bound: int = 0,
        within: str = "",
    ) -> list[Outcome]:
        """Give, take or read units.

        :param delta: the number of units to give (above 0) or to take (below 0), at most 2**53 - 1; 0 reads the value.
        :param timeout: seconds to wait for units; 0 polls, None waits without limit.
        :param hold: whether the units return when the client is gone.
        :param bound: the largest number of units that the semaphore may have; 0 to set no bound.
        :param within: the arrival id of the hold on whose behalf this arrival waits; empty for none.
        :returns: :class:`Level` for this arrival (provisional if it takes units) and for each taker that it serves; an
            empty list while it waits; else the failure of this arrival: UsageError (an invalid name, number of units or
            timeout), TimedOut (a poll with too few units), Mismatch (more than the bound, or another bound),
            LinesyncFailed (too many names or waits).
        """

        def join() -> list[Outcome]:
            check_name("namespace", namespace)
            check_name("semaphore", name)
            check_timeout(timeout)
            if abs(delta) > UNITS_MAX or not 0 <= bound <= UNITS_MAX:
                value = f"change by {delta}" if abs(delta) > UNITS_MAX else f"bound {bound}"
                raise UsageError(f"invalid {value}: a semaphore has 0 to {UNITS_MAX} units")
            if hold and delta >= 0:
                raise UsageError("only units that are taken can be held; give a negative amount")
            semaphore = self._named.get((namespace, name)) or _Semaphore(self, self._waits, namespace, name)
            if bound:
                semaphore.check_bound(bound, -delta)
            if delta == 0:
                return [self._waits.answer(arrival, client, Level(value=semaphore.value), now)]
            if delta < 0:
                return semaphore.take(arrival, -delta, client, now, timeout, hold, bound, within)
            semaphore.give(delta, bound)
            self._waits.note("semaphore changed", semaphore.key, client.host, semaphore.value)
            served = semaphore.settle(now)
            return [self._waits.answer(arrival, client, Level(value=semaphore.value), now), *served]

        return self._waits.admit(arrival, client, now, join)

    def give_back(self, taken: AtSemaphore, client: Client, now: float) -> list[Outcome]:
        """Return units that a client has taken, as many as the bound permits, and serve the takers."""
        key = taken.namespace, taken.semaphore
        semaphore = self._named.get(key) or _Semaphore(self, self._waits, *key)
        units = min(taken.units, semaphore.room())
        if units <= 0 or (key not in self._named and len(self._named) >= NAMES_MAX):
            return []
        semaphore.give(units, 0)
        self._waits.note("semaphore changed", key, client.host, semaphore.value)
        return semaphore.settle(now)

    def status(self, now: float) -> list[SemaphoreState]:
        """The state of each semaphore."""
        return [semaphore.state(now) for semaphore in self._named.values()]

    def names(self) -> set[tuple[str, str]]:
        """The namespace and name of each object that a reset would forget."""
        return set(self._named)

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Remove all units of semaphores of a namespace.

        :param names: the semaphores; None for all semaphores of the namespace.
        :returns: the number of semaphores, and the waits that the caller must fail, including those with lent units.
        """
        names = None if names is None else tuple(dict.fromkeys(names))
        self._waits.reset(namespace, names)
        keys = [(namespace, name) for name in names] if names is not None else list(self._named)
        found = [self._named[key] for key in keys if key[0] == namespace and key in self._named]
        return len(found), [wait for semaphore in found for wait in semaphore.empty()]

    def refuse_new(self, semaphore: _Semaphore) -> None:
        """Raise LinesyncFailed if this semaphore does not exist yet and there are too many already."""
        if semaphore.key not in self._named and len(self._named) >= NAMES_MAX:
            raise LinesyncFailed(
                f"{semaphore.title} cannot be created: this hub already has {NAMES_MAX} semaphores; "
                "take the units out of the semaphores that are no longer used"
            )

    def add(self, semaphore: _Semaphore) -> None:
        """Keep a semaphore that is about to have units or waits."""
        if semaphore.key not in self._named:
            semaphore.number = self._waits.journal.number()
            self._named[semaphore.key] = semaphore
            self._waits.journal.mark("semaphore", semaphore.key, new=True)

    def remove(self, semaphore: _Semaphore) -> None:
        """Forget a semaphore without units, waits and bound."""
        self._named.pop(semaphore.key, None)
        self._waits.journal.mark("semaphore", semaphore.key)

    # -- storing ---------------------------------------------------------------------------------------------------------

    def _kept(self, key: tuple[str, str]) -> KeptSemaphore | None:
        semaphore = self._named.get(key)
        return semaphore.kept_itself() if semaphore is not None else None

    def restore(self, rows: Rows) -> None:
        """Restore the semaphores, but not the waits and holds.

        :raises BadRow: a row is not valid.
        """

        def restore_row(key: list[str], kept: KeptSemaphore) -> None:
            namespace, name = key
            semaphore = _Semaphore(self, self._waits, namespace, name)
            semaphore.restore(kept)
            semaphore.number = self._waits.journal.numbered(kept.number)
            self._named[semaphore.key] = semaphore

        rows.each("semaphore", KeptSemaphore, restore_row, by_number)

    def place(self, at: AtSemaphore) -> Place:
        """The semaphore of a stored wait.

        :raises KeyError: it is not stored.
        """
        return self._named[at.namespace, at.semaphore]


class _Semaphore(Place):
    """One named semaphore."""

    OWNED = True

    def __init__(self, home: Semaphores, waits: Waits, namespace: str, name: str) -> None:
        super().__init__("semaphore", namespace, name)
        self._home = home
        self._waits = waits
        self.value = 0
        # An OrderedDict, because a plain dict steps over all removed entries to find its first entry.
        self._queue: OrderedDict[Wait, int] = OrderedDict()
        self._lent: dict[Wait, int] = {}  # units that are not confirmed, or are held
        self._holders: set[Wait] = set()  # the waits that asked to hold
        self._lent_units = 0  # the sum of the units in _lent
        self._bound = 0

    def check_bound(self, bound: int, wanted: int) -> None:
        """Raise Mismatch if this bound cannot be set.

        :param wanted: the units that the call wants to take.
        """
        if self._bound not in (0, bound):
            raise Mismatch(
                f"{self.title} has a bound of {self._bound} units from an earlier call, but this call sets {bound}; "
                "use the same bound everywhere, or another name",
                details={"bound": self._bound, "yours": bound},
            )
        if self.value + self._lent_units > bound:
            raise Mismatch(
                f"{self.title} already has {self.value + self._lent_units} units, more than the bound of {bound}; "
                "take some out, or reset it first",
                details={"value": self.value, "lent": self._lent_units, "bound": bound},
            )
        self._refuse_more(wanted, bound)
        queued = max(self._queue.values(), default=0) if not self._bound else 0
        if queued > bound:
            raise Mismatch(
                f"a client is waiting for {queued} units of {self.title}, more than the bound of {bound}; "
                "use a larger bound, or end that wait first",
                details={"bound": bound, "wanted": queued},
            )

    def _refuse_more(self, wanted: int, bound: int) -> None:
        if bound and wanted > bound:
            raise Mismatch(
                f"{self.title} never has more than {bound} units, but this call wants {wanted}; ask for fewer",
                details={"bound": bound, "wanted": wanted},
            )

    def room(self, bound: int = 0) -> int:
        """The number of units that can be added.

        :param bound: the bound that the call sets; 0 for none.
        """
        return (bound or self._bound or UNITS_MAX) - self.value - self._lent_units

    def give(self, units: int, bound: int) -> None:
        """Add units. Call :meth:`settle` to serve the takers."""
        limit = bound or self._bound or UNITS_MAX
        if units > self.room(bound):
            lent = f" and has lent {self._lent_units}" if self._lent_units else ""
            raise Mismatch(
                f"{self.title} has {self.value} units{lent}, and {units} more would exceed its bound of {limit}; "
                "take some out first",
                details={"value": self.value, "lent": self._lent_units, "given": units, "bound": limit},
            )
        self._home.refuse_new(self)
        self._home.add(self)
        self._bound = bound or self._bound
        self.value += units
        self._changed()

    def take(
        self,
        arrival: ArrivalId,
        units: int,
        client: Client,
        now: float,
        timeout: float | None,
        hold: bool,
        bound: int,
        within: str,
    ) -> list[Outcome]:
        """Queue an arrival for units, and serve the takers."""
        self._refuse_more(units, bound or self._bound)
        if timeout == 0 and (self._queue or self.value < units or (hold and now < self._waits.holds_from)):
            raise self._short(f"{self.title} has too few units", units, None)
        self._home.refuse_new(self)
        wait = self._waits.open(arrival, client, self, client.host, now, timeout, within)
        self._home.add(self)
        if bound and not self._bound:
            self._bound = bound
            self._changed()
        self._queue[wait] = units
        if hold:
            self._holders.add(wait)
        return self.settle(now)

    def empty(self) -> list[Wait]:
        """Drop all units. Return the waits that the caller must fail."""
        self.value = -self._lent_units  # when these waits end, their lent units return and the value becomes 0
        self._bound = 0
        self._changed()
        self._remove_if_empty()
        return [*self._queue, *self._lent]

    def _short(self, headline: str, wanted: int, before: Wait | None) -> TimedOut:
        """The error for a timeout: the value, and the takers in the queue before the wait ``before`` (None: all takers).

        :param headline: the first clause of the message.
        :param wanted: the number of units that the taker wants.
        """
        first = islice(self._queue.items(), QUEUE_LISTED)
        ahead = list(takewhile(lambda entry: entry[0] is not before, first))
        parts = [f"{wait.name} for {units}" for wait, units in ahead[:NAMES_SHOWN]]
        queue = ", ".join([*parts, "and others"] if len(ahead) > NAMES_SHOWN else parts)
        return TimedOut(
            f"{headline}: {wanted} wanted, its value is {self.value}" + (f"; served first: {queue}" if queue else ""),
            details={
                "value": self.value,
                "wanted": wanted,
                "queue": [{"name": wait.name, "wants": units} for wait, units in ahead],
            },
        )

    def timed_out(self, wait: Wait) -> TimedOut:
        after = seconds_in_words(wait.timeout or 0)
        return self._short(f"timed out after {after} at {self.title}", self._queue[wait], wait)

    def leave(self, wait: Wait, cause: Cause) -> None:
        if wait.granted is None:
            del self._queue[wait]
        else:
            self.value += self._end_loan(wait)
            self._changed()
            self._waits.note("semaphore changed", self.key, wait.name, self.value, str(cause), wait.client)
        self._holders.discard(wait)

    def confirmed(self, wait: Wait) -> Hold:
        if wait in self._holders:
            return Hold.BY_CLIENT
        self._end_loan(wait)
        self._remove_if_empty()
        return Hold.FINAL

    def settle(self, now: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while self._queue:
            wait, units = next(iter(self._queue.items()))
            if units > self.value or (wait in self._holders and now < self._waits.holds_from):
                break
            del self._queue[wait]
            self._lent[wait] = units
            self._lent_units += units
            self.value -= units
            self._changed()
            self._waits.note("semaphore changed", self.key, wait.name, self.value, client=wait.client)
            outcomes.append(self._waits.grant(wait, Level(value=self.value), now, provisional=True))
        self._remove_if_empty()
        return outcomes

    def _changed(self) -> None:
        """Mark the stored record as changed: the value or the bound is different."""
        self._waits.journal.mark("semaphore", self.key)

    def _end_loan(self, wait: Wait) -> int:
        units = self._lent.pop(wait)
        self._lent_units -= units
        return units

    def _remove_if_empty(self) -> None:
        if not (self.value or self._queue or self._lent or self._bound):
            self._home.remove(self)

    # -- storing ------------------------------------------------------------------------------------------------------------

    def kept_itself(self) -> KeptSemaphore:
        return KeptSemaphore(self.number, self.value, self._bound)

    def restore(self, kept: KeptSemaphore) -> None:
        if not 0 <= kept.value <= UNITS_MAX or not 0 <= kept.bound <= UNITS_MAX:
            raise ValueError(f"a semaphore has 0 to {UNITS_MAX} units")
        self.value, self._bound = kept.value, kept.bound

    def kept(self, wait: Wait) -> AtSemaphore:
        units = self._queue[wait] if wait.granted is None else self._lent[wait]
        return AtSemaphore(*self.key, units, wait in self._holders)

    def restore_wait(self, wait: Wait, at: AtSemaphore) -> None:
        if not 1 <= at.units <= UNITS_MAX:
            raise ValueError(f"a client wants or has 1 to {UNITS_MAX} units")
        if wait.granted is None:
            self._queue[wait] = at.units
        else:
            self._lent[wait] = at.units
            self._lent_units += at.units
        if at.holds:
            self._holders.add(wait)

    # -- deadlocks and status -----------------------------------------------------------------------------------------------

    def able(self, waits: Sequence[Wait], acting: Acting) -> list[Wait]:
        held_units = {wait: units for wait, units in self._lent.items() if wait in self._holders}
        # Any client may give new units, so only held units can be missing forever.
        available = self.value + sum(held_units.values())
        lost = sum(units for wait, units in held_units.items() if not acting.holder(wait))
        reachable = available - lost
        limit = self._bound - lost if self._bound else UNITS_MAX
        for position, (wait, units) in enumerate(self._queue.items()):
            if reachable < units <= available or units > limit:
                # This taker waits for the holders, and all takers behind it wait too.
                blocked = set(islice(self._queue, position, None))
                return [open_wait for open_wait in waits if open_wait not in blocked]
            if units > available:
                break
            if wait not in self._holders:
                available -= units
        return list(waits)

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        return [
            Edge(tuple(acting.holder_waits(lent)), f"{self.title}, of which {lent.name} holds {units}")
            for lent, units in self._lent.items()
            if lent in self._holders and not acting.holder(lent)
        ]

    def state(self, now: float) -> SemaphoreState:
        namespace, name = self.key
        return SemaphoreState(
            namespace=namespace,
            name=name,
            value=self.value,
            queue=tuple(
                [
                    Taker(name=wait.name, client=wait.client.number, wants=units, waiting=now - wait.since)
                    for wait, units in self._queue.items()
                ]
            ),
            bound=self._bound or None,
            unconfirmed=tuple([self._loan(wait) for wait in self._lent if wait.held is None]),
            holders=tuple([self._loan(wait) for wait in self._lent if wait.held is not None]),
        )

    def _loan(self, wait: Wait) -> Loan:
        return Loan(name=wait.name, client=wait.client.number, units=self._lent[wait], lost=wait.lapses)
