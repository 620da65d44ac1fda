"""Results of ended arrivals, kept for a while so that a client whose reply was lost can safely ask again.

1. A result stays until its client confirms it, for at most ten minutes, and only while it is one of the 1,000 youngest of
   its host. So a host that never confirms loses only its own results.
2. All results have the same lifetime, so they expire in the order in which they were stored, and no heap is needed.
"""

from __future__ import annotations

from collections import OrderedDict

from ..decisions import ArrivalId, Outcome

__all__ = ["Results"]

RESULT_LIFE = 600.0  # seconds that an unconfirmed result is kept
RESULTS_PER_HOST = 1000  # most unconfirmed results of one host


class Results:
    """Outcomes by host and arrival id, bounded in time and number. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._all: OrderedDict[tuple[str, ArrivalId], tuple[float, Outcome]] = OrderedDict()
        self._hosts: dict[str, OrderedDict[ArrivalId, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def put(self, outcome: Outcome, now: float) -> None:
        """Keep the final outcome of an arrival that has no kept outcome yet."""
        host, arrival = outcome.client.host, outcome.arrival
        kept = self._hosts.setdefault(host, OrderedDict())
        kept[arrival] = None
        self._all[host, arrival] = (now + RESULT_LIFE, outcome)
        if len(kept) > RESULTS_PER_HOST:
            self.drop(host, next(iter(kept)))

    def get(self, host: str, arrival: ArrivalId) -> Outcome | None:
        """The kept outcome of an arrival, or None."""
        found = self._all.get((host, arrival))
        return found[1] if found else None

    def drop(self, host: str, arrival: ArrivalId) -> Outcome | None:
        """Forget the outcome of an arrival and return it; None if there is none."""
        found = self._all.pop((host, arrival), None)
        if found is None:
            return None
        kept = self._hosts[host]
        del kept[arrival]
        if not kept:
            del self._hosts[host]
        return found[1]

    def next_timer(self) -> float | None:
        """When the oldest result expires, or None."""
        return next(iter(self._all.values()))[0] if self._all else None

    def handle_timer(self, now: float) -> None:
        """Forget the results that have expired."""
        while (due := self.next_timer()) is not None and due <= now:
            self.drop(*next(iter(self._all)))
