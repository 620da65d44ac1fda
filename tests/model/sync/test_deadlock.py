"""Deadlocks: clients that wait in a cycle get an error after two seconds and an answer, and no other client does."""

from __future__ import annotations

from itertools import pairwise

import pytest

from linesync.errors import DeadlockError
from linesync.model.decisions import Event

from ..hall import Hall, error, got
from ..helpers import failed


@pytest.fixture
def hall() -> Hall:
    return Hall("a", "b", "c", "d")


def deadlocked(events: list[Event]) -> list[str]:
    """The arrivals that get the error of a deadlock."""
    return sorted(arrival for arrival, fault in failed(events).items() if isinstance(fault, DeadlockError))


def cross(hall: Hall, one: str = "a", two: str = "b", names: str = "12") -> list[str]:
    """Two clients take two locks in different orders; the arrivals that wait."""
    first, second = names
    hall.lock(f"{one}-{first}", one, first)
    hall.lock(f"{two}-{second}", two, second)
    assert hall.lock(f"{one}-{second}", one, second) == hall.lock(f"{two}-{first}", two, first) == []
    return sorted([f"{one}-{second}", f"{two}-{first}"])


# -- cycles of all kinds --------------------------------------------------------------------------------------------


def test_two_locks_taken_crosswise(hall: Hall) -> None:
    stuck = cross(hall)
    events = hall.pass_time(4)
    assert deadlocked(events) == stuck
    fault = error(events, "a-2")
    assert fault.exit_code == 6
    assert str(fault) == (
        "deadlock: a waits for lock '2', which b has; b waits for lock '1', which a has; "
        "take them in the same order everywhere"
    )
    assert fault.details["cycle"] == [
        {"name": "a", "host": "a", "waits_for": "lock '2', which b has"},
        {"name": "b", "host": "b", "waits_for": "lock '1', which a has"},
    ]


def test_the_locks_are_still_owned_afterwards_and_are_granted_when_they_are_given_back(hall: Hall) -> None:
    cross(hall)
    hall.pass_time(4)
    assert hall.lock("a-again", "a", "2") == []
    assert list(got(hall.give_back("b-2", "b"))) == ["a-again"]


def test_a_client_that_takes_the_same_lock_twice_is_in_a_deadlock(hall: Hall) -> None:
    hall.lock("x", "a")
    hall.lock("y", "a")
    events = hall.pass_time(4)
    assert deadlocked(events) == ["y"]
    assert "a waits for lock 'flash', which a has" in str(error(events, "y"))


def test_three_clients_in_a_cycle(hall: Hall) -> None:
    for one, own in zip("abc", "123", strict=True):
        hall.lock(f"{one}{own}", one, own)
    for one, wanted in zip("abc", "231", strict=True):
        hall.lock(f"{one}{wanted}", one, wanted)
    events = hall.pass_time(4)
    assert deadlocked(events) == ["a2", "b3", "c1"]
    cycle = error(events, "c1").details["cycle"]
    assert isinstance(cycle, list) and len(cycle) == 3


def test_a_lock_and_a_barrier_of_members(hall: Hall) -> None:
    hall.lock("x", "a")
    hall.barrier("y", "a", "a,b")
    hall.lock("z", "b")
    events = hall.pass_time(4)
    assert deadlocked(events) == ["y", "z"]
    assert "a waits for barrier 'boot', where b has not arrived; b waits for lock 'flash', which a has" in str(
        error(events, "y")
    )


def test_two_barriers_of_members_in_different_orders(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b", name="one")
    hall.barrier("y", "b", "a,b", name="two")
    assert deadlocked(hall.pass_time(4)) == ["x", "y"]


def test_held_units_and_a_lock(hall: Hall) -> None:
    hall.sem("g", "hub", 2)
    hall.sem("x", "a", -2, hold=True)
    hall.lock("y", "b")
    hall.lock("x2", "a")
    hall.sem("y2", "b", -1)
    events = hall.pass_time(4)
    assert deadlocked(events) == ["x2", "y2"]
    assert "b waits for semaphore 'slots', of which a holds 2" in str(error(events, "y2"))


def test_a_holder_of_units_that_waits_for_more_units(hall: Hall) -> None:
    hall.sem("g", "hub", 2)
    hall.sem("x", "a", -1, hold=True)
    hall.sem("y", "b", -1, hold=True)
    hall.sem("x2", "a", -1, hold=True)
    hall.sem("y2", "b", -1, hold=True)
    events = hall.pass_time(4)
    assert deadlocked(events), "at least one has to give up"
    if len(deadlocked(events)) == 1:
        hall.end("a/1" if "x2" in deadlocked(events) else "b/1")
        assert deadlocked(hall.pass_time(10)) == []


def test_an_exchange_and_a_lock(hall: Hall) -> None:
    hall.lock("x", "a")
    hall.note([*hall.services.exchanges.open("y", "default", "data", ["a", "b"], "a", 0, hall.client("a"), hall.now)])
    hall.lock("z", "b")
    assert deadlocked(hall.pass_time(4)) == ["y", "z"]


def test_the_host_owns_a_kept_lock_after_its_client_has_ended(hall: Hall) -> None:
    hall.lock("x", "a/1", keep=True)
    hall.end("a/1")
    hall.lock("y", "b", "2")
    hall.lock("x2", "a/2", "2")
    hall.lock("y2", "b")
    assert deadlocked(hall.pass_time(4)) == ["x2", "y2"]


def test_the_hub_asks_about_its_own_scripts_as_it_asks_about_others(hall: Hall) -> None:
    stuck = cross(hall, "hub", "a")
    events = hall.pass_time(4)
    assert deadlocked(events) == stuck
    assert {host for _, host in hall.asked} == {"hub", "a"}


# -- commands under a lock -------------------------------------------------------------------------------------------


def test_two_nested_commands_under_locks_taken_crosswise(hall: Hall) -> None:
    """``linesync lock 1 -- linesync lock 2 -- true`` crosswise: four processes, of which two wait."""
    hall.lock("a-1", "a/1", "1")
    hall.lock("b-2", "b/1", "2")
    hall.lock("a-2", "a/2", "2", within="a-1")
    hall.lock("b-1", "b/2", "1", within="b-2")
    assert deadlocked(hall.pass_time(4)) == ["a-2", "b-1"]


def test_a_command_under_a_lock_that_waits_for_the_same_lock(hall: Hall) -> None:
    hall.lock("x", "a/1")
    hall.lock("y", "a/2", within="x")
    assert deadlocked(hall.pass_time(4)) == ["y"]


def test_a_command_under_a_lock_that_does_not_wait_may_end(hall: Hall) -> None:
    hall.lock("a-1", "a/1", "1")
    hall.lock("b-2", "b/1", "2")
    hall.lock("a-2", "a/2", "2", within="a-1")
    hall.lock("b-1", "b/2", "1")  # not within b's lock: b's command continues
    assert failed(hall.pass_time(30)) == {}


def test_a_lock_is_not_stuck_if_one_of_two_waits_under_it_can_end(hall: Hall) -> None:
    hall.lock("a-1", "a/1", "1")
    hall.lock("b-2", "b/1", "2")
    hall.lock("a-2", "a/2", "2", within="a-1")
    hall.sem("s", "a/3", -1, within="a-1")
    hall.lock("b-1", "b/1", "1")
    assert failed(hall.pass_time(30)) == {}
    hall.give_back("s", "a/3")
    hall.end("a/3")
    assert deadlocked(hall.pass_time(10)) == ["a-2", "b-1"]


def test_nested_commands_are_stuck_as_a_whole(hall: Hall) -> None:
    hall.lock("a-1", "a/1", "1")
    hall.lock("a-3", "a/2", "3", within="a-1")
    hall.lock("b-2", "b/1", "2")
    hall.lock("b-3", "b/1", "3")
    hall.lock("a-2", "a/3", "2", within="a-3")
    assert deadlocked(hall.pass_time(4)) == ["a-2", "b-3"]


# -- waits that are not a deadlock -----------------------------------------------------------------------------------


def test_another_client_on_a_members_host_may_still_arrive(hall: Hall) -> None:
    hall.lock("x", "a")
    hall.barrier("y", "a", "a,b")
    hall.lock("z", "b/1")
    hall.client("b/2")
    assert failed(hall.pass_time(30)) == {}
    hall.end("b/2")
    assert deadlocked(hall.pass_time(61)) == ["y", "z"], "and when it is gone it is one"


def test_a_running_command_on_a_members_host_may_still_arrive(hall: Hall) -> None:
    hall.commands["b"] = 1
    hall.lock("x", "a")
    hall.barrier("y", "a", "a,b")
    hall.lock("z", "b")
    assert failed(hall.pass_time(30)) == {}
    hall.commands["b"] = 0
    assert deadlocked(hall.pass_time(61)) == ["y", "z"]


def test_a_client_with_several_tasks_may_still_give_back(hall: Hall) -> None:
    hall.concurrent["b"] = {"1"}
    cross(hall)
    assert failed(hall.pass_time(30)) == {}


def test_a_holder_with_several_tasks_may_act_although_its_command_waits(hall: Hall) -> None:
    hall.concurrent["a"] = {"1"}
    hall.lock("l", "a/1", "2")
    hall.lock("b", "b")
    hall.lock("x", "a/2", within="l")
    hall.barrier("y", "b", "a,b")
    assert failed(hall.pass_time(30)) == {}


def test_another_client_of_the_host_does_not_free_a_lock(hall: Hall) -> None:
    hall.client("a/2")
    hall.client("b/2")
    hall.commands["a"] = hall.commands["b"] = 1
    stuck = cross(hall)
    assert deadlocked(hall.pass_time(4)) == stuck, "only the owners can give back"


def test_units_that_any_client_may_give_are_not_a_deadlock(hall: Hall) -> None:
    hall.lock("x", "a")
    hall.sem("x2", "a", -1)
    hall.lock("y", "b")
    assert failed(hall.pass_time(30)) == {}


def test_holders_do_not_matter_if_the_missing_units_must_come_from_another_client(hall: Hall) -> None:
    hall.sem("g", "hub", 1)
    hall.sem("x", "a", -1, hold=True)
    hall.lock("y", "b")
    hall.lock("x2", "a")
    hall.sem("y2", "b", -2)
    assert failed(hall.pass_time(30)) == {}


def test_with_a_bound_other_clients_cannot_replace_held_units(hall: Hall) -> None:
    hall.sem("g", "hub", 1, bound=2)
    hall.sem("x", "a", -1, hold=True)
    hall.lock("y", "b")
    hall.lock("x2", "a")
    hall.sem("y2", "b", -2)
    assert deadlocked(hall.pass_time(4)) == ["x2", "y2"]


def test_units_that_are_taken_and_not_held_have_no_owner(hall: Hall) -> None:
    hall.sem("g", "hub", 1)
    hall.sem("x", "a", -1)
    hall.lock("y", "b")
    hall.lock("x2", "a")
    hall.sem("y2", "b", -1)
    assert failed(hall.pass_time(30)) == {}


def test_units_that_are_taken_and_not_held_have_no_owner_even_before_they_are_confirmed(hall: Hall) -> None:
    hall.sem("g", "hub", 1)
    hall.sem("x", "a", -1, confirm=False)
    hall.lock("y", "b")
    hall.lock("x2", "a")
    hall.sem("y2", "b", -1)
    assert failed(hall.pass_time(30)) == {}


def test_units_that_a_taker_ahead_will_use_up_must_come_from_other_clients(
    hall: Hall,
) -> None:
    hall.sem("g", "hub", 2)
    hall.sem("x", "a", -1, hold=True)
    hall.sem("y", "b", -1, hold=True)
    hall.lock("z", "c")
    hall.sem("w", "d", -1)
    hall.sem("z2", "c", -2)
    hall.lock("y2", "b")
    assert failed(hall.pass_time(30)) == {}, "a gives back, d uses that up, and c needs more than b holds"
    hall.give_back("w", "d")
    assert deadlocked(hall.pass_time(4)) == ["y2", "z2"], "without d there would be just enough"


def test_one_of_two_holders_that_may_still_act_is_enough(hall: Hall) -> None:
    hall.sem("g", "hub", 2)
    hall.sem("x", "a", -1, hold=True)
    hall.sem("y", "b", -1, hold=True)
    hall.lock("z", "c")
    hall.lock("x2", "a")
    hall.sem("z2", "c", -1)
    assert failed(hall.pass_time(30)) == {}


def test_a_holder_outside_the_cycle_is_asked_too(hall: Hall) -> None:
    """c waits for units that a and b hold, and both wait for c; but b may still give its unit back."""
    hall.concurrent["b"] = {"1"}
    hall.sem("g", "hub", 2)
    hall.sem("x", "a", -1, hold=True)
    hall.sem("y", "b", -1, hold=True)
    hall.lock("z", "c")
    hall.lock("x2", "a")
    hall.lock("y2", "b")
    hall.sem("z2", "c", -1)
    assert failed(hall.pass_time(30)) == {}
    assert {"a", "b", "c"} <= {host for _, host in hall.asked}


def test_a_client_outside_the_cycle_that_may_free_a_member_is_asked_too(hall: Hall) -> None:
    """b's second client waits for d, which waits for a; but d does several things at the same time, so b may still arrive."""
    hall.concurrent["d"] = {"1"}
    hall.lock("x", "a")
    hall.lock("w", "d", "2")
    hall.lock("w2", "d")
    hall.lock("z", "b/1")
    hall.lock("z2", "b/2", "2")
    hall.barrier("y", "a", "a,b")
    assert failed(hall.pass_time(30)) == {}


def test_a_barrier_by_count_is_never_part_of_a_deadlock(hall: Hall) -> None:
    hall.lock("x", "a")
    hall.barrier("y", "a", 2)
    hall.lock("z", "b")
    assert failed(hall.pass_time(30)) == {}


def test_a_host_that_was_never_seen_may_still_arrive(hall: Hall) -> None:
    hall.barrier("x", "a", "a,new", name="one")
    hall.lock("y", "b")
    assert failed(hall.pass_time(30)) == {}


def test_a_host_without_clients_may_still_start_one(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b")
    assert failed(hall.pass_time(30)) == {}
    assert hall.asked == []


def test_the_second_member_of_a_host_whose_first_member_waits_there_may_start_later(hall: Hall) -> None:
    hall.barrier("x", "a/1", "a#1,a#2", as_member="a#1")
    assert failed(hall.pass_time(30)) == {}
    assert len(got(hall.barrier("y", "a/2", "a#1,a#2", as_member="a#2"))) == 2


def test_a_second_member_that_waits_elsewhere_for_the_first_is_stuck(hall: Hall) -> None:
    hall.lock("l", "a/1")
    hall.barrier("x", "a/1", "a#1,a#2", as_member="a#1")
    hall.lock("y", "a/2")
    assert deadlocked(hall.pass_time(4)) == ["x", "y"]


def test_a_member_that_arrived_under_a_lock_also_counts_as_waiting_there(hall: Hall) -> None:
    hall.lock("l", "a/1")
    hall.barrier("x", "a/2", "a#1,a#2", as_member="a#1", within="l")
    assert failed(hall.pass_time(30)) == {}


def test_a_complete_barrier_that_waits_for_an_answer_is_not_a_deadlock(hall: Hall) -> None:
    hall.answering.discard("b")
    hall.speaking.discard("b")
    hall.barrier("x", "b", "a,b")
    hall.pass_time(5)
    hall.barrier("y", "a", "a,b")
    assert deadlocked(hall.pass_time(10)) == []


# -- when ------------------------------------------------------------------------------------------------------------


def test_a_cycle_is_not_reported_before_two_seconds(hall: Hall) -> None:
    stuck = cross(hall)
    assert hall.pass_time(1.99) == [] and hall.asked == []
    assert deadlocked(hall.pass_time(1.1)) == stuck


def test_a_cycle_that_ends_within_two_seconds_is_not_an_error(hall: Hall) -> None:
    hall.lock("a-1", "a", "1")
    hall.lock("b-2", "b", "2")
    hall.lock("a-2", "a", "2", timeout=1.5)
    hall.lock("b-1", "b", "1")
    assert deadlocked(hall.pass_time(1.6)) == []
    hall.give_back("a-1", "a")
    assert hall.pass_time(30) == []


def test_a_cycle_that_closes_again_must_exist_for_two_seconds_again(hall: Hall) -> None:
    hall.lock("a-1", "a", "1")
    hall.lock("b-2", "b", "2")
    hall.lock("b-1", "b", "1")
    for attempt in range(6):
        hall.lock(f"a-2.{attempt}", "a", "2", timeout=1.9)
        assert deadlocked(hall.pass_time(2)) == []


def test_a_cycle_that_ends_while_hosts_are_asked_is_not_an_error(hall: Hall) -> None:
    hall.answering.clear()
    cross(hall)
    hall.pass_time(3)
    assert {host for _, host in hall.asked} == {"a", "b"}
    hall.give_back("a-1", "a")
    assert deadlocked([*hall.answer("a"), *hall.answer("b")]) == []


def test_a_cycle_is_not_reported_before_all_its_hosts_have_answered(hall: Hall) -> None:
    hall.answering.discard("b")
    stuck = cross(hall)
    assert hall.pass_time(3.5) == []
    assert deadlocked(hall.answer("b")) == stuck


def test_a_host_that_does_not_answer_is_asked_again_until_its_lease_runs_out(hall: Hall) -> None:
    hall.answering.discard("b")
    hall.speaking.discard("b")
    cross(hall)
    events = hall.pass_time(19.9)
    assert events == [] and 3 <= [host for _, host in hall.asked].count("b") <= 6
    events = hall.pass_time(0.2)
    assert deadlocked(events) == [] and list(failed(events)) == ["b-1"] and list(got(events)) == ["a-2"]


def test_a_host_behind_the_cycle_need_not_answer_if_it_could_not_break_the_cycle(hall: Hall) -> None:
    hall.answering.discard("d")
    hall.lock("x", "a")
    hall.barrier("y", "a", "a,b,d")
    hall.lock("z", "b")
    hall.lock("w", "d")
    assert deadlocked(hall.pass_time(4)) == ["y", "z"], "b does not arrive, and d cannot change that"


def test_hosts_that_were_active_are_asked_less_and_less_often(hall: Hall) -> None:
    hall.concurrent["b"] = {"1"}
    cross(hall)
    hall.pass_time(300)
    times = [when for when, host in hall.asked if host == "a"]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert 5 <= len(times) <= 9
    assert pauses == sorted(pauses) and pauses[0] < 8 and 55 < pauses[-1] < 66


def test_a_cycle_is_found_next_to_one_that_can_end(hall: Hall) -> None:
    """a waits for b and c; b has another client and so may arrive, but c never will."""
    hall.client("b/2")
    hall.lock("x", "a")
    hall.barrier("y", "a", "a,b,c")
    hall.lock("z", "b")
    hall.lock("w", "c")
    events = hall.pass_time(12)
    assert deadlocked(events) == ["w", "y"]
    assert "c has not arrived" in str(error(events, "y"))


# -- who -------------------------------------------------------------------------------------------------------------


def test_waits_for_a_deadlocked_client_continue(hall: Hall) -> None:
    stuck = cross(hall)
    hall.lock("c-1", "c", "1")
    hall.barrier("d", "d", "a,d")
    events = hall.pass_time(4)
    assert deadlocked(events) == stuck
    assert list(got(hall.give_back("a-1", "a"))) == ["c-1"]


def test_waits_behind_a_deadlocked_head_of_a_queue_continue(hall: Hall) -> None:
    hall.sem("g", "hub", 3)
    hall.sem("a", "a", -2, hold=True)
    hall.lock("b", "b")
    hall.sem("b2", "b", -2)  # one unit is there
    hall.sem("c", "c", -1)  # it would be enough for c, which comes behind b
    hall.lock("a2", "a")
    events = hall.pass_time(4)
    assert deadlocked(events) == ["a2", "b2"]
    assert list(got(events)) == ["c"], "b has left the queue"


def test_a_taker_blocked_by_the_head_of_the_queue_may_be_in_the_cycle(hall: Hall) -> None:
    hall.sem("g", "hub", 3)
    hall.sem("a", "a", -2, hold=True)
    hall.sem("b", "b", -2, hold=True)  # the head: it waits for a
    hall.lock("c", "c")
    hall.sem("c2", "c", -1)  # one is there, but b is served first
    hall.lock("a2", "a")  # a waits for c
    events = hall.pass_time(4)
    assert deadlocked(events) == ["a2", "c2"]


def test_two_cycles_are_reported_separately(hall: Hall) -> None:
    one = cross(hall, "a", "b", "12")
    two = cross(hall, "c", "d", "34")
    events = hall.pass_time(4)
    assert deadlocked(events) == sorted(one + two)
    assert "which d has" not in str(error(events, one[0])) and "which b has" not in str(error(events, two[0]))


def test_of_two_cycles_only_the_one_that_cannot_end_is_reported(hall: Hall) -> None:
    one = cross(hall, "a", "b", "12")
    hall.concurrent["d"] = {"1"}
    cross(hall, "c", "d", "34")
    assert deadlocked(hall.pass_time(30)) == one


def test_two_cycles_between_the_same_two_hosts(hall: Hall) -> None:
    stuck = sorted(cross(hall, "a/1", "b/1", "12") + cross(hall, "a/2", "b/2", "34"))
    assert deadlocked(hall.pass_time(4)) == stuck


def test_a_second_cycle_is_reported_after_the_first_is_broken(hall: Hall) -> None:
    hall.barrier("x", "a", "a,b,c", name="one")
    hall.barrier("y", "b", "a,b,c", name="two")
    hall.barrier("z", "c", "a,b,c", name="three")
    events = hall.pass_time(12)
    assert len(deadlocked(events)) >= 2
    for arrival in "xyz":
        if arrival not in deadlocked(events):
            assert hall.pass_time(30) == [], "it waits for two who may act now"
