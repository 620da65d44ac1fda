"""The agent's side of the lease: when the hub may count this host as lost, the agent ends everything that depends on the hub.

When the hub has not heard a host for the lease, it counts the host as lost. It reports that to the clients of commands on
that host, and grants the holds of the host's scripts to others. The agent cannot receive that, so it applies the same rule
on its side of the line: it ends the commands and notifies the scripts. A shorter interruption of the line has no effect.

If we hear the hub, the hub may still not hear us: one direction of the line may fail earlier than the other. So
the time that counts is when we sent the newest frame that the hub has acknowledged (:attr:`Link.acknowledged_at`). The hub
heard us then or later.

While nothing depends on the hub, we send only keepalives, which nobody acknowledges. So the lease counts at the earliest from
the time when something began to depend on the hub. From then on we ask the hub for an acknowledgement so often that, while
the line works, the newest one is always much younger than the lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from .. import limits, protocol
from ..runtime.peer import Peer
from ..wire.link import Link

__all__ = ["HubLease"]

_CHECKS = 16  # checks in one lease
_STOPPED = 1 / 8  # part of the lease: if a check is delayed by more than this, our own process was stopped
_ASK_AT = 1 / 8  # part of the lease without an acknowledgement after which we ask the hub for one
_SCRIPTS_ASK_AT = 1 / 16  # the same if a script asks: it ends its command early if the acknowledgement is old
_SCRIPTS_ASK_LEAST = 0.2  # the minimum of that in seconds


class HubLease:
    """Watches the line to the hub during a session.

    :param uplink: the session with the hub.
    :param has_holds: returns whether scripts have holds, which the hub takes back when this host is lost.
    :param lost: called with the reason when the lease has ended.
    """

    def __init__(self, uplink: Peer, has_holds: Callable[[], bool], lost: Callable[[str], None]) -> None:
        self._uplink = uplink
        self._has_holds = has_holds
        self._lost = lost
        self.seconds = limits.LEASE
        """The lease in seconds."""
        self._idle_at = 0.0  # when we last saw that nothing depends on the hub
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
        self.seconds = value if 0 < value < 1e9 else limits.LEASE
        self.stop()
        self._idle_at = self._loop.time()
        self._set_timer(self._idle_at)

    def stop(self) -> None:
        """Stop watching, because the session has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def answer(self) -> str:
        """The reply to a script's ``lease``: how long ago the hub has certainly heard this host, at most the lease."""
        link = self._uplink.link
        age = self.seconds
        if self._timer is not None and link is not None:
            age = max(min(age, self._loop.time() - link.acknowledged_at), 0.0)
            if age > max(self.seconds * _SCRIPTS_ASK_AT, _SCRIPTS_ASK_LEAST):
                self._uplink.ask_alive()
        option = "" if self.seconds == limits.LEASE else f"{self.seconds:g}"
        return protocol.encode_ok(f"{age:.6f}", lease=option)

    async def bound(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do this work. It is cancelled, with the reason, when the hub has acknowledged nothing for one lease."""
        task = asyncio.current_task()
        assert task is not None
        if not self._depends:
            self._idle_at = self._loop.time()
        self._tasks.add(task)
        try:
            await work()
        finally:
            self._tasks.discard(task)

    @property
    def _depends(self) -> bool:
        """Whether anything depends on the hub."""
        return bool(self._tasks) or self._has_holds() or bool(self._uplink.interrupted)

    def _lease_end(self, link: Link) -> float:
        return max(link.acknowledged_at, self._idle_at) + self.seconds

    def _set_timer(self, now: float) -> None:
        link = self._uplink.link
        when = now + self.seconds / _CHECKS
        if link is not None and self._lease_end(link) > now:
            when = min(when, self._lease_end(link))
        self._timer = self._loop.call_at(when, self._check, when)

    def _check(self, due: float) -> None:
        now, link = self._loop.time(), self._uplink.link
        if not self._depends:
            self._idle_at = now
        elif link is not None:
            # If our own process was stopped, acknowledgements may still be unread.
            was_stopped = now - due > self.seconds * _STOPPED
            if now >= self._lease_end(link) and not was_stopped:
                why = f"the hub acknowledged nothing for {self.seconds:g} s"
                tasks, self._tasks = self._tasks, set()  # each is cancelled once; a command gets some seconds to end
                for task in tasks:
                    task.cancel(why)
                self._lost(why)
                self._uplink.cannot_continue(why)
                self._idle_at = now
            elif now - link.acknowledged_at > self.seconds * _ASK_AT:
                self._uplink.ask_alive()
        self._set_timer(now)
