"""How barriers end and how their names are used again: aborts, one use, lingering, resets."""

from __future__ import annotations

import pytest

from linesync.errors import Aborted, MemberLost, Mismatch, TimedOut, UsageError
from linesync.model.decisions import Event, Released
from linesync.model.sync import barrier_history as past_module
from linesync.model.sync.barrier_generation import GONE_REMEMBERED
from linesync.model.sync.barrier_history import Past
from linesync.model.sync.barrier_terms import Reuse

from ...hall import Hall, error, got
from ...helpers import failed


@pytest.fixture
def hall() -> Hall:
    return Hall("a", "b", "c")


def released(events: list[Event]) -> list[str]:
    return [arrival for arrival, value in got(events).items() if isinstance(value, Released)]


def generation(events: list[Event], arrival: str) -> int:
    value = got(events)[arrival]
    assert isinstance(value, Released)
    return value.generation


# -- aborts ----------------------------------------------------------------------------------------------------------


def test_an_abort_fails_all_parties_and_the_aborting_one_with_its_reason(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b,c")
    hall.barrier("y", "b", "a,b,c")
    events = hall.barrier("z", "c", "a,b,c", abort="the kernel did not boot")
    assert list(failed(events)) == ["x", "y", "z"]
    for fault in failed(events).values():
        assert isinstance(fault, Aborted) and fault.exit_code == 3
        assert str(fault) == "barrier 'boot' was aborted by c: the kernel did not boot"
        assert fault.details["by"] == "c" and fault.details["reason"] == "the kernel did not boot"
    assert len(hall.services.barriers) == 0


def test_each_later_arrival_gets_the_abort_once(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b,c", abort="no disk")
    assert isinstance(error(hall.barrier("y", "b", "a,b,c"), "y"), Aborted)
    assert hall.barrier("y2", "b", "a,b,c") == []
    assert str(error(hall.barrier("z", "c", "a,b,c"), "z")) == "barrier 'boot' was aborted by a: no disk"
    assert hall.barrier("z2", "c", "a,b,c") == []
    assert released(hall.barrier("x2", "a", "a,b,c")) == ["y2", "z2", "x2"]


def test_a_second_round_works_after_the_error(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b")
    hall.barrier("y", "b", "a,b", abort="again")
    hall.barrier("x2", "a", "a,b")
    events = hall.barrier("y2", "b", "a,b")
    assert released(events) == ["x2", "y2"] and generation(events, "x2") == 1


def test_a_retry_of_an_abort_gets_the_same_answer_and_aborts_nothing_new(hall: Hall) -> None:
    first = hall.barrier("x", "a", "a,b", abort="no disk")
    hall.barrier("y", "b", "a,b")
    hall.barrier("y2", "b", "a,b")
    assert hall.barrier("x", "a", "a,b", abort="no disk") == first
    assert len(hall.services.barriers) == 1


def test_a_member_that_already_waits_may_abort(hall: Hall) -> None:
    hall.barrier("x", "a/1", "a,b")
    events = hall.barrier("y", "a/2", "a,b", abort="enough")
    assert list(failed(events)) == ["x", "y"]
    assert isinstance(error(hall.barrier("z", "b", "a,b"), "z"), Aborted)


def test_only_a_member_with_the_same_terms_can_abort(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b")
    assert isinstance(error(hall.barrier("y", "c", "a,b", abort="no"), "y"), Mismatch)
    assert isinstance(error(hall.barrier("z", "b", "b,c", abort="no"), "z"), Mismatch)
    assert released(hall.barrier("w", "b", "a,b")) == ["x", "w"]


def test_by_count_as_many_arrivals_as_were_missing_get_the_abort(hall: Hall) -> None:
    hall.barrier("x", "a", 4)
    events = hall.barrier("y", "b", 4, abort="no disk")
    assert list(failed(events)) == ["x", "y"]
    assert isinstance(error(hall.barrier("z", "c", 4), "z"), Aborted)
    assert isinstance(error(hall.barrier("w", "c", 4), "w"), Aborted)
    assert hall.barrier("v", "c", 4) == []


def test_by_count_a_second_round_works(hall: Hall) -> None:
    hall.barrier("x", "a", 2)
    hall.barrier("y", "b", 2, abort="no disk")
    hall.barrier("x2", "a", 2)
    assert released(hall.barrier("y2", "b", 2)) == ["x2", "y2"]


def test_by_count_an_aborting_member_that_already_waits_counts_once(hall: Hall) -> None:
    hall.barrier("x", "a/1", 3, as_member="a")
    hall.barrier("y", "a/2", 3, as_member="a", abort="no disk")
    assert isinstance(error(hall.barrier("z", "b", 3), "z"), Aborted)
    assert isinstance(error(hall.barrier("w", "c", 3), "w"), Aborted)
    assert hall.barrier("v", "c", 3) == []


def test_an_abort_is_forgotten_after_ten_minutes(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b", abort="no disk")
    hall.now += 599
    hall.hear("a", "b", "c")
    assert isinstance(error(hall.barrier("z", "b", "a,b"), "z"), Aborted)
    hall.barrier("x2", "a", "a,b", abort="no disk")
    hall.now += 600
    hall.hear("a", "b", "c")
    assert hall.barrier("z2", "b", "a,b") == []


def test_an_abort_does_not_affect_arrivals_with_other_terms(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b", abort="no disk")
    assert hall.barrier("y", "b", "b,c") == []


def test_a_complete_barrier_that_waits_for_a_sign_of_life_can_be_aborted(hall: Hall) -> None:
    hall.answering.clear()
    hall.barrier("x", "a/1", "a,b")
    hall.now += 5
    assert hall.barrier("y", "b", "a,b") == []
    assert sorted(failed(hall.barrier("z", "b/2", "a,b", abort="enough"))) == ["x", "y", "z"]
    assert hall.hear("a", "b") == []


def test_a_reason_has_at_most_a_kilobyte(hall: Hall) -> None:
    assert isinstance(error(hall.barrier("x", "a", "a,b", abort="é" * 513), "x"), UsageError)
    assert isinstance(error(hall.barrier("y", "a", "a,b", abort="\ud800" * 342), "y"), UsageError)
    assert isinstance(error(hall.barrier("z", "a", "a,b", abort="é" * 512), "z"), Aborted)


def test_an_abort_of_a_used_up_name_is_refused(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b", reuse="once")
    hall.barrier("y", "b", "a,b", reuse="once")
    assert isinstance(error(hall.barrier("z", "a", "a,b", reuse="once", abort="too late"), "z"), Mismatch)
    assert isinstance(error(hall.barrier("w", "b", "a,b", reuse="once"), "w"), Mismatch)


# -- one use ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("party", [2, "a,b"])
def test_an_arrival_at_a_used_up_name_is_refused(hall: Hall, party: int | str) -> None:
    hall.barrier("x", "a", party, reuse="once")
    assert released(hall.barrier("y", "b", party, reuse="once")) == ["x", "y"]
    hall.now += 7
    fault = error(hall.barrier("z", "a", party, reuse="once"), "z")
    assert isinstance(fault, Mismatch) and fault.exit_code == 5
    assert str(fault) == (
        "barrier 'boot' was for one use and was released 7 s ago (arrived: a, b); "
        "use another name, or run 'linesync reset' first"
    )
    assert fault.details == {"generation": 1, "arrived": ["a", "b"], "released": 7.0}


def test_a_used_up_name_refuses_other_terms_with_the_same_error(hall: Hall) -> None:
    hall.barrier("x", "a", 1, reuse="once")
    for number, (party, reuse) in enumerate([(2, "once"), (1, ""), ("a,b", ""), (1, "linger=5")]):
        assert "for one use" in str(error(hall.barrier(f"y{number}", "a", party, reuse=reuse), f"y{number}"))


def test_a_retry_of_the_single_use_gets_its_result(hall: Hall) -> None:
    events = hall.barrier("x", "a", 1, reuse="once")
    assert hall.barrier("x", "a", 1, reuse="once") == events


def test_a_single_use_that_was_aborted_or_left_is_not_used_up(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b", reuse="once", timeout=1)
    hall.pass_time(1)
    hall.barrier("x2", "a", "a,b", reuse="once")
    hall.barrier("y", "b", "a,b", reuse="once", abort="once more")
    hall.barrier("x3", "a", "a,b", reuse="once")
    assert released(hall.barrier("y2", "b", "a,b", reuse="once")) == ["x3", "y2"]


def test_a_reset_lets_a_name_for_one_use_be_used_again(hall: Hall) -> None:
    hall.barrier("x", "a", 1, reuse="once")
    forgotten, waits, events = hall.services.reset("default", ("boot",), "hub", hall.now)
    assert (forgotten, waits, events) == (1, [], [])
    assert generation(hall.barrier("y", "a", 1, reuse="once"), "y") == 2


def test_arrivals_during_the_check_of_a_name_for_one_use_are_refused(hall: Hall) -> None:
    hall.answering.clear()
    hall.barrier("x", "a", 2, reuse="once")
    hall.now += 5
    assert hall.barrier("y", "b", 2, reuse="once") == []
    assert hall.barrier("late1", "c/1", 2, reuse="once") == []
    assert hall.barrier("late2", "c/2", 2, reuse="once") == []
    events = [*hall.hear("a"), *hall.hear("b")]
    assert released(events) == ["x", "y"]
    assert list(failed(events)) == ["late1", "late2"]
    assert all(isinstance(fault, Mismatch) for fault in failed(events).values())
    assert len(hall.services.barriers) == 0


# -- lingering -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("party", [2, "a,b,c"])
def test_late_arrivals_pass_with_the_same_generation_while_the_barrier_lingers(hall: Hall, party: int | str) -> None:
    reuse = "linger=30"
    hall.barrier("x", "a", party, reuse=reuse, tolerate=isinstance(party, str))
    if isinstance(party, str):
        hall.stop("c")
    hall.barrier("y", "b", party, reuse=reuse, tolerate=isinstance(party, str))
    hall.restart("c")
    hall.now += 29
    value = got(hall.barrier("z", "c", party, reuse=reuse, tolerate=isinstance(party, str)))["z"]
    assert value == Released(
        generation=1,
        parties=("a", "b"),
        position=3,
        count=3,
        lost=("c",) if isinstance(party, str) else (),
    )


def test_after_the_lingering_the_next_arrival_opens_the_next_generation(hall: Hall) -> None:
    hall.barrier("x", "a", 1, reuse="linger=5")
    hall.now += 5
    assert generation(hall.barrier("y", "a", 1, reuse="linger=5"), "y") == 2
    hall.barrier("z", "a", 1, name="other", reuse="linger=5")
    hall.now += 5
    assert hall.barrier("w", "a", 2, name="other") == [], "other terms are welcome then"


def test_other_terms_are_refused_while_the_barrier_lingers_and_both_terms_are_named(hall: Hall) -> None:
    hall.barrier("x", "a", 1, reuse="linger=5")
    fault = error(hall.barrier("y", "a", 2, reuse="linger=5"), "y")
    assert isinstance(fault, Mismatch)
    assert "is for a count of 1, lingering 5 s, but this arrival is for a count of 2, lingering 5 s" in str(fault)


def test_arrivals_during_the_check_of_a_lingering_name_pass(hall: Hall) -> None:
    hall.answering.clear()
    hall.barrier("x", "a", 2, reuse="linger=5")
    hall.now += 5
    hall.barrier("y", "b", 2, reuse="linger=5")
    hall.barrier("late", "c", 2, reuse="linger=5")
    events = [*hall.hear("a"), *hall.hear("b")]
    assert released(events) == ["x", "y", "late"]
    assert [generation(events, arrival) for arrival in ("x", "y", "late")] == [1, 1, 1]
    assert len(hall.services.barriers) == 0


@pytest.mark.parametrize("text", ["twice", "linger", "linger=", "linger=x", "linger=0", "linger=-1", "linger=nan"])
def test_an_invalid_reuse_mode_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="expected cyclic, once or linger=S"):
        Reuse.read(text)


# -- reset -----------------------------------------------------------------------------------------------------------


def test_a_reset_fails_waits_and_names_the_host_that_reset(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b")
    hall.barrier("y", "b", "a,b", name="other")
    forgotten, waits, events = hall.services.reset("default", ("boot", "boot", "unknown"), "c", hall.now)
    assert forgotten == 1 and [wait.arrival for wait in waits] == ["x"]
    assert str(error([*events], "x")) == "barrier 'boot' was reset by c; arrive again, with a new id"
    assert len(hall.services.barriers) == 1


def test_a_reset_without_names_clears_only_its_namespace(hall: Hall) -> None:
    hall.barrier("x", "a", 2)
    hall.barrier("y", "a", 2, name="net")
    hall.barrier("z", "a", 2, ns="run2")
    _, _, events = hall.services.reset("default", (), "c", hall.now)
    assert list(failed(events)) == ["x", "y"] and len(hall.services.barriers) == 1


def test_a_reset_forgets_aborts_and_lingering(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b", abort="no disk")
    hall.barrier("y", "a", 1, name="net", reuse="linger=500")
    hall.services.reset("default", (), "c", hall.now)
    assert hall.barrier("z", "b", "a,b") == []
    assert generation(hall.barrier("w", "a", 1, name="net", reuse="linger=500"), "w") == 2


def test_a_reset_during_the_check_fails_all_arrivals(hall: Hall) -> None:
    hall.answering.clear()
    hall.barrier("x", "a", 2)
    hall.now += 5
    hall.barrier("y", "b", 2)
    hall.barrier("z", "c", 2)
    _, _, events = hall.services.reset("default", ("boot",), "hub", hall.now)
    assert list(failed(events)) == ["x", "y", "z"] and hall.hear("a", "b", "c") == []


# -- bounds of memory ------------------------------------------------------------------------------------------------


def test_names_beyond_ten_thousand_are_forgotten_with_their_history(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_module, "NAMES_REMEMBERED", 3)
    for number in range(10):
        hall.barrier(f"x{number}", "a", "a,b", name=f"n{number}", abort="no")
    assert len(hall.services.barriers.past) == 3
    assert hall.barrier("y", "b", "a,b", name="n0") == []
    assert isinstance(error(hall.barrier("z", "b", "a,b", name="n9"), "z"), Aborted)


def test_the_oldest_lists_of_members_are_forgotten_if_there_are_too_many(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_module, "MEMBERS_REMEMBERED", 7)
    for number in range(4):
        hall.barrier(f"x{number}", "a", "a,b,c", name=f"n{number}", abort="no")
    assert [
        isinstance(failed(hall.barrier(f"y{n}", "b", "a,b,c", name=f"n{n}")).get(f"y{n}"), Aborted) for n in range(4)
    ] == [
        False,
        False,
        True,
        True,
    ]
    assert kept(hall.services.barriers.past) <= 7


def kept(past: Past) -> int:
    """The number of members' names that are kept, counted again."""
    total = sum(last.members() for last in past._last.values())
    assert total == past._names == sum(past._members.values())
    return total


def test_a_finished_failure_a_release_and_a_reset_keep_no_lists(hall: Hall) -> None:
    past = hall.services.barriers.past
    hall.barrier("x", "a", "a,b", abort="no")
    assert kept(past) == 2
    hall.barrier("y", "b", "a,b")
    assert kept(past) == 0
    hall.barrier("x2", "a", "a,b", name="n2", abort="no")
    hall.services.reset("default", ("n2",), "hub", hall.now)
    assert kept(past) == 0
    hall.barrier("x3", "a", "a", name="n3", reuse="linger=5")
    hall.barrier("x4", "a", "a", name="n4")
    hall.barrier("x5", "a", "a", name="n5", reuse="once")
    assert kept(past) == 1
    hall.now += 5
    hall.hear("a")
    hall.barrier("x6", "a", "a", name="n3")
    assert kept(past) == 0


def test_the_number_of_remembered_departures_is_limited(hall: Hall) -> None:
    hall.barrier("x", "a", 100, timeout=5)
    for number in range(GONE_REMEMBERED + 10):
        hall.barrier(f"y{number}", f"b/{number}", 100, as_member=f"m{number}")
        hall.give_back(f"y{number}", f"b/{number}")
    fault = error(hall.pass_time(5), "x")
    gone = fault.details["gone"]
    assert isinstance(fault, TimedOut) and isinstance(gone, dict)
    assert list(gone) == [f"m{number}" for number in range(10, GONE_REMEMBERED + 10)]


def test_later_arrivals_get_the_error_of_a_loss_like_that_of_an_abort(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b,c")
    hall.stop("c")
    hall.restart("c")
    assert isinstance(error(hall.barrier("y", "b", "a,b,c"), "y"), MemberLost)
    assert kept(hall.services.barriers.past) == 0
