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
5. A semaphore with the value 0, nobody waiting and nothing unconfirmed is the same as one that never was, and
   is forgotten.

Units are conserved: all given, less all confirmed, less all unconfirmed, is the value. Leases (``--hold``)
will keep a confirmed wait among the holders instead of letting it go; the give-back is then the same as for
an unconfirmed one.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice, takewhile

from ..errors import LinesyncFailed, Mismatch, TimedOut, UsageError
from .outcomes import ArrivalId, Level, Outcome
from .party import NAMES_TOLD, Cause, Client, check_name, check_timeout, seconds_in_words
from .waits import Place, Wait, Waits

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
    ) -> list[Outcome]:
        """Give (``delta`` > 0), take (< 0) or read (0) units; at most 2**53 - 1.

        :param timeout: seconds to wait for units; 0 polls, None waits for ever.
        :returns: :class:`Level` for this arrival, provisional when it took, and for those it woke; nothing
            while it waits; else its failure: UsageError (a bad name, amount or timeout), TimedOut (a poll
            with too few units), Mismatch (the semaphore would overflow), LinesyncFailed (too many names or
            waits).
        """

        def join() -> list[Outcome]:
            check_name("namespace", namespace)
            check_name("semaphore", name)
            check_timeout(timeout)
            if abs(delta) > UNITS_MAX:
                raise UsageError(f"a semaphore changes by at most {UNITS_MAX} units at a time, not by {delta}")
            semaphore = self._named.get((namespace, name)) or _Semaphore(self, self._waits, namespace, name)
            if delta == 0:
                return [self._waits.answer(arrival, client, Level(value=semaphore.value), now)]
            if delta < 0:
                return semaphore.take(arrival, -delta, client, now, timeout)
            semaphore.give(delta)
            woken = semaphore.settle(now)
            return [self._waits.answer(arrival, client, Level(value=semaphore.value), now), *woken]

        return self._waits.admit(arrival, client, now, join)

    def status(self, now: float) -> list[dict[str, object]]:
        """One JSON-able row for each semaphore; ``waiting`` is in seconds."""
        return [semaphore.status(now) for semaphore in self._named.values()]

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

    def __init__(self, home: Semaphores, waits: Waits, namespace: str, name: str) -> None:
        super().__init__("semaphore", namespace, name)
        self._home = home
        self._waits = waits
        self.value = 0
        # Ordered, for taking from the front costs an ordinary dictionary a walk over what was taken before.
        self._queue: OrderedDict[Wait, int] = OrderedDict()
        self._unconfirmed: dict[Wait, int] = {}
        self._lent = 0  # units in _unconfirmed

    def give(self, units: int) -> None:
        """Add units; :meth:`settle` then serves the takers."""
        if self.value + self._lent + units > UNITS_MAX:
            raise Mismatch(
                f"{self.title} holds {self.value} units, and {units} more would exceed {UNITS_MAX}; "
                "take some out first",
                details={"value": self.value, "given": units},
            )
        self._home.refuse_new(self)
        self._home.add(self)
        self.value += units

    def take(self, arrival: ArrivalId, units: int, client: Client, now: float, timeout: float | None) -> list[Outcome]:
        """Queue up for units and serve whoever can be served."""
        if timeout == 0 and (self._queue or self.value < units):
            raise self._short(f"{self.title} has not enough", units, None)
        self._home.refuse_new(self)
        wait = self._waits.open(arrival, client, self, client.host, now, timeout)
        self._home.add(self)
        self._queue[wait] = units
        return self.settle(now)

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

    def confirmed(self, wait: Wait) -> None:
        self._end_loan(wait)
        self._vanish_if_empty()

    def settle(self, now: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while self._queue:
            wait, units = next(iter(self._queue.items()))
            if units > self.value:
                break
            del self._queue[wait]
            self._unconfirmed[wait] = units
            self._lent += units
            self.value -= units
            outcomes.append(self._waits.grant(wait, Level(value=self.value), now, provisional=True))
        self._vanish_if_empty()
        return outcomes

    def _end_loan(self, wait: Wait) -> int:
        units = self._unconfirmed.pop(wait)
        self._lent -= units
        return units

    def _vanish_if_empty(self) -> None:
        if not (self.value or self._queue or self._unconfirmed):
            self._home.remove(self)

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
            "unconfirmed": [
                {"name": wait.name, "client": wait.client.number, "units": units}
                for wait, units in self._unconfirmed.items()
            ],
        }
