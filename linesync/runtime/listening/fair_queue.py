"""Waiting requests, with one queue for each sender.

The senders are served in turn (round robin), so a sender with many requests does not delay the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["FairQueue", "Waiting"]

Waiting = tuple[str, str, bytes]
"""The id of a request or note, its text, and its bytes on channel 0."""


class FairQueue:
    """The queues of all senders. The requests of one sender stay in their order."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Waiting]] = {}  # bound: limits.CREDIT_PIPE
        """The queues that are not empty, by sender. The first sender is served next."""

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, sender: str, waiting: Waiting) -> None:
        self._queues.setdefault(sender, deque()).append(waiting)

    def take(self) -> Waiting:
        """Remove and return the oldest request of the next sender."""
        sender, queue = next(iter(self._queues.items()))
        del self._queues[sender]
        first = queue.popleft()
        if queue:
            self._queues[sender] = queue
        return first

    def remove(self, selects: Callable[[str], bool]) -> list[Waiting]:
        """Remove and return the requests that a function selects.

        :param selects: called with the id of each request; returns whether to remove it.
        """
        removed = []
        for sender, queue in list(self._queues.items()):
            removed += [waiting for waiting in queue if selects(waiting[0])]
            kept = deque(waiting for waiting in queue if not selects(waiting[0]))
            if kept:
                self._queues[sender] = kept
            else:
                del self._queues[sender]
        return removed

    def clear(self) -> None:
        self._queues.clear()
