"""The hub's clock: the time of the model, and the calls that the model and the leases need at certain times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Ticks"]

_STALL = (
    5.0  # if the hub itself is late by this many seconds (or a quarter of a lease), messages of hosts may be unread
)
_TICK = 1.0


class Ticks:
    """Calls the hub each second, and when the next deadline of the model is due.

    :param lease: seconds; with a short lease, the hub is called four times a lease.
    :param offset: the time of the model minus the time of the event loop.
    :param work: is called with the time, and whether the hub was so late that messages of hosts may be unread. It calls
        ``set``.
    """

    def __init__(self, lease: float, offset: float, work: Callable[[float, bool], None]) -> None:
        self.offset = offset
        self._period = min(_TICK, lease / 4)
        self._stall = min(_STALL, lease / 4)
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._stopped = False
        self._last = self.now()

    def now(self) -> float:
        """The time of the model: the time of the event loop, or one that continues when the hub or its machine restarts."""
        return self._loop.time() + self.offset

    def set(self, deadline: float | None) -> None:
        """The next deadline of the model, or None."""
        if self._stopped:
            return
        when = self._last + self._period
        if deadline is not None:
            when = min(deadline, when)
        if self._timer is not None:
            if self._timer_at <= when:
                return  # a call that is too early costs less than a new timer with each request
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(max(when - self.offset, self._loop.time()), self._tick), when

    def _tick(self) -> None:
        self._timer = None
        now = self.now()
        late = now - self._last > self._period + self._stall
        self._last = now
        self._work(now, late)

    def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
