"""The hub's clock: the time of the model, and the timer that calls the model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Ticks"]

_STALL = 5.0  # a delay of the timer in seconds (or a quarter of the lease) after which messages of hosts may be unread
_TICK = 1.0  # the most seconds between two calls


class Ticks:
    """Calls a function each second, and at the next deadline of the model.

    :param lease: the lease in seconds. With a lease of less than 4 s, the function is called four times in a lease.
    :param offset: the time of the model minus the time of the event loop, in seconds.
    :param work: is called with the time of the model, and with True if the call is so late that messages of hosts may be
        unread. It must call :meth:`set`.
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
        """The time of the model in seconds. With a state file, it continues after a restart of the hub or its machine."""
        return self._loop.time() + self.offset

    def set(self, deadline: float | None) -> None:
        """Set the time of the next deadline of the model, or None if there is no deadline."""
        if self._stopped:
            return
        tick_at = self._last + self._period
        if deadline is not None:
            tick_at = min(deadline, tick_at)
        if self._timer is not None:
            if self._timer_at <= tick_at:
                return  # an early call takes less time than a new timer for each request
            self._timer.cancel()
        self._timer, self._timer_at = (
            self._loop.call_at(max(tick_at - self.offset, self._loop.time()), self._tick),
            tick_at,
        )

    def _tick(self) -> None:
        self._timer = None
        now = self.now()
        overdue = now - self._last > self._period + self._stall
        self._last = now
        self._work(now, overdue)

    def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
