"""An asyncio event loop on virtual time: it never waits, so an idle hour takes no time.

``time()`` does not change while a call is ready to run. Then it jumps to the time of the next scheduled call. Code on this
loop must not use sockets, files that block, threads or processes: the loop has no selector, so a future that waits for them
would never complete. A job for an executor runs immediately, and takes no time of this clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf, ulp
from typing import Any

__all__ = ["VirtualLoop"]

_ITERATIONS_MOST = 100_000  # iterations at one instant; if there are more, the code is in an endless loop


class _Clock:
    """Takes the place of the loop's selector. The loop calls it to wait, which here advances the clock."""

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
    """The loop. Use :func:`asyncio.set_event_loop` only for code that asks for a loop without running in one.

    :param start: the first time on its clock, in seconds.
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
        # Otherwise a call that is due a nanosecond later would run now, and again and again if it waits for its time.
        self._clock_resolution = ulp(self._now)
        return self._now

    # -- for the test -------------------------------------------------------------------------------------------------

    def run_until(self, predicate: Callable[[], bool] | None, limit: float) -> bool:
        """Let time pass until the predicate is true or ``limit`` (a time on this clock) is reached.

        The predicate is checked after all calls of an instant have run.

        :returns: whether the predicate is true.
        """
        self._until, self._limit = predicate, limit
        try:
            self.run_forever()
        finally:
            self._until, self._limit = None, inf
        return predicate is None or predicate()

    def skip(self, seconds: float) -> None:
        """Advance the clock without running what was due in the meantime, as when the machine was asleep."""
        self._now += seconds

    def jump(self) -> None:
        """Nothing is left to do at this instant: advance the clock to the next one."""
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
        """Do nothing: there are no events without a selector."""

    def _write_to_self(self) -> None:
        """Do nothing: no thread waits in a selector."""

    def close(self) -> None:
        if not self.is_closed():
            super().close()
