"""Counting semaphores with dissem's rules: created at 0 by first use, changed by any amount, never below 0.

1. ``+N`` gives N units and never waits. ``-N`` takes N units, or waits until that many are there. ``0`` reads
   the value.
2. Takers are served strictly first come, first served: one that wants 3 and stands at the head keeps a later
   one that wants 1 waiting, even while 2 units are there. Otherwise a stream of small takers would starve the
   large one.
3. Whenever units come in or the queue changes, takers are served from the head for as long as the value
   covers the head: ``+4`` wakes four takers of 1.
4. What is taken is at first provisional. Confirmed, it has left the semaphore for good; if the client is gone
   first, it goes back and serves the next ones. Giving is final at once.
5. Units may be taken to *hold*: confirmed, they still belong to the semaphore, and go back when their client
   gives them back or is gone.
6. A bound, once asked for, is the most that value and lent units may come to: giving more is refused, and so is
   waiting for more than it. Who asks for another bound is refused; a reset forgets it.
7. A semaphore with the value 0, without a bound, nobody waiting and nothing lent is the same as one that never
   was, and is forgotten.

Units are conserved: all given, less all confirmed for good, less all lent, is the value.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice, takewhile

from ...errors import LinesyncFailed, Mismatch, TimedOut, UsageError
from ..decisions import ArrivalId, Level, Outcome
from ..participants import NAMES_TOLD, Cause, Client, check_name, check_timeout, seconds_in_words
from .waits import Acting, Edge, Hold, Place, Wait, Waits

__all__ = ["Semaphores"]

UNITS_MAX = (1 << 53) - 1  # units of one semaphore, taken provisionally ones included: exact in every JSON reader
NAMES_MAX = 10_000  # semaphores that exist at once
QUEUE_LISTED = 100  # takers in the details of one error


class Semaphores:
    """All semaphores of a hub, by namespace and name."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._named: dict[tuple[str, str], _Semaphore] = {}

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
        """Give (``delta`` > 0), take (< 0) or read (0) units; at most 2**53 - 1.

        :param timeout: seconds to wait for units; 0 polls, None waits for ever.
        :param hold: what is taken goes back with its client.
        :param bound: the most units it may ever have; 0 asks for none.
        :returns: :class:`Level` for this arrival, provisional when it took, and for those it woke; nothing
            while it waits; else its failure: UsageError (a bad name, amount or timeout), TimedOut (a poll
            with too few units), Mismatch (the bound, or another one), LinesyncFailed (too many names or
            waits).
        """

        def join() -> list[Outcome]:
            check_name("namespace", namespace)
            check_name("semaphore", name)
            check_timeout(timeout)
            if abs(delta) > UNITS_MAX or not 0 <= bound <= UNITS_MAX:
                wrong = f"a change by {delta}" if abs(delta) > UNITS_MAX else f"a bound of {bound}"
                raise UsageError(f"a semaphore has 0 to {UNITS_MAX} units, so {wrong} is none; give another number")
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
            woken = semaphore.settle(now)
            return [self._waits.answer(arrival, client, Level(value=semaphore.value), now), *woken]

        return self._waits.admit(arrival, client, now, join)

    def status(self, now: float) -> list[dict[str, object]]:
        """One JSON-able row for each semaphore; ``waiting`` is in seconds."""
        return [semaphore.status(now) for semaphore in self._named.values()]

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Empty semaphores of a namespace (None: all of them).

        :returns: how many, and the waits that are to fail, what is lent included.
        """
        keys = [(namespace, name) for name in dict.fromkeys(names)] if names is not None else list(self._named)
        found = [self._named[key] for key in keys if key[0] == namespace and key in self._named]
        return len(found), [wait for semaphore in found for wait in semaphore.empty()]

    def refuse_new(self, semaphore: _Semaphore) -> None:
        """Raise LinesyncFailed when this one does not exist yet and there are too many."""
        if semaphore.key not in self._named and len(self._named) >= NAMES_MAX:
            raise LinesyncFailed(
                f"{semaphore.title} cannot be created: this hub already holds {NAMES_MAX} semaphores; "
                "take the units out of those no longer used"
            )

    def add(self, semaphore: _Semaphore) -> None:
        """Remember a semaphore that is about to hold something."""
        self._named[semaphore.key] = semaphore

    def remove(self, semaphore: _Semaphore) -> None:
        """Forget a semaphore that holds nothing."""
        self._named.pop(semaphore.key, None)


class _Semaphore(Place):
    """One named semaphore."""

    OWNED = True

    def __init__(self, home: Semaphores, waits: Waits, namespace: str, name: str) -> None:
        super().__init__("semaphore", namespace, name)
        self._home = home
        self._waits = waits
        self.value = 0
        # Ordered, for taking from the front costs an ordinary dictionary a walk over what was taken before.
        self._queue: OrderedDict[Wait, int] = OrderedDict()
        self._lent: dict[Wait, int] = {}  # unconfirmed and held
        self._holders: set[Wait] = set()  # those who take in order to hold
        self._out = 0  # units in _lent
        self._bound = 0

    def check_bound(self, bound: int, wanted: int) -> None:
        """Raise Mismatch where a bound that is asked for cannot be."""
        if self._bound not in (0, bound):
            raise Mismatch(
                f"{self.title} is bounded by {self._bound} units, set by an earlier call, and you came with {bound}; "
                "use one bound everywhere, or another name",
                details={"bound": self._bound, "yours": bound},
            )
        if self.value + self._out > bound:
            raise Mismatch(
                f"{self.title} has {self.value + self._out} units already, more than the bound of {bound}; "
                "take some out, or reset it first",
                details={"value": self.value, "lent": self._out, "bound": bound},
            )
        self._refuse_more(wanted, bound)
        queued = max(self._queue.values(), default=0) if not self._bound else 0
        if queued > bound:
            raise Mismatch(
                f"{self.title} has somebody waiting for {queued} units, more than the bound of {bound}; "
                "use a larger bound, or let that one give up first",
                details={"bound": bound, "wanted": queued},
            )

    def _refuse_more(self, wanted: int, bound: int) -> None:
        if bound and wanted > bound:
            raise Mismatch(
                f"{self.title} never has more than {bound} units, and you want {wanted}; ask for less",
                details={"bound": bound, "wanted": wanted},
            )

    def give(self, units: int, bound: int) -> None:
        """Add units; :meth:`settle` then serves the takers."""
        most = bound or self._bound or UNITS_MAX
        if self.value + self._out + units > most:
            lent = f" and has lent {self._out}" if self._out else ""
            raise Mismatch(
                f"{self.title} holds {self.value} units{lent}, and {units} more would exceed its bound of {most}; "
                "take some out first",
                details={"value": self.value, "lent": self._out, "given": units, "bound": most},
            )
        self._home.refuse_new(self)
        self._home.add(self)
        self._bound = bound or self._bound
        self.value += units

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
        """Queue up for units and serve whoever can be served."""
        self._refuse_more(units, bound or self._bound)
        if timeout == 0 and (self._queue or self.value < units):
            raise self._short(f"{self.title} has not enough", units, None)
        self._home.refuse_new(self)
        wait = self._waits.open(arrival, client, self, client.host, now, timeout, within)
        self._home.add(self)
        self._bound = bound or self._bound
        self._queue[wait] = units
        if hold:
            self._holders.add(wait)
        return self.settle(now)

    def empty(self) -> list[Wait]:
        """Let all units go; the waits that are to fail with that."""
        self.value = -self._out  # what comes back from them fills it to 0
        self._bound = 0
        self._vanish_if_empty()
        return [*self._queue, *self._lent]

    def _short(self, headline: str, wanted: int, before: Wait | None) -> TimedOut:
        """Word a timeout: the value, and who is served before that wait, or at all."""
        first = islice(self._queue.items(), QUEUE_LISTED)
        ahead = list(takewhile(lambda entry: entry[0] is not before, first))
        told = [f"{wait.name} for {units}" for wait, units in ahead[:NAMES_TOLD]]
        queue = ", ".join([*told, "and others"] if len(ahead) > NAMES_TOLD else told)
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
        self._holders.discard(wait)

    def confirmed(self, wait: Wait) -> Hold:
        if wait in self._holders:
            return Hold.BY_CLIENT
        self._end_loan(wait)
        self._vanish_if_empty()
        return Hold.FOR_GOOD

    def settle(self, now: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while self._queue:
            wait, units = next(iter(self._queue.items()))
            if units > self.value:
                break
            del self._queue[wait]
            self._lent[wait] = units
            self._out += units
            self.value -= units
            outcomes.append(self._waits.grant(wait, Level(value=self.value), now, provisional=True))
        self._vanish_if_empty()
        return outcomes

    def _end_loan(self, wait: Wait) -> int:
        units = self._lent.pop(wait)
        self._out -= units
        return units

    def _vanish_if_empty(self) -> None:
        if not (self.value or self._queue or self._lent or self._bound):
            self._home.remove(self)

    # -- deadlocks and status -----------------------------------------------------------------------------------------------

    def able(self, waits: Sequence[Wait], acting: Acting) -> list[Wait]:
        held = {wait: units for wait, units in self._lent.items() if wait in self._holders}
        # What is not held may be given by anybody, whether it was there before or not.
        there = self.value + sum(held.values())
        lost = sum(units for wait, units in held.items() if not acting.holder(wait))
        reach = there - lost
        most = self._bound - lost if self._bound else UNITS_MAX
        for place, (wait, units) in enumerate(self._queue.items()):
            if reach < units <= there or units > most:
                # It waits for those who hold, and with it whoever is behind it.
                blocked = set(islice(self._queue, place, None))
                return [one for one in waits if one not in blocked]
            if units > there:
                break
            if wait not in self._holders:
                there -= units
        return list(waits)

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        return [
            Edge(tuple(acting.holder_waits(lent)), f"{self.title}, of which {lent.name} holds {units}")
            for lent, units in self._lent.items()
            if lent in self._holders and not acting.holder(lent)
        ]

    def status(self, now: float) -> dict[str, object]:
        namespace, name = self.key
        return {
            "namespace": namespace,
            "name": name,
            "value": self.value,
            "queue": [
                {"name": wait.name, "client": wait.client.number, "wants": units, "waiting": now - wait.since}
                for wait, units in self._queue.items()
            ],
            "bound": self._bound or None,
            "unconfirmed": [self._loan(wait) for wait in self._lent if wait.held is None],
            "holders": [self._loan(wait) for wait in self._lent if wait.held is not None],
        }

    def _loan(self, wait: Wait) -> dict[str, object]:
        return {"name": wait.name, "client": wait.client.number, "units": self._lent[wait]}
