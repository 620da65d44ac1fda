"""A hub and an agent inside this process, on real sockets or ptys, and the number of their objects and resources."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from linesync.agent.agent import Agent
from linesync.hub.hub import Hub
from linesync.model.policy import Policy, Rule
from linesync.protocol import codec
from linesync.runtime.identity import token
from linesync.runtime.listening import reports
from linesync.testing.nullmodem import NullModem
from tests.e2e.attacks.attack import resident
from tests.e2e.kit import children_of

__all__ = ["Inside", "inside"]

LEASE = 20.0
_Window = reports._Window
"""The window of the log limit. It is not counted, because a window may stay for a minute."""


class Inside:
    """A hub and an agent.

    :ivar host: the name of the agent's host. No other agent on this machine has this name, because an agent ends the commands
        that a dead agent with the same name has left behind.
    :ivar folder: a directory for files.
    """

    def __init__(self, folder: Path, line: str) -> None:
        self.host = f"sut{os.getpid()}"
        self.folder = folder
        self.log: list[str] = []
        self.hub = Hub(lease=LEASE, report=self.log.append, policy=Policy((Rule(allow=True),)))
        self._line = line
        self.agent: Agent | None = None
        self._running: asyncio.Task[None] | None = None

    def endpoint(self, side: str) -> str:
        """The endpoint for scripts of ``hub`` or ``sut``."""
        return f"unix:{self.folder / side}.sock"

    async def start_agent(self) -> None:
        """Start an agent and wait until it is registered."""
        self.agent = Agent(name=self.host, report=self.log.append, boot=token())
        self.agent.runner.open()
        await self.agent.add_listener(self.endpoint("sut"))
        self._running = asyncio.ensure_future(self.agent.run(self._line))
        async with asyncio.timeout(30.0):
            await self.agent.relayed.ready.wait()

    async def stop_agent(self, *, killed: bool = False) -> None:
        """Stop the agent.

        :param killed: whether the line is lost first, so that the hub gets no bye.
        """
        assert self.agent is not None and self._running is not None
        self._running.cancel()
        if killed and self.agent._uplink.line is not None:
            self.agent._uplink.line.abort()
        with suppress(asyncio.CancelledError):
            await self._running
        await self.agent.aclose()
        self.agent = None

    def counted(self) -> dict[str, int]:
        """The number of tasks, descriptors, child processes, peers, channels and the objects of each class of linesync."""
        codec._decode_cached.cache_clear()
        gc.collect()
        assert self.agent is not None
        peers = [*self.hub._peers, *self.agent.entrance.peers, self.agent._uplink]
        muxes = [peer.link.session.mux for peer in peers if peer.link is not None and peer.link.session is not None]
        found = Counter(
            {
                "tasks": len(asyncio.all_tasks()),
                "descriptors": len(os.listdir("/proc/self/fd")),
                "children": len(children_of(os.getpid())),
                "peers": len(peers),
                "streams": sum(len(peer.streams) for peer in peers),
                "channels": sum(mux.open_count for mux in muxes),
                "files": sum(len(names) for _, _, names in os.walk(self.folder)),
            }
        )
        for tracked in gc.get_objects():
            kind = type(tracked)
            if kind.__module__.startswith("linesync.") and kind is not _Window:
                found[f"{kind.__module__}.{kind.__qualname__}"] += 1
        return dict(found)

    def open_files(self) -> list[str]:
        """The files in the folder that this process has open, also those without a name."""
        found = []
        for descriptor in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        return [path for path in found if path.startswith(f"{self.folder}/")]

    async def settled(self) -> dict[str, int]:
        """Wait until the counted numbers do not change any more, and return them."""
        while True:
            counted = self.counted()
            await asyncio.sleep(0.3)
            if counted == self.counted():
                return counted

    async def grown(self, before: Mapping[str, int], seconds: float = 15.0) -> dict[str, tuple[int, int]]:
        """The counted numbers that have grown since ``before``, with the old and the new number.

        :param seconds: the time in which temporary growth may end.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            now = self.counted()
            grown = {name: (before.get(name, 0), count) for name, count in now.items() if count > before.get(name, 0)}
            if not grown or loop.time() > until:
                return grown
            await asyncio.sleep(0.2)

    async def memory(self) -> float:
        """The resident memory of this process in MiB, after freed memory was returned."""
        await asyncio.sleep(0.5)
        gc.collect()
        return resident(os.getpid()) / (1 << 20)


@asynccontextmanager
async def inside(line: str) -> AsyncIterator[Inside]:
    """A hub and an agent.

    :param line: the line between them: ``socket`` or ``pty``.
    """
    with tempfile.TemporaryDirectory(prefix="linesync-") as folder, NullModem(baud=921600) as cable:
        endpoint = f"unix:{folder}/line.sock" if line == "socket" else f"{cable.b},921600"
        place = Inside(Path(folder), endpoint)
        place.hub.runner.open()
        await place.hub.add_listener(place.endpoint("hub"))
        if line == "socket":
            await place.hub.add_listener(endpoint)
        else:
            place.hub.add_port(f"{cable.a},921600")
            place.hub._log_of(f"{cable.a},921600")  # otherwise, the first noise on the line would make it
        try:
            await place.start_agent()
            yield place
        finally:
            if place.agent is not None:
                await place.stop_agent()
            await place.hub.aclose()
