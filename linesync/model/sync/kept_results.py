"""The results of ended arrivals. They are kept so that a client whose reply was lost can safely repeat its request.

1. A result is kept until its client confirms it, but for at most ten minutes. Only the 1,000 newest results of each host are
   kept. A host that never confirms therefore loses only its own results.
2. All results have the same lifetime. They expire in the order in which they were stored, so no heap is needed.
3. The result of an exchange needs the data of the exchange. The data is forgotten together with the last result that needs it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import replace

from ..decisions import ArrivalId, Exchanged, Failed, Granted, Outcome
from ..journal import Journal
from ..kept.rows import Rows, by_number
from ..kept.values import KeptError, kept_value, value_of
from ..kept.waits import AtClaim, AtSemaphore, KeptResult
from ..participants import Client

__all__ = ["Results"]

RESULT_LIFE = 600.0  # seconds that an unconfirmed result is kept
RESULTS_PER_HOST = 1000  # the maximum number of unconfirmed results of one host


class Results:
    """The outcomes of ended arrivals by host and arrival id, limited in time and number. Times are monotonic seconds.

    :ivar unneeded: called with the keys of the data of an exchange when no result needs the data any more.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal or Journal(on=False)
        self._journal.source("result", self._kept, lambda: self._all)
        self._all: OrderedDict[tuple[str, ArrivalId], tuple[float, int, Outcome]] = OrderedDict()
        """For each result: the time until which it is kept, its sequence number, and the outcome."""
        self._hosts: dict[str, OrderedDict[ArrivalId, None]] = {}
        self.unneeded: Callable[[tuple[int, ...]], None] = lambda keys: None
        self._data: Counter[tuple[int, ...]] = Counter()
        """The number of results that need the data with these keys."""
        self._taken: dict[tuple[str, ArrivalId], AtSemaphore | AtClaim] = {}
        """The units of semaphores and the hosts that arrivals have taken."""

    def __len__(self) -> int:
        return len(self._all)

    def put(self, outcome: Outcome, now: float, taken: AtSemaphore | AtClaim | None = None) -> None:
        """Keep the final outcome of an arrival that has no kept outcome yet.

        :param taken: the units or hosts that the arrival has taken.
        """
        key = (outcome.client.host, outcome.arrival)
        if taken is not None:
            self._taken[key] = taken
        self._journal.mark("result", key, new=key not in self._all)
        self._add(outcome, now + RESULT_LIFE, self._journal.number())

    def _add(self, outcome: Outcome, until: float, number: int) -> None:
        host, arrival = outcome.client.host, outcome.arrival
        kept = self._hosts.setdefault(host, OrderedDict())
        kept[arrival] = None
        self._all[host, arrival] = (until, number, outcome)
        if isinstance(outcome, Granted) and isinstance(outcome.value, Exchanged):
            self._data[outcome.value.keys] += 1
        if len(kept) > RESULTS_PER_HOST:
            self.drop(host, next(iter(kept)))

    def get(self, host: str, arrival: ArrivalId) -> Outcome | None:
        """The kept outcome of an arrival, or None."""
        found = self._all.get((host, arrival))
        return found[2] if found else None

    def adopt(self, arrival: ArrivalId, client: Client) -> Outcome | None:
        """The kept outcome of an arrival, or None. It belongs to this client from now on."""
        key = client.host, arrival
        found = self._all.get(key)
        if found is None:
            return None
        until, number, outcome = found
        if outcome.client != client:
            outcome = replace(outcome, client=client)
            self._all[key] = until, number, outcome
            self._journal.mark("result", key)
        return outcome

    def take_back(self, arrival: ArrivalId, client: Client) -> AtSemaphore | AtClaim | None:
        """Forget the outcome of a client's arrival that has taken units or hosts, and return them; None if there are none."""
        outcome, taken = self.get(client.host, arrival), self._taken.get((client.host, arrival))
        if outcome is None or outcome.client != client or taken is None:
            return None
        self.drop(client.host, arrival)
        return taken

    def reset(self, namespace: str, names: tuple[str, ...] | None) -> None:
        """Handle a reset of semaphores of a namespace: the units that were taken from them never return.

        :param names: the semaphores; None for all semaphores of the namespace.
        """
        for key, taken in self._taken.items():
            if not isinstance(taken, AtSemaphore) or taken.namespace != namespace:
                continue
            if taken.units and (names is None or taken.semaphore in names):
                self._taken[key] = taken.but(units=0)
                self._journal.mark("result", key)

    def drop(self, host: str, arrival: ArrivalId) -> Outcome | None:
        """Forget and return the outcome of an arrival; None if none is kept."""
        found = self._all.pop((host, arrival), None)
        if found is None:
            return None
        self._taken.pop((host, arrival), None)
        self._journal.mark("result", (host, arrival))
        kept = self._hosts[host]
        del kept[arrival]
        if not kept:
            del self._hosts[host]
        if isinstance(found[2], Granted) and isinstance(found[2].value, Exchanged):
            self._no_longer_needs(found[2].value.keys)
        return found[2]

    def _no_longer_needs(self, keys: tuple[int, ...]) -> None:
        self._data[keys] -= 1
        if not self._data[keys]:
            del self._data[keys]
            self.unneeded(keys)

    def data(self) -> set[int]:
        """The keys of the data that results need."""
        return {key for keys in self._data for key in keys}

    def next_timer(self) -> float | None:
        """The time at which the oldest result expires, or None."""
        return next(iter(self._all.values()))[0] if self._all else None

    def handle_timer(self, now: float) -> None:
        """Forget the results that have expired."""
        while (due := self.next_timer()) is not None and due <= now:
            self.drop(*next(iter(self._all)))

    # -- storing ---------------------------------------------------------------------------------------------

    def _kept(self, key: tuple[str, ArrivalId]) -> KeptResult | None:
        found = self._all.get(key)
        if found is None:
            return None
        until, number, outcome = found
        value = kept_value(outcome.value) if isinstance(outcome, Granted) else None
        error = KeptError.keep(outcome.error) if isinstance(outcome, Failed) else None
        return KeptResult(number, outcome.client.number, until, value, error, self._taken.get(key))

    def restore(self, rows: Rows) -> None:
        """Restore the results.

        :raises BadRow: a row is not valid.
        """

        def restore_row(parts: list[str], kept: KeptResult) -> None:
            host, arrival = parts
            client = rows.clients.client(host, kept.client)
            outcome: Outcome
            if kept.value is not None and kept.error is None:
                outcome = Granted(arrival=arrival, client=client, value=value_of(kept.value))
            elif kept.value is None and kept.error is not None:
                outcome = Failed(arrival=arrival, client=client, error=kept.error.restore())
            else:
                raise ValueError("it needs either a value or an error")
            if kept.taken is not None:
                self._taken[host, arrival] = kept.taken
            self._add(outcome, kept.until + rows.shift, self._journal.numbered(kept.number))

        rows.each("result", KeptResult, restore_row, by_number)
