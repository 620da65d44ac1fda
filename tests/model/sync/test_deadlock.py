"""Deadlocks: clients that wait in a cycle get an error after two seconds and an answer, and no other client does."""

from __future__ import annotations

from itertools import pairwise

import pytest

from linesync.errors import DeadlockError
from linesync.model.decisions import Event

from ..helpers import failed, granted
from ..simulated_hub import SimulatedHub, error


@pytest.fixture
def hub() -> SimulatedHub:
    return SimulatedHub("a", "b", "c", "d")


def deadlocked(events: list[Event]) -> list[str]:
    """Return the arrivals that get the error of a deadlock."""
    return sorted(arrival for arrival, fault in failed(events).items() if isinstance(fault, DeadlockError))


def lock_crosswise(
    hub: SimulatedHub, first_client: str = "a", second_client: str = "b", names: str = "12"
) -> list[str]:
    """Two clients take two locks in different orders. Returns the arrivals that wait."""
    first, second = names
    hub.lock(f"{first_client}-{first}", first_client, first)
    hub.lock(f"{second_client}-{second}", second_client, second)
    assert (
        hub.lock(f"{first_client}-{second}", first_client, second)
        == hub.lock(f"{second_client}-{first}", second_client, first)
        == []
    )
    return sorted([f"{first_client}-{second}", f"{second_client}-{first}"])


# -- cycles of all kinds --------------------------------------------------------------------------------------------


def test_two_locks_taken_crosswise(hub: SimulatedHub) -> None:
    stuck = lock_crosswise(hub)
    events = hub.pass_time(4)
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


def test_the_locks_keep_their_owners_and_are_granted_after_their_return(hub: SimulatedHub) -> None:
    lock_crosswise(hub)
    hub.pass_time(4)
    assert hub.lock("a-again", "a", "2") == []
    assert list(granted(hub.give_back("b-2", "b"))) == ["a-again"]


def test_a_client_that_takes_the_same_lock_twice_is_in_a_deadlock(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    hub.lock("y", "a")
    events = hub.pass_time(4)
    assert deadlocked(events) == ["y"]
    assert "a waits for lock 'flash', which a has" in str(error(events, "y"))


def test_three_clients_in_a_cycle(hub: SimulatedHub) -> None:
    for client, own in zip("abc", "123", strict=True):
        hub.lock(f"{client}{own}", client, own)
    for client, wanted in zip("abc", "231", strict=True):
        hub.lock(f"{client}{wanted}", client, wanted)
    events = hub.pass_time(4)
    assert deadlocked(events) == ["a2", "b3", "c1"]
    cycle = error(events, "c1").details["cycle"]
    assert isinstance(cycle, list) and len(cycle) == 3


def test_a_lock_and_a_barrier_of_members(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    hub.barrier("y", "a", "a,b")
    hub.lock("z", "b")
    events = hub.pass_time(4)
    assert deadlocked(events) == ["y", "z"]
    assert "a waits for barrier 'boot', where b has not arrived; b waits for lock 'flash', which a has" in str(
        error(events, "y")
    )


def test_two_barriers_of_members_in_different_orders(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b", name="one")
    hub.barrier("y", "b", "a,b", name="two")
    assert deadlocked(hub.pass_time(4)) == ["x", "y"]


def test_held_units_and_a_lock(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 2)
    hub.sem("x", "a", -2, hold=True)
    hub.lock("y", "b")
    hub.lock("x2", "a")
    hub.sem("y2", "b", -1)
    events = hub.pass_time(4)
    assert deadlocked(events) == ["x2", "y2"]
    assert "b waits for semaphore 'slots', of which a holds 2" in str(error(events, "y2"))


def test_a_holder_of_units_that_waits_for_more_units(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 2)
    hub.sem("x", "a", -1, hold=True)
    hub.sem("y", "b", -1, hold=True)
    hub.sem("x2", "a", -1, hold=True)
    hub.sem("y2", "b", -1, hold=True)
    events = hub.pass_time(4)
    assert deadlocked(events), "at least one has to give up"
    if len(deadlocked(events)) == 1:
        hub.end("a/1" if "x2" in deadlocked(events) else "b/1")
        assert deadlocked(hub.pass_time(10)) == []


def test_an_exchange_and_a_lock(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    hub.follow_up([*hub.services.exchanges.open("y", "default", "data", ["a", "b"], "a", 0, hub.client("a"), hub.now)])
    hub.lock("z", "b")
    assert deadlocked(hub.pass_time(4)) == ["y", "z"]


def test_the_host_owns_a_kept_lock_after_its_client_has_ended(hub: SimulatedHub) -> None:
    hub.lock("x", "a/1", keep=True)
    hub.end("a/1")
    hub.lock("y", "b", "2")
    hub.lock("x2", "a/2", "2")
    hub.lock("y2", "b")
    assert deadlocked(hub.pass_time(4)) == ["x2", "y2"]


def test_the_hub_asks_about_its_own_scripts_as_it_asks_about_others(hub: SimulatedHub) -> None:
    stuck = lock_crosswise(hub, "hub", "a")
    events = hub.pass_time(4)
    assert deadlocked(events) == stuck
    assert {host for _, host in hub.asked} == {"hub", "a"}


# -- commands under a lock -------------------------------------------------------------------------------------------


def test_two_nested_commands_under_locks_taken_crosswise(hub: SimulatedHub) -> None:
    """``linesync lock 1 -- linesync lock 2 -- true`` crosswise: four processes, of which two wait."""
    hub.lock("a-1", "a/1", "1")
    hub.lock("b-2", "b/1", "2")
    hub.lock("a-2", "a/2", "2", within="a-1")
    hub.lock("b-1", "b/2", "1", within="b-2")
    assert deadlocked(hub.pass_time(4)) == ["a-2", "b-1"]


def test_a_command_under_a_lock_that_waits_for_the_same_lock(hub: SimulatedHub) -> None:
    hub.lock("x", "a/1")
    hub.lock("y", "a/2", within="x")
    assert deadlocked(hub.pass_time(4)) == ["y"]


def test_a_command_under_a_lock_that_does_not_wait_may_end(hub: SimulatedHub) -> None:
    hub.lock("a-1", "a/1", "1")
    hub.lock("b-2", "b/1", "2")
    hub.lock("a-2", "a/2", "2", within="a-1")
    hub.lock("b-1", "b/2", "1")  # not within b's lock: b's command continues
    assert failed(hub.pass_time(30)) == {}


def test_a_lock_is_not_stuck_if_one_of_two_waits_under_it_can_end(hub: SimulatedHub) -> None:
    hub.lock("a-1", "a/1", "1")
    hub.lock("b-2", "b/1", "2")
    hub.lock("a-2", "a/2", "2", within="a-1")
    hub.sem("s", "a/3", -1, within="a-1")
    hub.lock("b-1", "b/1", "1")
    assert failed(hub.pass_time(30)) == {}
    hub.give_back("s", "a/3")
    hub.end("a/3")
    assert deadlocked(hub.pass_time(10)) == ["a-2", "b-1"]


def test_nested_commands_are_stuck_as_a_whole(hub: SimulatedHub) -> None:
    hub.lock("a-1", "a/1", "1")
    hub.lock("a-3", "a/2", "3", within="a-1")
    hub.lock("b-2", "b/1", "2")
    hub.lock("b-3", "b/1", "3")
    hub.lock("a-2", "a/3", "2", within="a-3")
    assert deadlocked(hub.pass_time(4)) == ["a-2", "b-3"]


# -- waits that are not a deadlock -----------------------------------------------------------------------------------


def test_another_client_on_a_members_host_may_still_arrive(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    hub.barrier("y", "a", "a,b")
    hub.lock("z", "b/1")
    hub.client("b/2")
    assert failed(hub.pass_time(30)) == {}
    hub.end("b/2")
    assert deadlocked(hub.pass_time(61)) == ["y", "z"], "after the end of b's second client, this is a deadlock"


def test_a_running_command_on_a_members_host_may_still_arrive(hub: SimulatedHub) -> None:
    hub.commands["b"] = 1
    hub.lock("x", "a")
    hub.barrier("y", "a", "a,b")
    hub.lock("z", "b")
    assert failed(hub.pass_time(30)) == {}
    hub.commands["b"] = 0
    assert deadlocked(hub.pass_time(61)) == ["y", "z"]


def test_a_client_with_several_tasks_may_still_give_back(hub: SimulatedHub) -> None:
    hub.concurrent["b"] = {"1"}
    lock_crosswise(hub)
    assert failed(hub.pass_time(30)) == {}


def test_a_holder_with_several_tasks_may_act_although_its_command_waits(hub: SimulatedHub) -> None:
    hub.concurrent["a"] = {"1"}
    hub.lock("l", "a/1", "2")
    hub.lock("b", "b")
    hub.lock("x", "a/2", within="l")
    hub.barrier("y", "b", "a,b")
    assert failed(hub.pass_time(30)) == {}


def test_another_client_of_the_host_does_not_free_a_lock(hub: SimulatedHub) -> None:
    hub.client("a/2")
    hub.client("b/2")
    hub.commands["a"] = hub.commands["b"] = 1
    stuck = lock_crosswise(hub)
    assert deadlocked(hub.pass_time(4)) == stuck, "only the owners can give back"


def test_units_that_any_client_may_give_are_not_a_deadlock(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    hub.sem("x2", "a", -1)
    hub.lock("y", "b")
    assert failed(hub.pass_time(30)) == {}


def test_holders_do_not_matter_if_the_missing_units_must_come_from_another_client(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1)
    hub.sem("x", "a", -1, hold=True)
    hub.lock("y", "b")
    hub.lock("x2", "a")
    hub.sem("y2", "b", -2)
    assert failed(hub.pass_time(30)) == {}


def test_with_a_bound_other_clients_cannot_replace_held_units(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1, bound=2)
    hub.sem("x", "a", -1, hold=True)
    hub.lock("y", "b")
    hub.lock("x2", "a")
    hub.sem("y2", "b", -2)
    assert deadlocked(hub.pass_time(4)) == ["x2", "y2"]


def test_units_that_are_taken_and_not_held_have_no_owner(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1)
    hub.sem("x", "a", -1)
    hub.lock("y", "b")
    hub.lock("x2", "a")
    hub.sem("y2", "b", -1)
    assert failed(hub.pass_time(30)) == {}


def test_units_that_are_taken_and_not_held_have_no_owner_even_before_they_are_confirmed(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1)
    hub.sem("x", "a", -1, confirm=False)
    hub.lock("y", "b")
    hub.lock("x2", "a")
    hub.sem("y2", "b", -1)
    assert failed(hub.pass_time(30)) == {}


def test_units_that_a_taker_ahead_will_use_up_must_come_from_other_clients(
    hub: SimulatedHub,
) -> None:
    hub.sem("g", "hub", 2)
    hub.sem("x", "a", -1, hold=True)
    hub.sem("y", "b", -1, hold=True)
    hub.lock("z", "c")
    hub.sem("w", "d", -1)
    hub.sem("z2", "c", -2)
    hub.lock("y2", "b")
    assert failed(hub.pass_time(30)) == {}, "a gives back, d uses that up, and c needs more than b holds"
    hub.give_back("w", "d")
    assert deadlocked(hub.pass_time(4)) == ["y2", "z2"], "without d there would be just enough"


def test_one_of_two_holders_that_may_still_act_is_enough(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 2)
    hub.sem("x", "a", -1, hold=True)
    hub.sem("y", "b", -1, hold=True)
    hub.lock("z", "c")
    hub.lock("x2", "a")
    hub.sem("z2", "c", -1)
    assert failed(hub.pass_time(30)) == {}


def test_a_holder_outside_the_cycle_is_asked_too(hub: SimulatedHub) -> None:
    """c waits for units that a and b hold, and both wait for c; but b may still give its unit back."""
    hub.concurrent["b"] = {"1"}
    hub.sem("g", "hub", 2)
    hub.sem("x", "a", -1, hold=True)
    hub.sem("y", "b", -1, hold=True)
    hub.lock("z", "c")
    hub.lock("x2", "a")
    hub.lock("y2", "b")
    hub.sem("z2", "c", -1)
    assert failed(hub.pass_time(30)) == {}
    assert {"a", "b", "c"} <= {host for _, host in hub.asked}


def test_a_client_outside_the_cycle_that_may_free_a_member_is_asked_too(hub: SimulatedHub) -> None:
    """b's second client waits for d, which waits for a; but d does several things at the same time, so b may still arrive."""
    hub.concurrent["d"] = {"1"}
    hub.lock("x", "a")
    hub.lock("w", "d", "2")
    hub.lock("w2", "d")
    hub.lock("z", "b/1")
    hub.lock("z2", "b/2", "2")
    hub.barrier("y", "a", "a,b")
    assert failed(hub.pass_time(30)) == {}


def test_a_barrier_by_count_is_never_part_of_a_deadlock(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    hub.barrier("y", "a", 2)
    hub.lock("z", "b")
    assert failed(hub.pass_time(30)) == {}


def test_a_host_that_was_never_seen_may_still_arrive(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,new", name="one")
    hub.lock("y", "b")
    assert failed(hub.pass_time(30)) == {}


def test_a_host_without_clients_may_still_start_a_client(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b")
    assert failed(hub.pass_time(30)) == {}
    assert hub.asked == []


def test_the_second_member_of_a_host_whose_first_member_waits_there_may_start_later(hub: SimulatedHub) -> None:
    hub.barrier("x", "a/1", "a#1,a#2", as_member="a#1")
    assert failed(hub.pass_time(30)) == {}
    assert len(granted(hub.barrier("y", "a/2", "a#1,a#2", as_member="a#2"))) == 2


def test_a_second_member_that_waits_elsewhere_for_the_first_is_stuck(hub: SimulatedHub) -> None:
    hub.lock("l", "a/1")
    hub.barrier("x", "a/1", "a#1,a#2", as_member="a#1")
    hub.lock("y", "a/2")
    assert deadlocked(hub.pass_time(4)) == ["x", "y"]


def test_a_member_that_arrived_under_a_lock_also_counts_as_waiting_there(hub: SimulatedHub) -> None:
    hub.lock("l", "a/1")
    hub.barrier("x", "a/2", "a#1,a#2", as_member="a#1", within="l")
    assert failed(hub.pass_time(30)) == {}


def test_a_complete_barrier_that_waits_for_an_answer_is_not_a_deadlock(hub: SimulatedHub) -> None:
    hub.answering.discard("b")
    hub.speaking.discard("b")
    hub.barrier("x", "b", "a,b")
    hub.pass_time(5)
    hub.barrier("y", "a", "a,b")
    assert deadlocked(hub.pass_time(10)) == []


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_cycle_is_not_reported_before_two_seconds(hub: SimulatedHub) -> None:
    stuck = lock_crosswise(hub)
    assert hub.pass_time(1.99) == [] and hub.asked == []
    assert deadlocked(hub.pass_time(1.1)) == stuck


def test_a_cycle_that_ends_within_two_seconds_is_not_an_error(hub: SimulatedHub) -> None:
    hub.lock("a-1", "a", "1")
    hub.lock("b-2", "b", "2")
    hub.lock("a-2", "a", "2", timeout=1.5)
    hub.lock("b-1", "b", "1")
    assert deadlocked(hub.pass_time(1.6)) == []
    hub.give_back("a-1", "a")
    assert hub.pass_time(30) == []


def test_a_cycle_that_closes_again_must_exist_for_two_seconds_again(hub: SimulatedHub) -> None:
    hub.lock("a-1", "a", "1")
    hub.lock("b-2", "b", "2")
    hub.lock("b-1", "b", "1")
    for attempt in range(6):
        hub.lock(f"a-2.{attempt}", "a", "2", timeout=1.9)
        assert deadlocked(hub.pass_time(2)) == []


def test_a_cycle_that_ends_while_hosts_are_asked_is_not_an_error(hub: SimulatedHub) -> None:
    hub.answering.clear()
    lock_crosswise(hub)
    hub.pass_time(3)
    assert {host for _, host in hub.asked} == {"a", "b"}
    hub.give_back("a-1", "a")
    assert deadlocked([*hub.answer("a"), *hub.answer("b")]) == []


def test_a_cycle_is_not_reported_before_all_its_hosts_have_answered(hub: SimulatedHub) -> None:
    hub.answering.discard("b")
    stuck = lock_crosswise(hub)
    assert hub.pass_time(3.5) == []
    assert deadlocked(hub.answer("b")) == stuck


def test_a_host_that_does_not_answer_is_asked_again_until_its_lease_runs_out(hub: SimulatedHub) -> None:
    hub.answering.discard("b")
    hub.speaking.discard("b")
    lock_crosswise(hub)
    events = hub.pass_time(19.9)
    assert events == [] and 3 <= [host for _, host in hub.asked].count("b") <= 6
    events = hub.pass_time(0.2)
    assert deadlocked(events) == [] and list(failed(events)) == ["b-1"] and list(granted(events)) == ["a-2"]


def test_a_host_behind_the_cycle_need_not_answer_if_it_could_not_break_the_cycle(hub: SimulatedHub) -> None:
    hub.answering.discard("d")
    hub.lock("x", "a")
    hub.barrier("y", "a", "a,b,d")
    hub.lock("z", "b")
    hub.lock("w", "d")
    assert deadlocked(hub.pass_time(4)) == ["y", "z"], "b does not arrive, and d cannot change that"


def test_hosts_that_were_active_are_asked_less_and_less_often(hub: SimulatedHub) -> None:
    hub.concurrent["b"] = {"1"}
    lock_crosswise(hub)
    hub.pass_time(300)
    times = [when for when, host in hub.asked if host == "a"]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert 5 <= len(times) <= 9
    assert pauses == sorted(pauses) and pauses[0] < 8 and 55 < pauses[-1] < 66


def test_a_cycle_is_found_next_to_a_cycle_that_can_end(hub: SimulatedHub) -> None:
    """a waits for b and c; b has another client and so may arrive, but c never will."""
    hub.client("b/2")
    hub.lock("x", "a")
    hub.barrier("y", "a", "a,b,c")
    hub.lock("z", "b")
    hub.lock("w", "c")
    events = hub.pass_time(12)
    assert deadlocked(events) == ["w", "y"]
    assert "c has not arrived" in str(error(events, "y"))


# -- affected clients ------------------------------------------------------------------------------------------------


def test_waits_for_a_deadlocked_client_continue(hub: SimulatedHub) -> None:
    stuck = lock_crosswise(hub)
    hub.lock("c-1", "c", "1")
    hub.barrier("d", "d", "a,d")
    events = hub.pass_time(4)
    assert deadlocked(events) == stuck
    assert list(granted(hub.give_back("a-1", "a"))) == ["c-1"]


def test_waits_behind_a_deadlocked_head_of_a_queue_continue(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 3)
    hub.sem("a", "a", -2, hold=True)
    hub.lock("b", "b")
    hub.sem("b2", "b", -2)  # one unit is free
    hub.sem("c", "c", -1)  # it would be enough for c, which comes behind b
    hub.lock("a2", "a")
    events = hub.pass_time(4)
    assert deadlocked(events) == ["a2", "b2"]
    assert list(granted(events)) == ["c"], "b has left the queue"


def test_a_taker_blocked_by_the_head_of_the_queue_may_be_in_the_cycle(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 3)
    hub.sem("a", "a", -2, hold=True)
    hub.sem("b", "b", -2, hold=True)  # the head: it waits for a
    hub.lock("c", "c")
    hub.sem("c2", "c", -1)  # one unit is free, but b is served first
    hub.lock("a2", "a")  # a waits for c
    events = hub.pass_time(4)
    assert deadlocked(events) == ["a2", "c2"]


def test_two_cycles_are_reported_separately(hub: SimulatedHub) -> None:
    first_cycle = lock_crosswise(hub, "a", "b", "12")
    second_cycle = lock_crosswise(hub, "c", "d", "34")
    events = hub.pass_time(4)
    assert deadlocked(events) == sorted(first_cycle + second_cycle)
    assert "which d has" not in str(error(events, first_cycle[0])) and "which b has" not in str(
        error(events, second_cycle[0])
    )


def test_of_two_cycles_only_the_cycle_that_cannot_end_is_reported(hub: SimulatedHub) -> None:
    first_cycle = lock_crosswise(hub, "a", "b", "12")
    hub.concurrent["d"] = {"1"}
    lock_crosswise(hub, "c", "d", "34")
    assert deadlocked(hub.pass_time(30)) == first_cycle


def test_two_cycles_between_the_same_two_hosts(hub: SimulatedHub) -> None:
    stuck = sorted(lock_crosswise(hub, "a/1", "b/1", "12") + lock_crosswise(hub, "a/2", "b/2", "34"))
    assert deadlocked(hub.pass_time(4)) == stuck


def test_a_second_cycle_is_reported_after_the_first_is_broken(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c", name="one")
    hub.barrier("y", "b", "a,b,c", name="two")
    hub.barrier("z", "c", "a,b,c", name="three")
    events = hub.pass_time(12)
    assert len(deadlocked(events)) >= 2
    for arrival in "xyz":
        if arrival not in deadlocked(events):
            assert hub.pass_time(30) == [], "two clients that it waits for can act now"
