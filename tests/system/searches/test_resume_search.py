"""Compare a hub that is killed repeatedly with reference models: no change is lost, and no request is executed twice.

The hub stores its state on a disk that may be slow (:mod:`tests.system.disk`). When it is killed, its uncommitted
changes are lost, and its lines and sessions end. The reference models have no such failure: the scripts must get the answers
of a hub that was never killed.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from linesync.testing.faults import Faults

from .reference import State
from .search import MOMENTS, Search, profile
from .test_barrier_search import BarrierSearch
from .test_events_search import EventSearch
from .test_exchange_search import ChannelState, ExchangeSearch
from .test_lock_search import LockSearch
from .test_messages_search import MessageSearch
from .test_semaphore_search import SemaphoreSearch


class Shuffled(State):
    """The scripts on the hub's machine connect again in any order, so only the order of each script's own requests is known."""

    def next(self, host: str) -> list[int]:
        positions = super().next(host)
        if host != "hub":
            return positions
        scripts = [by or who for _, who, by in self.queue[host]]
        return [at for at, script in enumerate(scripts) if script not in scripts[:at]]


class Killing(Search):
    """The hub is killed at some moment of most batches."""

    DURABLE = True
    STATE = Shuffled

    def wait(self, seconds: float) -> None:
        assert self.world is not None
        self.world.pass_time(seconds)

    def limit_commits(self, count: int | None) -> None:
        """Let the disk complete only this number of commits until the hub is killed."""
        assert self.world is not None and self.world.disk is not None
        self.world.disk.stuck_after = count

    @rule(
        data=st.data(),
        count=st.integers(1, 3),
        moments=st.lists(MOMENTS, min_size=1, max_size=2),
        commits=st.none() | st.integers(0, 5),
        late=st.booleans(),
    )
    def the_hub_is_killed(
        self, data: st.DataObject, count: int, moments: list[float], commits: int | None, late: bool
    ) -> None:
        asks: list[tuple[Any, ...]] = [data.draw(self.ASKS) for _ in range(count)]
        kills = [step for moment in moments for step in (("wait", moment), ("kill_hub",))]
        self.batch([("limit_commits", commits), *asks, *kills, *([data.draw(self.ASKS)] if late else [])])


class BarrierKills(Killing, BarrierSearch):
    pass


class SemaphoreKills(Killing, SemaphoreSearch):
    pass


class LockKills(Killing, LockSearch):
    pass


class MessageKills(Killing, MessageSearch):
    pass


class EventKills(Killing, EventSearch):
    pass


class ExchangeKills(Killing, ExchangeSearch):
    STATE = ChannelState


for search in (BarrierKills, SemaphoreKills, LockKills, MessageKills, EventKills, ExchangeKills):
    search.TestCase.settings = profile()

TestBarrierKills = BarrierKills.TestCase
TestSemaphoreKills = SemaphoreKills.TestCase
TestLockKills = LockKills.TestCase
TestMessageKills = MessageKills.TestCase
TestEventKills = EventKills.TestCase
TestExchangeKills = ExchangeKills.TestCase


def test_a_line_works_again_after_its_host_was_lost_while_its_session_had_ended() -> None:
    """A life that the search has found."""
    draws = iter(
        [
            *[
                ("give_back", 5),
                ("give_back", 8),
                ("ask", "hub", 1, (-1, False), None),
                ("ask", "hub", 1, (3, False), 5.0),
            ],
            *[("give_back", 18), ("give_back", 10), ("give_back", 15), ("ask", "hub", 1, (-1, True), None)],
            *[
                ("ask", "a", 1, (-2, False), None),
                ("give_back", 18),
                ("give_back", 3),
                ("ask", "a", 1, (-1, True), None),
            ],
            *[("give_back", 7), ("ask", "hub", 0, (-1, True), 5.0), ("ask", "b", 0, (2, False), None)],
            ("ask", "a", 1, (-1, True), 0),
        ]
    )
    data: Any = SimpleNamespace(draw=lambda strategy: next(draws))
    life = SemaphoreKills()
    life.begin(seed=14736, faults=Faults(ber=1e-4, drop=1e-4))
    try:
        for pause in (0.0, 0.03, 0.0):
            life.two_requests(data=data, pause=pause)
        life.the_hub_is_killed(data=data, count=3, moments=[0.055, 0.045], commits=None, late=True)
        life.a_line_is_cut_for_some_time(data=data, host="b", seconds=19.0, vanish=True)
        life.a_line_is_cut_for_some_time(data=data, host="a", seconds=19.0, vanish=False)
    finally:
        life.teardown()
