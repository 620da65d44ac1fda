"""autotest's two figures, the barrier of a master and its clients and the exchange of their data, on serial lines, with a
host killed at each step of them."""

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
"""Who has arrived at each barrier when c1 dies: in the figure before it arrives, while it waits, while others arrive."""
EXCHANGES = {
    "before": ("hub", "c2"),
    "giving": ("hub", "c1"),
    "given": ("c1",),
    "others-give": ("hub", "c1"),
}
"""Who has given to each exchange when c1 dies; it is in the middle of it at "giving"."""


@pytest.fixture(scope="module")
def trio() -> Iterator[SerialSite]:
    """MASTER (the hub), CLIENT1 and CLIENT2; nobody here is killed but scripts."""
    with serial_site() as site:
        yield site


def arrive(site: SerialSite, side: str, name: str, *options: str) -> Command:
    return site.start(side, "--json", "barrier", name, *MEMBERS, *options)


def give(site: SerialSite, side: str, name: str, *data: str) -> Command:
    return site.start(side, "exchange", name, "--hosts", "hub,c1,c2", *(data or (f"data of {side}",)))


def ended(command: Command) -> Any:
    """What a released command printed."""
    done = command.wait()
    assert (done.code, done.err) == (0, ""), done
    return json.loads(done.out)


# -- the figures ------------------------------------------------------------------------------------------------------


def test_those_at_a_barrier_are_told_to_wait_until_the_last_and_go_on_together(trio: SerialSite) -> None:
    commands: list[Command] = []
    for count, side in enumerate(("c2", "hub", "c1")):
        trio.await_waiting("barriers", "figure", count)
        assert all(command.running for command in commands), f"released with {count} of 3"
        commands.append(arrive(trio, side, "figure"))
    told = [ended(command) for command in commands]
    assert [result["position"] for result in told] == [1, 2, 3]
    assert all(result["parties"] == ["c2", "hub", "c1"] and result["generation"] == 1 for result in told)
    assert trio.row("barriers", "figure") is None


def test_everybody_gets_what_everybody_gave(trio: SerialSite) -> None:
    commands: list[Command] = []
    for count, side in enumerate(("c1", "c2", "hub")):
        trio.until(lambda count=count: given(trio, "figure") == count, f"{count} who gave")  # type: ignore[misc]
        assert all(command.running for command in commands), f"ended with {count} of 3"
        commands.append(give(trio, side, "figure"))
    everything = {side: f"data of {side}" for side in ALL}
    assert [ended(command) for command in commands] == [everything] * 3
    assert trio.row("exchanges", "figure") is None


def given(site: SerialSite, name: str) -> int:
    row = site.row("exchanges", name)
    return len(row["given"]) if row is not None else 0


# -- scripts that are killed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["hub", "c1"])
@pytest.mark.parametrize("step", ["before", "waiting", "others-arrive"])
def test_a_killed_script_is_withdrawn_and_its_next_life_takes_its_place(trio: SerialSite, side: str, step: str) -> None:
    name = f"script-{side}-{step}"
    others = [each for each in ALL if each != side]
    first = others[: step == "others-arrive"]
    waiting = [arrive(trio, each, name) for each in first]
    trio.await_waiting("barriers", name, len(first))
    victim = arrive(trio, side, name)
    if step != "before":  # then it is killed at some point of its start
        trio.await_waiting("barriers", name, len(first) + 1)
    victim.kill()
    trio.await_waiting("barriers", name, len(first))
    row = trio.row("barriers", name)
    assert row is None or row["missing"][side] == "left: client gone", row
    waiting += [arrive(trio, each, name) for each in others[len(first) :]]
    trio.until(lambda: {row["name"] for row in there(trio, name)} == set(others), "the others")
    assert all(command.running for command in waiting), "released without all"
    again = arrive(trio, side, name)
    results = [ended(command) for command in (*waiting, again)]
    assert all(sorted(result["parties"]) == sorted(ALL) for result in results), results


def there(site: SerialSite, name: str) -> list[dict[str, Any]]:
    row = site.row("barriers", name)
    return row["arrived"] if row is not None else []


def test_a_second_live_script_of_one_member_is_refused(trio: SerialSite) -> None:
    first = arrive(trio, "c1", "twins")
    trio.await_waiting("barriers", "twins", 1)
    done = arrive(trio, "c1", "twins").wait()
    assert done.code == 5 and "member c1 is already waiting at" in done.err, done
    first.kill()


def test_a_script_that_cannot_be_told_of_the_release_holds_nobody_up(trio: SerialSite) -> None:
    stopped = arrive(trio, "c1", "stopped")
    trio.await_waiting("barriers", "stopped", 1)
    stopped.process.send_signal(signal.SIGSTOP)
    others = [arrive(trio, side, "stopped") for side in ("hub", "c2")]
    assert [ended(command)["count"] for command in others] == [3, 3]
    stopped.process.send_signal(signal.SIGCONT)
    assert ended(stopped)["position"] == 1


def test_a_script_killed_before_it_gave_fails_the_exchange_and_one_killed_after_it_hurts_nobody(
    trio: SerialSite,
) -> None:
    large = trio.folder / "large"
    large.write_bytes(random.Random(1).randbytes(1_000_000))
    giving = give(trio, "c1", "cut", "--file", str(large))
    others = [give(trio, side, "cut") for side in ("hub", "c2")]
    trio.until(lambda: given(trio, "cut") == 2, "the others' data")
    giving.kill()
    for done in (other.wait() for other in others):
        assert done.code == 4 and "c1 was lost before it gave its data (client gone)" in done.err, done
    gave = give(trio, "c1", "whole")
    trio.until(lambda: given(trio, "whole") == 1, "its data")
    gave.kill()
    trio.await_waiting("exchanges", "whole", 0)
    everything = {side: f"data of {side}" for side in ALL}
    assert [ended(command) for command in [give(trio, side, "whole") for side in ("hub", "c2")]] == [everything] * 2


# -- hosts that die ---------------------------------------------------------------------------------------------------


class Death:
    """All steps of both figures at once, and the death of c1 in the middle of them.

    :ivar ends: (figure, name) and side to how its command ended; c1's are those of its life before.
    :ivar again: how all went on at the same names once c1 lived again.
    """

    def __init__(self, site: SerialSite, how: str) -> None:
        self.ends: dict[tuple[str, str], dict[str, Done]] = {}
        self.again: dict[tuple[str, str], dict[str, Done]] = {}
        for side in ("hub", "c2"):  # somebody who may act: the figures together are circles else
            site.start(side, "event", "wait", "never")
        site.await_waiting("events", "never", 2)
        waiting = self._begin(site)
        (site.agents["c1"].kill if how == "agent" else site.cables["c1"].pull)()
        site.await_host("c1", "lost")
        for (figure, name), commands in waiting.items():
            start = arrive if figure == "barrier" else give
            commands.update({side: start(site, side, name) for side in ("hub", "c2") if side not in commands})
        for key, commands in waiting.items():
            self.ends[key] = {side: command.wait() for side, command in commands.items() if side != "c1"}
        if how == "agent":
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
    """What becomes of the figures."""
    for step in BARRIERS:
        ends = death.ends["barrier", step]
        for side in ("hub", "c2"):
            done = ends[side]
            assert done.code == 4 and done.out == b"", (step, side, done)
            told = json.loads(done.err)
            assert told["error"] == "lost" and list(told["lost"]) == ["c1"], (step, side, told)
            assert "line lost: nothing heard on" in told["lost"]["c1"], (step, side, told)
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
            else:  # it had given, and hurts nobody
                assert done.code == 0, (step, side, done)
                assert json.loads(done.out) == {each: f"data of {each}" for each in ALL}, (step, side)
    for figure, again in death.again.items():
        assert {side: done.code for side, done in again.items()} == dict.fromkeys(ALL, 0), (figure, again)


@scene
def an_agent_killed_at_any_step_fails_barriers_and_exchanges_that_need_it_for_everybody() -> None:
    with serial_site("--lease", "3") as site:
        check(Death(site, "agent"))


@scene
def a_cable_pulled_at_any_step_fails_barriers_and_exchanges_that_need_it_for_everybody() -> None:
    with serial_site("--lease", "3") as site:
        check(Death(site, "cable"))


# -- the completing moment --------------------------------------------------------------------------------------------


def complete(site: SerialSite, silence: Callable[[], None]) -> list[Command]:
    """All three arrive, c1 first and then silent for more than three seconds: it is asked whether it lives."""
    commands = [arrive(site, "c1", "ping"), arrive(site, "hub", "ping")]
    site.await_waiting("barriers", "ping", 2)
    silence()
    site.until(lambda: heard(site, "c1") > 3.0, "three seconds without a word")
    commands.append(arrive(site, "c2", "ping"))
    site.await_waiting("barriers", "ping", 3)
    row = site.row("barriers", "ping")
    assert row is not None and row["unheard"] == ["c1"] and row["missing"] == {}, row
    assert all(command.running for command in commands), "released before it answered"
    return commands


def heard(site: SerialSite, host: str) -> float:
    return next(float(row["heard"]) for row in site.json("hub", "hosts") if row["name"] == host)


@scene
def nobody_is_released_before_a_silent_host_has_answered_and_all_are_when_it_does() -> None:
    with serial_site() as site:
        commands = complete(site, site.cables["c1"].pull)
        site.cables["c1"].plug()
        assert [ended(command)["count"] for command in commands] == [3] * 3


@scene
def a_host_that_dies_at_the_completing_moment_fails_the_barrier_for_everybody() -> None:
    with serial_site("--lease", "10") as site:
        agent = site.agents["c1"]
        own, *others = complete(site, lambda: agent.process.send_signal(signal.SIGSTOP))
        agent.kill()
        for done in (command.wait() for command in others):
            assert done.code == 4, done
            assert "line lost" in json.loads(done.err)["lost"]["c1"], done
        assert own.wait().code == 125
        site.start_agent("c1")
        site.await_host("c1")
        assert [ended(command)["count"] for command in [arrive(site, side, "ping") for side in ALL]] == [3] * 3


@pytest.mark.parametrize("name", scene.names)
def test_that(name: str) -> None:
    scene.play(name)


def test_a_script_that_died_in_silence_is_not_released_without_its_next_life(trio: SerialSite) -> None:
    """It is killed while its agent stands still: the agent tells of it when it goes on."""
    agent = trio.agents["c1"]
    victim = arrive(trio, "c1", "silent")
    trio.await_waiting("barriers", "silent", 1)
    agent.process.send_signal(signal.SIGSTOP)
    victim.kill()
    others = [arrive(trio, "hub", "silent")]
    trio.await_waiting("barriers", "silent", 2)
    agent.process.send_signal(signal.SIGCONT)
    trio.await_waiting("barriers", "silent", 1)
    others += [arrive(trio, side, "silent") for side in ("c1", "c2")]
    assert [ended(command)["count"] for command in others] == [3] * 3
