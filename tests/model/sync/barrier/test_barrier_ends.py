"""How barriers end and how their names are used again: aborts, one use, lingering, resets."""

from __future__ import annotations

import pytest

from linesync.errors import Aborted, MemberLost, Mismatch, TimedOut, UsageError
from linesync.model.decisions import Event, Released
from linesync.model.sync.barriers import history as past_module
from linesync.model.sync.barriers.generation import GONE_REMEMBERED
from linesync.model.sync.barriers.history import Past
from linesync.model.sync.barriers.terms import Reuse

from ...helpers import failed, granted
from ...simulated_hub import SimulatedHub, error


@pytest.fixture
def hub() -> SimulatedHub:
    return SimulatedHub("a", "b", "c")


def released(events: list[Event]) -> list[str]:
    return [arrival for arrival, value in granted(events).items() if isinstance(value, Released)]


def generation(events: list[Event], arrival: str) -> int:
    value = granted(events)[arrival]
    assert isinstance(value, Released)
    return value.generation


# -- aborts ----------------------------------------------------------------------------------------------------------


def test_an_abort_fails_all_parties_and_the_aborting_party_with_its_reason(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c")
    hub.barrier("y", "b", "a,b,c")
    events = hub.barrier("z", "c", "a,b,c", abort="the kernel did not boot")
    assert list(failed(events)) == ["x", "y", "z"]
    for fault in failed(events).values():
        assert isinstance(fault, Aborted) and fault.exit_code == 3
        assert str(fault) == "barrier 'boot' was aborted by c: the kernel did not boot"
        assert fault.details["by"] == "c" and fault.details["reason"] == "the kernel did not boot"
    assert len(hub.services.barriers) == 0


def test_each_later_arrival_gets_the_abort_once(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c", abort="no disk")
    assert isinstance(error(hub.barrier("y", "b", "a,b,c"), "y"), Aborted)
    assert hub.barrier("y2", "b", "a,b,c") == []
    assert str(error(hub.barrier("z", "c", "a,b,c"), "z")) == "barrier 'boot' was aborted by a: no disk"
    assert hub.barrier("z2", "c", "a,b,c") == []
    assert released(hub.barrier("x2", "a", "a,b,c")) == ["y2", "z2", "x2"]


def test_a_second_round_works_after_the_error(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b")
    hub.barrier("y", "b", "a,b", abort="again")
    hub.barrier("x2", "a", "a,b")
    events = hub.barrier("y2", "b", "a,b")
    assert released(events) == ["x2", "y2"] and generation(events, "x2") == 1


def test_a_retry_of_an_abort_gets_the_same_answer_and_aborts_nothing_new(hub: SimulatedHub) -> None:
    first = hub.barrier("x", "a", "a,b", abort="no disk")
    hub.barrier("y", "b", "a,b")
    hub.barrier("y2", "b", "a,b")
    assert hub.barrier("x", "a", "a,b", abort="no disk") == first
    assert len(hub.services.barriers) == 1


def test_a_member_that_already_waits_may_abort(hub: SimulatedHub) -> None:
    hub.barrier("x", "a/1", "a,b")
    events = hub.barrier("y", "a/2", "a,b", abort="enough")
    assert list(failed(events)) == ["x", "y"]
    assert isinstance(error(hub.barrier("z", "b", "a,b"), "z"), Aborted)


def test_only_a_member_with_the_same_terms_can_abort(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b")
    assert isinstance(error(hub.barrier("y", "c", "a,b", abort="no"), "y"), Mismatch)
    assert isinstance(error(hub.barrier("z", "b", "b,c", abort="no"), "z"), Mismatch)
    assert released(hub.barrier("w", "b", "a,b")) == ["x", "w"]


def test_by_count_as_many_arrivals_as_were_missing_get_the_abort(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 4)
    events = hub.barrier("y", "b", 4, abort="no disk")
    assert list(failed(events)) == ["x", "y"]
    assert isinstance(error(hub.barrier("z", "c", 4), "z"), Aborted)
    assert isinstance(error(hub.barrier("w", "c", 4), "w"), Aborted)
    assert hub.barrier("v", "c", 4) == []


def test_by_count_a_second_round_works(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2)
    hub.barrier("y", "b", 2, abort="no disk")
    hub.barrier("x2", "a", 2)
    assert released(hub.barrier("y2", "b", 2)) == ["x2", "y2"]


def test_by_count_an_aborting_member_that_already_waits_counts_once(hub: SimulatedHub) -> None:
    hub.barrier("x", "a/1", 3, as_member="a")
    hub.barrier("y", "a/2", 3, as_member="a", abort="no disk")
    assert isinstance(error(hub.barrier("z", "b", 3), "z"), Aborted)
    assert isinstance(error(hub.barrier("w", "c", 3), "w"), Aborted)
    assert hub.barrier("v", "c", 3) == []


def test_an_abort_is_forgotten_after_ten_minutes(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b", abort="no disk")
    hub.now += 599
    hub.hear("a", "b", "c")
    assert isinstance(error(hub.barrier("z", "b", "a,b"), "z"), Aborted)
    hub.barrier("x2", "a", "a,b", abort="no disk")
    hub.now += 600
    hub.hear("a", "b", "c")
    assert hub.barrier("z2", "b", "a,b") == []


def test_an_abort_does_not_affect_arrivals_with_other_terms(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b", abort="no disk")
    assert hub.barrier("y", "b", "b,c") == []


def test_a_complete_barrier_that_waits_for_a_sign_of_life_can_be_aborted(hub: SimulatedHub) -> None:
    hub.answering.clear()
    hub.barrier("x", "a/1", "a,b")
    hub.now += 5
    assert hub.barrier("y", "b", "a,b") == []
    assert sorted(failed(hub.barrier("z", "b/2", "a,b", abort="enough"))) == ["x", "y", "z"]
    assert hub.hear("a", "b") == []


def test_a_reason_has_at_most_a_kilobyte(hub: SimulatedHub) -> None:
    assert isinstance(error(hub.barrier("x", "a", "a,b", abort="é" * 513), "x"), UsageError)
    assert isinstance(error(hub.barrier("y", "a", "a,b", abort="\ud800" * 342), "y"), UsageError)
    assert isinstance(error(hub.barrier("z", "a", "a,b", abort="é" * 512), "z"), Aborted)


def test_an_abort_of_a_used_up_name_is_refused(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b", reuse="once")
    hub.barrier("y", "b", "a,b", reuse="once")
    assert isinstance(error(hub.barrier("z", "a", "a,b", reuse="once", abort="too late"), "z"), Mismatch)
    assert isinstance(error(hub.barrier("w", "b", "a,b", reuse="once"), "w"), Mismatch)


# -- one use ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("party", [2, "a,b"])
def test_an_arrival_at_a_used_up_name_is_refused(hub: SimulatedHub, party: int | str) -> None:
    hub.barrier("x", "a", party, reuse="once")
    assert released(hub.barrier("y", "b", party, reuse="once")) == ["x", "y"]
    hub.now += 7
    fault = error(hub.barrier("z", "a", party, reuse="once"), "z")
    assert isinstance(fault, Mismatch) and fault.exit_code == 5
    assert str(fault) == (
        "barrier 'boot' was for one use and was released 7 s ago (arrived: a, b); "
        "use another name, or run 'linesync reset' first"
    )
    assert fault.details == {"generation": 1, "arrived": ["a", "b"], "released": 7.0}


def test_a_used_up_name_refuses_other_terms_with_the_same_error(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 1, reuse="once")
    for number, (party, reuse) in enumerate([(2, "once"), (1, ""), ("a,b", ""), (1, "linger=5")]):
        assert "for one use" in str(error(hub.barrier(f"y{number}", "a", party, reuse=reuse), f"y{number}"))


def test_a_retry_of_the_single_use_gets_its_result(hub: SimulatedHub) -> None:
    events = hub.barrier("x", "a", 1, reuse="once")
    assert hub.barrier("x", "a", 1, reuse="once") == events


def test_a_single_use_that_was_aborted_or_left_is_not_used_up(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b", reuse="once", timeout=1)
    hub.pass_time(1)
    hub.barrier("x2", "a", "a,b", reuse="once")
    hub.barrier("y", "b", "a,b", reuse="once", abort="once more")
    hub.barrier("x3", "a", "a,b", reuse="once")
    assert released(hub.barrier("y2", "b", "a,b", reuse="once")) == ["x3", "y2"]


def test_a_reset_lets_a_name_for_one_use_be_used_again(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 1, reuse="once")
    forgotten, waits, events = hub.services.reset("default", ("boot",), "hub", hub.now)
    assert (forgotten, waits, events) == (1, [], [])
    assert generation(hub.barrier("y", "a", 1, reuse="once"), "y") == 2


def test_arrivals_during_the_check_of_a_name_for_one_use_are_refused(hub: SimulatedHub) -> None:
    hub.answering.clear()
    hub.barrier("x", "a", 2, reuse="once")
    hub.now += 5
    assert hub.barrier("y", "b", 2, reuse="once") == []
    assert hub.barrier("late1", "c/1", 2, reuse="once") == []
    assert hub.barrier("late2", "c/2", 2, reuse="once") == []
    events = [*hub.hear("a"), *hub.hear("b")]
    assert released(events) == ["x", "y"]
    assert list(failed(events)) == ["late1", "late2"]
    assert all(isinstance(fault, Mismatch) for fault in failed(events).values())
    assert len(hub.services.barriers) == 0


# -- lingering -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("party", [2, "a,b,c"])
def test_late_arrivals_pass_with_the_same_generation_while_the_barrier_lingers(
    hub: SimulatedHub, party: int | str
) -> None:
    reuse = "linger=30"
    hub.barrier("x", "a", party, reuse=reuse, tolerate=isinstance(party, str))
    if isinstance(party, str):
        hub.stop("c")
    hub.barrier("y", "b", party, reuse=reuse, tolerate=isinstance(party, str))
    hub.restart("c")
    hub.now += 29
    value = granted(hub.barrier("z", "c", party, reuse=reuse, tolerate=isinstance(party, str)))["z"]
    assert value == Released(
        generation=1,
        parties=("a", "b"),
        position=3,
        count=3,
        lost=("c",) if isinstance(party, str) else (),
    )


def test_after_the_linger_time_the_next_arrival_opens_the_next_generation(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 1, reuse="linger=5")
    hub.now += 5
    assert generation(hub.barrier("y", "a", 1, reuse="linger=5"), "y") == 2
    hub.barrier("z", "a", 1, name="other", reuse="linger=5")
    hub.now += 5
    assert hub.barrier("w", "a", 2, name="other") == [], "other terms are accepted then"


def test_other_terms_are_refused_while_the_barrier_lingers_and_both_terms_are_named(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 1, reuse="linger=5")
    fault = error(hub.barrier("y", "a", 2, reuse="linger=5"), "y")
    assert isinstance(fault, Mismatch)
    assert "is for a count of 1, lingering 5 s, but this arrival is for a count of 2, lingering 5 s" in str(fault)


def test_arrivals_during_the_check_of_a_lingering_name_pass(hub: SimulatedHub) -> None:
    hub.answering.clear()
    hub.barrier("x", "a", 2, reuse="linger=5")
    hub.now += 5
    hub.barrier("y", "b", 2, reuse="linger=5")
    hub.barrier("late", "c", 2, reuse="linger=5")
    events = [*hub.hear("a"), *hub.hear("b")]
    assert released(events) == ["x", "y", "late"]
    assert [generation(events, arrival) for arrival in ("x", "y", "late")] == [1, 1, 1]
    assert len(hub.services.barriers) == 0


@pytest.mark.parametrize("text", ["twice", "linger", "linger=", "linger=x", "linger=0", "linger=-1", "linger=nan"])
def test_an_invalid_reuse_mode_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="expected cyclic, once or linger=S"):
        Reuse.read(text)


# -- reset -----------------------------------------------------------------------------------------------------------


def test_a_reset_fails_waits_and_names_the_host_that_reset(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b")
    hub.barrier("y", "b", "a,b", name="other")
    forgotten, waits, events = hub.services.reset("default", ("boot", "boot", "unknown"), "c", hub.now)
    assert forgotten == 1 and [wait.arrival for wait in waits] == ["x"]
    assert str(error([*events], "x")) == "barrier 'boot' was reset by c; arrive again, with a new id"
    assert len(hub.services.barriers) == 1


def test_a_reset_without_names_clears_only_its_namespace(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2)
    hub.barrier("y", "a", 2, name="net")
    hub.barrier("z", "a", 2, ns="run2")
    _, _, events = hub.services.reset("default", (), "c", hub.now)
    assert list(failed(events)) == ["x", "y"] and len(hub.services.barriers) == 1


def test_a_reset_forgets_aborts_and_lingering(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b", abort="no disk")
    hub.barrier("y", "a", 1, name="net", reuse="linger=500")
    hub.services.reset("default", (), "c", hub.now)
    assert hub.barrier("z", "b", "a,b") == []
    assert generation(hub.barrier("w", "a", 1, name="net", reuse="linger=500"), "w") == 2


def test_a_reset_during_the_check_fails_all_arrivals(hub: SimulatedHub) -> None:
    hub.answering.clear()
    hub.barrier("x", "a", 2)
    hub.now += 5
    hub.barrier("y", "b", 2)
    hub.barrier("z", "c", 2)
    _, _, events = hub.services.reset("default", ("boot",), "hub", hub.now)
    assert list(failed(events)) == ["x", "y", "z"] and hub.hear("a", "b", "c") == []


# -- bounds of memory ------------------------------------------------------------------------------------------------


def test_names_beyond_ten_thousand_are_forgotten_with_their_history(
    hub: SimulatedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_module, "NAMES_REMEMBERED", 3)
    for number in range(10):
        hub.barrier(f"x{number}", "a", "a,b", name=f"n{number}", abort="no")
    assert len(hub.services.barriers.past) == 3
    assert hub.barrier("y", "b", "a,b", name="n0") == []
    assert isinstance(error(hub.barrier("z", "b", "a,b", name="n9"), "z"), Aborted)


def test_the_oldest_lists_of_members_are_forgotten_if_there_are_too_many(
    hub: SimulatedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_module, "MEMBERS_REMEMBERED", 7)
    for number in range(4):
        hub.barrier(f"x{number}", "a", "a,b,c", name=f"n{number}", abort="no")
    assert [
        isinstance(failed(hub.barrier(f"y{n}", "b", "a,b,c", name=f"n{n}")).get(f"y{n}"), Aborted) for n in range(4)
    ] == [
        False,
        False,
        True,
        True,
    ]
    assert kept(hub.services.barriers.past) <= 7


def kept(past: Past) -> int:
    """The number of members' names that are kept, counted again."""
    total = sum(last.members() for last in past._last.values())
    assert total == past._names == sum(past._members.values())
    return total


def test_a_finished_failure_a_release_and_a_reset_keep_no_lists(hub: SimulatedHub) -> None:
    past = hub.services.barriers.past
    hub.barrier("x", "a", "a,b", abort="no")
    assert kept(past) == 2
    hub.barrier("y", "b", "a,b")
    assert kept(past) == 0
    hub.barrier("x2", "a", "a,b", name="n2", abort="no")
    hub.services.reset("default", ("n2",), "hub", hub.now)
    assert kept(past) == 0
    hub.barrier("x3", "a", "a", name="n3", reuse="linger=5")
    hub.barrier("x4", "a", "a", name="n4")
    hub.barrier("x5", "a", "a", name="n5", reuse="once")
    assert kept(past) == 1
    hub.now += 5
    hub.hear("a")
    hub.barrier("x6", "a", "a", name="n3")
    assert kept(past) == 0


def test_the_number_of_remembered_departures_is_limited(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 100, timeout=5)
    for number in range(GONE_REMEMBERED + 10):
        hub.barrier(f"y{number}", f"b/{number}", 100, as_member=f"m{number}")
        hub.give_back(f"y{number}", f"b/{number}")
    fault = error(hub.pass_time(5), "x")
    gone = fault.details["gone"]
    assert isinstance(fault, TimedOut) and isinstance(gone, dict)
    assert list(gone) == [f"m{number}" for number in range(10, GONE_REMEMBERED + 10)]


def test_later_arrivals_get_the_error_of_a_loss_like_that_of_an_abort(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c")
    hub.stop("c")
    hub.restart("c")
    assert isinstance(error(hub.barrier("y", "b", "a,b,c"), "y"), MemberLost)
    assert kept(hub.services.barriers.past) == 0
