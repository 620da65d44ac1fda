"""The time until which a client certainly has a hold, over serial lines on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from linesync.client import validity
from linesync.errors import LinesyncFailed
from linesync.testing.faults import Faults

from .world import World


@contextmanager
def world_with_two_hosts(lease: float, byte_rate: float, faults: Faults | None = None) -> Iterator[World]:
    """A hub with the hosts a and b. Holds use the clock of the world."""
    with (
        World(seed=5, lease=lease, byte_rate=byte_rate, faults=faults) as world,
        patch.object(validity, "boottime", lambda: world.now),
    ):
        for host in ("a", "b"):
            world.agent(host)
        world.deliver()
        yield world


@pytest.mark.long
@pytest.mark.parametrize("lease", [4.0, 20.0])
@pytest.mark.parametrize("faults", [None, Faults(ber=1e-4, drop=1e-4)], ids=["clean", "noisy"])
def test_a_slow_line_that_is_full_of_data_does_not_end_a_hold(lease: float, faults: Faults | None) -> None:
    with world_with_two_hosts(lease, 960.0, faults) as world:
        script, other = world.client("a"), world.client("b")
        held = world.run(script.lock("k"))
        data = world.random.randbytes(40_000)
        giving = [world.start(giver.exchange("bulk", ["a", "b"], data)) for giver in (script, other)]
        least = lease
        while not all(task.done() for task in giving):
            world.pass_time(lease / 16)
            least = min(least, world.run(script.check(held)) - world.now)
        assert all(task.result() == {"a": data, "b": data} for task in giving)
        assert least > 0.55 * lease, f"only {least:.2f} s were left"
        world.run(script.give_back(held))


def test_a_hold_ends_before_the_hub_grants_it_to_another_client_and_stays_ended() -> None:
    with world_with_two_hosts(20.0, 11520.0) as world:
        script, other = world.client("a"), world.client("b")
        held = world.run(script.lock("k"))
        waiting = world.start(other.lock("k"))
        for _ in range(10):
            world.pass_time(5.0)
            until = world.run(script.check(held))
        assert not waiting.done() and until > world.now + 10.0
        world.hosts["a"].wire.pull()
        while world.now < until:
            last = until
            world.pass_time(1.0)
            if world.now < until:
                until = world.run(script.check(held))
                assert until <= last + 3.0, "only frames acknowledged before the cut extend the hold"
        assert not waiting.done(), "another client has the lock although this one may still rely on it"
        with pytest.raises(LinesyncFailed, match="the hold is lost"):
            world.run(script.check(held))
        world.pass_time(25.0)
        assert waiting.done()
        world.hosts["a"].wire.plug()
        world.deliver()
        with pytest.raises(LinesyncFailed, match="the hold is lost"):
            world.run(script.check(held))


def test_an_interruption_of_half_a_lease_has_no_effect() -> None:
    with world_with_two_hosts(20.0, 11520.0) as world:
        script = world.client("a")
        held = world.run(script.lock("k"))
        for _ in range(5):
            for _ in range(8):
                world.pass_time(20.0 / 16)
                world.run(script.check(held))
            world.hosts["a"].wire.pull()
            world.pass_time(10.0)
            assert world.run(script.check(held)) > world.now + 3.0, (
                "a supervisor needs 3 s to end the command with SIGTERM"
            )
            world.hosts["a"].wire.plug()
        world.run(script.give_back(held))
        with pytest.raises(LinesyncFailed, match="it was given back"):
            world.run(script.check(held))


def test_the_controllers_own_script_asks_the_hub_itself() -> None:
    with world_with_two_hosts(4.0, 11520.0) as world:
        script = world.client("hub")
        held = world.run(script.hold("units", timeout=0.0)) if world.run(script.semaphore("units", 1)) else None
        assert held is not None
        assert world.run(script.check(held)) == world.now + 3.5
        world.run(script.reset("units"))
        world.pass_time(1.0)
        with pytest.raises(LinesyncFailed, match="was reset by hub"):
            world.run(script.check(held))


@pytest.mark.long
@pytest.mark.parametrize(
    ("size", "faults"), [(0, None), (3000, Faults(ber=1e-4, drop=1e-4))], ids=["idle", "full and noisy"]
)
@pytest.mark.parametrize(("lease", "byte_rate"), [(1.0, 480.0), (2.0, 240.0), (20.0, 960.0)])
def test_work_for_other_hosts_continues_while_the_line_works(
    lease: float, byte_rate: float, size: int, faults: Faults | None
) -> None:
    """This includes work that starts after the agent has sent only keepalives for several leases."""
    with world_with_two_hosts(lease, byte_rate, faults) as world:
        agent = world.hosts["a"].agent
        assert agent is not None
        link = agent._uplink.link
        scripts = [world.client("a"), world.client("b")]
        for _ in range(3):
            world.pass_time(3.3 * lease)
            work = world.start(agent.lease.bound(lambda: asyncio.sleep(2.3 * lease)))
            data = world.random.randbytes(size)
            giving = asyncio.gather(*(world.start(giver.exchange("bulk", ["a", "b"], data)) for giver in scripts))
            world.pass_time(lease / 2)
            oldest = 0.0
            while not work.done():
                world.pass_time(lease / 50)
                oldest = max(oldest, world.now - link.acknowledged_at)
            assert not work.cancelled(), "the agent has ended it"
            assert oldest < 0.5 * lease, f"nothing was acknowledged for {oldest:.2f} s"
            world.settle(giving.done)
