"""Locks: one owner at a time, in order of arrival, with tokens that only grow."""

from __future__ import annotations

import pytest

from linesync.errors import Aborted, LinesyncFailed, NotAllowed, TimedOut, UsageError
from linesync.model.decisions import Event, Failed, Granted, Revoked, Token
from linesync.model.state.sync.lock import Owner
from linesync.model.sync import lock as lock_module
from linesync.model.sync.services import SyncServices

from ..helpers import failed, granted
from ..simulated_hub import SimulatedHub, error


@pytest.fixture
def hub() -> SimulatedHub:
    return SimulatedHub("a", "b", "c")


def token(events: list[Event], arrival: str) -> int:
    value = granted(events)[arrival]
    assert isinstance(value, Token)
    return value.token


def unlock(hub: SimulatedHub, host: str, name: str, number: int) -> list[Event]:
    return hub.follow_up([*hub.services.locks.give_back("default", name, number, host, hub.now)])


def test_a_lock_is_granted_when_it_is_free(hub: SimulatedHub) -> None:
    assert token(hub.lock("x", "a"), "x") == 1
    assert hub.lock("y", "b") == []
    assert token(hub.give_back("x", "a"), "y") == 2
    assert hub.give_back("y", "b") == [] and len(hub.services.locks) == 0


def test_a_lock_is_served_first_come_first_served(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    for number in range(5):
        hub.lock(f"y{number}", f"b/{number}")
    order = []
    arrival, who = "x", "a"
    for number in range(5):
        (event,) = hub.give_back(arrival, who)
        assert isinstance(event, Granted)
        arrival, who = f"y{number}", f"b/{number}"
        order.append(event.arrival)
    assert order == ["y0", "y1", "y2", "y3", "y4"]


def test_tokens_grow_over_all_locks_from_the_first_token_that_the_hub_chose(hub: SimulatedHub) -> None:
    hub.services = SyncServices(first_token=1000)
    numbers = []
    for number, name in enumerate(["flash", "power", "flash", "uart"]):
        numbers.append(token(hub.lock(f"x{number}", "hub", name), f"x{number}"))
        hub.give_back(f"x{number}", "hub")
    assert numbers == [1000, 1001, 1002, 1003]


def test_an_unconfirmed_lock_is_released_when_its_client_goes_away(hub: SimulatedHub) -> None:
    hub.lock("x", "a", confirm=False)
    hub.lock("y", "b")
    events = hub.end("a/1")
    assert list(failed(events)) == ["x"] and token(events, "y") == 2


def test_a_lock_is_released_when_its_client_dies(hub: SimulatedHub) -> None:
    hub.lock("x", "a/1")
    hub.lock("y", "b")
    events = hub.end("a/1")
    assert failed(events) == {} and token(events, "y") == 2


def test_a_lock_is_released_and_its_owner_notified_when_its_host_is_lost(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    hub.lock("y", "b")
    events = hub.lose("a")
    assert token(events, "y") == 2
    (revoked,) = [event for event in events if isinstance(event, Revoked)]
    assert revoked.arrival == "x" and "line lost" in revoked.why


def test_a_kept_lock_survives_its_client_and_not_its_host(hub: SimulatedHub) -> None:
    hub.lock("x", "a/1", keep=True)
    hub.lock("y", "b")
    assert hub.end("a/1") == []
    (row,) = hub.services.locks.status(hub.now)
    assert row.owner == Owner(name="a", client=None, confirmed=True, since=0.0)
    assert token(hub.lose("a"), "y") == 2


def test_a_kept_lock_that_is_not_confirmed_is_not_kept_yet(hub: SimulatedHub) -> None:
    hub.lock("x", "a/1", keep=True, confirm=False)
    assert list(failed(hub.end("a/1"))) == ["x"]
    assert token(hub.lock("y", "b"), "y") == 2


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("stops", [False, True])
def test_a_host_that_stops_or_restarts_may_write_until_its_lease_ends(
    hub: SimulatedHub, keep: bool, stops: bool
) -> None:
    """A client that is stopped does not notice that its agent has gone. Its command ends with the lease."""
    hub.lock("x", "a/1", keep=keep)
    hub.lock("y", "b")
    hub.pass_time(5.0)
    events = hub.stop("a") if stops else hub.restart("a")
    assert [type(event) for event in events if getattr(event, "arrival", "") == "x"] == [Revoked]
    (row,) = hub.services.locks.status(hub.now)
    assert row.owner == Owner(name="a", client=None if keep else "1", confirmed=True, since=5.0, lost=True)
    assert "a is lost, and may have it (token 1) until its lease ends" in str(
        error(hub.lock("z", "c", timeout=0.0), "z")
    )
    with pytest.raises(LinesyncFailed, match="no longer holds anything"):
        hub.services.give_back("x", hub.client("a/1"), hub.now)
    assert hub.lock("x", "a/2") == [], "a new arrival with the same id waits like any other"
    assert hub.pass_time(19.0) == []
    assert token(hub.pass_time(1.5), "y") == 2


def test_the_token_or_a_reset_returns_the_lock_of_a_lost_host(hub: SimulatedHub) -> None:
    for name in ("one", "two"):
        hub.lock(f"x{name}", "a/1", name, keep=True)
        hub.lock(f"y{name}", "b", name)
    hub.restart("a")
    assert token(unlock(hub, "a", "one", 1), "yone") == 3
    hub.services.reset("default", ("two",), "hub", hub.now)
    assert [row.name for row in hub.services.locks.status(hub.now)] == ["one"]
    assert hub.pass_time(30.0) == []
    assert [row.owner.lost for row in hub.services.locks.status(hub.now) if row.owner is not None] == [False]


def test_a_new_hub_grants_no_lock_before_a_lease_has_passed(hub: SimulatedHub) -> None:
    hub.services.grant_no_holds_before(hub.now + 20.0)
    assert hub.lock("x", "a") == [] and hub.lock("y", "b", timeout=5.0) == []
    assert "a host may still have it from before" in str(error(hub.lock("z", "c", timeout=0.0), "z"))
    assert list(failed(hub.pass_time(19.0))) == ["y"]
    assert token(hub.pass_time(1.0), "x") == 1
    assert token(hub.lock("w", "c", "other", timeout=0.0), "w") == 2


def test_any_client_of_the_host_may_unlock_with_the_token(hub: SimulatedHub) -> None:
    number = token(hub.lock("x", "a/1", keep=True), "x")
    hub.end("a/1")
    hub.lock("y", "b")
    assert token(unlock(hub, "a", "flash", number), "y") == 2


def test_unlocking_on_another_host_or_with_another_token_is_refused_and_names_the_owner(hub: SimulatedHub) -> None:
    number = token(hub.lock("x", "a"), "x")
    for host, wrong in [("b", number), ("a", number + 1), ("a", number - 1)]:
        with pytest.raises(NotAllowed, match=r"a has it \(token 1\)") as caught:
            unlock(hub, host, "flash", wrong)
        assert caught.value.details == {"owner": "a", "token": 1}
    with pytest.raises(NotAllowed, match="it has no owner"):
        unlock(hub, "a", "unknown", number)
    assert len(hub.services.locks) == 1


def test_unlocking_twice_is_refused_when_the_lock_has_another_owner(hub: SimulatedHub) -> None:
    number = token(hub.lock("x", "a/1"), "x")
    hub.lock("y", "a/2")
    unlock(hub, "a", "flash", number)
    with pytest.raises(NotAllowed, match=r"\(token 2\)"):
        unlock(hub, "a", "flash", number)


def test_unlocking_before_the_grant_is_confirmed_fails_the_grant(hub: SimulatedHub) -> None:
    number = token(hub.lock("x", "a", confirm=False), "x")
    (event,) = unlock(hub, "a", "flash", number)
    assert isinstance(event, Failed) and not hub.services.confirm("x", hub.client("a"))


def test_a_retry_takes_the_lock_once_and_moves_it_to_the_new_connection(hub: SimulatedHub) -> None:
    first = hub.lock("x", "a/1")
    again = hub.lock("x", "a/2")
    assert granted(again) == granted(first)
    assert hub.end("a/1") == [] and len(hub.services.locks) == 1
    assert hub.end("a/2") == [] and len(hub.services.locks) == 0


def test_a_client_that_takes_the_same_lock_twice_waits_for_itself(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    assert hub.lock("y", "a") == []


def test_a_poll_of_a_taken_lock_fails_and_names_the_owner(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    hub.lock("y", "b")
    fault = error(hub.lock("z", "c", timeout=0), "z")
    assert isinstance(fault, TimedOut)
    assert str(fault) == "lock 'flash' is taken: a has it (token 1); waiting: b"
    assert fault.details == {"owner": "a", "token": 1, "queue": ["b"]}
    assert list(granted(hub.lock("w", "c", "free", timeout=0))) == ["w"]


def test_a_timeout_names_the_owner_and_the_waiting_clients(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    hub.lock("y", "b")
    hub.lock("z", "c", timeout=2.5)
    fault = error(hub.pass_time(2.5), "z")
    assert str(fault) == "timed out after 2.5 s at lock 'flash': a has it (token 1); waiting: b"
    assert [event.arrival for event in hub.give_back("x", "a") if isinstance(event, Granted)] == ["y"]


def test_a_client_that_gave_up_is_skipped(hub: SimulatedHub) -> None:
    hub.lock("x", "a")
    hub.lock("y", "b")
    hub.lock("z", "c")
    assert list(failed(hub.give_back("y", "b"))) == ["y"]
    assert list(granted(hub.give_back("x", "a"))) == ["z"]


def test_a_dying_host_does_not_get_its_own_lock_back(hub: SimulatedHub) -> None:
    hub.lock("x", "a/1")
    hub.lock("y", "a/2")
    events = hub.stop("a")
    assert list(failed(events)) == ["y"]
    assert granted(hub.pass_time(20.5)) == {} and len(hub.services.locks) == 0


def test_a_reset_frees_the_lock_fails_waits_and_notifies_the_owner(hub: SimulatedHub) -> None:
    hub.lock("x", "a", keep=True)
    hub.lock("y", "b")
    hub.lock("z", "c", "other")
    forgotten, waits, events = hub.services.reset("default", ("flash", "flash"), "hub", hub.now)
    assert forgotten == 1 and [wait.arrival for wait in waits] == ["y"]
    assert isinstance(error([*events], "y"), Aborted)
    assert [type(event) for event in events] == [Revoked, Failed]
    assert token(hub.lock("w", "c"), "w") > 2, "tokens keep growing after a reset"
    assert len(hub.services.locks) == 2


def test_the_same_name_in_two_namespaces_means_two_locks(hub: SimulatedHub) -> None:
    hub.services.locks.take("x", "run1", "flash", hub.client("a"), hub.now)
    assert len(hub.services.locks.take("y", "run2", "flash", hub.client("b"), hub.now)) == 1
    assert len(hub.services.locks) == 2


def test_too_many_locks_are_refused_and_leave_nothing(hub: SimulatedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "NAMES_MAX", 1)
    hub.lock("x", "a")
    assert isinstance(error(hub.lock("y", "a", "other"), "y"), LinesyncFailed)
    assert hub.lock("z", "b") == [] and len(hub.services.locks) == 1


@pytest.mark.parametrize(("name", "timeout"), [("", None), ("a\n", None), ("x", -1.0), ("x", float("nan"))])
def test_an_invalid_name_or_timeout_is_a_usage_error(hub: SimulatedHub, name: str, timeout: float | None) -> None:
    assert isinstance(error(hub.lock("x", "a", name, timeout=timeout), "x"), UsageError)


def test_status_shows_the_owner_and_the_queue(hub: SimulatedHub) -> None:
    hub.lock("x", "a/7", confirm=False)
    hub.now += 1
    hub.lock("y", "b")
    (row,) = hub.services.locks.status(hub.now + 2)
    assert row.as_json() == {
        "namespace": "default",
        "name": "flash",
        "token": 1,
        "owner": {"name": "a", "client": "7", "confirmed": False, "since": 3.0, "lost": False},
        "queue": [{"name": "b", "client": "1", "waiting": 2.0}],
    }
