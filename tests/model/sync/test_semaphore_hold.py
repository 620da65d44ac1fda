"""Semaphores with held units, and semaphores with a bound."""

from __future__ import annotations

import pytest

from linesync.errors import Aborted, LinesyncFailed, Mismatch, UsageError
from linesync.model.decisions import Failed, Level, Revoked
from linesync.model.state.sync.semaphore import Loan, SemaphoreState

from ..helpers import failed, granted
from ..simulated_hub import SimulatedHub, error


@pytest.fixture
def hub() -> SimulatedHub:
    return SimulatedHub("a", "b", "c")


def rows(hub: SimulatedHub) -> list[SemaphoreState]:
    return hub.services.semaphores.status(hub.now)


def value(hub: SimulatedHub) -> int:
    return next((row.value for row in rows(hub)), 0)


def test_held_units_return_when_their_client_gives_them_back(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 2)
    hub.sem("t", "a", -2, hold=True)
    assert hub.sem("u", "b", -1) == []
    assert granted(hub.give_back("t", "a")) == {"u": Level(value=1)}
    assert value(hub) == 1


def test_held_units_return_when_their_client_dies(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1)
    hub.sem("t", "a/1", -1, hold=True)
    hub.sem("u", "b", -1)
    events = hub.end("a/1")
    assert granted(events) == {"u": Level(value=0)} and failed(events) == {}


def test_held_units_return_and_the_holder_is_notified_when_its_host_is_lost(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1)
    hub.sem("t", "a", -1, hold=True)
    hub.sem("u", "b", -1)
    events = hub.lose("a")
    assert granted(events) == {"u": Level(value=0)}
    (revoked,) = [event for event in events if isinstance(event, Revoked)]
    assert revoked.arrival == "t" and revoked.client.host == "a" and "line lost" in revoked.why


def test_units_taken_without_hold_do_not_return_when_their_client_dies(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1)
    hub.sem("t", "a", -1)
    assert hub.end("a/1") == [] and value(hub) == 0


def test_units_of_a_committed_take_return_once_if_its_client_withdraws_it(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 2)
    commit(hub, "t", "a", -2)
    hub.sem("u", "b", -1)
    assert granted(hub.give_back("t", "a")) == {"u": Level(value=1)}
    assert hub.give_back("t", "a") != [] and value(hub) == 1
    assert "arrive again, with a new id" in str(failed(hub.sem("t", "a/2", -2))["t"])


def test_units_of_a_take_that_another_client_has_repeated_do_not_return(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1)
    commit(hub, "t", "a/1", -1)
    assert granted(hub.sem("t", "a/2", -1)) == {"t": Level(value=0)}
    hub.give_back("t", "a/1")
    assert value(hub) == 0
    hub.give_back("t", "a/2")
    assert value(hub) == 1


@pytest.mark.parametrize("names", [("slots",), ()])
def test_units_that_were_taken_before_a_reset_do_not_return(hub: SimulatedHub, names: tuple[str, ...]) -> None:
    hub.sem("g", "hub", 2)
    commit(hub, "t", "a", -2)
    hub.services.reset("default", names, "hub", hub.now)
    assert hub.give_back("t", "a") == [] and value(hub) == 0
    assert "the units were returned" in str(failed(hub.sem("t", "a", -2))["t"])


def test_only_as_many_units_return_as_the_bound_permits(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 3, bound=3)
    commit(hub, "t", "a", -2)
    hub.sem("h", "hub", 1)
    hub.give_back("t", "a")
    assert value(hub) == 3


def commit(hub: SimulatedHub, arrival: str, who: str, delta: int) -> None:
    """Take units, and commit them."""
    hub.sem(arrival, who, delta, confirm=False)
    hub.services.commit(arrival, hub.client(who), hub.now)


def test_units_that_are_held_but_not_confirmed_return_too(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1)
    hub.sem("t", "a", -1, hold=True, confirm=False)
    events = hub.end("a/1")
    assert list(failed(events)) == ["t"] and value(hub) == 1


def test_a_hold_follows_the_retry_to_a_new_connection(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1)
    hub.sem("t", "a/1", -1, hold=True)
    hub.sem("t", "a/2", -1, hold=True)
    hub.end("a/1")
    assert value(hub) == 0
    hub.end("a/2")
    assert value(hub) == 1


def test_confirming_a_hold_twice_is_harmless(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1)
    hub.sem("t", "a", -1, hold=True)
    assert hub.services.confirm("t", hub.client("a")) and value(hub) == 0
    hub.give_back("t", "a")
    assert not hub.services.confirm("t", hub.client("a")) and value(hub) == 1


def test_only_units_that_are_taken_can_be_held(hub: SimulatedHub) -> None:
    for number, delta in enumerate([0, 1]):
        assert isinstance(error(hub.sem(f"x{number}", "a", delta, hold=True), f"x{number}"), UsageError)


def test_status_shows_the_holders(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 5, bound=5)
    hub.sem("t", "a/7", -2, hold=True)
    hub.sem("u", "b", -1, confirm=False)
    (row,) = rows(hub)
    assert row.holders == (Loan(name="a", client="7", units=2),)
    assert row.unconfirmed == (Loan(name="b", client="1", units=1),)
    assert row.value == 2 and row.bound == 5


def test_a_semaphore_with_lent_units_is_not_forgotten(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1, bound=1)
    hub.sem("t", "a", -1, hold=True)
    assert len(hub.services.semaphores) == 1
    assert isinstance(error(hub.sem("g2", "hub", 1), "g2"), Mismatch), "together with the lent unit, there would be two"
    hub.give_back("t", "a")
    hub.sem("u", "a", -1)
    assert isinstance(error(hub.sem("g3", "hub", 7), "g3"), Mismatch), "the bound stays although no unit is left"
    assert hub.services.semaphores.reset("default", ["slots"], hub.now) == (1, [])
    assert len(hub.services.semaphores) == 0, "a reset forgets the bound"
    assert granted(hub.sem("g4", "hub", 7)) == {"g4": Level(value=7)}


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_giving_more_than_the_bound_is_refused_and_changes_nothing(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 3, bound=4)
    fault = error(hub.sem("g2", "hub", 2), "g2")
    assert isinstance(fault, Mismatch)
    assert str(fault).startswith("semaphore 'slots' has 3 units, and 2 more would exceed its bound of 4")
    assert fault.details == {"value": 3, "lent": 0, "given": 2, "bound": 4}
    assert granted(hub.sem("g3", "hub", 1)) == {"g3": Level(value=4)}


def test_lent_units_count_towards_the_bound_and_used_up_units_do_not(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 2, bound=2)
    hub.sem("t", "a", -1, hold=True)
    hub.sem("u", "b", -1)
    assert granted(hub.sem("g2", "hub", 1)) == {"g2": Level(value=1)}
    assert "and has lent 1" in str(error(hub.sem("g3", "hub", 1), "g3"))


def test_another_bound_is_refused_and_both_are_named(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1, bound=4)
    for number, delta in enumerate([1, 0, -1]):
        fault = error(hub.sem(f"x{number}", "a", delta, bound=5), f"x{number}")
        assert isinstance(fault, Mismatch) and fault.details == {"bound": 4, "yours": 5}
        assert "has a bound of 4" in str(fault) and "this call sets 5" in str(fault)
    assert granted(hub.sem("y", "a", 1, bound=4)) == {"y": Level(value=2)}


def test_wanting_more_than_the_bound_is_refused(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 1, bound=4)
    fault = error(hub.sem("t", "a", -5), "t")
    assert isinstance(fault, Mismatch) and fault.details == {"bound": 4, "wanted": 5}
    assert isinstance(error(hub.sem("u", "a", -3, name="other", bound=2), "u"), Mismatch)
    assert len(hub.services.semaphores) == 1


def test_a_bound_below_the_current_units_is_refused(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 5)
    hub.sem("t", "a", -2, hold=True)
    fault = error(hub.sem("x", "a", 0, bound=4), "x")
    assert isinstance(fault, Mismatch) and fault.details == {"value": 3, "lent": 2, "bound": 4}
    assert granted(hub.sem("y", "a", -1, bound=5)) == {"y": Level(value=2)}


def test_a_bound_below_the_units_of_a_waiting_taker_is_refused(hub: SimulatedHub) -> None:
    hub.sem("t", "a", -5)
    fault = error(hub.sem("g", "hub", 1, bound=4), "g")
    assert isinstance(fault, Mismatch) and fault.details == {"bound": 4, "wanted": 5}
    assert list(granted(hub.sem("g2", "hub", 5, bound=5))) == ["g2", "t"]


def test_a_waiting_taker_sets_the_bound(hub: SimulatedHub) -> None:
    hub.sem("t", "a", -1, bound=1)
    assert isinstance(error(hub.sem("g", "hub", 2), "g"), Mismatch)
    assert list(granted(hub.sem("g2", "hub", 1))) == ["g2", "t"]


def test_a_poll_that_fails_sets_no_bound(hub: SimulatedHub) -> None:
    hub.sem("t", "a", -1, bound=1, timeout=0)
    assert granted(hub.sem("g", "hub", 2)) == {"g": Level(value=2)}


@pytest.mark.parametrize("bound", [-1, 1 << 53])
def test_a_bound_out_of_range_is_a_usage_error(hub: SimulatedHub, bound: int) -> None:
    assert isinstance(error(hub.sem("x", "a", 1, bound=bound), "x"), UsageError)


# -- reset -----------------------------------------------------------------------------------------------------------


def test_a_reset_drops_units_fails_waits_and_notifies_holders(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 3, bound=3)
    hub.sem("t", "a", -1, hold=True)
    hub.sem("u", "b", -1, confirm=False)
    hub.sem("v", "c", -3)
    forgotten, waits, events = hub.services.reset("default", ("slots", "slots"), "hub", hub.now)
    assert forgotten == 1 and [wait.arrival for wait in waits] == ["v", "u"]
    assert {event.arrival: type(event) for event in events} == {"v": Failed, "t": Revoked, "u": Failed}
    assert isinstance(error([*events], "v"), Aborted) and "was reset by hub" in str(error([*events], "v"))
    assert len(hub.services.semaphores) == 0
    assert granted(hub.sem("g2", "hub", 9)) == {"g2": Level(value=9)}
    assert hub.give_back("t", "a") == [] and value(hub) == 9, "the hold from before the reset gives nothing back"


def test_a_reset_of_a_semaphore_with_units_only_forgets_them(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 3)
    hub.sem("h", "hub", 3, name="other")
    assert hub.services.reset("default", ("slots",), "hub", hub.now)[0] == 1
    assert len(hub.services.semaphores) == 1
    assert hub.services.reset("elsewhere", (), "hub", hub.now)[0] == 0
    assert hub.services.reset("default", (), "hub", hub.now)[0] == 1


def test_units_of_a_lost_host_serve_other_hosts(hub: SimulatedHub) -> None:
    hub.sem("g", "hub", 2)
    hub.sem("t", "a", -2, hold=True)
    hub.sem("u", "a", -1)
    hub.sem("v", "b", -1)
    events = hub.stop("a")
    assert list(failed(events)) == ["u"]
    assert granted(hub.pass_time(20.5)) == {"v": Level(value=1)}
    assert isinstance(error(events, "u"), LinesyncFailed)
