"""Services start in order on the hosts of a group. A hub, agents and lines run on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from linesync.client.aio import Client
from linesync.client.phases.runner import Phases
from linesync.client.phases.service import Round, Service
from linesync.errors import Aborted, LinesyncFailed, Mismatch
from tests.system.world import World


class Scene:
    """Hosts with services that write to one log.

    :ivar log: the steps that ran, as (host, ``process network``), in order.
    :ivar said: the sentences for the log of each host, as (host, sentence).
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.log: list[tuple[str, str]] = []
        self.said: list[tuple[str, str]] = []
        self.failing: set[tuple[str, str]] = set()
        """The steps that fail, as (host, ``process network``)."""
        self.slow: set[tuple[str, str]] = set()
        """The steps that do not end."""
        self.clients: dict[str, Client] = {}
        self.phases: dict[str, Phases] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def end(self) -> None:
        """Make all members leave."""
        for task in self.tasks:
            task.cancel()
        self.world.settle(lambda: all(task.done() for task in self.tasks))

    def steps(self, host: str, name: str, kinds: str = "process activate abort stop") -> dict[str, Any]:
        def step(kind: str) -> Any:
            async def run(round_: Round) -> None:
                ran_step = (host, f"{kind} {name}")
                self.log.append(ran_step)
                if ran_step in self.slow:
                    await asyncio.Event().wait()
                await asyncio.sleep(0.1)
                if ran_step in self.failing:
                    raise LinesyncFailed("broken")

            return run

        return {kind: step(kind) for kind in kinds.split()}

    def services(self, host: str) -> list[Service]:
        server = {**self.steps(host, "server"), **self.steps(host, "server", "check")}
        return [
            Service("network", **self.steps(host, "network")),
            Service("server", after=["network"], hosts=["a"], interval=1, **server),
            Service(
                "client", after=["server"], needs={"server": "healthy"}, hosts=["b", "c"], **self.steps(host, "client")
            ),
        ]

    def start(self, host: str, **terms: Any) -> asyncio.Task[None]:
        client = self.clients[host] = self.world.client(host)
        phases = self.phases[host] = Phases(
            client, "g", say=lambda text: self.said.append((host, text)), **{"quorum": 3, "backoff": 2.0, **terms}
        )
        for service in self.services(host):
            phases.register(service)
        self.tasks.append(self.world.start(phases.run()))
        return self.tasks[-1]

    def start_all(self, **terms: Any) -> list[asyncio.Task[None]]:
        return [self.start(host, **terms) for host in "abc"]

    def ran(self, wanted: str) -> list[str]:
        """The hosts that have run a step, in order."""
        return [host for host, step in self.log if step == wanted]

    def completed(self) -> int:
        return len([text for _, text in self.said if text == "completed"])

    def until_completed(self, count: int = 3) -> None:
        self.world.settle(lambda: self.completed() >= count, what="all members should complete")


@pytest.fixture
def scene() -> Iterator[Scene]:
    with World(seed=1) as world:
        for host in "abc":
            world.agent(host)
        world.deliver()
        made = Scene(world)
        yield made
        made.end()


def test_services_start_in_order_and_wait_for_health(scene: Scene) -> None:
    scene.start_all()
    scene.until_completed()
    steps = [step for _, step in scene.log]
    assert sorted(scene.ran("process network")) == ["a", "b", "c"]
    assert sorted(scene.ran("process client")) == ["b", "c"]
    assert max(n for n, step in enumerate(steps) if step == "process network") < steps.index("process server")
    assert steps.index("activate server") < steps.index("check server") < steps.index("process client")


def test_no_step_runs_below_the_quorum_and_the_last_host_starts_the_round(scene: Scene) -> None:
    scene.start("a")
    scene.start("b")
    scene.world.pass_time(5)
    assert scene.log == []
    scene.start("c")
    scene.until_completed()


def test_a_failed_step_causes_aborts_on_all_hosts_and_a_retry(scene: Scene) -> None:
    scene.failing.add(("b", "process client"))
    scene.start_all()
    scene.world.settle(lambda: any(text.startswith("failed") for _, text in scene.said))
    scene.failing.clear()
    scene.until_completed()
    assert sorted(scene.ran("abort client")) == ["b", "c"]
    assert scene.ran("abort network") == [], "the service was activated"
    why = next(text for host, text in scene.said if text.startswith("failed"))
    assert "the step process of the service client on b failed: broken" in why


def test_the_error_of_a_late_step_names_the_coroutine_and_a_failed_round_can_be_repeated(scene: Scene) -> None:
    scene.slow.add(("a", "process network"))

    def services(host: str) -> list[Service]:
        return [Service("network", timeouts={"process": 3}, **scene.steps(host, "network"))]

    scene.services = services  # type: ignore[method-assign]
    scene.start_all(on_failure="stop")
    scene.world.pass_time(8)
    why = scene.world.run(scene.clients["b"].group_state("g")).round.why
    assert "the step process of the service network on a did not end within 3 s; it waits for the coroutine" in why
    scene.slow.clear()
    scene.world.run(scene.clients["b"].rerun_group("g"))
    scene.until_completed()


def test_an_excluded_member_stops_its_services_and_gets_the_reason(scene: Scene) -> None:
    tasks = scene.start_all(on_failure="exclude", quorum=0)
    scene.until_completed()
    scene.failing.add(("c", "process client"))
    scene.world.run(scene.clients["a"].rerun_group("g"))
    scene.world.settle(tasks[2].done)
    with pytest.raises(Aborted, match="excluded"):
        tasks[2].result()
    assert scene.log.count(("c", "stop network")) == 1
    assert not tasks[0].done() and not tasks[1].done()


def test_stop_steps_run_in_reverse_order_and_all_runs_end(scene: Scene) -> None:
    tasks = scene.start_all()
    scene.until_completed()
    scene.log.clear()
    scene.world.run(scene.clients["b"].stop_group("g"))
    scene.world.settle(lambda: all(task.done() for task in tasks))
    steps = [step for _, step in scene.log if not step.startswith("check")]
    assert steps == ["stop client"] * 2 + ["stop server"] + ["stop network"] * 3


def test_a_failed_server_stops_the_clients_that_need_it_on_other_hosts(scene: Scene) -> None:
    scene.start_all()
    scene.until_completed()
    scene.failing.add(("a", "check server"))
    scene.world.settle(lambda: len(scene.ran("stop client")) == 2)
    scene.world.pass_time(1)
    state = scene.world.run(scene.clients["a"].group_state("g"))
    ended = {
        (member.name, service.name): service.why
        for member in state.members
        for service in member.services
        if service.why
    }
    assert ended.keys() == {("a", "server"), ("b", "client"), ("c", "client")}
    assert ended["b", "client"].startswith("stopped, because it needs server, which failed on a: ")
    assert scene.ran("stop network") == []
    assert any("which failed on a" in text for host, text in scene.said if host == "b")


def test_the_end_of_a_keystone_stops_the_group(scene: Scene) -> None:
    def services(host: str) -> list[Service]:
        return [
            Service("job", keystone=True, hosts=["a"], **scene.steps(host, "job")),
            Service("network", before=["job"], **scene.steps(host, "network")),
        ]

    scene.services = services  # type: ignore[method-assign]
    tasks = scene.start_all()
    scene.until_completed()
    scene.world.run(scene.phases["a"].ended("job", "the tests have passed"))
    scene.world.settle(lambda: all(task.done() for task in tasks))
    assert sorted(scene.ran("stop network")) == ["a", "b", "c"]


def test_a_dead_host_aborts_the_round_of_the_others(scene: Scene) -> None:
    scene.slow.add(("c", "process client"))
    scene.start_all(quorum=0)
    scene.world.settle(lambda: "c" in scene.ran("process client"))
    scene.world.kill_agent("c")
    scene.said.clear()
    scene.until_completed(2)
    assert scene.ran("abort client")[:1] == ["b"]


def test_members_with_other_terms_are_refused(scene: Scene) -> None:
    scene.start("a")
    scene.world.pass_time(1)
    task = scene.start("b", quorum=2)
    scene.world.settle(task.done)
    with pytest.raises(Mismatch, match="quorum 3, not 2"):
        task.result()


def test_a_member_joins_again_after_a_lost_session_and_its_services_keep_running(scene: Scene) -> None:
    scene.start_all()
    scene.until_completed()
    scene.said.clear()
    scene.world.kill_hub()
    scene.until_completed()
    assert not any(step.startswith("stop") for _, step in scene.log)


def test_a_hub_that_stores_its_state_continues_the_round_and_no_step_runs_again() -> None:
    with World(seed=2, durable=True) as world:
        for host in "abc":
            world.agent(host)
        world.deliver()
        scene = Scene(world)
        scene.start_all()
        world.settle(lambda: len(scene.ran("process network")) == 3)
        world.kill_hub(away=0.5)
        scene.until_completed()
        steps = [step for _, step in scene.log if not step.startswith("check")]
        assert {step: steps.count(step) for step in steps} == {
            "process network": 3,
            "activate network": 3,
            "process server": 1,
            "activate server": 1,
            "process client": 2,
            "activate client": 2,
        }
        scene.failing.add(("a", "check server"))
        world.settle(lambda: len(scene.ran("stop client")) == 2)
        world.pass_time(1)
        before = world.run(scene.clients["a"].group_state("g")).members
        world.kill_hub()
        after = world.run(scene.clients["a"].group_state("g")).members
        assert [member.services for member in after] == [member.services for member in before]
        assert [service.state for member in after for service in member.services].count("ended") == 3
        scene.end()
