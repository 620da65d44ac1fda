"""The agent's side of the lease: which work ends when the hub acknowledges no frames, and which work continues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from linesync.agent.lease import HubLease
from linesync.testing.memory_lines import Pipe
from linesync.testing.virtual_loop import VirtualLoop
from tests.runtime.peers import Pair, play, stubborn


class LeaseWithFakeLine:
    """A lease of 20 s on a line on which the hub acknowledges frames only if the test lets it.

    :ivar asked: the times at which the agent asked the hub for an acknowledgement, from the start.
    :ivar lost: the time and the reason of each end.
    """

    def __init__(self, seconds: str = "") -> None:
        self.loop = asyncio.get_running_loop()
        self._start = self.loop.time()
        self.link = SimpleNamespace(acknowledged_at=self._start)
        self.polled: list[float] = []
        self.lost: list[tuple[float, str]] = []
        self.holds = True
        uplink: Any = SimpleNamespace(link=self.link, ask_alive=lambda: self.polled.append(self.passed))
        uplink.interrupted, uplink.cannot_continue = "", lambda why: None
        self.lease = HubLease(uplink, lambda: self.holds, lambda why: self.lost.append((self.passed, why)))
        self.lease.begin(seconds)

    @property
    def passed(self) -> float:
        return round(self.loop.time() - self._start, 3)

    def acknowledged(self) -> None:
        self.link.acknowledged_at = self.loop.time()


def on_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        play(test)

    run.__name__ = test.__name__
    return run


@on_virtual_time
async def test_a_command_ends_with_the_reason_when_the_hub_acknowledged_nothing_for_the_lease() -> None:
    setup = LeaseWithFakeLine()
    command = asyncio.ensure_future(setup.lease.bound(lambda: asyncio.sleep(1000.0)))
    await asyncio.sleep(19.9)
    assert not command.done()
    await asyncio.sleep(0.2)
    with pytest.raises(asyncio.CancelledError, match="the hub acknowledged nothing for 20 s"):
        await command


@on_virtual_time
async def test_what_scripts_hold_is_lost_exactly_at_the_end_of_the_lease() -> None:
    setup = LeaseWithFakeLine()
    await asyncio.sleep(1.3)
    setup.acknowledged()
    await asyncio.sleep(20.1)
    assert setup.lost[0] == (21.3, "the hub acknowledged nothing for 20 s")


@on_virtual_time
async def test_a_hub_that_acknowledges_something_in_time_costs_nothing() -> None:
    setup = LeaseWithFakeLine()
    command = asyncio.ensure_future(setup.lease.bound(lambda: asyncio.sleep(1000.0)))
    for _ in range(10):
        await asyncio.sleep(19.0)
        setup.acknowledged()
    assert not setup.lost and not command.done()


@on_virtual_time
async def test_a_silent_hub_is_asked_in_the_first_quarter_of_the_lease() -> None:
    setup = LeaseWithFakeLine()
    await asyncio.sleep(5.1)
    assert setup.polled and 2.5 <= setup.polled[0] <= 5.0


@on_virtual_time
async def test_nothing_is_asked_or_lost_while_nothing_depends_on_the_hub() -> None:
    setup = LeaseWithFakeLine()
    setup.holds = False
    await setup.lease.bound(lambda: asyncio.sleep(1.0))
    await asyncio.sleep(100.0)
    assert not setup.polled and not setup.lost


@on_virtual_time
async def test_the_lease_counts_from_the_time_at_which_something_begins_to_depend_on_the_hub() -> None:
    """Nothing was acknowledged while the agent was idle, because it sent nothing."""
    setup = LeaseWithFakeLine()
    setup.holds = False
    await asyncio.sleep(100.4)
    command = asyncio.ensure_future(setup.lease.bound(lambda: asyncio.sleep(1000.0)))
    await asyncio.sleep(2.0)
    assert setup.polled and setup.polled[0] <= 101.7, "soon after the start, the hub is asked"
    await asyncio.sleep(17.8)
    assert not command.done()
    await asyncio.sleep(0.3)
    assert command.cancelled()
    setup.holds = True
    await asyncio.sleep(19.7)
    assert [lost_at for lost_at, _ in setup.lost] == [120.4]
    await asyncio.sleep(0.4)
    assert [lost_at for lost_at, _ in setup.lost] == [120.4, 140.4]


@on_virtual_time
async def test_work_that_takes_long_to_end_is_cancelled_once() -> None:
    setup = LeaseWithFakeLine()
    command = asyncio.ensure_future(setup.lease.bound(lambda: stubborn(40.0)))
    await asyncio.sleep(39.0)
    assert command.cancelling() == 1
    command.cancel()


@on_virtual_time
async def test_the_hub_says_how_long_its_lease_is() -> None:
    setup = LeaseWithFakeLine("2.5")
    await asyncio.sleep(2.6)
    assert setup.lost[0] == (2.5, "the hub acknowledged nothing for 2.5 s")


@pytest.mark.parametrize("seconds", ["", "soon", "-1", "0", "nan", "inf", "1e300"])
def test_a_lease_that_makes_no_sense_is_as_long_as_usual(seconds: str) -> None:
    async def test() -> None:
        setup = LeaseWithFakeLine(seconds)
        await asyncio.sleep(20.1)
        assert [lost_at for lost_at, _ in setup.lost[:1]] == [20.0]

    play(test)


@on_virtual_time
async def test_a_session_that_is_over_is_not_watched() -> None:
    setup = LeaseWithFakeLine()
    await asyncio.sleep(10.0)
    setup.lease.stop()
    await asyncio.sleep(100.0)
    assert not setup.lost


@on_virtual_time
async def test_a_new_session_is_watched_once() -> None:
    setup = LeaseWithFakeLine("40")
    setup.lease.begin("")
    await asyncio.sleep(20.1)
    assert [lost_at for lost_at, _ in setup.lost] == [20.0]


@on_virtual_time
async def test_the_lease_goes_on_while_the_session_continues_with_another_process_of_the_hub() -> None:
    setup = LeaseWithFakeLine()
    for _ in range(15):
        await asyncio.sleep(2.0)
        setup.acknowledged()
    await asyncio.sleep(1.5)
    setup.link.acknowledged_at = float("-inf")  # the new process has acknowledged nothing yet
    await asyncio.sleep(1.5)
    assert not setup.lost
    assert 3.0 <= float(setup.lease.answer().split()[1]) < 5.0
    setup.lease.continues("")
    await asyncio.sleep(20.0)
    ((at, why),) = setup.lost
    assert 48.0 < at <= 50.0 and "acknowledged nothing" in why


@on_virtual_time
async def test_after_this_machine_slept_the_agent_first_reads_what_the_hub_has_acknowledged() -> None:
    setup = LeaseWithFakeLine()
    assert isinstance(setup.loop, VirtualLoop)
    await asyncio.sleep(1.0)
    setup.loop.skip(500.0)
    await asyncio.sleep(0.1)
    assert not setup.lost, "the agent has not read the new messages of the hub yet"
    setup.acknowledged()
    await asyncio.sleep(10.0)
    assert not setup.lost


@on_virtual_time
async def test_a_hub_that_no_longer_hears_the_agent_is_lost_although_the_agent_still_hears_it() -> None:
    """The direction to the hub fails 19 s before the other direction."""
    pair, loop = await Pair.joined(), asyncio.get_running_loop()
    lost: list[float] = []
    lease = HubLease(pair.caller, lambda: True, lambda why: lost.append(loop.time()))
    lease.begin("20")
    await asyncio.sleep(30.0)
    assert not lost, "the agent asks for acknowledgements"
    hub, agent = pair.listener.link, pair.caller.link
    assert isinstance(pair.pipe, Pipe) and hub is not None and agent is not None
    pair.pipe.dead = True  # all further bytes of the agent are lost,
    wake, pair.pipe._wake = pair.pipe._wake, lambda: None  # type: ignore[method-assign]  # and the bytes of the hub are delayed
    for _ in range(4):
        pair.listener.note("still here")
        await asyncio.sleep(1.0)
    await asyncio.sleep(15.0)
    pair.pipe._wake = wake  # type: ignore[method-assign]
    wake()
    await asyncio.sleep(0.0)
    assert loop.time() == agent.heard_at >= hub.heard_at + 19.0
    await asyncio.sleep(21.0)
    assert lost and hub.heard_at + 10.0 < lost[0] <= hub.heard_at + 20.0, (
        "the agent knows it before the hub grants its holds"
    )
    lease.stop()
