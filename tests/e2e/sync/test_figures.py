"""The two figures of autotest's documentation, executed on serial lines: the barrier of a master and its clients, and the
exchange of their data. A host is killed at each step."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.kit import Command, Done, Scenes, SerialSite, serial_site

scene = Scenes()

ALL = ("hub", "c1", "c2")
MEMBERS = ("--members", "hub,c1,c2")

BARRIERS = {
    "before": ("hub",),
    "before-last": ("hub", "c2"),
    "waiting": ("c1",),
    "others-arrive": ("c1", "hub"),
}
"""The members that have arrived at each barrier when c1 dies: before it arrives, while it waits, while others arrive."""
EXCHANGES = {
    "before": ("hub", "c2"),
    "giving": ("hub", "c1"),
    "given": ("c1",),
    "others-give": ("hub", "c1"),
}
"""The members that have given to each exchange when c1 dies. In "giving", c1 is still giving its data."""


@pytest.fixture(scope="module")
def trio() -> Iterator[SerialSite]:
    """MASTER (the hub), CLIENT1 and CLIENT2. Tests on this site kill only scripts."""
    with serial_site() as site:
        yield site


def arrive(site: SerialSite, side: str, name: str, *options: str) -> Command:
    return site.start(side, "--json", "barrier", name, *MEMBERS, *options)


def give(site: SerialSite, side: str, name: str, *data: str) -> Command:
    return site.start(side, "exchange", name, "--hosts", "hub,c1,c2", *(data or (f"data of {side}",)))


def result_of(command: Command) -> Any:
    """The output of a command that succeeded."""
    done = command.wait()
    assert (done.code, done.err) == (0, ""), done
    return json.loads(done.out)


# -- the figures -------------------------------------------------------------------------------------------------------


def test_members_wait_at_a_barrier_for_the_last_one_and_are_released_together(trio: SerialSite) -> None:
    commands: list[Command] = []
    for count, side in enumerate(("c2", "hub", "c1")):
        trio.await_waiting("barriers", "figure", count)
        assert all(command.running for command in commands), f"released with {count} of 3"
        commands.append(arrive(trio, side, "figure"))
    results = [result_of(command) for command in commands]
    assert [result["position"] for result in results] == [1, 2, 3]
    assert all(result["parties"] == ["c2", "hub", "c1"] and result["generation"] == 1 for result in results)
    assert trio.row("barriers", "figure") is None


def test_all_members_get_the_data_of_all(trio: SerialSite) -> None:
    commands: list[Command] = []
    for count, side in enumerate(("c1", "c2", "hub")):
        trio.until(lambda count=count: given(trio, "figure") == count, f"{count} who gave")  # type: ignore[misc]
        assert all(command.running for command in commands), f"ended with {count} of 3"
        commands.append(give(trio, side, "figure"))
    everything = {side: f"data of {side}" for side in ALL}
    assert [result_of(command) for command in commands] == [everything] * 3
    assert trio.row("exchanges", "figure") is None


def given(site: SerialSite, name: str) -> int:
    row = site.row("exchanges", name)
    return len(row["given"]) if row is not None else 0


# -- scripts that are killed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["hub", "c1"])
@pytest.mark.parametrize("step", ["before", "waiting", "others-arrive"])
def test_the_arrival_of_a_killed_script_is_withdrawn_and_a_new_script_replaces_it(
    trio: SerialSite, side: str, step: str
) -> None:
    name = f"script-{side}-{step}"
    other_members = [member for member in ALL if member != side]
    first = other_members[: step == "others-arrive"]
    waiting = [arrive(trio, member, name) for member in first]
    trio.await_waiting("barriers", name, len(first))
    victim = arrive(trio, side, name)
    if step != "before":  # in step "before", it is killed at a random moment of its start
        trio.await_waiting("barriers", name, len(first) + 1)
    victim.kill()
    trio.await_waiting("barriers", name, len(first))
    row = trio.row("barriers", name)
    assert row is None or row["missing"][side] == "left: client gone", row
    waiting += [arrive(trio, member, name) for member in other_members[len(first) :]]
    trio.until(lambda: {row["name"] for row in arrivals(trio, name)} == set(other_members), "the others")
    assert all(command.running for command in waiting), "released without all"
    replacement = arrive(trio, side, name)
    results = [result_of(command) for command in (*waiting, replacement)]
    assert all(sorted(result["parties"]) == sorted(ALL) for result in results), results


def arrivals(site: SerialSite, name: str) -> list[dict[str, Any]]:
    row = site.row("barriers", name)
    return row["arrived"] if row is not None else []


def test_a_second_live_script_of_one_member_is_refused(trio: SerialSite) -> None:
    first = arrive(trio, "c1", "twins")
    trio.await_waiting("barriers", "twins", 1)
    done = arrive(trio, "c1", "twins").wait()
    assert done.code == 5 and "member c1 is already waiting at" in done.err, done
    first.kill()


def test_a_stopped_script_does_not_delay_the_release_of_the_others(trio: SerialSite) -> None:
    stopped = arrive(trio, "c1", "stopped")
    trio.await_waiting("barriers", "stopped", 1)
    stopped.process.send_signal(signal.SIGSTOP)
    running = [arrive(trio, side, "stopped") for side in ("hub", "c2")]
    assert [result_of(command)["count"] for command in running] == [3, 3]
    stopped.process.send_signal(signal.SIGCONT)
    assert result_of(stopped)["position"] == 1


def test_a_killed_script_fails_an_exchange_only_before_its_data_has_arrived(
    trio: SerialSite,
) -> None:
    large = trio.folder / "large"
    large.write_bytes(random.Random(1).randbytes(1_000_000))
    giving = give(trio, "c1", "cut", "--file", str(large))
    running = [give(trio, side, "cut") for side in ("hub", "c2")]
    trio.await_waiting("exchanges", "cut", 3)
    trio.until(lambda: given(trio, "cut") == 2, "the others' data")
    giving.kill()
    for done in (other.wait() for other in running):
        assert done.code == 4 and "c1 was lost before it gave its data (client gone)" in done.err, done
    gave = give(trio, "c1", "whole")
    trio.until(lambda: given(trio, "whole") == 1, "its data")
    gave.kill()
    trio.await_waiting("exchanges", "whole", 0)
    everything = {side: f"data of {side}" for side in ALL}
    assert [result_of(command) for command in [give(trio, side, "whole") for side in ("hub", "c2")]] == [everything] * 2


# -- hosts that die ----------------------------------------------------------------------------------------------------


class Death:
    """All steps of both figures at the same time, and the death of c1 during these steps.

    :ivar ends: the result of each command, by (figure, name) and side. The commands of c1 started before its death.
    :ivar again: the results of new commands with the same names after c1 is up again.
    """

    def __init__(self, site: SerialSite, cause: str) -> None:
        self.ends: dict[tuple[str, str], dict[str, Done]] = {}
        self.again: dict[tuple[str, str], dict[str, Done]] = {}
        for side in (
            "hub",
            "c2",
        ):  # without other scripts that could act, the waits of both figures would be a deadlock
            site.start(side, "event", "wait", "never")
        site.await_waiting("events", "never", 2)
        waiting = self._begin(site)
        (site.agents["c1"].kill if cause == "agent" else site.cables["c1"].pull)()
        site.await_host("c1", "lost")
        for (figure, name), commands in waiting.items():
            start = arrive if figure == "barrier" else give
            commands.update({side: start(site, side, name) for side in ("hub", "c2") if side not in commands})
        for key, commands in waiting.items():
            self.ends[key] = {side: command.wait() for side, command in commands.items() if side != "c1"}
        if cause == "agent":
            site.start_agent("c1")
        else:
            site.cables["c1"].plug()
        site.await_host("c1")
        for key, commands in waiting.items():
            if "c1" in commands:
                self.ends[key]["c1"] = commands["c1"].wait()
        for figure, name in (("barrier", "waiting"), ("exchange", "giving")):
            start = arrive if figure == "barrier" else give
            together = {side: start(site, side, name) for side in ALL}
            self.again[figure, name] = {side: command.wait() for side, command in together.items()}

    @staticmethod
    def _begin(site: SerialSite) -> dict[tuple[str, str], dict[str, Command]]:
        large = site.folder / "large"
        large.write_bytes(random.Random(1).randbytes(1_000_000))
        waiting: dict[tuple[str, str], dict[str, Command]] = {}
        for name, sides in BARRIERS.items():
            waiting["barrier", name] = {side: arrive(site, side, name) for side in sides}
        for name, sides in EXCHANGES.items():
            data = {side: ("--file", str(large)) if (name, side) == ("giving", "c1") else () for side in sides}
            waiting["exchange", name] = {side: give(site, side, name, *data[side]) for side in sides}
        for name, sides in BARRIERS.items():
            site.await_waiting("barriers", name, len(sides))
        for name, sides in EXCHANGES.items():
            site.await_waiting("exchanges", name, len(sides))
            site.until(lambda: given(site, name) == len(sides) - (name == "giving"), f"data in {name}")  # noqa: B023
        row = site.row("exchanges", "giving")
        assert row is not None and row["missing"]["c1"] == "still giving", row
        return waiting


def check(death: Death) -> None:
    """Check the results of all commands."""
    for step in BARRIERS:
        ends = death.ends["barrier", step]
        for side in ("hub", "c2"):
            done = ends[side]
            assert done.code == 4 and done.out == b"", (step, side, done)
            error = json.loads(done.err)
            assert error["error"] == "lost" and list(error["lost"]) == ["c1"], (step, side, error)
            assert "line lost: nothing heard on" in error["lost"]["c1"], (step, side, error)
        assert "c1" not in ends or ends["c1"].code in (4, 125), (step, ends["c1"])
    for step in EXCHANGES:
        for side in ("hub", "c2"):
            done = death.ends["exchange", step][side]
            if step in ("before", "giving"):
                assert done.code == 4 and done.out == b"", (step, side, done)
                assert "c1 was lost before it gave its data (line lost: nothing heard on" in done.err, (
                    step,
                    side,
                    done,
                )
            else:  # c1 had given its data, so its death does not matter
                assert done.code == 0, (step, side, done)
                assert json.loads(done.out) == {member: f"data of {member}" for member in ALL}, (step, side)
    for figure, again in death.again.items():
        assert {side: done.code for side, done in again.items()} == dict.fromkeys(ALL, 0), (figure, again)


@scene
def an_agent_killed_at_any_step_fails_the_barriers_and_exchanges_that_need_it() -> None:
    with serial_site("--lease", "3") as site:
        check(Death(site, "agent"))


@scene
def a_cable_unplugged_at_any_step_fails_the_barriers_and_exchanges_that_need_it() -> None:
    with serial_site("--lease", "3") as site:
        check(Death(site, "cable"))


# -- the last arrival --------------------------------------------------------------------------------------------------


def arrive_with_a_silent_host(site: SerialSite, silence: Callable[[], None]) -> list[Command]:
    """All three arrive. c1 arrives first and is then silent for more than three seconds, so it is asked if it is alive."""
    commands = [arrive(site, "c1", "ping"), arrive(site, "hub", "ping")]
    site.await_waiting("barriers", "ping", 2)
    silence()
    site.until(lambda: heard(site, "c1") > 3.0, "three seconds of silence")
    commands.append(arrive(site, "c2", "ping"))
    site.await_waiting("barriers", "ping", 3)
    row = site.row("barriers", "ping")
    assert row is not None and row["unheard"] == ["c1"] and row["missing"] == {}, row
    assert all(command.running for command in commands), "released before it answered"
    return commands


def heard(site: SerialSite, host: str) -> float:
    return next(float(row["heard"]) for row in site.json("hub", "hosts") if row["name"] == host)


@scene
def the_release_waits_for_the_answer_of_a_silent_host() -> None:
    with serial_site() as site:
        commands = arrive_with_a_silent_host(site, site.cables["c1"].pull)
        site.cables["c1"].plug()
        assert [result_of(command)["count"] for command in commands] == [3] * 3


@scene
def a_host_that_dies_at_the_last_arrival_fails_the_barrier_for_all() -> None:
    with serial_site("--lease", "10") as site:
        agent = site.agents["c1"]
        own, *others = arrive_with_a_silent_host(site, lambda: agent.process.send_signal(signal.SIGSTOP))
        agent.kill()
        for done in (command.wait() for command in others):
            assert done.code == 4, done
            assert "line lost" in json.loads(done.err)["lost"]["c1"], done
        assert own.wait().code == 125
        site.start_agent("c1")
        site.await_host("c1")
        assert [result_of(command)["count"] for command in [arrive(site, side, "ping") for side in ALL]] == [3] * 3


@pytest.mark.parametrize("name", scene.names)
def test_scene(name: str) -> None:
    scene.play(name)


def test_a_script_that_died_while_its_agent_was_stopped_must_arrive_again(trio: SerialSite) -> None:
    """The script is killed while its agent is stopped. When the agent continues, it reports the end of the script."""
    agent = trio.agents["c1"]
    victim = arrive(trio, "c1", "silent")
    trio.await_waiting("barriers", "silent", 1)
    agent.process.send_signal(signal.SIGSTOP)
    victim.kill()
    other_scripts = [arrive(trio, "hub", "silent")]
    trio.await_waiting("barriers", "silent", 2)
    agent.process.send_signal(signal.SIGCONT)
    trio.await_waiting("barriers", "silent", 1)
    other_scripts += [arrive(trio, side, "silent") for side in ("c1", "c2")]
    assert [result_of(command)["count"] for command in other_scripts] == [3] * 3
