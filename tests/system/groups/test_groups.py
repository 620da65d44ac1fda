"""Groups of members on paced serial lines, with a hub that stores its state."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from linesync.client.aio import Client
from linesync.client.groups import events as group_events
from linesync.client.groups.group import Announced, Group, Message, Step, View
from linesync.errors import LinesyncError

from ..world import World

LISTS = {"a": (1, 2, 3), "b": (1, 3), "c": (2,), "d": (), "e": (1, 2, 3)}


class _Member:
    """A member that runs each step as a task, and logs what it does.

    :ivar slow: the steps that do not end: (kind, service).
    """

    def __init__(self, world: World, client: Client, services: tuple[int, ...], *slow: tuple[str, int]) -> None:
        self.client = client
        self.slow = set(slow)
        self.log: list[Any] = []
        self.held: list[Step] = []
        self.group: Group | None = None
        self.task = world.start(self._run(services))

    async def _run(self, services: tuple[int, ...]) -> None:
        announced = [Announced(number, f"s{number}") for number in services]
        try:
            self.group = await self.client.group("net", services=announced)
            async for event in self.group.events():
                if isinstance(event, View):
                    self.log.append(("view", event.members))
                elif isinstance(event, Step):
                    self.log.append((event.kind, event.service))
                    if (event.kind, event.service) in self.slow:
                        self.held.append(event)
                    else:
                        await self.group.done(event)
        except LinesyncError:
            self.log.append("removed")

    def of_view(self, *members: str) -> list[Any]:
        """The steps in the last view with these members."""
        at = max(number for number, one in enumerate(self.log) if one == ("view", members))
        return [one for one in self.log[at + 1 :] if one[0] != "view"]

    def began(self, kind: str, service: int) -> bool:
        return bool(self.log) and self.log[-1] == (kind, service)


def steps(text: str) -> list[tuple[str, int]]:
    kinds = {"i": "init", "p": "process", "a": "activate", "x": "abort"}
    return [("completed", -1) if word == "c" else (kinds[word[0]], int(word[1:])) for word in text.split()]


def test_services_come_up_in_order_although_members_die_and_come_and_the_hub_is_killed() -> None:
    with World(seed=11, durable=True) as world:
        for name in LISTS:
            world.agent(name)
        members: dict[str, _Member] = {}
        for name in "abcd":
            slow = [("process", 3)] if name == "a" else [("process", 2)] if name == "c" else []
            members[name] = _Member(world, world.client(name), LISTS[name], *slow)
            world.pass_time(1.0)
        a, b, c, d = (members[name] for name in "abcd")
        world.settle(lambda: c.began("process", 2), what="c should process service 2")
        assert b.of_view("a", "b", "c", "d") == steps("i1 i3 p1 a1"), "b waits for service 3"
        world.kill_hub(1.0)
        world.pass_time(3.0)
        assert c.began("process", 2)
        world.kill(c.client)  # in process
        world.settle(lambda: a.began("process", 3), what="a should process service 3")
        assert a.of_view("a", "b", "c", "d") == [
            *steps("i1 i2 i3 p1 a1 p2"),
            *steps("x3 x2"),
            *a.of_view("a", "b", "d"),
        ]
        assert a.of_view("a", "b", "d") == steps("i1 i2 i3 p1 a1 p2 a2 p3")
        world.settle(lambda: b.began("process", 3), what="b should stand at the barrier of service 3")
        world.kill_agent("b")  # at the barrier
        world.settle(lambda: ("view", ("a", "d")) in a.log, what="b should be lost")
        world.settle(lambda: a.began("process", 3), what="a should process service 3 again")
        members["e"] = e = _Member(world, world.client("e"), LISTS["e"])  # joins at the barrier
        world.settle(lambda: ("view", ("a", "d", "e")) in a.log and a.began("process", 3), what="e should join")
        a.slow.clear()
        assert a.group is not None
        world.run(a.group.done(a.held[-1]))
        world.settle(lambda: all(one.began("completed", -1) for one in (a, d, e)), what="the round should end")
        assert a.of_view("a", "d") == steps("i1 i2 i3 p1 a1 p2 a2 p3 x3") + a.of_view("a", "d", "e")
        assert a.of_view("a", "d", "e") == e.of_view("a", "d", "e") == steps("i1 i2 i3 p1 a1 p2 a2 p3 a3 c")
        assert d.of_view("a", "d", "e") == steps("c")


def test_a_message_of_one_mebibyte_is_sent_by_the_task_that_reads_the_events() -> None:
    with World(seed=12) as world:
        data = world.random.randbytes(1 << 20)

        async def talk() -> bytes:
            group = await world_client.group("net")
            async for event in group.events():
                if isinstance(event, View):
                    await group.cast(data)
                    await group.cast(b"after")
                elif isinstance(event, Message):
                    return event.data
            raise AssertionError

        world_client = world.client()
        assert world.run(talk(), limit=20.0) == data


def test_a_message_that_is_given_up_in_the_middle_is_not_delivered_and_the_next_one_is() -> None:
    with World(seed=13) as world:
        world.agent("a")
        group: Group = world.run(world.client("a").group("net"))
        seen: list[bytes] = []
        data = world.random.randbytes(100_000)

        async def read() -> None:
            async for event in group.events():
                if isinstance(event, Message):
                    seen.append(event.data)

        world.start(read())
        world.settle(lambda: group.view is not None)

        async def give_up() -> None:
            try:
                async with asyncio.timeout(3.0):
                    await group.cast(data)
            except TimeoutError:
                pass

        world.run(give_up())
        world.run(group.cast(b"next"), limit=120.0)
        world.settle(lambda: bool(seen), limit=120.0)
        assert seen == [b"next"]


def test_messages_behind_a_waiting_step_are_bounded_until_the_round_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_events, "UNREAD_MAX", 20_000)
    with World(seed=14) as world:
        other: Group = world.run(world.client().group("net", tag="other"))
        sent = [world.random.randbytes(5_000) for _ in range(30)]
        events: list[Any] = []
        held: list[Step] = []
        group: Group = world.run(world.client().group("net", services=[Announced(1, "s1"), Announced(2, "s2")]))

        async def read(member: Group, *, holds: bool) -> None:
            async for event in member.events():
                if isinstance(event, Step):
                    if holds and event.kind == "activate" and event.service == 1 and not held:
                        held.append(event)
                    else:
                        await member.done(event)
                if holds:
                    events.append(event.data if isinstance(event, Message) else event)

        async def send() -> None:
            for data in sent:
                await other.cast(data)

        world.start(read(other, holds=False))
        world.start(read(group, holds=True))
        world.settle(lambda: bool(held))
        sending = world.start(send())
        world.pass_time(20.0)
        assert sending.done(), "the sender has room in the log of the hub"
        assert 20_000 < group._inbox.size < 50_000 and not any(data in events for data in sent)
        world.run(group.done(held[0]))
        world.settle(lambda: sent[-1] in events)
        assert [event for event in events if isinstance(event, bytes)] == sent


def test_the_error_of_a_late_step_names_it_although_the_member_has_not_reported_the_steps_before_it() -> None:
    with World(seed=15) as world:
        services = [Announced(number, f"s{number}", timeout=5.0) for number in (1, 2, 3, 4)]
        group: Group = world.run(world.client().group("net", on_failure="stop", services=services))
        failed: list[str] = []

        async def read() -> None:
            async for event in group.events():
                if isinstance(event, Step) and event.kind == "failed":
                    failed.append(event.text)
                elif isinstance(event, Step) and (event.kind, event.service) != ("init", 3):
                    await group.done(event)

        world.start(read())
        world.settle(lambda: bool(failed), limit=20.0)
        assert failed[0].startswith("hub: init of service 3 's3' was not done within ")
