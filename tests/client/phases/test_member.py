"""A member of a group that runs the steps of its services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from linesync.client.group_events import Message, Step, View
from linesync.client.phases.member import Member
from linesync.client.phases.service import Round, Service
from linesync.errors import LinesyncFailed
from linesync.model.groups.order import in_order, places
from linesync.model.state.group import Ring

RING = Ring(3, "hub")


class Hub:
    """A membership whose events the test gives, and whose session ends before a report."""

    name, member = "g", "a"

    def __init__(self, *events: View | Message | Step) -> None:
        self.given = events
        self.reports: list[Step] = []

    async def events(self) -> AsyncIterator[View | Message | Step]:
        for event in self.given:
            yield event
        await asyncio.Event().wait()

    async def done(self, step: Step, result: str = "done", text: str = "") -> None:
        self.reports.append(step)
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
