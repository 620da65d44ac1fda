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
    """A hub with two hosts. The line of host a has carried nothing yet."""
    with World(seed=1) as world:
        world.agent("b")
        world.deliver()
        yield world


def cut_off(world: World) -> None:
    """Start host a while its cable is unplugged."""
    world.hosts["a"] = world.run(world._wire("a"))
    world.hosts["a"].wire.pull()
    world.agent("a")


def give(world: World, host: str, **options: Any) -> asyncio.Task[Any]:
    task = world.start(world.client(host).exchange("keys", BOTH, f"of {host}".encode(), **options))
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    return task


def ended(world: World, task: asyncio.Task[Any]) -> tuple[float, LinesyncError]:
    """The seconds from now until an exchange fails, and its error."""
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


def test_an_exchange_that_polls_fails_immediately_without_a_hub(world: World) -> None:
    cut_off(world)
    took, error = ended(world, give(world, "a", timeout=0.0))
    assert took < 0.1 and "the agent has no connection to a hub" in str(error)


def test_an_exchange_that_reached_no_hub_times_out_and_reports_that_nothing_was_given(world: World) -> None:
    cut_off(world)
    took, error = ended(world, give(world, "a", timeout=5.0))
    assert took == pytest.approx(5.0, abs=0.1)
    assert isinstance(error, TimedOut) and str(error).endswith("nothing was given")
    world.hosts["a"].wire.plug()
    world.deliver()
    assert world.status()["exchanges"] == []


def test_the_timeout_includes_the_wait_for_a_hub(world: World) -> None:
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


def test_the_agent_waits_for_an_answer_that_is_on_its_way_at_the_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linesync.agent.exchange_relay.GRACE", 0.005)  # the hub's answer takes longer
    world.agent("a")
    world.deliver()
    took, error = ended(world, give(world, "a", timeout=5.0))
    assert took == pytest.approx(5.0, abs=0.1) and isinstance(error, TimedOut)
    assert "b" in str(error), "the hub names who is missing"


def test_the_deadline_does_not_cut_off_data_after_the_outcome(world: World) -> None:
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
    """The agent's data about the scripts of host a, and the exchange in which the only script waits.

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


def test_a_script_that_waits_in_an_exchange_does_not_count_as_active(world: World) -> None:
    relayed, task = exchanging(world)
    assert relayed.scripts() == []
    give(world, "b")
    world.settle(task.done)
    world.deliver()
    assert relayed.scripts() == ["1"]


def test_a_script_that_gives_up_an_exchange_is_active_again(world: World) -> None:
    relayed, task = exchanging(world)
    task.cancel()
    world.deliver()
    assert relayed.scripts() == ["1"]
