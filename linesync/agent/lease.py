"""The agent's side of the lease: when the hub may count this host as lost, the agent ends all that depends on the hub.

When the hub has not heard a host for the lease, it counts the host as lost. It reports that to the clients of commands on
that host, and grants the holds of the host's scripts to others. The agent cannot receive that, so it applies the same rule
on its side of the line: it ends the commands and notifies the scripts. A shorter interruption of the line has no effect.

What we hear from the hub does not show that the hub hears us: one direction of the line may fail earlier than the other. So
the time that counts is when we sent the newest frame that the hub has acknowledged (:attr:`Link.acknowledged_at`). The hub
heard us then or later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from .. import limits, protocol
from ..runtime.peer import Peer

__all__ = ["HubLease"]

_LOOKS = 8  # checks in one lease
_ASK_AT = 0.2  # part of the lease without an acknowledgement after which we ask the hub for one
_SCRIPTS_ASK_AT = 1 / 16  # the same while scripts ask, because they end their commands early when it is old ...
_SCRIPTS_ASK_LEAST = 0.2  # ... but not after fewer seconds


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
        self._tasks: set[asyncio.Task[Any]] = set()
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

    def answer(self) -> str:
        """The reply to a script's ``lease``: how long ago the hub has certainly heard this host, at most the lease."""
        link = self._uplink.link
        age = self._seconds
        if self._timer is not None and link is not None:
            age = max(min(age, self._loop.time() - link.acknowledged_at), 0.0)
            if age > max(self._seconds * _SCRIPTS_ASK_AT, _SCRIPTS_ASK_LEAST):
                self._uplink.ask_alive()
        option = "" if self._seconds == limits.LEASE else f"{self._seconds:g}"
        return protocol.encode_ok(f"{age:.6f}", lease=option)

    async def bound(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do this work. It is cancelled, with the reason, when the hub has acknowledged nothing for the lease."""
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
        if link is not None and link.acknowledged_at + self._seconds > now:
            when = min(when, link.acknowledged_at + self._seconds)
        self._timer = self._loop.call_at(when, self._look, when)

    def _look(self, due: float) -> None:
        now, link = self._loop.time(), self._uplink.link
        if link is not None and (self._tasks or self._holds()):
            age = now - link.acknowledged_at
            # If our own process was stopped, acknowledgements may still be unread.
            late = now - due > self._seconds / _LOOKS
            if age >= self._seconds and not late:
                why = f"the hub acknowledged nothing for {self._seconds:g} s"
                for task in list(self._tasks):
                    task.cancel(why)
                self._lost(why)
            elif age > self._seconds * _ASK_AT:
                self._uplink.ask_alive()
        self._set(now)
