"""Compare semaphores and held units with a reference model, over lossy lines."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from linesync.client.aio import Client

from .reference import Ask, Reference
from .search import KILLS, MOMENTS, Search, asking, profile, repeat


class Semaphores(Reference):
    """A number of units. Takers wait in the order of arrival. Units that are held or not confirmed are returned."""

    def __init__(self) -> None:
        super().__init__()
        self.value = 0
        self.queue: dict[str, int] = {}
        self.lent: dict[str, int] = {}
        self.holds: set[str] = set()
        self.confirmed: set[str] = set()
        self.units: dict[str, int] = {}

    def ask(self, arrival: str, host: str, what: tuple[int, bool]) -> None:
        delta, hold = what
        if delta < 0:
            self.queue[arrival] = self.units[arrival] = -delta
            self.holds |= {arrival} if hold else set()
        else:
            self.value += delta
        self.settle()
        if delta >= 0:
            self.answer_ok(arrival, self.value)

    def leave(self, arrival: str) -> None:
        self.queue.pop(arrival, None)
        self.value += self.lent.pop(arrival, 0)

    def settle(self) -> None:
        while self.queue and next(iter(self.queue.values())) <= self.value:
            arrival = next(iter(self.queue))
            self.lent[arrival] = self.queue.pop(arrival)
            self.value -= self.lent[arrival]
            self.answer_ok(arrival, self.value)

    def confirm(self, arrival: str) -> None:
        self.confirmed.add(arrival)
        if arrival not in self.holds:
            self.lent.pop(arrival, None)

    def take_back(self, arrival: str) -> bool:
        taken = arrival in self.confirmed and arrival not in self.holds
        if taken:
            self.confirmed.discard(arrival)
            self.value += self.units[arrival]
        return taken

    def forget(self, arrival: str) -> None:
        self.confirmed.discard(arrival)
        self.holds.discard(arrival)

    def returns(self, arrival: str) -> bool:
        return arrival in self.lent

    def view(self) -> Any:
        held = sorted(units for arrival, units in self.lent.items() if arrival in self.confirmed)
        return self.value, list(self.queue.values()), sum(self.lent.values()), held


class SemaphoreSearch(Search):
    REFERENCE = Semaphores
    ASKS = st.one_of(
        asking(st.tuples(st.sampled_from([-2, -1, -1, 0, 1, 2, 3]), st.just(False))),
        asking(st.tuples(st.sampled_from([-2, -1, -1]), st.just(True))),
        st.tuples(st.just("give_back"), st.integers(0, 20)),
    )

    @rule(kill=KILLS, moment=MOMENTS, hold=st.booleans())
    def a_failure_while_units_are_granted(self, kill: tuple[Any, ...], moment: float, hold: bool) -> None:
        if self.reachable("a"):
            self.batch([("ask", "a", 0, (-1, hold), None)])
            self.batch([("ask", "hub", 0, (1, False), None), kill], moment)
            self.batch([("reconnect", "a")])

    async def request(self, client: Client, ask: Ask) -> Any:
        delta, hold = ask.what
        if hold:
            return await client.hold("s", -delta, timeout=ask.timeout, arrival=ask.name)
        return await client.semaphore("s", delta, timeout=ask.timeout, arrival=ask.name)

    def view(self, status: dict[str, Any]) -> Any:
        for row in status["semaphores"]:
            lent = sum(one["units"] for one in [*row["unconfirmed"], *row["holders"]])
            held = sorted(one["units"] for one in row["holders"])
            return row["value"], [who["wants"] for who in row["queue"]], lent, held
        return 0, [], 0, []


SemaphoreSearch.TestCase.settings = profile()
TestSemaphoreSearch = SemaphoreSearch.TestCase


@pytest.mark.parametrize("pause", [0.01, 0.02, 0.03, 0.04])
def test_a_take_that_is_cancelled_and_repeated_does_not_give_a_unit_twice(pause: float) -> None:
    repeat(
        SemaphoreSearch,
        ([("ask", "hub", 0, (1, False), None)],),
        ([("ask", "b", 1, (-1, False), None), ("cancel", 0), ("retry", 0, 0)], pause),
    )


def test_a_hold_with_a_timeout_is_returned_if_its_agent_was_killed_before_its_script_knew_of_it() -> None:
    repeat(
        SemaphoreSearch,
        ([("ask", "a", 0, (-1, True), 5.0), ("ask", "hub", 0, (-2, False), None)], 0.01),
        ([("ask", "hub", 0, (1, False), None), ("kill_agent", "a")], 0.015),
        ([("reconnect", "a")],),
    )


def test_a_wait_of_a_host_that_restarts_ends_before_its_holds_do() -> None:
    repeat(
        SemaphoreSearch,
        ([("ask", "hub", 0, (3, False), None), ("ask", "b", 0, (-2, True), None)], 0.1),
        ([("ask", "b", 0, (-2, False), None), ("kill_agent", "b"), ("ask", "a", 1, (-1, True), None)], 0.05),
        ([("reconnect", "b")],),
    )
