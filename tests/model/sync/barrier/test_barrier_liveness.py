"""Before a barrier releases its parties, each silent host is asked for a sign of life."""

from __future__ import annotations

import pytest

from linesync.errors import MemberLost, TimedOut
from linesync.model.decisions import Event, HostLost, Released

from ...hall import Hall, error, got
from ...helpers import failed


@pytest.fixture
def hall() -> Hall:
    """Three hosts that were heard at 100 s, and answer only when a test makes them answer."""
    hall = Hall("a", "b", "c")
    hall.answering.clear()
    return hall


def released(events: list[Event]) -> list[str]:
    return [arrival for arrival, value in got(events).items() if isinstance(value, Released)]


@pytest.mark.parametrize("party", [2, "a,b"])
def test_a_complete_barrier_asks_the_silent_host_and_goes_on_when_it_is_heard(hall: Hall, party: int | str) -> None:
    hall.barrier("x", "a", party)
    hall.now += 3.1
    hall.hear("b")
    assert hall.barrier("y", "b", party) == []
    assert hall.asked == [(hall.now, "a")]
    assert hall.services.barriers.status(hall.now)[0].unheard == ("a",)
    assert released(hall.hear("a")) == ["x", "y"]


def test_a_host_that_was_heard_three_seconds_ago_is_not_asked(hall: Hall) -> None:
    hall.barrier("x", "a", 2)
    hall.now += 3.0
    assert released(hall.barrier("y", "b", 2)) == ["x", "y"] and hall.asked == []


def test_the_hub_itself_is_never_asked(hall: Hall) -> None:
    hall.barrier("x", "hub", 2)
    hall.now += 1000
    hall.hear("a")
    assert released(hall.barrier("y", "a", 2)) == ["x", "y"] and hall.asked == []


def test_all_silent_hosts_are_asked_each_once_and_all_must_answer(hall: Hall) -> None:
    for number, host in enumerate("aabbc"):
        hall.barrier(f"x{number}", f"{host}/{number}", 6)
    hall.now += 4
    hall.barrier("last", "hub", 6)
    assert sorted(host for _, host in hall.asked) == ["a", "b", "c"]
    assert hall.answer("a") == [] and hall.answer("b") == []
    assert len(released(hall.answer("c"))) == 6
    assert len(hall.asked) == 3


def test_the_return_of_the_line_of_a_silent_host_releases_the_barrier(hall: Hall) -> None:
    hall.barrier("x", "a", 2)
    hall.services.line_lost("a", "a1")
    hall.now += 4
    hall.hear("b")
    assert hall.barrier("y", "b", 2) == []
    assert released(hall.services.line_back("a", "a1", "another line", hall.now)) == ["x", "y"]


def test_by_members_a_silent_host_fails_the_barrier_for_all_at_the_end_of_its_lease(hall: Hall) -> None:
    hall.speaking.discard("a")
    hall.barrier("x", "a", "a,b")
    hall.pass_time(10)
    assert hall.barrier("y", "b", "a,b") == []
    assert hall.pass_time(9.9) == []
    events = hall.pass_time(0.1)
    assert isinstance(events[0], HostLost) and list(failed(events)) == ["x", "y"]
    assert isinstance(error(events, "y"), MemberLost) and "nothing heard on line of a for 20 s" in str(
        error(events, "y")
    )


def test_by_count_a_silent_host_is_withdrawn_at_the_end_of_its_lease_and_its_place_is_free(hall: Hall) -> None:
    hall.speaking.discard("a")
    hall.barrier("x", "a", 2)
    hall.pass_time(10)
    hall.barrier("y", "b", 2)
    events = hall.pass_time(10)
    assert list(failed(events)) == ["x"] and released(events) == []
    assert released(hall.barrier("z", "c", 2)) == ["y", "z"]


def test_a_tolerant_barrier_is_released_without_the_silent_host_at_the_end_of_its_lease(hall: Hall) -> None:
    hall.speaking.discard("a")
    hall.barrier("x", "a", "a,b", tolerate=True)
    hall.pass_time(10)
    hall.barrier("y", "b", "a,b", tolerate=True)
    events = hall.pass_time(10)
    assert list(failed(events)) == ["x"]
    assert got(events)["y"] == Released(generation=1, parties=("b",), position=1, count=1, lost=("a",))


def test_an_arrival_during_the_check_opens_the_next_generation(hall: Hall) -> None:
    hall.barrier("x", "a", 2)
    hall.now += 4
    hall.hear("b", "c")
    hall.barrier("y", "b", 2)
    assert hall.barrier("z", "c", 2) == []
    events = hall.hear("a")
    assert released(events) == ["x", "y"]
    value = got(hall.barrier("w", "hub", 2))["z"]
    assert value == Released(generation=2, parties=("c", "hub"), position=1, count=2)


def test_enough_arrivals_during_the_check_complete_the_next_generation(hall: Hall) -> None:
    hall.barrier("x", "a", 2)
    hall.now += 4
    hall.hear("b", "c")
    for arrival, host in [("y", "b"), ("z", "c"), ("w", "hub"), ("v", "hub")]:
        hall.barrier(arrival, host, 2)
    events = hall.hear("a")
    assert released(events) == ["x", "y", "z", "w"]
    assert [value.generation for value in got(events).values() if isinstance(value, Released)] == [1, 1, 2, 2]
    row = hall.services.barriers.status(hall.now)[0]
    assert row.generation == 3 and [who.name for who in row.arrived] == ["hub"]


def test_an_arrival_during_the_check_takes_the_place_of_a_dead_party(hall: Hall) -> None:
    hall.barrier("x", "a", 2)
    hall.now += 4
    hall.hear("b", "c")
    hall.barrier("y", "b", 2)
    hall.barrier("z", "c", 2)
    events = hall.end("a/1")
    assert list(failed(events)) == ["x"] and released(events) == ["y", "z"]


def test_a_party_that_leaves_during_the_check_makes_the_barrier_incomplete_again(hall: Hall) -> None:
    hall.barrier("x", "a", 2)
    hall.now += 4
    hall.hear("b")
    hall.barrier("y", "b", 2)
    assert list(failed(hall.give_back("y", "b"))) == ["y"]
    assert hall.hear("a") == []
    assert hall.services.barriers.status(hall.now)[0].unheard == ()
    hall.now += 4
    hall.hear("c")
    hall.barrier("z", "c", 2)
    assert [host for _, host in hall.asked] == ["a", "a"], "the host is asked again"


def test_an_arrival_during_the_check_may_leave_again(hall: Hall) -> None:
    hall.barrier("x", "a", 2)
    hall.now += 4
    hall.hear("b", "c")
    hall.barrier("y", "b", 2)
    hall.barrier("z", "c", 2)
    hall.end("c/1")
    assert released(hall.hear("a")) == ["x", "y"] and len(hall.services.barriers) == 0


def test_by_members_a_second_arrival_is_refused_during_the_check(hall: Hall) -> None:
    hall.barrier("x", "a/1", "a,b")
    hall.now += 4
    hall.hear("b")
    hall.barrier("y", "b", "a,b")
    assert "is already waiting at" in str(error(hall.barrier("z", "b/2", "a,b"), "z"))
    assert list(failed(hall.end("a/1"))) == ["x"]
    assert hall.barrier("x2", "a/2", "a,b") == []
    assert released(hall.hear("a")) == ["y", "x2"]


def test_a_timeout_during_the_check_names_the_silent_hosts(hall: Hall) -> None:
    hall.speaking = {"b"}
    hall.barrier("x", "a", 2)
    hall.pass_time(5)
    hall.barrier("y", "b", 2, timeout=2)
    fault = error(hall.pass_time(2), "y")
    assert isinstance(fault, TimedOut)
    assert str(fault).endswith("2 of 2 arrived: a, b; no answer yet from a")
    assert fault.details["unheard"] == ["a"] and fault.details["missing"] == 0


def test_a_poll_that_completes_the_barrier_waits_a_second_for_the_signs_of_life(hall: Hall) -> None:
    hall.speaking = {"b"}
    hall.barrier("x", "a", 2)
    hall.pass_time(5)
    assert hall.barrier("y", "b", 2, timeout=0) == []
    assert hall.pass_time(0.9) == []
    assert list(failed(hall.pass_time(0.1))) == ["y"]
    assert hall.barrier("z", "b", 2, timeout=0) == []
    assert released(hall.answer("a")) == ["x", "z"]


def test_a_poll_during_the_check_is_too_early(hall: Hall) -> None:
    hall.barrier("x", "a", 2)
    hall.now += 4
    hall.hear("b", "c")
    hall.barrier("y", "b", 2)
    assert isinstance(error(hall.barrier("z", "c", 2, timeout=0), "z"), TimedOut)


def test_the_answer_of_one_host_releases_two_complete_barriers(hall: Hall) -> None:
    hall.barrier("x", "a/1", 2, name="one")
    hall.barrier("y", "a/2", 2, name="two")
    hall.now += 4
    hall.hear("b")
    hall.barrier("z", "b/1", 2, name="one")
    hall.barrier("w", "b/2", 2, name="two")
    assert sorted(released(hall.hear("a"))) == ["w", "x", "y", "z"]
    assert hall.services.barriers._asking == {}


def test_thousands_of_arrivals_during_the_check_make_correct_generations(hall: Hall) -> None:
    hall.barrier("x", "a", 2)
    hall.now += 4
    hall.hear("b")
    for number in range(5000):
        hall.barrier(f"y{number}", f"b/{number}", 2)
    assert [host for _, host in hall.asked] == ["a"]
    events = hall.hear("a")
    values = [value for value in got(events).values() if isinstance(value, Released)]
    assert [value.generation for value in values] == [number // 2 + 1 for number in range(5000)]
    assert {value.count for value in values} == {2}
    (row,) = hall.services.barriers.status(hall.now)
    assert row.generation == 2501 and row.missing == 1


def test_a_named_member_that_comes_during_the_check_waits_for_the_next_generation(hall: Hall) -> None:
    hall.barrier("x", "a", 2, as_member="m")
    hall.now += 4
    hall.hear("b")
    hall.barrier("y", "b/1", 2, as_member="n")
    assert hall.barrier("z", "b/2", 2, as_member="o") == []
    assert released(hall.hear("a")) == ["x", "y"]
    assert "is already waiting at" in str(error(hall.barrier("w", "a", 2, as_member="o"), "w"))
    assert released(hall.barrier("v", "a", 2, as_member="m")) == ["z", "v"]
