"""Locks: one owner at a time, in order of arrival, with tokens that only grow."""

from __future__ import annotations

import pytest

from linesync.errors import Aborted, LinesyncFailed, NotAllowed, TimedOut, UsageError
from linesync.model.decisions import Event, Failed, Granted, Revoked, Token
from linesync.model.state.lock import Owner
from linesync.model.sync import lock as lock_module
from linesync.model.sync.services import SyncServices

from ..hall import Hall, error, got
from ..helpers import failed


@pytest.fixture
def hall() -> Hall:
    return Hall("a", "b", "c")


def token(events: list[Event], arrival: str) -> int:
    value = got(events)[arrival]
    assert isinstance(value, Token)
    return value.token


def unlock(hall: Hall, host: str, name: str, number: int) -> list[Event]:
    return hall.note([*hall.services.locks.give_back("default", name, number, host, hall.now)])


def test_a_lock_is_granted_when_it_is_free(hall: Hall) -> None:
    assert token(hall.lock("x", "a"), "x") == 1
    assert hall.lock("y", "b") == []
    assert token(hall.give_back("x", "a"), "y") == 2
    assert hall.give_back("y", "b") == [] and len(hall.services.locks) == 0


def test_a_lock_is_served_first_come_first_served(hall: Hall) -> None:
    hall.lock("x", "a")
    for number in range(5):
        hall.lock(f"y{number}", f"b/{number}")
    order = []
    arrival, who = "x", "a"
    for number in range(5):
        (event,) = hall.give_back(arrival, who)
        assert isinstance(event, Granted)
        arrival, who = f"y{number}", f"b/{number}"
        order.append(event.arrival)
    assert order == ["y0", "y1", "y2", "y3", "y4"]


def test_tokens_grow_over_all_locks_and_from_the_first_that_the_hub_chose(hall: Hall) -> None:
    hall.services = SyncServices(first_token=1000)
    numbers = []
    for number, name in enumerate(["flash", "power", "flash", "uart"]):
        numbers.append(token(hall.lock(f"x{number}", "hub", name), f"x{number}"))
        hall.give_back(f"x{number}", "hub")
    assert numbers == [1000, 1001, 1002, 1003]


def test_an_unconfirmed_lock_is_released_when_its_client_goes_away(hall: Hall) -> None:
    hall.lock("x", "a", confirm=False)
    hall.lock("y", "b")
    events = hall.end("a/1")
    assert list(failed(events)) == ["x"] and token(events, "y") == 2


def test_a_lock_goes_back_when_its_client_dies(hall: Hall) -> None:
    hall.lock("x", "a/1")
    hall.lock("y", "b")
    events = hall.end("a/1")
    assert failed(events) == {} and token(events, "y") == 2


def test_a_lock_is_released_and_its_owner_notified_when_its_host_is_lost(hall: Hall) -> None:
    hall.lock("x", "a")
    hall.lock("y", "b")
    events = hall.lose("a")
    assert token(events, "y") == 2
    (revoked,) = [event for event in events if isinstance(event, Revoked)]
    assert revoked.arrival == "x" and "line lost" in revoked.why


def test_a_kept_lock_survives_its_client_and_not_its_host(hall: Hall) -> None:
    hall.lock("x", "a/1", keep=True)
    hall.lock("y", "b")
    assert hall.end("a/1") == []
    (row,) = hall.services.locks.status(hall.now)
    assert row.owner == Owner(name="a", client=None, confirmed=True, since=0.0)
    assert token(hall.lose("a"), "y") == 2


def test_a_kept_lock_that_is_not_confirmed_is_not_kept_yet(hall: Hall) -> None:
    hall.lock("x", "a/1", keep=True, confirm=False)
    assert list(failed(hall.end("a/1"))) == ["x"]
    assert token(hall.lock("y", "b"), "y") == 2


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("stops", [False, True])
def test_a_host_that_stops_or_restarts_may_write_until_its_lease_ends(hall: Hall, keep: bool, stops: bool) -> None:
    """A client that is stopped does not notice that its agent has gone. Its command ends with the lease."""
    hall.lock("x", "a/1", keep=keep)
    hall.lock("y", "b")
    hall.pass_time(5.0)
    events = hall.stop("a") if stops else hall.restart("a")
    assert [type(event) for event in events if getattr(event, "arrival", "") == "x"] == [Revoked]
    (row,) = hall.services.locks.status(hall.now)
    assert row.owner == Owner(name="a", client=None if keep else "1", confirmed=True, since=5.0, lost=True)
    assert "a is lost, and may have it (token 1) until its lease ends" in str(
        error(hall.lock("z", "c", timeout=0.0), "z")
    )
    with pytest.raises(LinesyncFailed, match="no longer holds anything"):
        hall.services.give_back("x", hall.client("a/1"), hall.now)
    assert hall.lock("x", "a/2") == [], "the same id arrives again, and waits as others do"
    assert hall.pass_time(19.0) == []
    assert token(hall.pass_time(1.5), "y") == 2


def test_who_knows_the_token_can_give_back_the_lock_of_a_lost_host_and_so_does_a_reset(hall: Hall) -> None:
    for name in ("one", "two"):
        hall.lock(f"x{name}", "a/1", name, keep=True)
        hall.lock(f"y{name}", "b", name)
    hall.restart("a")
    assert token(unlock(hall, "a", "one", 1), "yone") == 3
    hall.services.reset("default", ("two",), "hub", hall.now)
    assert [row.name for row in hall.services.locks.status(hall.now)] == ["one"]
    assert hall.pass_time(30.0) == []
    assert [row.owner.lost for row in hall.services.locks.status(hall.now) if row.owner is not None] == [False]


def test_a_hub_that_takes_the_place_of_a_dead_one_grants_no_lock_before_a_lease_has_passed(hall: Hall) -> None:
    hall.services.grant_no_holds_before(hall.now + 20.0)
    assert hall.lock("x", "a") == [] and hall.lock("y", "b", timeout=5.0) == []
    assert "a host may still have it from before" in str(error(hall.lock("z", "c", timeout=0.0), "z"))
    assert list(failed(hall.pass_time(19.0))) == ["y"]
    assert token(hall.pass_time(1.0), "x") == 1
    assert token(hall.lock("w", "c", "other", timeout=0.0), "w") == 2


def test_any_client_of_the_host_may_unlock_with_the_token(hall: Hall) -> None:
    number = token(hall.lock("x", "a/1", keep=True), "x")
    hall.end("a/1")
    hall.lock("y", "b")
    assert token(unlock(hall, "a", "flash", number), "y") == 2


def test_unlocking_on_another_host_or_with_another_token_is_refused_and_names_the_owner(hall: Hall) -> None:
    number = token(hall.lock("x", "a"), "x")
    for host, wrong in [("b", number), ("a", number + 1), ("a", number - 1)]:
        with pytest.raises(NotAllowed, match=r"a has it \(token 1\)") as caught:
            unlock(hall, host, "flash", wrong)
        assert caught.value.details == {"owner": "a", "token": 1}
    with pytest.raises(NotAllowed, match="it has no owner"):
        unlock(hall, "a", "unknown", number)
    assert len(hall.services.locks) == 1


def test_unlocking_twice_is_refused_when_the_lock_has_another_owner(hall: Hall) -> None:
    number = token(hall.lock("x", "a/1"), "x")
    hall.lock("y", "a/2")
    unlock(hall, "a", "flash", number)
    with pytest.raises(NotAllowed, match=r"\(token 2\)"):
        unlock(hall, "a", "flash", number)


def test_unlocking_before_the_grant_is_confirmed_fails_the_grant(hall: Hall) -> None:
    number = token(hall.lock("x", "a", confirm=False), "x")
    (event,) = unlock(hall, "a", "flash", number)
    assert isinstance(event, Failed) and not hall.services.confirm("x", hall.client("a"))


def test_a_retry_takes_the_lock_once_and_moves_it_to_the_new_connection(hall: Hall) -> None:
    first = hall.lock("x", "a/1")
    again = hall.lock("x", "a/2")
    assert got(again) == got(first)
    assert hall.end("a/1") == [] and len(hall.services.locks) == 1
    assert hall.end("a/2") == [] and len(hall.services.locks) == 0


def test_a_client_that_takes_the_same_lock_twice_waits_for_itself(hall: Hall) -> None:
    hall.lock("x", "a")
    assert hall.lock("y", "a") == []


def test_a_poll_of_a_taken_lock_fails_and_names_the_owner(hall: Hall) -> None:
    hall.lock("x", "a")
    hall.lock("y", "b")
    fault = error(hall.lock("z", "c", timeout=0), "z")
    assert isinstance(fault, TimedOut)
    assert str(fault) == "lock 'flash' is taken: a has it (token 1); waiting: b"
    assert fault.details == {"owner": "a", "token": 1, "queue": ["b"]}
    assert list(got(hall.lock("w", "c", "free", timeout=0))) == ["w"]


def test_a_timeout_names_the_owner_and_the_waiting_clients(hall: Hall) -> None:
    hall.lock("x", "a")
    hall.lock("y", "b")
    hall.lock("z", "c", timeout=2.5)
    fault = error(hall.pass_time(2.5), "z")
    assert str(fault) == "timed out after 2.5 s at lock 'flash': a has it (token 1); waiting: b"
    assert [event.arrival for event in hall.give_back("x", "a") if isinstance(event, Granted)] == ["y"]


def test_a_client_that_gave_up_is_skipped(hall: Hall) -> None:
    hall.lock("x", "a")
    hall.lock("y", "b")
    hall.lock("z", "c")
    assert list(failed(hall.give_back("y", "b"))) == ["y"]
    assert list(got(hall.give_back("x", "a"))) == ["z"]


def test_a_dying_host_does_not_get_its_own_lock_back(hall: Hall) -> None:
    hall.lock("x", "a/1")
    hall.lock("y", "a/2")
    events = hall.stop("a")
    assert list(failed(events)) == ["y"]
    assert got(hall.pass_time(20.5)) == {} and len(hall.services.locks) == 0


def test_a_reset_frees_the_lock_fails_waits_and_notifies_the_owner(hall: Hall) -> None:
    hall.lock("x", "a", keep=True)
    hall.lock("y", "b")
    hall.lock("z", "c", "other")
    forgotten, waits, events = hall.services.reset("default", ("flash", "flash"), "hub", hall.now)
    assert forgotten == 1 and [wait.arrival for wait in waits] == ["y"]
    assert isinstance(error([*events], "y"), Aborted)
    assert [type(event) for event in events] == [Revoked, Failed]
    assert token(hall.lock("w", "c"), "w") > 2, "the next token is larger all the same"
    assert len(hall.services.locks) == 2


def test_the_same_name_in_two_namespaces_means_two_things(hall: Hall) -> None:
    hall.services.locks.take("x", "run1", "flash", hall.client("a"), hall.now)
    assert len(hall.services.locks.take("y", "run2", "flash", hall.client("b"), hall.now)) == 1
    assert len(hall.services.locks) == 2


def test_too_many_locks_are_refused_and_leave_nothing(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "NAMES_MAX", 1)
    hall.lock("x", "a")
    assert isinstance(error(hall.lock("y", "a", "other"), "y"), LinesyncFailed)
    assert hall.lock("z", "b") == [] and len(hall.services.locks) == 1


@pytest.mark.parametrize(("name", "timeout"), [("", None), ("a\n", None), ("x", -1.0), ("x", float("nan"))])
def test_an_invalid_name_or_timeout_is_a_usage_error(hall: Hall, name: str, timeout: float | None) -> None:
    assert isinstance(error(hall.lock("x", "a", name, timeout=timeout), "x"), UsageError)


def test_status_shows_the_owner_and_the_queue(hall: Hall) -> None:
    hall.lock("x", "a/7", confirm=False)
    hall.now += 1
    hall.lock("y", "b")
    (row,) = hall.services.locks.status(hall.now + 2)
    assert row.as_json() == {
        "namespace": "default",
        "name": "flash",
        "token": 1,
        "owner": {"name": "a", "client": "7", "confirmed": False, "since": 3.0, "lost": False},
        "queue": [{"name": "b", "client": "1", "waiting": 2.0}],
    }
