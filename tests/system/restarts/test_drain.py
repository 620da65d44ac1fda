"""A hub that is drained begins no new work, waits for the end of running work, and stops. The next hub continues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import pytest

from linesync import protocol
from linesync.client.aio import Client
from linesync.errors import EndOfStream, LinesyncError, LinesyncFailed, TimedOut
from linesync.hub.draining import DRAINS
from linesync.runtime.channels.streams import Stream

from ..world import World

Make = Callable[..., World]


@pytest.fixture
def world(make: Make) -> World:
    """A hub that stores its state, with two registered agents."""
    world = make(9, durable=True)
    world.agent("a")
    world.agent("b")
    world.deliver()
    return world


@pytest.fixture
def hub_without_state(make: Make) -> World:
    """A hub that stores nothing, with one registered agent."""
    world = make(9)
    world.agent("a")
    world.deliver()
    return world


async def _run_until_stdin_ends(stream: Stream, *_: Any) -> None:
    """A command that runs until its stdin ends."""
    with suppress(EndOfStream):
        while (await stream.receive()).data != protocol.encode(protocol.DataEnd()).encode():
            pass
    stream.send_message(protocol.encode(protocol.Exited(status=0)))
    stream.finish()


@pytest.fixture(autouse=True)
def commands() -> Iterator[None]:
    with patch("linesync.jobs.commands.command.serve_run", _run_until_stdin_ends):
        yield


def drain_of(world: World) -> str:
    drain: str = world.run(world.client().status()).drain
    return drain


def check_refused(world: World, work: Any) -> None:
    with pytest.raises(LinesyncFailed, match="the hub is being drained for an upgrade.*try again soon"):
        world.run(work)


def start_command(world: World, client: Client, host: str) -> Stream:
    async def start() -> Stream:
        return client.start(host, ["flash", "board"], stdin=True)

    stream: Stream = world.run(start())
    world.pass_time(1.0)
    return stream


def end_command(world: World, client: Client, stream: Stream) -> None:
    async def end() -> int:
        stream.end()
        return (await client.finish(stream)).exit_code

    assert world.run(end()) == 0


@pytest.mark.parametrize("side", ["hub", "a"])
def test_a_drain_without_work_ends_when_the_hub_has_stopped_and_is_not_repeated(world: World, side: str) -> None:
    drain = world.start(world.client(side).drain())
    world.settle(lambda: world.hub.drained)
    assert not drain.done()
    world.replace_drained_hub()
    world.settle(drain.done)
    drain.result()
    world.pass_time(60.0)
    assert not world.hub.drained and not drain_of(world)


def test_a_reply_that_is_lost_with_the_line_comes_from_the_next_hub_which_is_not_drained(world: World) -> None:
    drain = world.start(world.client("a").drain())
    world.settle(lambda: world.hub.drained)
    world.hosts["a"].wire.pull()
    world.replace_drained_hub()
    world.pass_time(3.0)
    assert not drain.done()
    world.hosts["a"].wire.plug()
    world.settle(drain.done)
    drain.result()
    world.pass_time(30.0)
    assert not world.hub.drained and not drain_of(world)


@pytest.mark.parametrize("side", ["hub", "a"])
def test_waits_and_holds_continue_at_the_next_hub(world: World, side: str) -> None:
    client, other = world.client(side), world.client("b")
    held = world.run(client.lock("flash"))
    barrier = world.start(client.barrier("boot", 2, timeout=100.0))
    world.pass_time(1.0)
    drain = world.start(world.client().drain(timeout=5.0))
    world.settle(lambda: world.hub.drained)
    late = world.start(other.barrier("boot", 2))  # the next hub gets what the drained hub does not handle
    world.pass_time(0.0)
    world.replace_drained_hub()
    world.settle(lambda: barrier.done() and late.done() and drain.done())
    assert barrier.result().parties == late.result().parties
    world.run(client.give_back(held))
    assert world.run(other.lock("flash", timeout=30.0)).value > held.value


@pytest.mark.parametrize("host", ["hub", "b"])
@pytest.mark.parametrize("side", ["hub", "a"])
def test_a_drain_waits_for_a_command_and_refuses_new_work(world: World, side: str, host: str) -> None:
    client, other = world.client(side), world.client("a")
    held = world.run(other.lock("flash"))
    world.run(other.semaphore("units", 1))
    units = world.run(other.hold("units"))
    barrier = world.start(client.barrier("boot", 2))
    stream = start_command(world, client, host)
    drain = world.start(client.drain())
    world.pass_time(3.0)
    assert not drain.done() and not world.hub.drained
    assert drain_of(world) == f"the command 'flash' on {host}"
    for work in (
        other.barrier("boot", 2),
        other.lock("other"),
        other.semaphore("units", 1),
        other.set_events("up"),
        other.send("ready"),
        other.receive("ready"),
        other.begin_namespace("new"),
        other.exchange("keys", ["a", "b"], b"data"),
        other.run("b", ["true"]),
        other.run("hub", ["true"]),
        world.client().lock("other"),
    ):
        check_refused(world, work)
    world.run(other.hosts())
    world.run(other.give_back(held))
    world.run(other.give_back(units))
    end_command(world, client, stream)
    world.settle(lambda: world.hub.drained, 5.0)
    world.replace_drained_hub()
    world.settle(drain.done)
    drain.result()
    world.run(other.barrier("boot", 2))
    world.settle(barrier.done)


@pytest.mark.parametrize("size", [1, 40_000])
def test_a_drain_does_not_wait_for_an_exchange_that_the_next_hub_continues(world: World, size: int) -> None:
    members = ["a", "hub"]
    first = world.start(world.client("a").exchange("keys", members, bytes(size)))
    world.pass_time(1.0)
    drain = world.start(world.client().drain())
    world.settle(lambda: world.hub.drained, 1.0)
    world.replace_drained_hub()
    second = world.start(world.client().exchange("keys", members, b"2"))
    world.settle(lambda: first.done() and second.done())
    assert first.result() == second.result() == {"a": bytes(size), "hub": b"2"}
    world.settle(drain.done)
    world.deliver()


def test_a_drain_lets_an_exchange_end_that_no_other_hub_can_continue(hub_without_state: World) -> None:
    members = ["a", "hub"]
    first = hub_without_state.start(hub_without_state.client("a").exchange("keys", members, b"1"))
    hub_without_state.pass_time(1.0)
    hub_without_state.start(hub_without_state.client().drain())
    hub_without_state.pass_time(1.0)
    assert drain_of(hub_without_state) == "the exchange 'keys'"
    second = hub_without_state.start(hub_without_state.client().exchange("keys", members, b"2"))
    hub_without_state.settle(lambda: hub_without_state.hub.drained)
    for exchange in (first, second):
        assert exchange.result() == {"a": b"1", "hub": b"2"}
    hub_without_state.replace_drained_hub()
    hub_without_state.deliver()


@pytest.mark.parametrize("side", ["hub", "a"])
def test_a_drain_that_times_out_names_the_running_work_and_the_hub_accepts_work_again(world: World, side: str) -> None:
    client = world.client(side)
    stream = start_command(world, client, "b")
    for timeout in (0, 5.0):
        with pytest.raises(TimedOut, match="still waits for the command 'flash' on b") as caught:
            world.run(client.drain(timeout=timeout))
        assert caught.value.details["waits_for"] == ["the command 'flash' on b"]
    world.run(client.lock("flash"))
    end_command(world, client, stream)
    world.pass_time(10.0)
    assert not world.hub.drained and not drain_of(world)


@pytest.mark.parametrize("end", ["kill", "cancel"])
@pytest.mark.parametrize("side", ["hub", "a"])
def test_a_drain_ends_with_its_client(world: World, side: str, end: str) -> None:
    client, other = world.client(side), world.client("b")
    stream = start_command(world, other, "hub")
    drain = world.start(client.drain())
    world.pass_time(1.0)
    check_refused(world, other.lock("flash"))
    if end == "kill":
        world.kill(client)
    else:
        drain.cancel()
    world.pass_time(1.0)
    assert drain.cancelled() if end == "cancel" else drain.exception() is not None
    assert not drain_of(world)
    world.run(other.lock("flash"))
    end_command(world, other, stream)
    world.pass_time(5.0)
    assert not world.hub.drained


def test_a_drain_ends_with_the_host_of_its_client(world: World) -> None:
    stream = start_command(world, world.client(), "hub")
    drain = world.start(world.client("a").drain())
    world.pass_time(1.0)
    world.kill_agent("a")
    world.pass_time(25.0)
    assert drain.done() and drain.exception() is not None
    world.run(world.client("b").lock("flash"))
    stream.reset("enough")


def test_a_second_drain_continues_when_the_first_one_ends(world: World) -> None:
    stream = start_command(world, world.client(), "b")
    first, second = world.client(), world.client("a")
    short, long = world.start(first.drain(timeout=2.0)), world.start(second.drain())
    world.settle(short.done)
    assert isinstance(short.exception(), TimedOut)
    check_refused(world, first.lock("flash"))
    stream.reset("enough")
    world.settle(lambda: world.hub.drained)
    world.replace_drained_hub()
    world.settle(long.done)
    long.result()
    world.deliver()


def test_a_hub_that_is_killed_during_a_drain_is_drained_after_its_restart(world: World) -> None:
    """The command continues, so the drain waits for it again."""
    client = world.client()
    stream = start_command(world, client, "b")
    drain = world.start(world.client("a").drain())
    world.pass_time(1.0)
    world.kill_hub()
    world.pass_time(15.0)
    assert not world.hub.drained
    end_command(world, client, stream)
    world.settle(lambda: world.hub.drained)
    world.replace_drained_hub()
    world.settle(drain.done)
    drain.result()
    world.deliver()


def test_a_drain_waits_for_room_on_the_disk(world: World) -> None:
    assert world.disk is not None
    client = world.client("a")
    world.run(client.semaphore("units", 1))
    world.disk.is_full = True
    given = world.start(client.semaphore("units", 2))
    world.pass_time(2.0)
    drain = world.start(client.drain())
    world.pass_time(5.0)
    assert not world.hub.drained and drain_of(world) == "room on the disk"
    world.disk.is_full = False
    world.settle(lambda: world.hub.drained)
    world.replace_drained_hub()
    world.settle(lambda: given.done() and drain.done())
    assert world.run(client.semaphore("units", 0)) == 3


def test_a_hub_without_stored_state_waits_for_waits_and_holds(hub_without_state: World) -> None:
    world = hub_without_state
    client, other = world.client("a"), world.client()
    held = world.run(client.lock("flash"))
    waiter = world.start(other.wait_events("up", timeout=10.0))
    world.pass_time(1.0)
    with pytest.raises(TimedOut, match=r"1 wait or hold of .*, which would be lost \(this hub stores no state\)"):
        world.run(other.drain(timeout=2.0))
    drain = world.start(world.client().drain())
    world.pass_time(1.0)
    world.run(client.give_back(held))
    assert not world.hub.drained and not waiter.done()
    world.settle(lambda: world.hub.drained)
    assert isinstance(waiter.exception(), TimedOut)
    world.run(world.hub.aclose("the hub was drained"))
    world.settle(drain.done)
    drain.result()


def test_the_number_of_drains_is_bounded(world: World) -> None:
    stream = start_command(world, world.client(), "b")
    client = world.client()
    drains = [world.start(client.drain()) for _ in range(DRAINS)]
    world.pass_time(1.0)
    with pytest.raises(LinesyncError, match=f"{DRAINS} requests to drain the hub wait already"):
        world.run(client.drain())
    for drain in drains:
        drain.cancel()
    world.pass_time(1.0)
    assert all(isinstance(drain, asyncio.Task) and drain.cancelled() for drain in drains)
    world.run(client.lock("flash"))
    stream.reset("enough")
