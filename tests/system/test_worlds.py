"""The world of the searches, and the bugs that the searches have found."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from unittest.mock import patch

import pytest

from linesync.errors import LinesyncFailed, TimedOut
from linesync.testing.faults import Faults
from linesync.testing.virtual_loop import VirtualLoop

from .world import World

Make = Callable[..., World]
FAULTS = Faults(ber=1e-4, drop=1e-4, printk=1.0)


def pair(make: Make, *arguments: object, **options: object) -> World:
    """A world with two agents that have registered."""
    world = make(*arguments, **options)
    world.agent("a")
    world.agent("b")
    world.deliver()
    return world


# -- the clock --------------------------------------------------------------------------------------------------------


def test_an_hour_of_sleep_takes_no_time() -> None:
    loop = VirtualLoop(start=5.0)
    began = time.monotonic()
    loop.run_until_complete(asyncio.sleep(3600.0))
    assert loop.time() == pytest.approx(3605.0)
    assert time.monotonic() - began < 5.0
    loop.close()


def test_time_does_not_pass_while_callbacks_are_ready() -> None:
    loop = VirtualLoop()
    seen = []

    async def work() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
            seen.append(loop.time())

    loop.run_until_complete(work())
    assert set(seen) == {1000.0}
    loop.close()


def test_the_loop_stops_at_the_limit_and_continues_from_there() -> None:
    loop = VirtualLoop(start=0.0)
    seen = []
    loop.call_at(1.0, seen.append, 1)
    loop.call_at(2.0, seen.append, 2)
    assert not loop.run_until(lambda: False, 1.5)
    assert (seen, loop.time()) == ([1], 1.5)
    assert loop.run_until(lambda: 2 in seen, 10.0)
    assert loop.time() == 2.0
    loop.close()


def test_a_loop_that_spins_is_an_error() -> None:
    loop = VirtualLoop()

    def spin() -> None:
        loop.call_soon(spin)

    spin()
    with pytest.raises(RuntimeError, match="endless loop"):
        loop.run_until(None, 2000.0)
    loop.close()


# -- the world --------------------------------------------------------------------------------------------------------


def test_two_hosts_meet_at_a_barrier_over_two_bad_lines(make: Make) -> None:
    world = pair(make, 3, faults=FAULTS)
    tasks = [world.start(world.client(host).barrier("go", 3, arrival=host)) for host in ("a", "b")]
    world.deliver()
    assert not any(task.done() for task in tasks)
    released = world.run(world.client().barrier("go", 3))
    world.deliver()
    assert [task.result().parties for task in tasks] == [released.parties] * 2


def test_a_life_can_be_repeated_exactly(make: Make) -> None:
    transcripts = []
    for _ in range(2):
        world = pair(make, 11, faults=FAULTS)
        world.run(world.client("a").semaphore("s", 2))
        world.pass_time(30.0)
        transcripts.append(world.transcript(1000))
        world.close()
    assert transcripts[0] == transcripts[1]
    assert transcripts[0].count("\n") > 50


def test_another_seed_gives_another_life(make: Make) -> None:
    worlds = [pair(make, seed, faults=FAULTS) for seed in (1, 2)]
    assert worlds[0].transcript() != worlds[1].transcript()


def test_a_failure_shows_the_frames_and_the_seed(make: Make) -> None:
    world = pair(make, 5)
    with pytest.raises(AssertionError, match=r"(?s)within 3 s.*seed 5.*prompt.*says   0: .* sem s -1 timeout=9"):
        world.run(world.client("a").semaphore("s", -1, timeout=9.0), limit=3.0)


def test_a_line_that_is_cut_delivers_nothing_until_it_is_back(make: Make) -> None:
    world = pair(make)
    wire = world.hosts["a"].wire
    wire.pull()
    task = world.start(world.client("a").semaphore("s", 1))
    world.pass_time(5.0)
    assert not task.done()
    wire.plug()
    world.deliver()
    assert task.result() == 1


def test_a_killed_agent_is_lost_when_its_lease_expires(make: Make) -> None:
    world = pair(make)
    world.take_events()
    world.kill_agent("a")
    world.pass_time(13.0)
    assert world.take_events() == []
    world.pass_time(8.0)
    assert world.take_events() == [("lost", "a", "line lost")]


def test_an_agent_that_starts_again_replaces_the_dead_one(make: Make) -> None:
    world = pair(make)
    world.take_events()
    world.kill_agent("a")
    world.agent("a")
    world.deliver()
    assert world.take_events() == [("lost", "a", "restarted"), ("up", "a", "")]


def test_a_barrier_accepts_a_folded_list_of_members(make: Make) -> None:
    world = pair(make)
    world.start(world.client("a").barrier("go", members="a,hub#[1-2]"))
    world.start(world.client().barrier("go", members="hub#[1,2],a", member="hub#1"))
    got = world.run(world.client().barrier("go", members=["a", "hub#1", "hub#2"], member="hub#2"))
    assert sorted(got.parties) == ["a", "hub#1", "hub#2"]


def test_the_hub_removes_the_waits_of_a_killed_script(make: Make) -> None:
    world = pair(make)
    client = world.client("a")
    task = world.start(client.semaphore("s", -1, arrival="mine"))
    world.deliver()
    world.kill(client)
    world.deliver()
    assert world.status()["semaphores"] == []
    assert isinstance(task.exception(), LinesyncFailed)


def test_a_new_hub_without_a_stored_state_gathers_only_from_hosts_that_have_registered_with_it(make: Make) -> None:
    world = pair(make)
    world.kill_agent("a")
    world.kill_hub()
    world.deliver()
    world.run(world.client("b").send("ready", "of b"))
    (received,) = world.run(world.client().receive_all("ready", timeout=0))
    assert received.sender == "b"
    world.agent("a")
    world.deliver()
    with pytest.raises(TimedOut, match="missing: a"):
        world.run(world.client().receive_all("ready", timeout=0))


# -- bugs that the searches found -------------------------------------------------------------------------------------


def test_the_call_of_a_script_fails_immediately_when_its_agent_dies(make: Make) -> None:
    world = pair(make)
    task = world.start(world.client("a").barrier("go", 2))
    world.deliver()
    world.kill_agent("a")
    with pytest.raises(LinesyncFailed, match="closed at the other end"):
        world.run(asyncio.wait_for(task, 1.0))


def test_an_arrival_that_its_agent_ended_is_not_sent_when_the_line_is_back(make: Make) -> None:
    world = pair(make)
    world.hosts["a"].wire.pull()
    task = world.start(world.client("a").barrier("go", 2, timeout=5.0, arrival="mine"))
    world.pass_time(12.0)
    assert isinstance(task.exception(), LinesyncFailed)
    world.hosts["a"].wire.plug()
    world.deliver()
    assert world.status()["barriers"] == []
    with pytest.raises(TimedOut):
        world.run(world.client("b").barrier("go", 2, timeout=1.0))


def test_a_grant_that_was_returned_for_a_lost_host_is_not_granted_to_it_later(make: Make) -> None:
    world = pair(make)
    first = world.start(world.client("a").semaphore("s", -1))
    world.deliver()
    world.hosts["a"].wire.pull()
    world.run(world.client().semaphore("s", 1))  # the reply to the first taker is on its way, and the line is cut
    world.pass_time(30.0)
    assert world.run(world.client("b").semaphore("s", -1)) == 0
    world.hosts["a"].wire.plug()
    world.deliver()
    with pytest.raises(LinesyncFailed):
        first.result()


def test_an_exchange_that_an_agent_ended_does_not_fail_the_others_and_can_be_repeated(make: Make) -> None:
    world = pair(make)
    other = world.start(world.client("b").exchange("keys", ["a", "b"], b"of b"))
    script = world.client("a")
    first = world.start(script.exchange("keys", ["a", "b"], random.Random(1).randbytes(20_000), timeout=5.0))
    world.pass_time(0.5)  # half of the data has been sent
    world.hosts["a"].wire.pull()
    world.pass_time(9.0)
    assert isinstance(first.exception(), LinesyncFailed)
    world.hosts["a"].wire.plug()
    world.deliver()
    assert not other.done(), "no host died"
    repeated = world.run(world.client("a").exchange("keys", ["a", "b"], b"of a"))
    world.deliver()
    assert other.result() == repeated == {"a": b"of a", "b": b"of b"}


def test_a_script_can_cancel_an_exchange_and_immediately_repeat_it(make: Make) -> None:
    world = pair(make)
    script = world.client("a")
    for size in (0, 40, 6000):
        first = world.start(script.exchange("keys", ["a", "b"], bytes(size)))
        world.pass_time(0.02)
        first.cancel()
        second = world.start(script.exchange("keys", ["a", "b"], b"again"))  # both are on the line at the same time
        world.deliver()
        assert not second.done(), f"{size} bytes: {second}"
        second.cancel()
        world.deliver()
        assert world.status()["exchanges"] == []


def test_an_exchange_that_is_cancelled_before_the_hub_answers_leaves_nothing(make: Make) -> None:
    world = pair(make)
    script = world.client("a")
    first = world.start(script.exchange("keys", ["a", "b"], bytes(500)))
    world.pass_time(0.0)
    first.cancel()  # the opening, the data and the end arrive at the hub together
    world.deliver()
    assert world.status()["exchanges"] == []
    assert len(world.hub._exchanging.blobs) == 0


def test_a_lock_that_is_granted_after_the_line_was_lost_can_be_given_back(make: Make) -> None:
    world = pair(make)
    script = world.client("a")
    world.run(script.lock("k"))
    world.hosts["a"].wire.pull()
    second = world.start(script.lock("k"))
    world.pass_time(30.0)
    world.hosts["a"].wire.plug()
    world.deliver()
    world.run(script.give_back(second.result()))
    assert world.status()["locks"] == []


@pytest.mark.parametrize("killed", [False, True])
def test_a_hold_that_only_the_agent_ended_goes_back(make: Make, killed: bool) -> None:
    world = pair(make)
    script = world.client("a")
    held = world.run(script.lock("k"))
    wire = world.hosts["a"].wire
    with patch.object(
        wire.lines["a"], "_deliver", lambda data: None
    ):  # the agent hears nothing; the hub hears the agent
        world.pass_time(30.0)
    assert [row["token"] for row in world.status()["locks"]] == [1]
    if killed:
        world.kill(script)
    else:
        with pytest.raises(LinesyncFailed, match="acknowledged nothing for 20 s"):
            world.run(script.give_back(held))
    world.deliver()
    assert world.status()["locks"] == []
