"""The hub's lease, as its agent keeps it: what depends on a hub that is not heard any more ends.

When the hub has not heard a host for the lease, it counts the host as lost: who runs a command there is told so, and
what its scripts hold goes to others. The agent cannot hear that; it ends the commands, and tells the scripts, by the same rule
from its side of the line. A line that is away for a shorter time costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from .. import limits
from ..runtime.peer import Peer

__all__ = ["HubLease"]

_LOOKS = 8  # in a lease
_ASK_AT = 0.45  # of a lease without a frame, after which the hub is asked for one; it asks us as early


class HubLease:
    """Watches the line to the hub while a session stands.

    :param holds: whether scripts hold what goes back when this host is lost.
    :param lost: called with the reason when the lease is over.
    """

    def __init__(self, uplink: Peer, holds: Callable[[], bool], lost: Callable[[str], None]) -> None:
        self._uplink = uplink
        self._holds = holds
        self._lost = lost
        self._seconds = limits.LEASE
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: str) -> None:
        """A session stands; the hub says how long its lease is, with nothing if it is as usual."""
        try:
            value = float(seconds)
        except ValueError:
            value = 0.0
        self._seconds = value if 0 < value < 1e9 else limits.LEASE
        self.stop()
        self._set(self._loop.time())

    def stop(self) -> None:
        """The session is over, and so is all that was done in it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def bound(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do this work, which is cancelled, with the reason, when the hub has been silent for its lease."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await work()
        finally:
            self._tasks.discard(task)

    def _set(self, now: float) -> None:
        link = self._uplink.link
        when = now + self._seconds / _LOOKS
        if link is not None and link.heard_at + self._seconds > now:
            when = min(when, link.heard_at + self._seconds)
        self._timer = self._loop.call_at(when, self._look, when)

    def _look(self, due: float) -> None:
        now, link = self._loop.time(), self._uplink.link
        if link is not None and (self._tasks or self._holds()):
            silent = now - link.heard_at
            late = now - due > self._seconds / _LOOKS  # we were stopped ourselves: what the hub said is still unread
            if silent >= self._seconds and not late:
                why = f"the hub was not heard for {self._seconds:g} s"
                for task in list(self._tasks):
                    task.cancel(why)
                self._lost(why)
            elif silent > self._seconds * _ASK_AT:
                self._uplink.ask_alive()
        self._set(now)
