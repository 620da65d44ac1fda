"""The agent's side of the lease: what it ends when the hub is silent, and what it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from linesync.agent.lease import HubLease
from linesync.testing.virtual_loop import VirtualLoop
from tests.runtime.peers import play


class Watched:
    """A lease of 20 s on a silent line. The test decides when the hub is heard.

    :ivar asked: the times at which the hub was asked for a sign of life, from the start.
    :ivar lost: the time and the reason of each end.
    """

    def __init__(self, seconds: str = "") -> None:
        self.loop = asyncio.get_running_loop()
        self._start = self.loop.time()
        self.link = SimpleNamespace(heard_at=self._start)
        self.asked: list[float] = []
        self.lost: list[tuple[float, str]] = []
        self.holds = True
        uplink: Any = SimpleNamespace(link=self.link, ask_alive=lambda: self.asked.append(self.passed))
        uplink.interrupted, uplink.cannot_continue = "", lambda why: None
        self.lease = HubLease(uplink, lambda: self.holds, lambda why: self.lost.append((self.passed, why)))
        self.lease.begin(seconds)

    @property
    def passed(self) -> float:
        return round(self.loop.time() - self._start, 3)

    def heard(self) -> None:
        self.link.heard_at = self.loop.time()


def leased(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        play(test)

    run.__name__ = test.__name__
    return run


@leased
async def test_a_command_ends_with_the_reason_when_the_hub_was_silent_for_the_lease() -> None:
    watched = Watched()
    command = asyncio.ensure_future(watched.lease.bound(lambda: asyncio.sleep(1000.0)))
    await asyncio.sleep(19.9)
    assert not command.done()
    await asyncio.sleep(0.2)
    with pytest.raises(asyncio.CancelledError, match="the hub was not heard for 20 s"):
        await command


@leased
async def test_what_scripts_hold_is_lost_exactly_at_the_end_of_the_lease() -> None:
    watched = Watched()
    await asyncio.sleep(1.3)
    watched.heard()
    await asyncio.sleep(20.1)
    assert watched.lost[0] == (21.3, "the hub was not heard for 20 s")


@leased
async def test_a_hub_that_is_heard_in_time_costs_nothing() -> None:
    watched = Watched()
    command = asyncio.ensure_future(watched.lease.bound(lambda: asyncio.sleep(1000.0)))
    for _ in range(10):
        await asyncio.sleep(19.0)
        watched.heard()
    assert not watched.lost and not command.done()


@leased
async def test_a_silent_hub_is_asked_before_the_half_of_the_lease() -> None:
    watched = Watched()
    await asyncio.sleep(7.6)
    assert not watched.asked
    await asyncio.sleep(2.5)
    assert len(watched.asked) == 1 and 9.0 <= watched.asked[0] <= 10.0


@leased
async def test_nothing_is_asked_or_lost_while_nothing_depends_on_the_hub() -> None:
    watched = Watched()
    watched.holds = False
    await watched.lease.bound(lambda: asyncio.sleep(1.0))
    await asyncio.sleep(100.0)
    assert not watched.asked and not watched.lost


@leased
async def test_the_hub_says_how_long_its_lease_is() -> None:
    watched = Watched("2.5")
    await asyncio.sleep(2.6)
    assert watched.lost[0] == (2.5, "the hub was not heard for 2.5 s")


@pytest.mark.parametrize("seconds", ["", "soon", "-1", "0", "nan", "inf", "1e300"])
def test_a_lease_that_makes_no_sense_is_as_long_as_usual(seconds: str) -> None:
    async def test() -> None:
        watched = Watched(seconds)
        await asyncio.sleep(20.1)
        assert [when for when, _ in watched.lost[:1]] == [20.0]

    play(test)


@leased
async def test_a_session_that_is_over_is_not_watched() -> None:
    watched = Watched()
    await asyncio.sleep(10.0)
    watched.lease.stop()
    await asyncio.sleep(100.0)
    assert not watched.lost


@leased
async def test_a_new_session_is_watched_once() -> None:
    watched = Watched("40")
    watched.lease.begin("")
    await asyncio.sleep(20.1)
    assert [when for when, _ in watched.lost] == [20.0]


@leased
async def test_the_time_in_which_this_machine_slept_is_not_the_hubs_silence() -> None:
    watched = Watched()
    assert isinstance(watched.loop, VirtualLoop)
    await asyncio.sleep(1.0)
    watched.loop.skip(500.0)
    await asyncio.sleep(0.1)
    assert not watched.lost, "frames of the hub are still unread"
    watched.heard()
    await asyncio.sleep(10.0)
    assert not watched.lost
