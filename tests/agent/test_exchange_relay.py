"""How an agent relays its scripts' exchanges: without a connection to the hub, and on a line that becomes silent."""

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
    """A hub with host b. Each test starts the agent of host a itself."""
    with World(seed=1) as world:
        world.agent("b")
        world.deliver()
        yield world


def start_without_cable(world: World) -> None:
    """Start the agent of host a while its cable is unplugged."""
    world.hosts["a"] = world.run(world._wire("a"))
    world.hosts["a"].wire.pull()
    world.agent("a")


def start_exchange(world: World, host: str, **options: Any) -> asyncio.Task[Any]:
    task = world.start(world.client(host).exchange("keys", BOTH, f"of {host}".encode(), **options))
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    return task


def failure_of(world: World, task: asyncio.Task[Any]) -> tuple[float, LinesyncError]:
    """Wait until an exchange fails; return the seconds from now, and its error."""
    began = world.now
    world.settle(task.done, 120.0)
    error = task.exception()
    assert isinstance(error, LinesyncError)
    return world.now - began, error


def test_an_exchange_waits_for_a_hub_without_limit_when_it_has_no_timeout(world: World) -> None:
    start_without_cable(world)
    task = start_exchange(world, "a")
    world.pass_time(300.0)
    assert not task.done()
    world.hosts["a"].wire.plug()
    world.deliver()
    start_exchange(world, "b")
    world.settle(task.done)
    assert task.result() == {"a": b"of a", "b": b"of b"}


def test_an_exchange_with_timeout_0_fails_immediately_without_a_hub(world: World) -> None:
    start_without_cable(world)
    took, error = failure_of(world, start_exchange(world, "a", timeout=0.0))
    assert took < 0.1 and "the agent has no connection to a hub" in str(error)


def test_an_exchange_that_did_not_reach_the_hub_times_out_and_reports_that_nothing_was_given(world: World) -> None:
    start_without_cable(world)
    took, error = failure_of(world, start_exchange(world, "a", timeout=5.0))
    assert took == pytest.approx(5.0, abs=0.1)
    assert isinstance(error, TimedOut) and str(error).endswith("nothing was given")
    world.hosts["a"].wire.plug()
    world.deliver()
    assert world.status()["exchanges"] == []


def test_the_timeout_includes_the_wait_for_a_hub(world: World) -> None:
    start_without_cable(world)
    task = start_exchange(world, "a", timeout=20.0)
    world.pass_time(12.0)
    world.hosts["a"].wire.plug()
    took, error = failure_of(world, task)
    assert took == pytest.approx(8.0, abs=1.0) and error.code == "timeout"
    assert "given" not in str(error).split(";")[-1] or "b" in str(error), "the error must come from the hub"


def test_an_exchange_on_a_line_that_becomes_silent_fails_shortly_after_its_deadline(world: World) -> None:
    world.agent("a")
    world.deliver()
    task = start_exchange(world, "a", timeout=20.0)
    world.deliver()
    world.hosts["a"].wire.pull()
    took, error = failure_of(world, task)
    assert took == pytest.approx(20.0 + GRACE, abs=0.5)
    assert isinstance(error, LinesyncFailed) and "no answer from the hub in 22 s" in str(error)
    assert "may have got the data" in str(error)


def test_the_agent_waits_for_an_answer_whose_bytes_still_arrive_at_the_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "linesync.agent.exchange_relay.GRACE", 0.005
    )  # the transmission of the hub's answer takes longer
    world.agent("a")
    world.deliver()
    took, error = failure_of(world, start_exchange(world, "a", timeout=5.0))
    assert took == pytest.approx(5.0, abs=0.1) and isinstance(error, TimedOut)
    assert "b" in str(error), "the error must be the hub's, which names the missing member"


def test_the_deadline_does_not_cut_off_data_after_the_outcome(world: World) -> None:
    world.agent("a")
    world.deliver()
    task = start_exchange(world, "a", timeout=8.0)
    world.start(world.client("b").exchange("keys", BOTH, world.random.randbytes(45_000)))
    world.pass_time(6.0)
    assert not task.done(), "the hub must still be sending the data of b"
    wire = world.hosts["a"].wire
    wire.pull()
    world.pass_time(8.0)
    wire.plug()
    world.settle(task.done)
    assert len(task.result()["b"]) == 45_000


def exchange_of_only_script(world: World) -> tuple[Any, asyncio.Task[Any]]:
    """Start an exchange of the only script of host a. Return the agent's object for the scripts, and the exchange.

    The script makes one call at a time, as a blocking client does.
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
    relayed, task = exchange_of_only_script(world)
    assert relayed.scripts() == []
    start_exchange(world, "b")
    world.settle(task.done)
    world.deliver()
    assert relayed.scripts() == ["1"]


def test_a_script_that_gives_up_an_exchange_is_active_again(world: World) -> None:
    relayed, task = exchange_of_only_script(world)
    task.cancel()
    world.deliver()
    assert relayed.scripts() == ["1"]
