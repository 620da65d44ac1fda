"""A member of a group that runs the steps of its services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from linesync.client.groups.events import Message, Step, View
from linesync.client.phases import runner
from linesync.client.phases.member import Member
from linesync.client.phases.runner import Phases
from linesync.client.phases.service import Round, Service
from linesync.errors import LinesyncFailed, Mismatch
from linesync.model.groups.order import in_order, places
from linesync.model.state.group import Ring

RING = Ring(3, "hub")


class Hub:
    """A membership whose events the test gives.

    :ivar lost: whether the session ends before a report.
    """

    name, member = "g", "a"

    def __init__(self, *events: View | Message | Step) -> None:
        self.given = events
        self.reports: list[Step] = []
        self.lost = True
        self.awaited: object = None
        """The event after which the next one arrives only when a step was reported."""
        self.ran = asyncio.Event()

    async def events(self) -> AsyncIterator[View | Message | Step]:
        for event in self.given:
            yield event
            if event is self.awaited:
                await self.ran.wait()
        await asyncio.Event().wait()

    async def done(self, step: Step, result: str = "done", text: str = "") -> None:
        self.reports.append(step)
        self.ran.set()
        if self.lost:
            raise LinesyncFailed("the session has ended")

    async def ended(self, service: int, text: str = "") -> None:
        raise AssertionError

    async def cast(self, data: bytes) -> None:
        raise AssertionError


async def _no_report_while_it_ends() -> list[str]:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def activate(round_: Round) -> None:
        begun.set()
        await finish.wait()

    service = Service("net", activate=activate)
    every = places(in_order([service.declaration]))
    hub = Hub(Step("activate", every[0].id, RING, 5))
    said: list[str] = []
    member = Member([service.declaration], {every[0].id: every[0]}, {"net": service}, said.append)
    running = asyncio.ensure_future(member.run(hub))
    await begun.wait()
    running.cancel()  # the step ends, and then its report fails
    asyncio.get_running_loop().call_soon(finish.set)
    await asyncio.wait({running})
    assert len(hub.reports) == 1
    return said


def test_a_report_that_fails_while_the_member_leaves_is_logged() -> None:
    lost: list[object] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: lost.append(context))
    try:
        said = loop.run_until_complete(_no_report_while_it_ends())
    finally:
        loop.close()
    assert said[-1] == "a step could not be reported: the session has ended"
    assert lost == []


async def _abort_after_the_next_view() -> list[Round]:
    begun, finish, aborted = asyncio.Event(), asyncio.Event(), asyncio.Event()
    rounds: list[Round] = []

    async def activate(round_: Round) -> None:
        begun.set()
        await finish.wait()

    async def abort(round_: Round) -> None:
        rounds.append(round_)
        aborted.set()

    services = {
        "net": Service("net", activate=activate),
        "db": Service("db", after=["net"], abort=abort),
    }
    every = places(in_order([service.declaration for service in services.values()]))
    net, db = (place.id for place in every)
    earlier = View(RING, ("a", "b"), ("a", "b"), (), ())
    later = View(Ring(4, "hub"), ("a",), (), (("b", "left"),), ())
    steps = [Step("init", db, RING, 4), Step("activate", net, RING, 5), Step("abort", db, RING, 6, "b left")]
    hub = Hub(earlier, *steps, later)
    hub.lost, hub.awaited = False, steps[0]
    member = Member(
        [place.declaration for place in every], {place.id: place for place in every}, services, lambda _: None
    )
    running = asyncio.ensure_future(member.run(hub))
    await begun.wait()
    for _ in range(5):
        await asyncio.sleep(0)  # all events arrive
    assert rounds == []
    finish.set()
    async with asyncio.timeout(10):
        await aborted.wait()
    running.cancel()
    await asyncio.wait({running})
    return rounds


def test_an_abort_that_begins_after_the_next_view_gets_the_round_that_it_ends() -> None:
    (aborted,) = asyncio.run(_abort_after_the_next_view())
    assert (aborted.ring, aborted.members) == (str(RING), ("a", "b"))


class Groups:
    """A client whose attempts to join have the results that the test gives."""

    peer = None

    def __init__(self, *results: object) -> None:
        self.results = list(results)

    async def group(self, name: str, **terms: object) -> object:
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


class Membership(Hub):
    """A membership that ends with an error or without one."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error

    async def events(self) -> AsyncIterator[View | Message | Step]:
        if self.error is not None:
            raise self.error
        for event in self.given:
            yield event

    async def leave(self) -> None:
        pass


def run(monkeypatch: pytest.MonkeyPatch, *results: object) -> Groups:
    monkeypatch.setattr(runner, "_PAUSE", 0.0)
    client = Groups(*results)
    asyncio.run(Phases(client, "g").run())  # type: ignore[arg-type]
    return client


TAKEN = Mismatch("a is already a member of group 'g'", details={"member": "a"})


def test_a_member_joins_again_when_the_hub_has_noticed_the_end_of_its_earlier_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = Membership(LinesyncFailed("the line was lost"))
    client = run(monkeypatch, lost, *[TAKEN] * 8, Membership())
    assert client.results == []


def test_a_member_does_not_wait_for_the_name_of_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Mismatch, match="already a member"):
        run(monkeypatch, TAKEN, Membership())
    with pytest.raises(Mismatch, match="the group has quorum 2"):
        run(monkeypatch, Membership(LinesyncFailed("lost")), Mismatch("the group has quorum 2"), Membership())
