"""Barriers of named members: which arrivals are accepted, and the effect of a lost host."""

from __future__ import annotations

from itertools import permutations

import pytest

from linesync.errors import MemberLost, Mismatch, TimedOut, UsageError
from linesync.model.decisions import Event, Failed, HostLost, Released
from linesync.model.participants import Cause

from ...helpers import failed, granted
from ...simulated_hub import SimulatedHub, error


@pytest.fixture
def hub() -> SimulatedHub:
    return SimulatedHub("a", "b", "c")


def released(events: list[Event]) -> list[str]:
    """The arrivals that are released."""
    return [arrival for arrival, value in granted(events).items() if isinstance(value, Released)]


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_members_arrive_in_any_order_and_are_released_together(hub: SimulatedHub, order: tuple[str, ...]) -> None:
    first, second, third = order
    assert hub.barrier("x", first, "a,b,c") == []
    assert hub.barrier("y", second, "c,b,a") == []
    assert granted(hub.barrier("z", third, "b,c,a")) == {
        arrival: Released(generation=1, parties=order, position=position, count=3)
        for position, arrival in enumerate("xyz", start=1)
    }
    assert len(hub.services.barriers) == 0


def test_the_default_member_is_the_clients_host(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b#net")
    value = granted(hub.barrier("y", "c", "a,b#net", as_member="b#net"))["x"]
    assert isinstance(value, Released) and value.parties == ("a", "b#net")


def test_one_host_may_be_two_members(hub: SimulatedHub) -> None:
    assert hub.barrier("x", "a/1", "a#1,a#2", as_member="a#1") == []
    assert released(hub.barrier("y", "a/2", "a#1,a#2", as_member="a#2")) == ["x", "y"]


def test_an_arrival_that_is_not_a_member_is_refused_with_the_members(hub: SimulatedHub) -> None:
    refusal = error(hub.barrier("x", "c", "a,b"), "x")
    assert isinstance(refusal, Mismatch) and refusal.details["members"] == ["a", "b"]
    assert str(refusal).startswith("c is not a member of barrier 'boot', which is for a,b;")
    assert len(hub.services.barriers) == 0


def test_another_list_is_refused_and_both_lists_are_named(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b")
    refusal = error(hub.barrier("y", "b", "a,b,c"), "y")
    assert isinstance(refusal, Mismatch)
    assert (
        "is for a,b," in str(refusal)
        and "(arrived: a)" in str(refusal)
        and "this arrival is for a,b,c;" in str(refusal)
    )
    assert refusal.details["stands"] == "for a,b" and refusal.details["yours"] == "for a,b,c"
    assert released(hub.barrier("z", "b", "a,b")) == ["x", "z"]


def test_a_count_and_a_list_of_members_are_different_terms_even_if_the_numbers_are_equal(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b")
    refusal = error(hub.barrier("y", "b", 2), "y")
    assert isinstance(refusal, Mismatch) and "for a,b" in str(refusal) and "for a count of 2" in str(refusal)


@pytest.mark.parametrize(
    ("mine", "yours", "words"),
    [
        ({"reuse": "once"}, {}, ("for a,b, once,", "for a,b;")),
        ({}, {"reuse": "linger=5"}, ("for a,b,", "for a,b, lingering 5 s;")),
        ({"reuse": "linger=5"}, {"reuse": "linger=6"}, ("lingering 5 s,", "lingering 6 s;")),
        ({"tolerate": True}, {}, ("for a,b, without those lost,", "for a,b;")),
        ({}, {"rejoin": True}, ("is for a,b,", "for a,b, with rejoin;")),
    ],
)
def test_another_reuse_or_tolerance_is_refused_and_both_are_named(
    hub: SimulatedHub, mine: dict[str, object], yours: dict[str, object], words: tuple[str, str]
) -> None:
    hub.barrier("x", "a", "a,b", **mine)  # type: ignore[arg-type]
    refusal = error(hub.barrier("y", "b", "a,b", **yours), "y")  # type: ignore[arg-type]
    assert isinstance(refusal, Mismatch) and all(word in str(refusal) for word in words)


def test_tolerance_without_members_is_a_usage_error(hub: SimulatedHub) -> None:
    assert isinstance(error(hub.barrier("x", "a", 2, tolerate=True), "x"), UsageError)


# -- members that arrive twice ---------------------------------------------------------------------------------------


def test_a_second_live_client_with_the_same_member_name_is_refused(hub: SimulatedHub) -> None:
    hub.barrier("x", "a/1", "a,b")
    refusal = error(hub.barrier("y", "a/2", "a,b"), "y")
    assert isinstance(refusal, Mismatch) and "member a is already waiting at barrier 'boot'" in str(refusal)
    assert released(hub.barrier("z", "b", "a,b")) == ["x", "z"], "the first arrival still waits"


def test_a_member_whose_client_died_replaces_its_old_arrival(hub: SimulatedHub) -> None:
    hub.barrier("x", "a/1", "a,b")
    assert list(failed(hub.end("a/1"))) == ["x"]
    assert hub.barrier("y", "a/2", "a,b") == []
    assert released(hub.barrier("z", "b", "a,b")) == ["y", "z"]


# -- hosts that restart ----------------------------------------------------------------------------------------------


def test_the_restart_of_a_member_that_had_arrived_fails_the_barrier_for_all(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c", timeout=3600)
    hub.barrier("y", "b", "a,b,c")
    events = hub.restart("a")
    assert list(failed(events)) == ["x", "y"]
    fault = error(events, "y")
    assert isinstance(fault, MemberLost) and fault.exit_code == 4
    assert str(fault) == (
        "barrier 'boot' cannot be complete: a is lost (restarted after it had arrived: its agent started again on line of "
        "a); arrived: a, b; arrive again on all hosts, or let members restart (--rejoin)"
    )
    assert fault.details["lost"] == {"a": "restarted after it had arrived: its agent started again on line of a"}
    assert error(hub.barrier("z", "c", "a,b,c"), "z") is fault, "c had not arrived, therefore it gets the same error"
    assert len(hub.services.barriers) == 0


def test_a_member_that_had_not_arrived_may_restart(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c")
    hub.barrier("y", "b", "a,b,c")
    assert failed(hub.restart("c")) == {}
    assert failed(hub.restart("c")) == {}
    assert released(hub.barrier("z", "c", "a,b,c")) == ["x", "y", "z"]


def test_the_restart_of_a_host_after_the_arrival_of_one_of_its_two_members_fails_the_barrier(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b#1,b#2")
    hub.barrier("y", "b", "a,b#1,b#2", as_member="b#1")
    fault = error(hub.restart("b"), "x")
    assert "b#1 is lost (restarted" in str(fault) and "b#2" not in str(fault)


def test_a_restart_fails_a_complete_barrier_that_waits_for_an_answer(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b")
    hub.speaking.discard("a")
    hub.answering.discard("a")
    hub.pass_time(4)
    assert hub.barrier("y", "b", "a,b") == []
    assert list(failed(hub.restart("a"))) == ["x", "y"]


def test_a_member_that_ended_its_wait_may_restart(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b")
    hub.give_back("x", "a")
    assert failed(hub.restart("a")) == {}
    assert hub.barrier("x2", "a", "a,b") == []
    assert released(hub.barrier("z", "b", "a,b")) == ["x2", "z"]


def test_with_rejoin_a_host_that_restarts_is_only_withdrawn_and_may_arrive_again(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b", rejoin=True)
    hub.barrier("z", "a", "a,b,c", name="third", rejoin=True)
    hub.barrier("w", "b", "a,b,c", name="third", rejoin=True)
    events = hub.restart("a")
    assert sorted(failed(events)) == ["x", "z"] and "restarted" in str(error(events, "x"))
    hub.barrier("z2", "a", "a,b,c", name="third", rejoin=True)
    assert released(hub.barrier("v", "c", "a,b,c", name="third", rejoin=True)) == ["w", "z2", "v"]


def test_a_restart_does_not_fail_a_barrier_by_count(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", 2, timeout=5)
    hub.barrier("y", "b", 3, name="other")
    assert list(failed(hub.restart("b"))) == ["y"]
    assert released(hub.barrier("z", "b", 2)) == ["x", "z"]


def test_rejoin_without_members_is_a_usage_error(hub: SimulatedHub) -> None:
    assert isinstance(error(hub.barrier("x", "a", 2, rejoin=True), "x"), UsageError)


def test_a_host_that_restarts_and_does_not_register_again_is_lost_after_a_lease(hub: SimulatedHub) -> None:
    hub.barrier("x", "b", "a,b")
    hub.speaking.discard("a")
    assert failed(hub.follow_up(hub.services.ended("a", "a1", Cause.RESTARTED, "the peer restarted", hub.now))) == {}
    assert failed(hub.pass_time(19)) == {}
    fault = error(hub.pass_time(1.5), "x")
    assert "a is lost (line lost: its agent restarted 20 s ago and has not registered since then)" in str(fault)


def shut_down(hub: SimulatedHub, host: str) -> list[Event]:
    """Shut down the system of a host. Its agent announces this and sends a goodbye."""
    hub.services.going_down(host, hub.session(host))
    hub.speaking.discard(host)
    return hub.stop(host)


def test_a_barrier_waits_for_a_member_whose_system_goes_down_for_a_reboot(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b")
    assert failed(shut_down(hub, "b")) == {}
    assert hub.barrier("y", "a", "a,b", name="later") == [], "an arrival while the host is down is not refused"
    assert failed(hub.pass_time(599)) == {}
    hub.restart("b")
    assert released(hub.barrier("z", "b", "a,b")) == ["x", "z"]


def test_a_member_that_had_arrived_before_its_system_goes_down_fails_the_barrier(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c")
    hub.barrier("y", "b", "a,b,c")
    fault = error(shut_down(hub, "b"), "x")
    assert isinstance(fault, MemberLost)
    assert fault.details["lost"] == {"b": "restarted after it had arrived: its system is going down"}


def test_a_host_that_goes_down_and_does_not_return_is_lost_after_ten_minutes(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b")
    shut_down(hub, "b")
    fault = error(hub.pass_time(600.5), "x")
    assert "b is lost (line lost: its system went down 600 s ago and its agent has not registered since)" in str(fault)


# -- lost hosts ------------------------------------------------------------------------------------------------------


def test_a_lost_member_fails_the_barrier_for_all_and_the_cause_is_named(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c", timeout=3600)
    hub.barrier("y", "b", "a,b,c")
    events = hub.lose("c")
    assert [type(event) for event in events] == [HostLost, Failed, Failed]
    assert list(failed(events)) == ["x", "y"]
    for fault in failed(events).values():
        assert isinstance(fault, MemberLost) and fault.exit_code == 4
        assert "c is lost (line lost: nothing heard on line of c for 20 s)" in str(fault)
        assert "arrived: a, b" in str(fault)
        assert fault.details["lost"] == {"c": "line lost: nothing heard on line of c for 20 s"}
    assert len(hub.services.barriers) == 0


def test_the_loss_of_a_member_that_had_arrived_fails_the_barrier_too(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c")
    hub.barrier("y", "b", "a,b,c")
    events = hub.stop("b")
    assert isinstance(error(events, "x"), MemberLost) and "b is lost (stopped: its agent was stopped)" in str(
        error(events, "x")
    )
    assert list(failed(events)) == ["x", "y"]


def test_all_members_of_a_lost_host_are_named(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b#1,b#2,c")
    fault = error(hub.stop("b"), "x")
    assert "b#1 is lost" in str(fault) and "b#2 is lost" in str(fault)


def test_the_loss_of_a_host_without_members_has_no_effect(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b")
    assert failed(hub.stop("c")) == {}
    assert released(hub.barrier("y", "b", "a,b")) == ["x", "y"]


def test_an_arrival_while_another_member_is_lost_fails_immediately(hub: SimulatedHub) -> None:
    hub.stop("c")
    fault = error(hub.barrier("x", "a", "a,b,c", timeout=3600), "x")
    assert isinstance(fault, MemberLost) and "c is lost (stopped: its agent was stopped)" in str(fault)
    assert len(hub.services.barriers) == 0


def test_each_later_arrival_gets_the_error_once_although_the_host_is_back(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c")
    hub.stop("c")
    hub.restart("c")
    assert isinstance(error(hub.barrier("y", "b", "a,b,c"), "y"), MemberLost)
    assert hub.barrier("x2", "a", "a,b,c") == [], "a already got the error"
    assert hub.barrier("y2", "b", "a,b,c") == []
    assert released(hub.barrier("z", "c", "a,b,c")) == ["x2", "y2", "z"], (
        "the lost member does not get the error of its own loss"
    )


def test_a_barrier_waits_for_a_member_that_was_never_seen(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,new", timeout=30)
    hub.pass_time(25)
    hub.restart("new")
    assert released(hub.barrier("y", "new", "a,new")) == ["x", "y"]


def test_the_hubs_own_scripts_may_be_members_and_are_never_lost(hub: SimulatedHub) -> None:
    hub.barrier("x", "hub", "hub,a")
    hub.pass_time(60)
    assert released(hub.barrier("y", "a", "hub,a")) == ["x", "y"]


# -- tolerated losses ------------------------------------------------------------------------------------------------


def test_a_tolerant_barrier_is_released_without_the_lost_member_and_the_result_names_it(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c", tolerate=True)
    hub.barrier("y", "b", "a,b,c", tolerate=True)
    events = hub.lose("c")
    assert granted(events)["x"] == Released(generation=1, parties=("a", "b"), position=1, count=2, lost=("c",))
    assert released(events) == ["x", "y"]


def test_a_tolerated_loss_before_the_first_arrival_is_in_the_result(hub: SimulatedHub) -> None:
    hub.stop("c")
    assert hub.barrier("x", "a", "a,b,c", tolerate=True) == []
    value = granted(hub.barrier("y", "b", "a,b,c", tolerate=True))["y"]
    assert isinstance(value, Released) and value.lost == ("c",)


def test_the_only_remaining_member_is_released_alone(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c", tolerate=True)
    assert failed(hub.stop("b")) == {}
    value = granted(hub.stop("c"))["x"]
    assert value == Released(generation=1, parties=("a",), position=1, count=1, lost=("b", "c"))
    value = granted(hub.barrier("x2", "a", "a,b,c", tolerate=True, timeout=0))["x2"]
    assert value == Released(generation=2, parties=("a",), position=1, count=1, lost=("b", "c"))


def test_a_tolerant_barrier_does_not_count_an_arrival_that_is_lost_itself(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c", tolerate=True)
    hub.barrier("y", "b", "a,b,c", tolerate=True)
    events = hub.stop("b")
    assert list(failed(events)) == ["y"] and released(events) == []
    value = granted(hub.barrier("z", "c", "a,b,c", tolerate=True))["x"]
    assert isinstance(value, Released) and value.parties == ("a", "c") and value.lost == ("b",)


def test_a_tolerant_barrier_waits_for_a_member_that_restarts_before_it_arrives(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b", tolerate=True)
    assert released(hub.restart("b")) == []
    assert released(hub.barrier("y", "b", "a,b", tolerate=True)) == ["x", "y"]


def test_a_tolerant_barrier_does_not_wait_for_a_member_that_restarted_after_it_had_arrived(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c", tolerate=True)
    hub.barrier("y", "b", "a,b,c", tolerate=True)
    assert list(failed(hub.restart("b"))) == ["y"]
    value = granted(hub.barrier("z", "c", "a,b,c", tolerate=True))["z"]
    assert isinstance(value, Released) and value.parties == ("a", "c") and value.lost == ("b",)
    assert hub.barrier("x2", "a", "a,b", tolerate=True) == [], "the next generation waits for b"


def test_a_tolerant_barrier_counts_a_member_that_restarted_and_arrived_again(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c", tolerate=True)
    hub.barrier("y", "b", "a,b,c", tolerate=True)
    hub.restart("b")
    assert hub.barrier("y2", "b", "a,b,c", tolerate=True) == []
    value = granted(hub.barrier("z", "c", "a,b,c", tolerate=True))["z"]
    assert isinstance(value, Released) and value.parties == ("a", "b", "c") and value.lost == ()


def test_a_restart_releases_a_tolerant_barrier_that_waits_only_for_this_host(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b", tolerate=True)
    hub.speaking.discard("a")
    hub.answering.discard("a")
    hub.pass_time(4)
    assert hub.barrier("y", "b", "a,b", tolerate=True) == [], "a is asked first"
    value = granted(hub.restart("a"))["y"]
    assert isinstance(value, Released) and value.parties == ("b",) and value.lost == ("a",)


def test_with_rejoin_a_tolerant_barrier_waits_for_a_member_that_restarts(hub: SimulatedHub) -> None:
    how = {"tolerate": True, "rejoin": True}
    hub.barrier("x", "a", "a,b,c", **how)  # type: ignore[arg-type]
    hub.barrier("y", "b", "a,b,c", **how)  # type: ignore[arg-type]
    hub.restart("b")
    assert hub.barrier("z", "c", "a,b,c", **how) == []  # type: ignore[arg-type]
    assert released(hub.barrier("y2", "b", "a,b,c", **how)) == ["x", "z", "y2"]  # type: ignore[arg-type]


# -- timeouts and polls ----------------------------------------------------------------------------------------------


def test_a_timeout_names_all_missing_members_with_the_cause(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,c,new", timeout=5)
    hub.barrier("y", "b", "a,b,c,new")
    hub.give_back("y", "b")
    hub.services.line_lost("c", "c1", "unplugged")
    fault = error(hub.pass_time(5), "x")
    assert isinstance(fault, TimedOut)
    assert str(fault) == (
        "timed out after 5 s at barrier 'boot': 1 of 4 arrived: a; "
        "missing: b (left: gave up), c (its line line of c is down (unplugged)), new (never seen)"
    )
    assert fault.details["missing"] == {
        "b": "left: gave up",
        "c": "its line line of c is down (unplugged)",
        "new": "never seen",
    }
    assert fault.details["arrived"] == ["a"] and fault.details["count"] == 4


def test_a_timeout_reports_that_the_missing_members_have_not_arrived(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b", timeout=1)
    assert str(error(hub.pass_time(1), "x")).endswith("missing: b (has not arrived)")


def test_a_timeout_of_a_tolerant_barrier_names_the_lost_members(hub: SimulatedHub) -> None:
    hub.stop("c")
    hub.barrier("x", "a", "a,b,c", timeout=1, tolerate=True)
    assert "c (stopped: its agent was stopped)" in str(error(hub.pass_time(1), "x"))


def test_a_poll_of_an_incomplete_barrier_names_the_missing_members(hub: SimulatedHub) -> None:
    fault = error(hub.barrier("x", "a", "a,b", timeout=0), "x")
    assert isinstance(fault, TimedOut)
    assert str(fault) == "barrier 'boot' is not complete: 1 of 2 arrived: a; missing: b (has not arrived)"
    assert len(hub.services.barriers) == 0
    hub.barrier("y", "b", "a,b")
    assert released(hub.barrier("z", "a", "a,b", timeout=0)) == ["y", "z"]


def test_a_result_names_more_than_thirty_two_parties_only_on_request(hub: SimulatedHub) -> None:
    all_members = "a#[1-40]"
    for number in range(1, 40):
        hub.barrier(f"x{number}", f"a/{number}", all_members, as_member=f"a#{number}", all_parties=number == 7)
    values = granted(hub.barrier("last", "a/40", all_members, as_member="a#40"))
    for arrival, value in values.items():
        assert isinstance(value, Released) and value.count == 40
        assert len(value.parties) == (40 if arrival == "x7" else 0)


def test_status_shows_missing_members_and_the_cause(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b,new", reuse="once")
    (row,) = hub.services.barriers.status(hub.now + 2)
    assert row.as_json() == {
        "namespace": "default",
        "name": "boot",
        "count": 3,
        "members": ["a", "b", "new"],
        "reuse": "once",
        "generation": 1,
        "missing": {"b": "has not arrived", "new": "never seen"},
        "unheard": [],
        "arrived": [{"name": "a", "client": "1", "waiting": 2.0}],
        "gone": {},
    }


def test_the_errors_of_a_thousand_members_that_time_out_are_short(hub: SimulatedHub) -> None:
    all_members = "sut[1-8]#[1-250]"
    for number in range(1, 126):
        for host in range(1, 9):
            hub.barrier(f"x{host}.{number}", f"a/{number}", all_members, as_member=f"sut{host}#{number}", timeout=5)
    faults = failed(hub.pass_time(5))
    assert len(faults) == 1000
    fault = faults["x1.1"]
    missing = fault.details["missing"]
    assert isinstance(missing, dict) and len(missing) == 100
    assert str(fault).endswith("and 988 more") and len(str(fault)) < 1000
    assert len(hub.services.barriers) == 0


def test_the_errors_for_a_lost_host_with_a_thousand_members_are_short(hub: SimulatedHub) -> None:
    hub.barrier("x", "a", "a,b#[1-1000]")
    fault = error(hub.stop("b"), "x")
    lost = fault.details["lost"]
    assert isinstance(lost, dict) and len(lost) == 100
    assert len(str(fault)) < 2000 and "988 more" in str(fault)


def test_every_cause_of_an_absence_is_in_the_specification() -> None:
    words = {"never seen", "line lost", "restarted", "stopped", "aborted", "client gone", "gave up", "timed out"}
    assert {str(cause) for cause in Cause} == words | {"deadlock", "reset"}
