"""Serves clients that return to their commands on hosts after this hub has started (docs/protocol.md, 8.7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .. import protocol
from ..errors import LinesyncFailed
from ..model.participants import Cause
from ..protocol import Run
from ..runtime.channels.streams import Stream
from .sessions import HubSession

__all__ = ["Returning"]


class Returning:
    """Makes clients wait until the hosts of their commands are connected.

    :param reachable: returns the session of a host, or raises LinesyncFailed.
    :param absent: returns the cause of the absence of a host; None while the host is alive.
    :param lease: the lease of the hub in seconds.
    """

    def __init__(
        self, reachable: Callable[[str], HubSession], absent: Callable[[str], Cause | None], lease: float
    ) -> None:
        self._reachable = reachable
        self._absent = absent
        self._lease = lease
        self._waiters: set[asyncio.Future[None]] = set()  # bound: limits.CHANNELS

    def host_changed(self) -> None:
        """Wake the waiting clients, because a host has connected or is lost."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, stream: Stream, opening: Run) -> tuple[HubSession, str]:
        """Wait until the host of a command is connected.

        :returns: the session of the host, and the text of the opening for this session.
        :raises LinesyncFailed: the host is lost, or did not connect within one lease.
        """
        host, began = opening.to, stream.now()
        try:
            async with asyncio.timeout(self._lease):
                while not self._is_decided(host):
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiters.add(waiter)
                    try:
                        await waiter
                    finally:
                        self._waiters.discard(waiter)
        except TimeoutError:
            pass
        try:
            session = self._reachable(host)
        except LinesyncFailed as error:
            raise LinesyncFailed(
                f"the command on {host} was lost: {error.message}; it may still be running on {host}, so look there before you"
                " run it again"
            ) from None
        return session, protocol.encode(opening.but(age=(opening.age or 0.0) + stream.now() - began))

    def _is_decided(self, host: str) -> bool:
        """Whether a host is connected or lost."""
        if self._absent(host) not in (None, Cause.NEVER_SEEN):
            return True
        try:
            self._reachable(host)
        except LinesyncFailed:
            return False
        return True
