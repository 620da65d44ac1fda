"""A hub that stores its state continues its sessions after it was killed and started again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from linesync.errors import LinesyncError

from .world import World

Make = Callable[..., World]


@pytest.fixture
def world(make: Make) -> World:
    """A hub that stores its state, with two registered agents."""
    world = make(7, durable=True)
    world.agent("a")
    world.agent("b")
    world.deliver()
    return world


def lost_hosts(world: World) -> list[tuple[str, str, str]]:
    return [event for event in world.take_events() if event[0] == "lost"]


@pytest.mark.parametrize("host", ["a", "hub"])
def test_a_lock_stays_with_its_holder_when_the_hub_is_killed(world: World, host: str) -> None:
    a, b = world.client(host), world.client("b")
    held = world.run(a.lock("flash"))
    waiter = world.start(b.lock("flash"))
    world.pass_time(1.0)
    world.kill_hub()
    world.deliver()
    world.pass_time(1.0)
    assert not waiter.done() and not a.revoked and not lost_hosts(world)
    world.run(a.give_back(held))
    world.settle(waiter.done)
    assert waiter.result().value > held.value


def test_a_barrier_is_released_by_a_party_that_arrives_after_the_restart(world: World) -> None:
    first = world.start(world.client("a").barrier("boot", 2, timeout=100.0))
    world.pass_time(1.0)
    world.kill_hub(away=5.0)
    second = world.start(world.client("b").barrier("boot", 2, timeout=100.0))
    world.settle(lambda: first.done() and second.done())
    assert (first.result().position, second.result().position) == (1, 2)
    assert not lost_hosts(world)


@pytest.mark.parametrize("host", ["a", "hub"])
@pytest.mark.parametrize("wait", [0.001 * step for step in range(90)])
def test_a_request_has_its_effect_once_whenever_the_hub_is_killed(make: Make, wait: float, host: str) -> None:
    world = make(11, durable=True, byte_rate=115200.0)
    world.agent("a")
    world.deliver()
    client = world.client(host)
    world.run(client.semaphore("units", 1))
    tasks = [world.start(client.semaphore("units", n)) for n in (1, 2, 4)]
    world.pass_time(wait)
    world.kill_hub()
    for task in tasks:
        world.settle(task.done)
    assert [task.result() for task in tasks] == [2, 4, 8]
    assert world.run(client.semaphore("units", 0)) == 8


def test_a_script_on_the_hub_machine_that_does_not_connect_again_loses_its_lock(world: World) -> None:
    held = world.client()
    world.run(held.lock("flash"))
    world.kill(held)
    world.kill_hub(away=3.0)
    waiter = world.start(world.client("b").lock("flash"))
    world.pass_time(15.0)
    assert not waiter.done()
    world.settle(waiter.done, 10.0)


def test_a_script_on_the_hub_machine_fails_if_the_hub_is_away_too_long_and_works_later(world: World) -> None:
    client = world.client()
    held = world.run(client.lock("flash"))
    waiter = world.start(client.barrier("boot", 2))
    world.pass_time(1.0)
    world.kill_hub(away=25.0)
    assert waiter.done() and "may have" in str(waiter.exception())
    with pytest.raises(LinesyncError, match="the hold was lost"):
        world.run(client.give_back(held))
    world.run(world.client("b").lock("flash", timeout=30.0))


def test_without_stored_state_an_open_request_fails_and_may_have_had_an_effect(make: Make) -> None:
    world = make(3)
    client = world.client()
    waiter = world.start(client.barrier("boot", 2))
    world.pass_time(1.0)
    world.kill_hub()
    assert waiter.done() and "may have" in str(waiter.exception())


def test_a_script_that_ends_while_the_hub_is_away_loses_its_lock(world: World) -> None:
    a, b = world.client("a"), world.client("b")
    world.run(a.lock("flash"))
    waiter = world.start(b.lock("flash"))
    world.pass_time(1.0)
    hub = world.hub
    world.kill_hub(away=3.0)
    assert world.hub is not hub
    world.kill(a)
    world.settle(waiter.done)
    assert waiter.result().value == 2


def test_a_host_that_does_not_connect_again_is_lost_after_one_lease(world: World) -> None:
    world.run(world.client("a").lock("flash"))
    world.hosts["a"].wire.pull()
    world.kill_hub(away=3.0)
    began = world.now
    waiter = world.start(world.client("b").lock("flash"))
    world.settle(waiter.done)
    assert 19.0 <= world.now - began <= 22.0
    assert [event[1:] for event in lost_hosts(world)] == [("a", "line lost")]
    world.pass_time(5.0)
    assert not world.hub._requests.memory.sessions.keys() - {s.serial for s in world.hub._sessions.all()}


def test_requests_fail_when_the_hub_is_away_for_longer_than_the_lease(world: World) -> None:
    client = world.client("a")
    held = world.run(client.lock("flash"))
    waiter = world.start(client.barrier("boot", 2))
    world.pass_time(1.0)
    world.kill_hub(away=40.0)
    world.settle(waiter.done)
    assert "may have" in str(waiter.exception())
    assert held.arrival in client.revoked
    world.deliver()
    world.run(world.client("b").lock("flash", timeout=30.0))


def test_a_session_that_has_ended_does_not_continue(world: World) -> None:
    """The agent restarts while the hub is away."""
    world.run(world.client("a").lock("flash"))
    world.kill_agent("a")
    world.kill_hub()
    world.agent("a")
    world.deliver()
    assert world.run(world.client("b").lock("flash", timeout=30.0)).value == 2
    with pytest.raises(LinesyncError):
        world.hub._requests.resume(world.hub._sessions.all()[0], _continue(world))


def _continue(world: World):  # type: ignore[no-untyped-def]
    from linesync.protocol import Continue

    return Continue(hub="xxxxxxxx", own="yyyyyyyy")


def test_an_exchange_fails_for_all_members_when_the_hub_is_killed_and_can_be_repeated(world: World) -> None:
    """The hub does not store the data of an exchange, so it must not use other data in its place."""
    a, b, hub = world.client("a"), world.client("b"), world.client()
    members = ["a", "b"]
    gives = world.start(a.exchange("keys", members, b"old"))
    world.pass_time(2.0)
    world.kill_hub()
    world.settle(gives.done)
    assert "may have got the data" in str(gives.exception())
    with pytest.raises(LinesyncError, match="the hub has restarted"):
        world.run(b.exchange("keys", members, b"B"))
    other = world.start(hub.exchange("other", ["hub", "b"], b"not for them"))
    world.pass_time(1.0)
    again = [world.start(client.exchange("keys", members, data)) for client, data in ((b, b"B"), (a, b"new"))]
    world.settle(lambda: all(task.done() for task in again))
    assert [task.result() for task in again] == [{"a": b"new", "b": b"B"}] * 2
    assert not other.done()


def test_data_of_a_member_that_had_left_is_not_used_after_the_hub_was_killed(world: World) -> None:
    a, b, hub = world.client("a"), world.client("b"), world.client()
    left = world.start(a.exchange("keys", ["a", "b"], b"old"))
    world.pass_time(1.0)
    world.kill(a)
    world.settle(left.done)
    assert left.exception()
    world.pass_time(1.0)
    world.kill_hub()
    world.deliver()
    world.start(hub.exchange("other", ["hub", "x"], b"not for b"))
    got = world.start(b.exchange("keys", ["a", "b"], b"B"))
    world.pass_time(5.0)
    assert not got.done()
    world.run(world.client("a").exchange("keys", ["a", "b"], b"new"))
    world.settle(got.done)
    assert got.result() == {"a": b"new", "b": b"B"}
