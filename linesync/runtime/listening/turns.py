"""Round-robin scheduling of the peers that have received more bytes than one slice of time can handle.

Each iteration of the event loop handles one slice of one of these peers. One or many such peers therefore delay the other
peers by at most one slice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary, ref

__all__ = ["Turns", "turns_of"]


class Turns:
    """The queue of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self._queue: deque[Callable[[], bool]] = deque()  # bound: limits.SESSIONS, options

    def add(self, work: Callable[[], bool]) -> None:
        """Call a function repeatedly until it returns False. Between two calls, the other functions are called."""
        self._queue.append(work)
        if len(self._queue) == 1:
            self._schedule()

    def _next(self) -> None:
        work = self._queue[0]
        more = False
        try:
            more = work()
        finally:
            self._queue.popleft()
            if more:
                self._queue.append(work)
            if self._queue:
                self._schedule()

    def _schedule(self) -> None:
        loop = self._loop()  # the queue must not keep its loop alive
        if loop is not None:
            loop.call_soon(self._next)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def turns_of(loop: asyncio.AbstractEventLoop) -> Turns:
    """The queue of a loop."""
    found = _turns.get(loop)
    if found is None:
        found = _turns[loop] = Turns(loop)
    return found
