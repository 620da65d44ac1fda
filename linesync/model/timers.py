"""Deadlines by key: at most one a key, the nearest always at hand.

1. A heap holds (due, serial, key); the dictionary holds which entry of a key counts. Setting anew or
   cancelling only changes the dictionary; the heap's stale entry is skipped when it comes up.
2. Stale entries never outnumber the live ones by much: past twice as many, the heap is built anew, so that a
   service that sets and cancels long deadlines all day stays small, at a constant cost for each call on
   average.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Timers"]

_Key = TypeVar("_Key", bound=Hashable)

_SLACK = 64  # stale entries that are not worth a rebuild


class Timers(Generic[_Key]):
    """At most one deadline a key, in monotonic seconds. Equal deadlines come due in the order set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Key]] = []
        self._live: dict[_Key, tuple[float, int]] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._live)

    def set(self, key: _Key, due: float) -> None:
        """Let ``key`` come due at ``due``, in place of any earlier deadline of it."""
        self._serial += 1
        self._live[key] = (due, self._serial)
        heapq.heappush(self._heap, (due, self._serial, key))
        self._compact()

    def cancel(self, key: _Key) -> None:
        """Forget the deadline of ``key``, if it has one."""
        self._live.pop(key, None)
        self._compact()

    def next_timer(self) -> float | None:
        """The nearest deadline, or None."""
        heap = self._heap
        while heap and self._live.get(heap[0][2]) != heap[0][:2]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> list[_Key]:
        """Remove and return every key that is due at ``now`` or before, the earliest first."""
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
