"""An agent on stdin and stdout, and the lines that replace them, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from linesync.agent.agent import Agent
from linesync.errors import LinesyncError
from linesync.runtime import identity
from linesync.testing.memory_lines import MemoryLine
from linesync.testing.recorder import Recorder
from linesync.transports.interface import ReceiverFactory
from tests.system.world import World

PATH = "/run/linesync/p.line"
LEASE = 20.0


@pytest.fixture
def world() -> Iterator[World]:
    with World(seed=1, lease=LEASE) as found:
        board = found._board

        async def connect(endpoint: str, factory: ReceiverFactory) -> object:
            assert endpoint == "stdio:"
            return await board.connect("unix:/hub", factory)

        with (
            patch("linesync.agent.stdio_line.connect", connect),
            patch("linesync.agent.stdio_line.listen", board.listen),
        ):
            yield found


class StdioAgent:
    """An agent whose stdin and stdout lead to the hub."""

    def __init__(self, world: World, successors: str = PATH) -> None:
        self.world = world

        async def begin() -> Agent:
            return Agent(name="p", report=lambda text: world.note(f"p: {text}"), boot=identity.token())

        self.agent = world.run(begin())
        self.running = world.start(self.agent.run("stdio:", successors=successors))
        world.pass_time(1.0)
        assert self.state == "up"

    @property
    def state(self) -> str:
        return next(row.state for row in self.world.run(self.world.client().hosts()) if row.name == "p")

    def lose_line(self) -> None:
        line = self.agent._uplink.line
        assert isinstance(line, MemoryLine)
        line.abort()
        self.world.pass_time(0.1)

    def close(self) -> None:
        self.world.run(self.agent.aclose())


def successor(world: World) -> Recorder:
    """A line that arrives on the agent's socket from another process."""
    line = Recorder("successor")
    world.run(world._board.connect(f"unix:{PATH}", lambda: line))
    world.pass_time(0.1)
    return line


def bridged(world: World) -> None:
    """Join a line to the hub with a line to the agent's socket, as another process does."""
    from linesync.transports import joined

    async def connect(endpoint: str, factory: ReceiverFactory) -> object:
        return await world._board.connect("unix:/hub" if endpoint == "stdio:" else endpoint, factory)

    async def begin() -> None:
        with patch.object(joined, "connect", connect):
            world.start(joined.join(f"unix:{PATH}", "stdio:"))
            await asyncio.sleep(0.01)

    world.run(begin())


def test_the_session_continues_on_the_line_of_the_next_process(world: World) -> None:
    agent = StdioAgent(world)
    session = agent.agent._uplink.link.session  # type: ignore[union-attr]
    agent.lose_line()
    world.pass_time(5.0)
    assert not agent.running.done()
    bridged(world)
    world.pass_time(1.0)
    assert agent.state == "up" and agent.agent._uplink.link.session is session  # type: ignore[union-attr]
    agent.close()


def test_without_another_line_the_agent_ends_after_a_lease(world: World) -> None:
    agent = StdioAgent(world)
    agent.lose_line()
    world.pass_time(LEASE - 1.0)
    assert not agent.running.done()
    world.pass_time(1.5)
    assert agent.running.done() and agent.running.exception() is None
    with pytest.raises(LinesyncError, match="no process listens"):
        successor(world)
    agent.close()


def test_without_a_socket_the_agent_ends_with_its_line(world: World) -> None:
    agent = StdioAgent(world, successors="")
    agent.lose_line()
    assert agent.running.done() and agent.running.exception() is None
    agent.close()


def test_the_agent_ends_with_its_session_when_the_hub_says_goodbye(world: World) -> None:
    agent = StdioAgent(world)
    world.run(world.hub.aclose())
    world.pass_time(0.5)
    assert agent.running.done() and agent.running.exception() is None
    agent.close()


def test_a_second_line_is_refused_while_the_hub_is_heard_on_the_first(world: World) -> None:
    agent = StdioAgent(world)
    line = successor(world)
    assert b"linesync refuses: the agent on p already has a line to a hub" in line.data
    world.pass_time(1.0)
    assert agent.state == "up"
    agent.close()
