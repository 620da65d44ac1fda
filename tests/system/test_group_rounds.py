"""The cost of a round of services on serial lines of 115200 baud: bytes, and the time between two services."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from linesync.client.aio import Client
from linesync.client.groups import Announced, Step

from .test_operation_bytes import _Count
from .world import World

HOSTS = ("a", "b", "c", "d", "e")
SERVICES = tuple([Announced(number, f"service{number}") for number in range(1, 11)])
BYTE_TIME = 10 / 115200  # seconds


class _Member:
    """A member whose steps end immediately.

    :ivar began: when ``process`` of each service began.
    :ivar done: when it was reported as done.
    """

    def __init__(self, world: World, client: Client, slow: float = 0.0) -> None:
        self.world = world
        self.client = client
        self.slow = slow
        self.began: dict[int, float] = {}
        self.done: dict[int, float] = {}
        self.rounds = 0
        self.task = world.start(self._run())

    async def _run(self) -> None:
        group = await self.client.group("net", services=SERVICES)
        async for event in group.events():
            if isinstance(event, Step):
                self.rounds += event.kind == "completed"
                if event.kind == "process":
                    self.began[event.service] = self.world.now
                    await asyncio.sleep(self.slow)
                    self.done[event.service] = self.world.now
                await group.done(event)


def test_a_round_of_empty_services_costs_at_most_sixty_bytes_a_service_each_way() -> None:
    with World(seed=4) as world:
        for host in HOSTS[:3]:
            world.agent(host)
        members = [_Member(world, world.client(host)) for host in HOSTS[:3]]
        world.settle(lambda: all(member.rounds for member in members))
        world.pass_time(2.0)
        count = _Count(world, "a")
        before = members[0].rounds
        world.run(world.client().rerun_group("net"))
        world.settle(lambda: members[0].rounds > before)
        world.pass_time(2.0)
        out, back = count.take()
        assert out <= 60 * len(SERVICES), (out, world.transcript())
        assert back <= 60 * len(SERVICES), (back, world.transcript())


def test_the_next_service_begins_within_25_ms_after_the_last_report_besides_the_time_of_the_line() -> None:
    with World(seed=5) as world:
        for host in HOSTS:
            world.agent(host)
        members = [_Member(world, world.client(host), slow=0.3) for host in HOSTS]
        world.settle(lambda: all(member.rounds for member in members))
        line = 2 * 60 * BYTE_TIME  # the report to the hub, and the events to the host
        gaps = []
        world.run(world.client().rerun_group("net"))
        world.settle(lambda: all(member.rounds > 1 for member in members))
        for service, following in pairwise(SERVICES):
            last = max(member.done[service.id] for member in members)
            gaps.append(max(member.began[following.id] for member in members) - last)
        assert max(gaps) <= 0.025 + line, gaps


def test_a_message_costs_each_line_little_more_than_its_own_bytes() -> None:
    with World(seed=6) as world:
        for host in HOSTS:
            world.agent(host)
        members = [_Member(world, world.client(host)) for host in HOSTS]
        world.settle(lambda: all(member.rounds for member in members))
        sender = world.run(world.client().group("net"))

        async def until_view() -> None:
            while await sender.next() is None or sender.view is None:
                pass

        world.run(until_view())
        world.pass_time(2.0)
        count = _Count(world, "a")
        costs = []
        for number in range(6):
            data = bytes(world.random.choices(range(33, 127), k=100))
            world.run(sender.cast(data))
            world.pass_time(1.0)
            costs.append(count.take())
            assert number >= 0
        out, back = costs[-1]
        assert back <= 100 + 75, costs
        assert out <= 75, costs
