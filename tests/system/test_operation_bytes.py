"""The number of bytes on a serial line for small operations whose names are already in the compression window."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from linesync.client.aio import Client

from .world import World

_Operation = Callable[[Client, Client], Coroutine[Any, Any, object]]
_QUIET = 0.7  # seconds after an operation in which its last frames are sent


class _Count:
    """Counts the bytes on the line of a host, without keepalives."""

    def __init__(self, world: World, name: str) -> None:
        agent = world.hosts[name].agent
        assert agent is not None
        link = agent._uplink.link
        assert link is not None
        self.frames: list[tuple[str, str, int]] = []
        before = link.trace

        def trace(way: str, kind: bytes, body: bytes, length: int) -> None:
            if kind not in (b"K", b""):
                self.frames.append((way, kind.decode(), length))
            if before is not None:
                before(way, kind, body, length)

        link.trace = trace

    def take(self) -> tuple[int, int]:
        """The bytes from the host and to it since the last call."""
        out, received = (sum(length for way, _, length in self.frames if way == wanted) for wanted in ("out", "in"))
        self.frames.clear()
        return out, received


async def _arrive_last(client: Client, other: Client) -> None:
    wait = asyncio.create_task(other.barrier("up", 2))
    await asyncio.sleep(0.3)
    await client.barrier("up", 2)
    await wait


async def _arrive_first(client: Client, other: Client) -> None:
    wait = asyncio.create_task(client.barrier("up", 2))
    await asyncio.sleep(0.3)
    await other.barrier("up", 2)
    await wait


async def _wait_for_a_unit(client: Client, other: Client) -> None:
    wait = asyncio.create_task(client.semaphore("slots", -1))
    await asyncio.sleep(0.3)
    await other.semaphore("slots", 1)
    await wait


OPERATIONS: dict[str, _Operation] = {
    "give a unit": lambda client, other: client.semaphore("ready", 1),
    "take a unit": lambda client, other: client.semaphore("ready", -1),
    "read the value": lambda client, other: client.semaphore("ready", 0),
    "wait for a unit": _wait_for_a_unit,
    "arrive last at a barrier": _arrive_last,
    "wait at a barrier": _arrive_first,
    "set an event": lambda client, other: client.set_events("server up"),
    "wait for an event": lambda client, other: client.wait_events("server up"),
}


TAKES = ("take a unit", "wait for a unit")
"""Operations whose grant is returned unless it is committed. The commit and its acknowledgement are two more frames."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_takes_at_most_forty_bytes_each_way_and_its_commit_eighteen(name: str) -> None:
    commit = 18 if name in TAKES else 0
    with World(seed=2) as world:
        world.agent("sut")
        world.agent("other")
        client, other = world.client("sut"), world.client("other")
        count = _Count(world, "sut")

        async def operate() -> None:
            await OPERATIONS[name](client, other)
            await asyncio.sleep(_QUIET)

        world.run(client.semaphore("ready", 20))
        world.run(client.set_events("server up"))
        for _ in range(2):
            world.run(operate())
        costs = []
        for _ in range(12):
            count.take()
            world.run(operate())
            costs.append(count.take())
        # Sometimes a full acknowledgement is sent instead of a short acknowledgement.
        assert sorted(out for out, _ in costs)[-2] <= 40 + commit, world.transcript()
        assert sorted(received for _, received in costs)[-2] <= 40 + commit, world.transcript()
        assert sum(map(sum, costs)) / len(costs) <= 75 + 2 * commit, costs


def test_the_end_of_a_script_without_holds_sends_nothing_to_the_hub() -> None:
    with World(seed=2) as world:
        world.agent("sut")
        count = _Count(world, "sut")
        costs = []
        for _ in range(6):
            client = world.client("sut")
            world.run(client.semaphore("ready", 1))
            world.run(client.semaphore("ready", -1))
            world.run(client.aclose())
            world.run(asyncio.sleep(_QUIET))
            costs.append(count.take())
        out, received = costs[-1]
        assert out <= 66, costs  # two requests, a commit, an acknowledgement
        assert received <= 56, costs  # three replies, an acknowledgement
