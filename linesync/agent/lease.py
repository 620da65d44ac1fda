"""The agent's side of the lease: when the hub may count this host as lost, the agent ends all work that depends on the hub.

When the hub has not heard a host for the lease, it counts the host as lost. It reports the loss to the clients of commands on
that host, and grants the holds of the host's scripts to other clients. The agent gets no report of this, because the line is
silent. Therefore it applies the same rule on its side of the line: it ends the commands and notifies the scripts. A shorter
interruption of the line has no effect.

One direction of the line may fail earlier than the other, so the hub may not hear the agent although the agent hears the hub.
The agent therefore uses the time at which it sent the newest frame that the hub has acknowledged
(:attr:`Link.acknowledged_at`). The hub heard the agent at that time or later.

While no work depends on the hub, the agent sends only keepalives, which the hub does not acknowledge. The lease therefore
begins not earlier than such work. While there is such work, the agent asks the hub for acknowledgements. If the line works,
the newest acknowledgement is always much younger than the lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from .. import limits, protocol
from ..runtime.peer import Peer
from ..wire.link import Link

__all__ = ["HubLease"]

_NEVER = float("-inf")
_CHECKS = 16  # the number of checks in one lease
_STOPPED = 1 / 8  # part of the lease: after a longer delay of a check, the agent assumes that its process was stopped
_ASK_AT = 1 / 8  # part of the lease: age of the newest acknowledgement at which the agent asks the hub for another
_SCRIPTS_ASK_AT = 1 / 16  # the same for requests of scripts, which end their commands if the acknowledgement is old
_SCRIPTS_ASK_LEAST = 0.2  # the least age for requests of scripts, in seconds


class HubLease:
    """Watches the line to the hub during a session.

    :param uplink: the session with the hub.
    :param has_holds: returns whether scripts of this host have holds, which the hub takes back when this host is lost.
    :param lost: called with the reason when the lease has ended.
    """

    def __init__(self, uplink: Peer, has_holds: Callable[[], bool], lost: Callable[[str], None]) -> None:
        self._uplink = uplink
        self._has_holds = has_holds
        self._lost = lost
        self.seconds = limits.LEASE
        """The lease in seconds."""
        self._idle_at = 0.0  # the last time at which no work depended on the hub
        self._acknowledged_at = _NEVER
        self._tasks: set[asyncio.Task[Any]] = set()  # bound: limits.CHANNELS, limits.SESSIONS
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: str) -> None:
        """Start to watch a new session.

        :param seconds: the lease that the hub sent, in seconds; empty or invalid for the default.
        """
        self._idle_at, self._acknowledged_at = self._loop.time(), _NEVER
        self.continues(seconds)

    def continues(self, seconds: str) -> None:
        """The session continues with another process of the hub. The parameter is that of :meth:`begin`."""
        try:
            value = float(seconds)
        except ValueError:
            value = 0.0
        self.seconds = value if 0 < value < 1e9 else limits.LEASE
        self.stop()
        self._set_timer(self._loop.time())

    def stop(self) -> None:
        """Stop watching, because the session has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def answer(self) -> str:
        """The reply to the request ``lease`` of a script: the seconds since the hub has certainly heard this host, at most
        the lease."""
        link = self._uplink.link
        age = self.seconds
        if self._timer is not None and link is not None:
            age = max(min(age, self._loop.time() - self._newest(link)), 0.0)
            if age > max(self.seconds * _SCRIPTS_ASK_AT, _SCRIPTS_ASK_LEAST):
                self._uplink.ask_alive()
        option = "" if self.seconds == limits.LEASE else f"{self.seconds:g}"
        return protocol.encode_ok(f"{age:.6f}", lease=option)

    async def bound(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run work that depends on the hub. It is cancelled, with the reason, if the hub acknowledges no frame for one
        lease."""
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
        """Whether any work or hold depends on the hub."""
        return bool(self._tasks) or self._has_holds() or bool(self._uplink.interrupted)

    def _newest(self, link: Link) -> float:
        """The time of the newest acknowledged frame. A session that continues after a restart of the hub has a new link
        session, in which nothing is acknowledged yet."""
        self._acknowledged_at = max(self._acknowledged_at, link.acknowledged_at)
        return self._acknowledged_at

    def _lease_end(self, link: Link) -> float:
        return max(self._newest(link), self._idle_at) + self.seconds

    def _set_timer(self, now: float) -> None:
        link = self._uplink.link
        check_at = now + self.seconds / _CHECKS
        if link is not None and self._lease_end(link) > now:
            check_at = min(check_at, self._lease_end(link))
        self._timer = self._loop.call_at(check_at, self._check, check_at)

    def _check(self, due: float) -> None:
        now, link = self._loop.time(), self._uplink.link
        if not self._depends:
            self._idle_at = now
        elif link is not None:
            # If this process was stopped (SIGSTOP), it may not have read the newest acknowledgements yet.
            was_stopped = now - due > self.seconds * _STOPPED
            if now >= self._lease_end(link) and not was_stopped:
                why = f"the hub acknowledged nothing for {self.seconds:g} s"
                tasks, self._tasks = self._tasks, set()  # cancel each only once, because a command needs time to end
                for task in tasks:
                    task.cancel(why)
                self._lost(why)
                self._uplink.cannot_continue(why)
                self._idle_at = now
            elif now - self._newest(link) > self.seconds * _ASK_AT:
                self._uplink.ask_alive()
        self._set_timer(now)
