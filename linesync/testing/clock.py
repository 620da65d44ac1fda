"""An asyncio event loop whose clock jumps: nothing in it waits, and an hour passes as fast as what happens in it.

``time()`` stands still while there is something to do and then moves straight to the next scheduled call. What runs on
it must not touch sockets, threads or processes: the loop has no selector, and a future that only the outside could
complete would never be. What an executor is asked to run is run at once, in no time of this clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any

__all__ = ["JumpingLoop"]

_STILL = 100_000  # rounds at one instant that count as spinning


class _Clock:
    """Stands where a loop expects its selector, which is asked to wait when there is nothing else to do."""

    def __init__(self, loop: JumpingLoop) -> None:
        self._loop = loop
        self._rounds = 0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout == 0:
            self._rounds += 1
            if self._rounds > _STILL:
                self._rounds = 0
                raise RuntimeError(f"the loop spins at {self._loop.time():.6f}")
        else:
            self._rounds = 0
            self._loop.jump()
        return []


class JumpingLoop(asyncio.BaseEventLoop):
    """The loop. Use :func:`asyncio.set_event_loop` only where code asks for a loop without running in one.

    :param start: seconds on its clock.
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
        return self._now

    # -- for the test -------------------------------------------------------------------------------------------------

    def run_until(self, predicate: Callable[[], bool] | None, limit: float) -> bool:
        """Let time pass until the predicate holds, or ``limit`` (a time on this clock) is reached; whether it holds.

        It is asked when everything that happens at an instant has happened.
        """
        self._until, self._limit = predicate, limit
        try:
            self.run_forever()
        finally:
            self._until, self._limit = None, inf
        return predicate is None or predicate()

    def skip(self, seconds: float) -> None:
        """The machine was asleep: so much time is over, and what was due in it is late."""
        self._now += seconds

    def jump(self) -> None:
        """Nothing is left to do at this instant: go to the next one."""
        until, limit = self._until, self._limit
        if until is not None and until():
            self.stop()
            return
        when = self._scheduled[0].when() if self._scheduled else limit
        if when == inf:
            raise RuntimeError("nothing that this loop waits for can ever happen")
        if when >= limit:
            self._now = max(self._now, limit)
            self.stop()
        elif when > self._now:
            self._now = when

    # -- what a loop has ----------------------------------------------------------------------------------------------

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
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""

    def close(self) -> None:
        if not self.is_closed():
            super().close()
