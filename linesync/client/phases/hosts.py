"""Services on hosts that have only an agent: one member for each host, on the controller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ...errors import LinesyncError
from ..aio import Client
from .runner import Phases

__all__ = ["HostPhases"]

_AGAIN = 1.0  # seconds between the loss of the hub and the next attempt to follow the hosts


class HostPhases:
    """Runs the services of each host while the host is up.

    :param client: a connection to the hub.
    :param make: makes the :class:`Phases` of a host, with its name as the tag.
    :param failed: called when the services of a host have ended with an error. The services of the other hosts continue.
    """

    def __init__(
        self,
        client: Client,
        hosts: Sequence[str],
        make: Callable[[str], Phases],
        failed: Callable[[str, LinesyncError], None],
    ) -> None:
        self._client = client
        self._make = make
        self._failed = failed
        self._up = {host: asyncio.Event() for host in hosts}
        self._down = {host: asyncio.Event() for host in hosts}

    async def run(self) -> None:
        """Run until the group is stopped, or the services of all hosts have ended with an error. Raises the first error."""
        following = asyncio.create_task(self._follow())
        members = {asyncio.create_task(self._serve(host)): host for host in self._up}
        pending = {*members}
        try:
            while pending:
                done, _ = await asyncio.wait({following, *pending}, return_when=asyncio.FIRST_COMPLETED)
                if following in done:
                    following.result()
                pending -= done
                if any(task.exception() is None for task in done):  # the group is stopped
                    pending = {task for task in pending if self._up[members[task]].is_set()}
        finally:
            for task in (following, *members):
                task.cancel()
            await asyncio.wait({following, *members})
        for task in members:
            if not task.cancelled():
                task.result()

    async def _serve(self, host: str) -> None:
        """Run the services of a host until the group is stopped. Start them again each time the host comes up."""
        while True:
            await self._up[host].wait()
            running = asyncio.create_task(self._make(host).run())
            down = asyncio.create_task(self._down[host].wait())
            try:
                await asyncio.wait({running, down}, return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    return running.result()
            except LinesyncError as error:
                self._failed(host, error)
                raise
            finally:
                running.cancel()
                down.cancel()
                await asyncio.wait({running, down})

    async def _follow(self) -> None:
        """Follow the states of the hosts, and record which hosts are up."""
        while True:
            try:
                following = await self._client.changes()
                async with following:
                    up = {host.name for host in await self._client.hosts() if host.state != "lost"}
                    for host in self._up:
                        self._set(host, host in up)
                    async for change in following:
                        if change.name in self._up and change.kind.startswith("host "):
                            self._set(change.name, change.kind == "host up")
            except LinesyncError:
                pass  # the hub is lost; the members notice this, too
            await asyncio.sleep(_AGAIN)

    def _set(self, host: str, up: bool) -> None:
        on, off = (self._up, self._down) if up else (self._down, self._up)
        on[host].set()
        off[host].clear()
