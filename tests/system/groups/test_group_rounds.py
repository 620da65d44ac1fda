"""The cost of a round of services on serial lines of 115200 baud: bytes, and the time between two services."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from linesync.client.aio import Client
from linesync.client.groups.group import Announced, Group, Message, Step, View

from ..test_operation_bytes import _Count
from ..world import World

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


def cost_of_a_message(hosts: int) -> tuple[list[tuple[int, int]], float]:
    """Let a script on the first host send messages of 100 bytes to a group with a member on each host.

    :returns: for each line, the bytes of the last message from the host and to it; and the seconds until all members had it.
    """
    with World(seed=6) as world:
        names = [f"h{number}" for number in range(hosts)]
        for name in names:
            world.agent(name)
        arrived: list[float] = []
        groups = [world.run(world.client(name).group("net")) for name in names]

        async def read(group: Group) -> None:
            async for event in group.events():
                if isinstance(event, Message):
                    arrived.append(world.now)

        for group in groups:
            world.start(read(group))
        world.settle(lambda: all(group.view is not None and len(group.view.members) == hosts for group in groups))
        world.pass_time(2.0)
        counts = [_Count(world, name) for name in names]
        for _ in range(6):  # at first, the compression of each line learns
            for count in counts:
                count.take()
            arrived.clear()
            begin = world.now
            data = bytes(world.random.choices(range(33, 127), k=100))
            world.start(groups[0].cast(data))
            world.settle(lambda: len(arrived) == hosts)
            world.pass_time(1.0)
        return [count.take() for count in counts], max(arrived) - begin


def test_a_message_to_ten_hosts_costs_each_line_the_bytes_and_the_time_of_one() -> None:
    alone, _ = cost_of_a_message(1)
    pair, pair_time = cost_of_a_message(2)
    lines, seconds = cost_of_a_message(10)
    (out, back), others = lines[0], lines[1:]
    assert out <= 1.1 * alone[0][0] and back <= 1.1 * alone[0][1], (alone, lines)
    for sent, received in others:
        assert sent <= 1.1 * pair[1][0] and received <= 1.1 * pair[1][1], (pair, lines)
        assert received <= 100 + 75 and sent <= 75, lines
    assert seconds <= 1.1 * pair_time, (pair_time, seconds)


@pytest.mark.long
def test_two_hundred_members_on_eight_lines_join_and_pass_ten_empty_services_in_five_seconds() -> None:
    with World(seed=7) as world:
        names = [f"h{number}" for number in range(8)]
        for name in names:
            world.agent(name)
        world.pass_time(2.0)
        views: list[list[int]] = [[] for _ in range(200)]
        completed: dict[int, int] = {}

        async def belong(number: int, client: Client) -> None:
            group = await client.group("net", tag=str(number), services=SERVICES)
            async for event in group.events():
                if isinstance(event, View):
                    views[number].append(len(event.members))
                elif isinstance(event, Step) and event.kind == "completed":
                    completed[number] = views[number][-1]
                elif isinstance(event, Step):
                    await group.done(event)

        def all_completed() -> bool:
            return len(completed) == len(views) and set(completed.values()) == {len(views)}

        for number in range(len(views)):
            world.start(belong(number, world.client(names[number % len(names)])))
        world.settle(all_completed, limit=5.0, what="all members should complete a round together")
        assert max(map(len, views)) <= 6, "members that join at the same time share views"
        completed.clear()
        world.run(world.client().rerun_group("net"))
        world.settle(all_completed, limit=5.0, what="all members should pass another round")
