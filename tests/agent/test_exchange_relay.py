"""An exchange of a host's script on its way to the hub: where there is no hub yet, and where the line falls silent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from linesync.agent.relayed import GRACE
from linesync.errors import LinesyncError, LinesyncFailed, TimedOut
from tests.system.world import World

BOTH = ["a", "b"]


@pytest.fixture
def world() -> Iterator[World]:
    """A hub with two hosts; nothing has passed on the line of host a yet."""
    with World(seed=1) as world:
        world.agent("b")
        world.deliver()
        yield world


def cut_off(world: World) -> None:
    """Host a starts, and its cable is not plugged in."""
    world.hosts["a"] = world.run(world._wire("a"))
    world.hosts["a"].wire.pull()
    world.agent("a")


def give(world: World, host: str, **options: Any) -> asyncio.Task[Any]:
    task = world.start(world.client(host).exchange("keys", BOTH, f"of {host}".encode(), **options))
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    return task


def ended(world: World, task: asyncio.Task[Any]) -> tuple[float, LinesyncError]:
    """When an exchange failed, seconds from now, and how."""
    began = world.now
    world.settle(task.done, 120.0)
    error = task.exception()
    assert isinstance(error, LinesyncError)
    return world.now - began, error


def test_an_exchange_waits_for_a_hub_without_limit_when_it_has_no_timeout(world: World) -> None:
    cut_off(world)
    task = give(world, "a")
    world.pass_time(300.0)
    assert not task.done()
    world.hosts["a"].wire.plug()
    world.deliver()
    give(world, "b")
    world.settle(task.done)
    assert task.result() == {"a": b"of a", "b": b"of b"}


def test_an_exchange_that_polls_fails_at_once_without_a_hub(world: World) -> None:
    cut_off(world)
    took, error = ended(world, give(world, "a", timeout=0.0))
    assert took < 0.1 and "the agent has no connection to a hub" in str(error)


def test_an_exchange_that_no_hub_has_heard_of_times_out_and_says_that_nothing_was_given(world: World) -> None:
    cut_off(world)
    took, error = ended(world, give(world, "a", timeout=5.0))
    assert took == pytest.approx(5.0, abs=0.1)
    assert isinstance(error, TimedOut) and str(error).endswith("nothing was given")
    world.hosts["a"].wire.plug()
    world.deliver()
    assert world.status()["exchanges"] == []


def test_the_time_that_was_waited_for_a_hub_counts(world: World) -> None:
    cut_off(world)
    task = give(world, "a", timeout=20.0)
    world.pass_time(12.0)
    world.hosts["a"].wire.plug()
    took, error = ended(world, task)
    assert took == pytest.approx(8.0, abs=1.0) and error.code == "timeout"
    assert "given" not in str(error).split(";")[-1] or "b" in str(error), "the hub itself has timed it out"


def test_an_exchange_on_a_line_that_falls_silent_fails_after_its_deadline_and_a_grace(world: World) -> None:
    world.agent("a")
    world.deliver()
    task = give(world, "a", timeout=20.0)
    world.deliver()
    world.hosts["a"].wire.pull()
    took, error = ended(world, task)
    assert took == pytest.approx(20.0 + GRACE, abs=0.5)
    assert isinstance(error, LinesyncFailed) and "no answer from the hub in 22 s" in str(error)
    assert "may have got the data" in str(error)


def test_an_answer_on_the_way_at_the_deadline_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linesync.agent.exchange_relay.GRACE", 0.005)  # the hub's answer takes longer
    world.agent("a")
    world.deliver()
    took, error = ended(world, give(world, "a", timeout=5.0))
    assert took == pytest.approx(5.0, abs=0.1) and isinstance(error, TimedOut)
    assert "b" in str(error), "the hub names who is missing"


def test_data_that_comes_after_the_outcome_is_not_cut_off_by_the_deadline(world: World) -> None:
    world.agent("a")
    world.deliver()
    task = give(world, "a", timeout=8.0)
    world.start(world.client("b").exchange("keys", BOTH, world.random.randbytes(45_000)))
    world.pass_time(6.0)
    assert not task.done(), "the data of b is on its way"
    wire = world.hosts["a"].wire
    wire.pull()
    world.pass_time(8.0)
    wire.plug()
    world.settle(task.done)
    assert len(task.result()["b"]) == 45_000


def exchanging(world: World) -> tuple[Any, asyncio.Task[Any]]:
    """What the agent of host a knows of its scripts, and the exchange in which the only one waits.

    The script does one thing at a time, as a blocking script does.
    """
    world.agent("a")
    world.deliver()
    script = world.client("a")
    world.pass_time(0.1)
    relayed = world.hosts["a"].agent.relayed  # type: ignore[union-attr]
    next(iter(relayed._scripts.values())).concurrent = False
    assert relayed.scripts() == ["1"]
    task = world.start(script.exchange("keys", BOTH, b""))
    world.deliver()
    return relayed, task


def test_a_script_that_waits_in_an_exchange_is_not_one_that_may_act(world: World) -> None:
    relayed, task = exchanging(world)
    assert relayed.scripts() == []
    give(world, "b")
    world.settle(task.done)
    world.deliver()
    assert relayed.scripts() == ["1"]


def test_a_script_that_gives_up_an_exchange_may_act_again(world: World) -> None:
    relayed, task = exchanging(world)
    task.cancel()
    world.deliver()
    assert relayed.scripts() == ["1"]
