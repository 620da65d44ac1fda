"""Semaphores, by example; the search against a reference model is in search/test_semaphore_search.py."""

from __future__ import annotations

import pytest

from linesync.errors import LinesyncFailed, Mismatch, TimedOut, UsageError
from linesync.model.decisions import Granted, Level, Outcome
from linesync.model.participants import Cause, Client
from linesync.model.sync import semaphore as semaphore_module
from linesync.model.sync import waits as waits_module
from linesync.model.sync.semaphore import UNITS_MAX, Semaphores
from linesync.model.sync.waits import Waits

from ..helpers import client, failed, granted, only_error


class SemaphoreHarness:
    """Semaphores with their waits, and a short method to change one."""

    def __init__(self) -> None:
        self.waits = Waits()
        self.semaphores = Semaphores(self.waits)

    def change(
        self,
        arrival: str,
        host: Client | str,
        delta: int,
        *,
        name: str = "slots",
        now: float = 0.0,
        timeout: float | None = None,
    ) -> list[Outcome]:
        who = host if isinstance(host, Client) else client(host)
        return self.semaphores.change(arrival, "default", name, delta, who, now, timeout)

    def value(self, name: str = "slots") -> int:
        return next((state.value for state in self.semaphores.status(0.0) if state.name == name), 0)


@pytest.fixture
def harness() -> SemaphoreHarness:
    return SemaphoreHarness()


def test_a_semaphore_begins_at_zero_with_its_first_use(harness: SemaphoreHarness) -> None:
    assert granted(harness.change("x", "a", 0)) == {"x": Level(value=0)}
    assert granted(harness.change("y", "a", 3)) == {"y": Level(value=3)}
    assert granted(harness.change("z", "a", 0)) == {"z": Level(value=3)}


def test_reading_an_unused_semaphore_leaves_nothing_behind(harness: SemaphoreHarness) -> None:
    harness.change("x", "a", 0)
    assert len(harness.semaphores) == 0


def test_four_given_units_serve_four_takers_of_one_unit(harness: SemaphoreHarness) -> None:
    for number in range(5):
        assert harness.change(f"t{number}", f"h{number}", -1) == []
    events = harness.change("g", "hub", 4)
    assert granted(events) == {
        "g": Level(value=0),
        "t0": Level(value=3),
        "t1": Level(value=2),
        "t2": Level(value=1),
        "t3": Level(value=0),
    }


def test_the_head_of_the_queue_blocks_later_smaller_takers(harness: SemaphoreHarness) -> None:
    harness.change("g", "hub", 2)
    assert harness.change("big", "a", -3) == []
    assert harness.change("small", "b", -1) == []
    assert list(granted(harness.change("g2", "hub", 2))) == ["g2", "big", "small"]


def test_when_the_head_of_the_queue_leaves_the_next_takers_are_served(harness: SemaphoreHarness) -> None:
    harness.change("g", "hub", 2)
    harness.change("big", "a", -3, timeout=5)
    harness.change("small", "b", -1)
    events = harness.waits.handle_timer(5.0)
    assert list(failed(events)) == ["big"]
    assert granted(events) == {"small": Level(value=1)}


def test_a_confirmed_grant_is_final(harness: SemaphoreHarness) -> None:
    harness.change("g", "hub", 2)
    (event,) = harness.change("t", "a", -2)
    assert isinstance(event, Granted) and event.provisional
    assert harness.waits.confirm("t", client("a"))
    assert harness.waits.host_gone("a", 1.0, Cause.LINE_LOST) == []
    assert harness.value() == 0 and len(harness.semaphores) == 0


def test_an_unconfirmed_grant_returns_when_its_client_goes_away(harness: SemaphoreHarness) -> None:
    harness.change("g", "hub", 1)
    harness.change("t", "a", -1)
    harness.change("u", "b", -1)
    events = harness.waits.client_gone(client("a"), 1.0, Cause.CLIENT_GONE)
    assert "was returned" in str(failed(events)["t"])
    assert granted(events) == {"u": Level(value=0)}
    assert harness.waits.confirm("t", client("a")) is False
    assert harness.waits.confirm("u", client("b")) is True


def test_a_dying_client_does_not_get_its_own_units_back(harness: SemaphoreHarness) -> None:
    harness.change("g", "hub", 1)
    harness.change("t", "a", -1)
    harness.change("t2", "a", -1)
    events = harness.waits.host_gone("a", 1.0, Cause.RESTARTED)
    assert list(failed(events)) == ["t", "t2"] and granted(events) == {}
    assert harness.value() == 1


def test_retries_take_and_give_once(harness: SemaphoreHarness) -> None:
    first = harness.change("g", "hub", 2)
    assert harness.change("g", "hub", 2) == first
    taken = harness.change("t", "a", -1)
    assert harness.change("t", "a", -1) == taken
    assert harness.value() == 1


def test_a_grant_follows_its_retry_to_a_new_connection(harness: SemaphoreHarness) -> None:
    harness.change("g", "hub", 1)
    harness.change("t", client("a", "1"), -1)
    (event,) = harness.change("t", client("a", "2"), -1)
    assert event.client == client("a", "2")
    assert harness.waits.client_gone(client("a", "1"), 1.0, Cause.CLIENT_GONE) == []
    assert harness.waits.confirm("t", client("a", "2"))


def test_a_waiting_arrival_cannot_be_confirmed(harness: SemaphoreHarness) -> None:
    harness.change("t", "a", -1)
    assert harness.waits.confirm("t", client("a")) is False
    assert list(granted(harness.change("g", "hub", 1))) == ["g", "t"]


def test_an_unconfirmed_grant_is_given_back_when_its_client_gives_up(harness: SemaphoreHarness) -> None:
    harness.change("g", "hub", 1)
    harness.change("t", "a", -1)
    harness.waits.withdraw("t", client("a"), 0.0, Cause.GAVE_UP)
    assert harness.value() == 1


def test_a_timeout_names_the_value_and_the_queue(harness: SemaphoreHarness) -> None:
    harness.change("g", "hub", 1)
    harness.change("t", "a", -3)
    harness.change("u", "b", -2, timeout=2.5)
    error = failed(harness.waits.handle_timer(2.5))["u"]
    assert isinstance(error, TimedOut)
    assert str(error) == ("timed out after 2.5 s at semaphore 'slots': 2 wanted, its value is 1; served first: a for 3")
    assert error.details == {"value": 1, "wanted": 2, "queue": [{"name": "a", "wants": 3}]}


def test_a_poll_takes_available_units_or_fails(harness: SemaphoreHarness) -> None:
    error = only_error(harness.change("t", "a", -1, timeout=0))
    assert isinstance(error, TimedOut) and len(harness.semaphores) == 0
    harness.change("g", "hub", 1)
    assert list(granted(harness.change("u", "a", -1, timeout=0))) == ["u"]


def test_a_poll_does_not_overtake_the_queue(harness: SemaphoreHarness) -> None:
    harness.change("g", "hub", 1)
    harness.change("t", "a", -2)
    assert isinstance(only_error(harness.change("u", "b", -1, timeout=0)), TimedOut)


def test_giving_more_units_than_the_maximum_is_refused(harness: SemaphoreHarness) -> None:
    harness.change("g", "hub", UNITS_MAX)
    harness.change("t", "a", -5)
    assert isinstance(only_error(harness.change("g2", "hub", 1)), Mismatch)  # the 5 may still be returned
    harness.waits.confirm("t", client("a"))
    assert granted(harness.change("g3", "hub", 5)) == {"g3": Level(value=UNITS_MAX)}
    assert isinstance(only_error(harness.change("g4", "hub", UNITS_MAX + 1)), UsageError)


def test_too_many_semaphores_are_refused_and_leave_nothing(
    harness: SemaphoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semaphore_module, "NAMES_MAX", 1)
    harness.change("g", "hub", 1, name="one")
    assert isinstance(only_error(harness.change("g2", "hub", 1, name="two")), LinesyncFailed)
    assert isinstance(only_error(harness.change("t", "hub", -1, name="two")), LinesyncFailed)
    assert harness.waits.sizes().waits == 0 and len(harness.semaphores) == 1


def test_too_many_waits_of_one_host_are_refused_and_others_are_not(
    harness: SemaphoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits_module, "WAITS_PER_HOST", 1)
    harness.change("t", "a", -1)
    error = only_error(harness.change("u", "a", -1, name="other"))
    assert isinstance(error, LinesyncFailed) and len(harness.semaphores) == 1
    assert harness.change("v", "b", -1) == []


def test_too_many_waits_of_one_client_are_refused_and_others_are_not(
    harness: SemaphoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits_module, "WAITS_PER_CLIENT", 1)
    harness.change("t", "a", -1)
    error = only_error(harness.change("u", "a", -1, name="other"))
    assert str(error) == (
        "semaphore 'other': too many arrivals of this script wait or are held (1); end some of them first"
    )
    assert len(harness.semaphores) == 1 and harness.change("v", "b", -1) == []


def test_status_shows_the_value_the_queue_and_unconfirmed_units(harness: SemaphoreHarness) -> None:
    harness.change("g", "hub", 2, now=0.0)
    harness.change("t", "a", -1, now=1.0)
    harness.change("u", "b", -5, now=2.0)
    (row,) = harness.semaphores.status(4.0)
    assert row.as_json() == {
        "namespace": "default",
        "name": "slots",
        "value": 1,
        "queue": [{"name": "b", "client": "1", "wants": 5, "waiting": 2.0}],
        "bound": None,
        "unconfirmed": [{"name": "a", "client": "1", "units": 1, "lost": False}],
        "holders": [],
    }


def test_ten_thousand_takers_are_woken_in_one_call(harness: SemaphoreHarness) -> None:
    for number in range(10_000):
        harness.change(f"t{number}", f"h{number % 10}", -1)
    assert len(harness.change("g", "hub", 10_000)) == 10_001
