"""A member runs the steps that the hub asks for, one at a time, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest

from linesync.client.groups.events import GroupEvent, Message, Step, View
from linesync.client.phases.member import Member
from linesync.client.phases.service import AGAIN, Round, Service
from linesync.errors import Aborted, LinesyncFailed
from linesync.model.groups.order import in_order, places
from linesync.model.state.group import Ring
from linesync.testing.virtual_loop import VirtualLoop

RING = Ring(7, "hub")


def play(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)


class FakeGroup:
    """A membership that delivers the events of the test."""

    def __init__(self, log: list[str]) -> None:
        self.name = "g"
        self.member = "a"
        self.log = log
        self.reports: list[tuple[str, int, str, str]] = []
        self._events: asyncio.Queue[GroupEvent | Exception | None] = asyncio.Queue()
        self._number = 0

    def send(self, event: GroupEvent | Exception | None) -> None:
        self._events.put_nowait(event)

    def step(self, kind: str, service: int = 10, text: str = "") -> None:
        self._number += 1
        self.send(Step(kind, service, RING, self._number, text))

    def view(self, *members: str, joined: tuple[str, ...] = (), left: tuple[tuple[str, str], ...] = ()) -> None:
        self.send(View(RING, members, joined, left, ()))

    async def events(self) -> AsyncIterator[GroupEvent]:
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def done(self, step: Step, result: str = "done", text: str = "") -> None:
        self.reports.append((step.kind, step.service, result, text))

    async def ended(self, service: int, text: str = "") -> None:
        self.log.append(f"ended {service}: {text}")

    async def cast(self, data: bytes) -> None:
        self.send(Message("a", data, RING))


class Play:
    """A member with services that write to a log.

    :ivar log: the steps that ran, for example ``process network``.
    :ivar said: the sentences for the log.
    """

    def __init__(self, *services: Service) -> None:
        self.log: list[str] = []
        self.said: list[str] = []
        self.group = FakeGroup(self.log)
        self.order = in_order(service_.declaration for service_ in services)
        self.ids = {place.name: place.id for place in places(self.order)}
        self.member = Member(
            self.order,
            {place.id: place for place in places(self.order)},
            {service_.declaration.name: service_ for service_ in services},
            self.said.append,
        )
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Play:
        self._running = asyncio.create_task(self.member.run(self.group))
        self.group.view("a", "b", joined=("b",))
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._running is not None
        self.group.send(None)
        await self._running

    async def ended(self) -> None:
        assert self._running is not None
        await self._running


def logged(log: list[str], name: str, *, seconds: float = 0.0, fails: str = "") -> Callable[[Round], Awaitable[object]]:
    async def run(round_: Round) -> object:
        log.append(name)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            log.append(f"{name} cancelled")
            raise
        if fails:
            raise LinesyncFailed(fails)
        return None

    return run


def service(log: list[str], name: str, **options: Any) -> Service:
    steps = {step: logged(log, f"{step} {name}") for step in ("init", "process", "activate", "abort", "stop")}
    return Service(name, **{**steps, **options})


def test_steps_run_in_order_and_the_report_of_the_last_step_includes_the_earlier_steps() -> None:
    async def work() -> None:
        log: list[str] = []
        async with Play(service(log, "net"), service(log, "web")) as play_:
            for kind, place in (("init", 10), ("init", 20), ("process", 10)):
                play_.group.step(kind, place)
            await asyncio.sleep(1)
            assert log == ["init net", "init web", "process net"]
            assert play_.group.reports == [("process", 10, "done", "")]
            play_.group.step("activate", 10)
            play_.group.step("process", 20)
            await asyncio.sleep(1)
            assert log[3:] == ["activate net", "process web"]
            assert play_.group.reports[1:] == [("process", 20, "done", "")]

    play(work())


def test_a_step_gets_the_round() -> None:
    async def work() -> None:
        found: list[Round] = []

        async def process(round_: Round) -> None:
            found.append(round_)

        async with Play(Service("net", process=process)) as play_:
            play_.group.view("b", "a", joined=("a",), left=(("c", "lost"),))
            play_.group.step("process")
            await asyncio.sleep(1)
        (round_,) = found
        assert (round_.group, round_.ring, round_.index) == ("g", "7@hub", 1)
        assert (round_.joined, round_.left, round_.carried) == (("a",), (("c", "lost"),), ("b",))

    play(work())


def test_process_may_request_another_call() -> None:
    async def work() -> None:
        async def process(round_: Round) -> str:
            return AGAIN

        async with Play(Service("net", process=process)) as play_:
            play_.group.step("process")
            await asyncio.sleep(1)
            assert play_.group.reports == [("process", 10, "again", "")]

    play(work())


def test_an_abort_cancels_process_and_runs_after_its_end() -> None:
    async def work() -> None:
        log: list[str] = []
        slow = logged(log, "process net", seconds=100)
        async with Play(service(log, "net", process=slow)) as play_:
            play_.group.step("init")
            play_.group.step("process")
            await asyncio.sleep(1)
            play_.group.step("abort")
            await asyncio.sleep(1)
            assert log == ["init net", "process net", "process net cancelled", "abort net"]
            assert play_.group.reports == []

    play(work())


def test_an_abort_drops_a_waiting_step_and_does_not_run_for_it() -> None:
    async def work() -> None:
        log: list[str] = []
        slow = logged(log, "init net", seconds=100)
        async with Play(service(log, "net", init=slow), service(log, "web")) as play_:
            play_.group.step("init", 10)
            play_.group.step("init", 20)
            await asyncio.sleep(1)
            play_.group.step("abort", 20)
            play_.group.step("abort", 10)
            await asyncio.sleep(1)
            assert log == ["init net", "init net cancelled", "abort net"]

    play(work())


def test_an_abort_does_not_cancel_activate() -> None:
    async def work() -> None:
        log: list[str] = []
        slow = logged(log, "activate net", seconds=5)
        async with Play(service(log, "net", activate=slow), service(log, "web")) as play_:
            for kind, place in (("process", 10), ("activate", 10), ("process", 20), ("abort", 20)):
                play_.group.step(kind, place)
                await asyncio.sleep(1)
            await asyncio.sleep(9)
            assert log == ["process net", "activate net"]

    play(work())


def test_the_error_of_a_late_step_names_host_service_step_and_the_awaited_coroutine() -> None:
    async def work() -> None:
        log: list[str] = []
        slow = logged(log, "process net", seconds=100)
        async with Play(service(log, "net", process=slow, timeouts={"process": 30})) as play_:
            play_.group.step("process")
            await asyncio.sleep(31)
            (report,) = play_.group.reports
            assert report[2:] == (
                "failed",
                "the step process of the service net on a did not end within 30 s; it waits for the coroutine"
                " logged.<locals>.run",
            )

    play(work())


@pytest.mark.parametrize(
    ("error", "text"),
    [(LinesyncFailed("no disk"), "no disk"), (KeyError("x"), "KeyError: 'x'"), (TimeoutError(), "TimeoutError")],
)
def test_the_report_of_a_failed_step_names_the_error(error: Exception, text: str) -> None:
    async def work() -> None:
        async def process(round_: Round) -> None:
            raise error

        async with Play(Service("net", process=process)) as play_:
            play_.group.step("process")
            await asyncio.sleep(1)
            assert play_.group.reports == [
                ("process", 10, "failed", f"the step process of the service net on a failed: {text}")
            ]

    play(work())


def test_process_waits_for_a_member_with_the_needed_service() -> None:
    async def work() -> None:
        log: list[str] = []
        server = service(log, "server", hosts=["c"])
        client = service(log, "client", needs=["server"], timeouts={"process": 30})
        async with Play(server, client) as play_:
            play_.group.step("process", 20)
            await asyncio.sleep(31)
            ((_, _, result, text),) = play_.group.reports
            assert (log, result) == ([], "failed")
            assert text.endswith(
                "client on a did not end within 30 s; it waits for a member with the service server, which it needs"
            )
            play_.group.view("a", "hub#c")
            play_.group.step("process", 20)
            await asyncio.sleep(1)
            assert log == ["process client"]

    play(work())


class Health:
    """A check with results from the test. It repeats the last result."""

    def __init__(self, *results: bool) -> None:
        self.results = list(results)

    async def __call__(self, round_: Round) -> None:
        good = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if not good:
            raise LinesyncFailed("no answer")


def test_a_gate_waits_until_the_check_succeeds() -> None:
    async def work() -> None:
        check = Health(False, False, True)
        async with Play(Service("net", check=check, interval=2)) as play_:
            gate = play_.ids["net:healthy"]
            play_.group.step("process", gate)
            await asyncio.sleep(3)
            assert play_.group.reports == []
            await asyncio.sleep(2)
            assert play_.group.reports == [("process", gate, "done", "")]

    play(work())


def test_the_error_of_a_late_gate_names_the_last_failure() -> None:
    async def work() -> None:
        async with Play(Service("net", check=Health(False), timeouts={"check": 5})) as play_:
            play_.group.step("process", play_.ids["net:healthy"])
            await asyncio.sleep(6)
            ((_, _, result, text),) = play_.group.reports
            assert (result, text) == (
                "failed",
                "the step check of the service net on a did not succeed within 5 s; it waits for the service to become"
                " healthy: no answer",
            )

    play(work())


def test_an_unhealthy_service_stops_the_services_that_need_it_in_reverse_order() -> None:
    async def work() -> None:
        log: list[str] = []
        server = service(log, "server", check=Health(True, True, False, False, True, False), keystone=False)
        client = service(log, "client", needs=["server"])
        game = service(log, "game", needs=["client"])
        other = service(log, "other")
        async with Play(server, client, game, other) as play_:
            for name in ("server", "client", "game", "other"):
                play_.group.step("process", play_.ids[name])
            play_.group.step("process", play_.ids["server:healthy"])
            play_.group.step("activate", play_.ids["server:healthy"])
            await asyncio.sleep(5.5)
            assert not any(line.startswith("stop") for line in log), "two failures in a row are not enough"
            await asyncio.sleep(3)
            assert log[4:] == ["stop game", "stop client"]
            ended = [line.partition(":")[0] for line in play_.log]
            assert ended == [f"ended {play_.ids[name]}" for name in ("server", "game", "client")]
            assert "because it needs server, which failed on a: the service server on a is not healthy" in play_.log[1]

    play(work())


def test_the_checks_continue_in_a_new_view_until_the_service_is_started_again() -> None:
    async def work() -> None:
        check = Health(True)
        async with Play(Service("net", check=check)) as play_:
            gate = play_.ids["net:healthy"]
            play_.group.step("process", gate)
            play_.group.step("activate", gate)
            await asyncio.sleep(1.5)
            play_.group.view("a")
            await asyncio.sleep(1)
            check.results = [False]
            play_.group.step("init", gate)
            await asyncio.sleep(30)
            assert play_.log == []
            check.results = [True]
            play_.group.step("process", gate)
            play_.group.step("activate", gate)
            await asyncio.sleep(1)
            play_.group.view("a", "c")
            check.results = [False]
            await asyncio.sleep(4)
            assert [line.partition(":")[0] for line in play_.log] == ["ended 10"]

    play(work())


def test_a_leaving_member_aborts_services_without_activate_and_stops_the_others_in_reverse_order() -> None:
    async def work() -> None:
        log: list[str] = []
        slow = logged(log, "process disk", seconds=100)
        play_ = Play(service(log, "net"), service(log, "web"), service(log, "disk", process=slow))
        running = asyncio.create_task(play_.member.run(play_.group))
        for kind, number in (("process", 10), ("activate", 10), ("process", 20), ("process", 30)):
            play_.group.step(kind, number)
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait({running})
        await play_.member.wind_up()
        assert log[4:] == ["process disk cancelled", "abort disk", "abort web", "stop net"]

    play(work())


@pytest.mark.parametrize("error", [Aborted("excluded"), LinesyncFailed("the hub is lost")])
def test_the_loss_of_a_membership_is_raised_after_the_end_of_aborts(error: Exception) -> None:
    async def work() -> None:
        log: list[str] = []
        slow = logged(log, "abort net", seconds=3)
        play_ = Play(service(log, "net", abort=slow))
        running = asyncio.create_task(play_.member.run(play_.group))
        for kind in ("init", "process", "abort"):
            play_.group.step(kind)
            await asyncio.sleep(1)
        play_.group.send(error)
        with pytest.raises(type(error)):
            await running
        assert log[-1] == "abort net" and play_.said[-1] == "net: abort done"

    play(work())


def test_messages_of_other_programs_are_ignored() -> None:
    async def work() -> None:
        log: list[str] = []
        async with Play(service(log, "net")) as play_:
            for data in (b"\xff", b"[]", b"{}", b'{"failed": "no such service", "why": ""}'):
                play_.group.send(Message("b", data, RING))
            play_.group.step("process")
            await asyncio.sleep(1)
            assert log == ["process net"]

    play(work())
