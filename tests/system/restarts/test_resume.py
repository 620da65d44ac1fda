"""A hub that stores its state continues its sessions after it was killed and started again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from linesync.errors import LinesyncError

from ..world import World

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


def test_an_agent_whose_lease_ends_while_it_asks_to_continue_registers_again(world: World) -> None:
    waiting = world.start(world.client("a").barrier("boot", 2))
    world.pass_time(1.0)
    agent = world.hosts["a"].agent
    assert agent is not None
    world.kill_hub()
    world.settle(lambda: bool(agent._uplink._continuing))
    world.pass_time(0.015)  # the hub has the request
    agent._uplink.cannot_continue("the hub acknowledged nothing for 20 s")
    world.deliver()
    assert isinstance(waiting.exception(), LinesyncError)
    assert world.status()["barriers"] == []
    assert world.run(world.client("a").semaphore("units", 1), limit=2.0) == 1


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
