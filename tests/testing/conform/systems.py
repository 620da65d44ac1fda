"""An agent or a hub of linesync on a wire of the tester, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from linesync.agent.agent import Agent
from linesync.runtime import identity
from linesync.testing.conform.loop_wire import LoopWire
from linesync.testing.memory_lines import SerialWire
from linesync.transports.interface import Line, ReceiverFactory
from tests.system.world import World

__all__ = ["agent_wire", "hub_wire"]


@contextmanager
def hub_wire(*, shared: bool) -> Iterator[LoopWire]:
    """A hub on a serial line or a socket."""
    with World(seed=1) as world:
        port = "unix:/hub"
        if shared:
            host = world.hosts["port"] = world.run(world._wire("port"))
            port = host.port

        async def connect(factory: ReceiverFactory) -> Line:
            return await world._board.connect(port, factory)

        wire = LoopWire(world.loop, connect, shared=shared)
        yield wire
        wire.close()


@contextmanager
def agent_wire(*, shared: bool) -> Iterator[LoopWire]:
    """An agent on a serial line or a socket."""
    with World(seed=1) as world:
        endpoint = "unix:/tester"
        wire = LoopWire(world.loop, None, shared=shared)
        if shared:
            endpoint = "/dev/tester"

            async def cable() -> SerialWire:
                return SerialWire("tester", byte_rate=11520.0)

            serial = world.run(cable())
            world._board.add(serial, endpoint, f"{endpoint}@tester")
            world.run(world._board.connect(f"{endpoint}@tester", wire.receiver))
        else:
            world.run(world._board.listen(endpoint, wire.receiver))
        agent = world.run(_agent())
        running = world.start(_run(agent, endpoint))
        yield wire
        wire.close()
        running.cancel()
        world.run(agent.aclose())
        world.pass_time(1.0)


async def _agent() -> Agent:
    return Agent(name="sut", report=lambda text: None, boot=identity.token())


async def _run(agent: Agent, endpoint: str) -> None:
    try:
        await agent.run(endpoint)
    except asyncio.CancelledError:
        pass
