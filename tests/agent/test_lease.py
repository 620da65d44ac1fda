"""The agent's side of the lease: what ends when the hub is silent for its length."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from linesync.agent.lease import HubLease
from linesync.testing.virtual_loop import VirtualLoop
from tests.runtime.peers import play


class LeaseWithFakeLine:
    """A lease, and a simulated line. The test decides when the hub is heard.

    :param seconds: the length of the lease that the hub has sent; empty: the default of 20 s.
    :ivar polled: the times at which the agent polled the hub, from the start.
    :ivar lost: the time and the reason of each end of the lease.
    :ivar holds: scripts of the host hold something that they lose when the lease ends.
    """

    def __init__(self, seconds: str = "") -> None:
        self.loop = asyncio.get_running_loop()
        self._start = self.loop.time()
        self.link = SimpleNamespace(heard_at=self._start)
        self.polled: list[float] = []
        self.lost: list[tuple[float, str]] = []
        self.holds = True
        uplink: Any = SimpleNamespace(link=self.link, ask_alive=lambda: self.polled.append(self.passed))
        self.lease = HubLease(uplink, lambda: self.holds, lambda why: self.lost.append((self.passed, why)))
        self.lease.begin(seconds)

    @property
    def passed(self) -> float:
        return round(self.loop.time() - self._start, 3)

    def heard(self) -> None:
        self.link.heard_at = self.loop.time()


def on_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        play(test)

    run.__name__ = test.__name__
    return run


@on_virtual_time
async def test_a_command_ends_with_the_reason_when_the_lease_ends() -> None:
    setup = LeaseWithFakeLine()
    command = asyncio.ensure_future(setup.lease.bound(lambda: asyncio.sleep(1000.0)))
    await asyncio.sleep(19.9)
    assert not command.done()
    await asyncio.sleep(0.2)
    with pytest.raises(asyncio.CancelledError, match="the hub was not heard for 20 s"):
        await command


@on_virtual_time
async def test_scripts_lose_what_they_hold_exactly_at_the_end_of_the_lease() -> None:
    setup = LeaseWithFakeLine()
    await asyncio.sleep(1.3)
    setup.heard()
    await asyncio.sleep(20.1)
    assert setup.lost[0] == (21.3, "the hub was not heard for 20 s")


@on_virtual_time
async def test_nothing_is_lost_and_no_command_ends_while_the_hub_is_heard_in_time() -> None:
    setup = LeaseWithFakeLine()
    command = asyncio.ensure_future(setup.lease.bound(lambda: asyncio.sleep(1000.0)))
    for _ in range(10):
        await asyncio.sleep(19.0)
        setup.heard()
    assert not setup.lost and not command.done()


@on_virtual_time
async def test_the_agent_polls_a_silent_hub_before_half_of_the_lease_has_passed() -> None:
    setup = LeaseWithFakeLine()
    await asyncio.sleep(7.6)
    assert not setup.polled
    await asyncio.sleep(2.5)
    assert len(setup.polled) == 1 and 9.0 <= setup.polled[0] <= 10.0


@on_virtual_time
async def test_the_agent_does_not_poll_the_hub_while_nothing_depends_on_it() -> None:
    setup = LeaseWithFakeLine()
    setup.holds = False
    await setup.lease.bound(lambda: asyncio.sleep(1.0))
    await asyncio.sleep(100.0)
    assert not setup.polled and not setup.lost


@on_virtual_time
async def test_a_lease_has_the_length_that_the_hub_has_sent() -> None:
    setup = LeaseWithFakeLine("2.5")
    await asyncio.sleep(2.6)
    assert setup.lost[0] == (2.5, "the hub was not heard for 2.5 s")


@pytest.mark.parametrize("seconds", ["", "soon", "-1", "0", "nan", "inf", "1e300"])
def test_an_invalid_length_of_the_lease_is_replaced_by_the_default(seconds: str) -> None:
    async def test() -> None:
        setup = LeaseWithFakeLine(seconds)
        await asyncio.sleep(20.1)
        assert [when for when, _ in setup.lost[:1]] == [20.0]

    play(test)


@on_virtual_time
async def test_a_lease_does_not_end_after_its_session_is_over() -> None:
    setup = LeaseWithFakeLine()
    await asyncio.sleep(10.0)
    setup.lease.stop()
    await asyncio.sleep(100.0)
    assert not setup.lost


@on_virtual_time
async def test_only_the_lease_of_the_new_session_ends() -> None:
    setup = LeaseWithFakeLine("40")
    setup.lease.begin("")
    await asyncio.sleep(20.1)
    assert [when for when, _ in setup.lost] == [20.0]


@on_virtual_time
async def test_time_in_which_this_machine_was_suspended_does_not_count_as_silence_of_the_hub() -> None:
    setup = LeaseWithFakeLine()
    assert isinstance(setup.loop, VirtualLoop)
    await asyncio.sleep(1.0)
    setup.loop.skip(500.0)
    await asyncio.sleep(0.1)
    assert not setup.lost, "the agent must first read the frames that have arrived"
    setup.heard()
    await asyncio.sleep(10.0)
    assert not setup.lost
