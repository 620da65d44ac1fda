"""Before a barrier releases its parties, each silent host is asked for a sign of life."""

from __future__ import annotations

import pytest

from linesync.errors import MemberLost, TimedOut
from linesync.model.decisions import Event, HostLost, Released

from ...helpers import failed, granted
from ...simulated_hub import SimulatedHub, error


@pytest.fixture
def hub() -> SimulatedHub:
    """Three hosts that were heard at 100 s, and answer only when a test makes them answer."""
    hub = SimulatedHub("a", "b", "c")
    hub.answering.clear()
    return hub


def released(events: list[Event]) -> list[str]:
    return [arrival for arrival, value in granted(events).items() if isinstance(value, Released)]


@pytest.mark.parametrize("party", [2, "a,b"])
def test_a_complete_barrier_asks_the_silent_host_and_is_released_when_it_is_heard(
    hub: SimulatedHub, party: int | str
) -> None:
    hub.barrier("x", "a", party)
    hub.now += 3.1
    hub.hear("b")
    assert hub.barrier("y", "b", party) == []
    assert hub.asked == [(hub.now, "a")]
    assert hub.services.barriers.status(hub.now)[0].unheard == ("a",)
    assert released(hub.hear("a")) == ["x", "y"]


def test_a_host_that_was_heard_three_seconds_ago_is_not_asked(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2)
    hub.now += 3.0
    assert released(hub.barrier("y", "b", 2)) == ["x", "y"] and hub.asked == []


def test_the_hub_itself_is_never_asked(hub: SimulatedHub) -> None:
    hub.barrier("x", "hub", 2)
    hub.now += 1000
    hub.hear("a")
    assert released(hub.barrier("y", "a", 2)) == ["x", "y"] and hub.asked == []


def test_all_silent_hosts_are_asked_each_once_and_all_must_answer(hub: SimulatedHub) -> None:
    for number, host in enumerate("aabbc"):
        hub.barrier(f"x{number}", f"{host}/{number}", 6)
    hub.now += 4
    hub.barrier("last", "hub", 6)
    assert sorted(host for _, host in hub.asked) == ["a", "b", "c"]
    assert hub.answer("a") == [] and hub.answer("b") == []
    assert len(released(hub.answer("c"))) == 6
    assert len(hub.asked) == 3


def test_the_return_of_the_line_of_a_silent_host_releases_the_barrier(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2)
    hub.services.line_lost("a", "a1")
    hub.now += 4
    hub.hear("b")
    assert hub.barrier("y", "b", 2) == []
    assert released(hub.services.line_back("a", "a1", "another line", hub.now)) == ["x", "y"]


def test_by_members_a_silent_host_fails_the_barrier_for_all_at_the_end_of_its_lease(hub: SimulatedHub) -> None:
    hub.speaking.discard("a")
    hub.barrier("x", "a", "a,b")
    hub.pass_time(10)
    assert hub.barrier("y", "b", "a,b") == []
    assert hub.pass_time(9.9) == []
    events = hub.pass_time(0.1)
    assert isinstance(events[0], HostLost) and list(failed(events)) == ["x", "y"]
    assert isinstance(error(events, "y"), MemberLost) and "nothing heard on line of a for 20 s" in str(
        error(events, "y")
    )


def test_by_count_a_silent_host_is_withdrawn_at_the_end_of_its_lease_and_its_place_is_free(hub: SimulatedHub) -> None:
    hub.speaking.discard("a")
    hub.barrier("x", "a", 2)
    hub.pass_time(10)
    hub.barrier("y", "b", 2)
    events = hub.pass_time(10)
    assert list(failed(events)) == ["x"] and released(events) == []
    assert released(hub.barrier("z", "c", 2)) == ["y", "z"]


def test_a_tolerant_barrier_is_released_without_the_silent_host_at_the_end_of_its_lease(hub: SimulatedHub) -> None:
    hub.speaking.discard("a")
    hub.barrier("x", "a", "a,b", tolerate=True)
    hub.pass_time(10)
    hub.barrier("y", "b", "a,b", tolerate=True)
    events = hub.pass_time(10)
    assert list(failed(events)) == ["x"]
    assert granted(events)["y"] == Released(generation=1, parties=("b",), position=1, count=1, lost=("a",))


def test_an_arrival_during_the_check_opens_the_next_generation(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2)
    hub.now += 4
    hub.hear("b", "c")
    hub.barrier("y", "b", 2)
    assert hub.barrier("z", "c", 2) == []
    events = hub.hear("a")
    assert released(events) == ["x", "y"]
    value = granted(hub.barrier("w", "hub", 2))["z"]
    assert value == Released(generation=2, parties=("c", "hub"), position=1, count=2)


def test_enough_arrivals_during_the_check_complete_the_next_generation(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2)
    hub.now += 4
    hub.hear("b", "c")
    for arrival, host in [("y", "b"), ("z", "c"), ("w", "hub"), ("v", "hub")]:
        hub.barrier(arrival, host, 2)
    events = hub.hear("a")
    assert released(events) == ["x", "y", "z", "w"]
    assert [value.generation for value in granted(events).values() if isinstance(value, Released)] == [1, 1, 2, 2]
    row = hub.services.barriers.status(hub.now)[0]
    assert row.generation == 3 and [who.name for who in row.arrived] == ["hub"]


def test_an_arrival_during_the_check_takes_the_place_of_a_dead_party(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2)
    hub.now += 4
    hub.hear("b", "c")
    hub.barrier("y", "b", 2)
    hub.barrier("z", "c", 2)
    events = hub.end("a/1")
    assert list(failed(events)) == ["x"] and released(events) == ["y", "z"]


def test_a_party_that_leaves_during_the_check_makes_the_barrier_incomplete_again(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2)
    hub.now += 4
    hub.hear("b")
    hub.barrier("y", "b", 2)
    assert list(failed(hub.give_back("y", "b"))) == ["y"]
    assert hub.hear("a") == []
    assert hub.services.barriers.status(hub.now)[0].unheard == ()
    hub.now += 4
    hub.hear("c")
    hub.barrier("z", "c", 2)
    assert [host for _, host in hub.asked] == ["a", "a"], "the host is asked again"


def test_an_arrival_during_the_check_may_leave_again(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2)
    hub.now += 4
    hub.hear("b", "c")
    hub.barrier("y", "b", 2)
    hub.barrier("z", "c", 2)
    hub.end("c/1")
    assert released(hub.hear("a")) == ["x", "y"] and len(hub.services.barriers) == 0


def test_by_members_a_second_arrival_is_refused_during_the_check(hub: SimulatedHub) -> None:
    hub.barrier("x", "a/1", "a,b")
    hub.now += 4
    hub.hear("b")
    hub.barrier("y", "b", "a,b")
    assert "is already waiting at" in str(error(hub.barrier("z", "b/2", "a,b"), "z"))
    assert list(failed(hub.end("a/1"))) == ["x"]
    assert hub.barrier("x2", "a/2", "a,b") == []
    assert released(hub.hear("a")) == ["y", "x2"]


def test_a_timeout_during_the_check_names_the_silent_hosts(hub: SimulatedHub) -> None:
    hub.speaking = {"b"}
    hub.barrier("x", "a", 2)
    hub.pass_time(5)
    hub.barrier("y", "b", 2, timeout=2)
    fault = error(hub.pass_time(2), "y")
    assert isinstance(fault, TimedOut)
    assert str(fault).endswith("2 of 2 arrived: a, b; no answer yet from a")
    assert fault.details["unheard"] == ["a"] and fault.details["missing"] == 0


def test_a_poll_that_completes_the_barrier_waits_a_second_for_the_signs_of_life(hub: SimulatedHub) -> None:
    hub.speaking = {"b"}
    hub.barrier("x", "a", 2)
    hub.pass_time(5)
    assert hub.barrier("y", "b", 2, timeout=0) == []
    assert hub.pass_time(0.9) == []
    assert list(failed(hub.pass_time(0.1))) == ["y"]
    assert hub.barrier("z", "b", 2, timeout=0) == []
    assert released(hub.answer("a")) == ["x", "z"]


def test_a_poll_during_the_check_is_too_early(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2)
    hub.now += 4
    hub.hear("b", "c")
    hub.barrier("y", "b", 2)
    assert isinstance(error(hub.barrier("z", "c", 2, timeout=0), "z"), TimedOut)


def test_the_answer_of_one_host_releases_two_complete_barriers(hub: SimulatedHub) -> None:
    hub.barrier("x", "a/1", 2, name="one")
    hub.barrier("y", "a/2", 2, name="two")
    hub.now += 4
    hub.hear("b")
    hub.barrier("z", "b/1", 2, name="one")
    hub.barrier("w", "b/2", 2, name="two")
    assert sorted(released(hub.hear("a"))) == ["w", "x", "y", "z"]
    assert hub.services.barriers._asking == {}


def test_thousands_of_arrivals_during_the_check_make_correct_generations(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2)
    hub.now += 4
    hub.hear("b")
    for number in range(5000):
        hub.barrier(f"y{number}", f"b/{number}", 2)
    assert [host for _, host in hub.asked] == ["a"]
    events = hub.hear("a")
    values = [value for value in granted(events).values() if isinstance(value, Released)]
    assert [value.generation for value in values] == [number // 2 + 1 for number in range(5000)]
    assert {value.count for value in values} == {2}
    (row,) = hub.services.barriers.status(hub.now)
    assert row.generation == 2501 and row.missing == 1


def test_a_named_member_that_comes_during_the_check_waits_for_the_next_generation(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2, as_member="m")
    hub.now += 4
    hub.hear("b")
    hub.barrier("y", "b/1", 2, as_member="n")
    assert hub.barrier("z", "b/2", 2, as_member="o") == []
    assert released(hub.hear("a")) == ["x", "y"]
    assert "is already waiting at" in str(error(hub.barrier("w", "a", 2, as_member="o"), "w"))
    assert released(hub.barrier("v", "a", 2, as_member="m")) == ["z", "v"]
