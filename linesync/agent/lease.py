"""The agent's side of the lease: when the hub has been silent for the lease, the agent ends all that depends on it.

When the hub has not heard a host for the lease, it counts the host as lost. It reports that to the clients of commands on
that host, and grants the holds of the host's scripts to others. The agent cannot receive that, so it applies the same rule
on its side of the line: it ends the commands and notifies the scripts. A shorter interruption of the line has no effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from .. import limits
from ..runtime.peer import Peer

__all__ = ["HubLease"]

_LOOKS = 8  # checks in one lease
_ASK_AT = 0.45  # part of the lease without a frame after which we ask the hub for one; the hub does the same


class HubLease:
    """Watches the line to the hub during a session.

    :param uplink: the session with the hub.
    :param holds: returns whether scripts have holds, which go back when this host is lost.
    :param lost: called with the reason when the lease is over.
    """

    def __init__(self, uplink: Peer, holds: Callable[[], bool], lost: Callable[[str], None]) -> None:
        self._uplink = uplink
        self._holds = holds
        self._lost = lost
        self._seconds = limits.LEASE
        self._tasks: set[asyncio.Task[Any]] = set()  # bound: limits.CHANNELS, limits.SESSIONS
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: str) -> None:
        """Start to watch a new session.

        :param seconds: the lease that the hub sent, in seconds; empty or invalid for the default.
        """
        try:
            value = float(seconds)
        except ValueError:
            value = 0.0
        self._seconds = value if 0 < value < 1e9 else limits.LEASE
        self.stop()
        self._set(self._loop.time())

    def stop(self) -> None:
        """Stop watching, because the session is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def bound(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do this work. It is cancelled, with the reason, when the hub has been silent for the lease."""
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
            late = (
                now - due > self._seconds / _LOOKS
            )  # our own process was stopped: frames of the hub may still be unread
            if silent >= self._seconds and not late:
                why = f"the hub was not heard for {self._seconds:g} s"
                for task in list(self._tasks):
                    task.cancel(why)
                self._lost(why)
            elif silent > self._seconds * _ASK_AT:
                self._uplink.ask_alive()
        self._set(now)
