"""Waiting for hosts, and reboots."""

from __future__ import annotations

import pytest

from linesync.errors import TimedOut
from tests.system.world import World


def test_a_wait_for_a_host_ends_when_it_registers() -> None:
    with World(seed=1) as world:
        task = world.start(world.client().wait_host("a"))
        world.pass_time(5.0)
        assert not task.done()
        world.agent("a")
        world.settle(task.done)
        assert task.result().name == "a" and task.result().state == "up"


def test_a_host_that_is_up_needs_no_wait() -> None:
    with World(seed=2) as world:
        world.agent("a")
        world.deliver()
        assert world.run(world.client().wait_host("a", timeout=0)).state == "up"


def test_a_wait_for_another_boot_ignores_the_same_agent_and_ends_with_the_next_one() -> None:
    with World(seed=3) as world:
        world.agent("a")
        world.deliver()
        client = world.client()
        first = world.run(client.wait_host("a"))
        task = world.start(client.wait_host("a", boot_after=first.boot[:4]))
        world.pass_time(3.0)
        assert not task.done()
        world.kill_agent("a")
        world.agent("a")
        world.settle(task.done)
        assert task.result().boot != first.boot


def test_a_wait_ends_when_a_quiet_host_is_heard_again() -> None:
    with World(seed=4) as world:
        world.agent("a")
        world.deliver()
        client = world.client()
        world.hosts["a"].wire.pull()
        world.pass_time(15.0)
        assert world.run(client.hosts())[0].state == "quiet"
        task = world.start(client.wait_host("a"))
        world.pass_time(1.0)
        assert not task.done()
        world.hosts["a"].wire.plug()
        world.settle(task.done)
        assert task.result().state == "up"


def test_a_wait_continues_when_the_hub_restarts() -> None:
    with World(seed=5, durable=True) as world:
        task = world.start(world.client().wait_host("a"))
        world.pass_time(2.0)
        world.kill_hub(away=1.0)
        world.pass_time(5.0)
        assert not task.done()
        world.agent("a")
        world.settle(task.done)
        assert task.result().state == "up"


@pytest.mark.parametrize("registers", [False, True])
def test_a_wait_that_times_out_names_the_last_state(registers: bool) -> None:
    with World(seed=6) as world:
        boot = ""
        if registers:
            world.agent("a")
            world.deliver()
            boot = world.run(world.client().hosts())[0].boot
        with pytest.raises(TimedOut) as late:
            world.run(world.client().wait_host("a", boot_after=boot, timeout=4.0))
        expected = (
            f"it has not been started again since {boot}" if registers else "no agent with this name has registered"
        )
        assert (
            late.value.message.startswith("timed out after 4 s waiting for host a: ") and expected in late.value.message
        )
