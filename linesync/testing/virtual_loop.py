"""An asyncio event loop on virtual time. It never waits, so an idle hour takes no real time.

``time()`` does not change while a call is ready to run. After that it jumps to the time of the next scheduled call. Code on
this loop must not use sockets, files that block, threads or processes. The loop has no selector, so a future that waits for
them would never complete. A job for an executor runs immediately, and takes no time of this clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf, ulp
from typing import Any

__all__ = ["VirtualLoop"]

_ITERATIONS_MOST = 100_000  # the number of iterations at one instant above which the code is in an endless loop


class _Clock:
    """The replacement of the loop's selector. The loop calls it to wait. It then advances the clock instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._iterations = 0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout == 0:
            self._iterations += 1
            if self._iterations > _ITERATIONS_MOST:
                self._iterations = 0
                raise RuntimeError(f"the code on this loop is in an endless loop at {self._loop.time():.6f} s")
        else:
            self._iterations = 0
            self._loop.jump()
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """The event loop. Use :func:`asyncio.set_event_loop` only for code that needs a loop but does not run in a loop.

    :param start: the first time of its clock, in seconds.
    """

    _scheduled: list[asyncio.TimerHandle]
    _ready: Any

    def __init__(self, start: float = 1000.0) -> None:
        super().__init__()
        self._now = start
        self._until: Callable[[], bool] | None = None
        self._limit = inf
        self._selector = _Clock(self)

    def time(self) -> float:
        # With a coarser resolution, a call that is due a nanosecond later would run now, and repeatedly if it waits for its time.
        self._clock_resolution = ulp(self._now)
        return self._now

    # -- for the test -------------------------------------------------------------------------------------------------

    def run_until(self, predicate: Callable[[], bool] | None, limit: float) -> bool:
        """Let time pass until the predicate is true or the time ``limit`` of this clock is reached.

        The predicate is checked when all calls of an instant have run.

        :returns: whether the predicate is true.
        """
        self._until, self._limit = predicate, limit
        try:
            self.run_forever()
        finally:
            self._until, self._limit = None, inf
        return predicate is None or predicate()

    def skip(self, seconds: float) -> None:
        """Advance the clock without running the calls that become due, as if the machine had been suspended."""
        self._now += seconds

    def jump(self) -> None:
        """Advance the clock to the next instant, because all calls of this instant have run."""
        until, limit = self._until, self._limit
        if until is not None and until():
            self.stop()
            return
        when = self._scheduled[0].when() if self._scheduled else limit
        if when == inf:
            raise RuntimeError("the loop would wait forever: no call is scheduled")
        if when >= limit:
            self._now = max(self._now, limit)
            self.stop()
        elif when > self._now:
            self._now = when

    # -- required by BaseEventLoop ------------------------------------------------------------------------------------

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        try:
            value = func(*args)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(value)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """Do nothing, because there are no events without a selector."""

    def _write_to_self(self) -> None:
        """Do nothing, because no thread waits in a selector."""

    def close(self) -> None:
        if not self.is_closed():
            super().close()
