"""A hub whose disk is full refuses new requests that change its state, and continues when there is room."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from linesync.errors import LinesyncError

from ..disk import Disk
from ..world import World

Make = Callable[..., World]


@pytest.fixture
def world(make: Make) -> World:
    """A hub that stores its state, with two registered agents."""
    world = make(5, durable=True)
    world.agent("a")
    world.agent("b")
    world.deliver()
    return world


def disk(world: World) -> Disk:
    assert world.disk is not None
    return world.disk


def test_a_request_that_changes_the_state_is_refused_while_the_disk_is_full(world: World) -> None:
    a, b = world.client("a"), world.client()
    assert world.run(a.semaphore("units", 1)) == 1
    disk(world).is_full = True
    first = world.start(a.semaphore("units", 2))
    world.pass_time(2.0)
    for client in (a, b):
        for refused in (client.semaphore("units", 4), client.lock("flash"), client.reset("units"), client.send("id")):
            with pytest.raises(LinesyncError, match="the hub's disk is full"):
                world.run(refused)
    assert not first.done()
    disk(world).is_full = False
    world.settle(first.done, 5.0)
    assert first.result() == 3
    assert world.run(b.semaphore("units", 4)) == 7


def test_waiting_requests_continue_when_the_disk_has_room_again(world: World) -> None:
    a, b = world.client("a"), world.client("b")
    barrier = world.start(a.barrier("boot", 2))
    held = world.run(b.lock("flash"))
    waiter = world.start(a.lock("flash"))
    world.pass_time(1.0)
    disk(world).is_full = True
    returning = world.start(b.give_back(held))
    world.pass_time(5.0)
    assert not returning.done() and not waiter.done() and not barrier.done()
    assert [row.name for row in world.run(b.status()).barriers] == ["boot"]
    disk(world).is_full = False
    world.settle(lambda: returning.done() and waiter.done(), 5.0)
    assert waiter.result().value > held.value
    assert world.run(b.barrier("boot", 2)).count == 2
    world.settle(barrier.done)


def test_a_host_registers_when_the_disk_has_room_again(world: World) -> None:
    disk(world).is_full = True
    world.agent("c")
    world.pass_time(5.0)
    disk(world).is_full = False
    world.deliver()
    assert world.run(world.client("c").semaphore("units", 1)) == 1


def test_a_request_that_a_killed_hub_could_not_store_has_its_effect_once(world: World) -> None:
    a = world.client("a")
    assert world.run(a.semaphore("units", 1)) == 1
    disk(world).is_full = True
    pending = world.start(a.semaphore("units", 2))
    world.pass_time(2.0)
    disk(world).is_full = False
    world.kill_hub()
    world.settle(pending.done)
    assert pending.result() == 3, "the agent sent the request again"
    assert world.run(a.semaphore("units", 0)) == 3


@pytest.mark.parametrize("moment", [0.0005 * step for step in range(12)])
def test_the_next_commit_contains_the_changes_that_a_full_disk_refused(world: World, moment: float) -> None:
    """The disk is full for a moment, and the next commit follows immediately."""
    a, b = world.client("a"), world.client()
    disk(world).is_full = True
    first = world.start(b.semaphore("units", 1))
    world.pass_time(moment)
    disk(world).is_full = False
    second = world.start(a.set_events("go"))
    world.settle(lambda: first.done() and second.done(), 10.0)
    assert second.exception() is None or "the hub's disk is full" in str(second.exception())
    world.kill_hub()
    world.deliver()
    assert first.result() == world.run(b.semaphore("units", 0)) == 1
