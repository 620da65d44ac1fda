"""Deadlines by key: at most one deadline for each key, with fast access to the nearest deadline.

1. A heap holds (due, serial, key), and a dictionary holds the current entry of each key. A deadline that is set again or
   cancelled leaves a stale entry in the heap, which is skipped when it reaches the top.
2. When the heap has more than twice as many entries as there are deadlines, it is rebuilt. The heap therefore stays small
   even if a service sets and cancels long deadlines all day. A stale entry adds only a constant average cost to a call.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Timers"]

_Key = TypeVar("_Key", bound=Hashable)

_SLACK = 64  # the number of stale entries up to which a rebuild is not worthwhile


class Timers(Generic[_Key]):
    """At most one deadline for each key, in monotonic seconds. Equal deadlines are due in the order in which they were
    set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Key]] = []
        self._live: dict[_Key, tuple[float, int]] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._live)

    def set(self, key: _Key, due: float) -> None:
        """Set the deadline of ``key``, and replace its earlier deadline.

        :param due: monotonic seconds.
        """
        self._serial += 1
        self._live[key] = (due, self._serial)
        heapq.heappush(self._heap, (due, self._serial, key))
        self._compact()

    def cancel(self, key: _Key) -> None:
        """Forget the deadline of ``key``, if it has one."""
        self._live.pop(key, None)
        self._compact()

    def due(self, key: _Key) -> float | None:
        """The deadline of ``key``, or None."""
        found = self._live.get(key)
        return found[0] if found is not None else None

    def next_timer(self) -> float | None:
        """The nearest deadline, or None."""
        heap = self._heap
        while heap and self._live.get(heap[0][2]) != heap[0][:2]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> list[_Key]:
        """Remove and return each key that is due at ``now`` or before, the earliest first."""
        keys: list[_Key] = []
        while (due := self.next_timer()) is not None and due <= now:
            key = heapq.heappop(self._heap)[2]
            del self._live[key]
            keys.append(key)
        return keys

    def _compact(self) -> None:
        if len(self._heap) > 2 * len(self._live) + _SLACK:
            self._heap = [(due, serial, key) for key, (due, serial) in self._live.items()]
            heapq.heapify(self._heap)
