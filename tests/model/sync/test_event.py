"""Events, by example; the search against a reference model is in search/test_event_search.py."""

from __future__ import annotations

import pytest

from linesync.errors import Aborted, LinesyncError, LinesyncFailed, TimedOut, UsageError
from linesync.model.decisions import Names, Outcome
from linesync.model.participants import Cause, Client
from linesync.model.sync import event as events_module
from linesync.model.sync import waits as waits_module
from linesync.model.sync.event import Events
from linesync.model.sync.waits import Waits

from ..helpers import assert_empty, client, failed, granted, only_error


class EventHarness:
    """Events with their waits, and short methods to change them and to wait for them."""

    def __init__(self) -> None:
        self.waits = Waits()
        self.events = Events(self.waits)
        self.count = 0

    def set(self, *names: str, arrival: str = "", namespace: str = "default") -> list[Outcome]:
        return self.events.set(arrival or self.fresh(), namespace, names, client("hub"), 0.0)

    def clear(self, *names: str, arrival: str = "") -> list[Outcome]:
        return self.events.clear(arrival or self.fresh(), "default", names, client("hub"), 0.0)

    def wait(
        self,
        arrival: str,
        *names: str,
        any_: bool = False,
        host: Client | str = "a",
        now: float = 0.0,
        timeout: float | None = None,
        namespace: str = "default",
    ) -> list[Outcome]:
        owner = host if isinstance(host, Client) else client(host)
        return self.events.wait(arrival, namespace, names, any_, owner, now, timeout)

    def reset(self, *names: str) -> tuple[int, dict[str, LinesyncError]]:
        """Return (the number of events that were forgotten, the errors of the waits that failed)."""
        forgotten, waits = self.events.reset("default", names or None, 0.0)
        return forgotten, failed(self.waits.fail([(wait, Aborted("reset")) for wait in waits], Cause.RESET, 0.0))

    def fresh(self) -> str:
        self.count += 1
        return f"fresh{self.count}"


@pytest.fixture
def harness() -> EventHarness:
    return EventHarness()


def granted_names(outcomes: list[Outcome]) -> dict[str, tuple[str, ...]]:
    """Return the names that each arrival got; empty for a change."""
    values = granted(outcomes)
    assert all(isinstance(value, Names) for value in values.values())
    return {arrival: value.names for arrival, value in values.items() if isinstance(value, Names)}


def test_setting_an_event_ends_the_waits_for_it(harness: EventHarness) -> None:
    assert harness.wait("x", "boot") == []
    assert granted_names(harness.set("boot", arrival="s")) == {"s": (), "x": ("boot",)}


def test_an_event_stays_set_for_later_waits(harness: EventHarness) -> None:
    harness.set("boot")
    assert granted_names(harness.wait("x", "boot")) == {"x": ("boot",)}
    assert granted_names(harness.wait("y", "boot", host="b")) == {"y": ("boot",)}


def test_a_client_can_wait_for_a_cleared_event_again(harness: EventHarness) -> None:
    harness.set("boot")
    harness.clear("boot")
    assert harness.wait("x", "boot") == []


def test_clearing_an_event_that_is_not_set_changes_nothing(harness: EventHarness) -> None:
    assert granted_names(harness.clear("boot", arrival="c")) == {"c": ()}
    assert len(harness.events) == 0


def test_a_wait_for_all_events_ends_with_the_last_event(harness: EventHarness) -> None:
    harness.wait("x", "c", "a", "b")
    assert list(granted_names(harness.set("a", "b"))) == ["fresh1"]
    assert granted_names(harness.set("c", arrival="s")) == {"s": (), "x": ("c", "a", "b")}


def test_a_wait_for_any_event_ends_with_the_first_and_names_all_that_are_set(harness: EventHarness) -> None:
    harness.wait("x", "a", "b", "c", any_=True)
    assert granted_names(harness.set("c", "a", arrival="s")) == {"s": (), "x": ("a", "c")}
    assert granted_names(harness.wait("y", "b", "c", any_=True)) == {"y": ("c",)}


def test_an_event_that_is_cleared_before_the_others_are_set_does_not_count(harness: EventHarness) -> None:
    harness.wait("x", "a", "b")
    harness.set("a")
    harness.clear("a")
    assert list(granted_names(harness.set("b", arrival="s"))) == ["s"]
    assert granted_names(harness.set("a", arrival="t")) == {"t": (), "x": ("a", "b")}


def test_a_short_pulse_ends_waits_that_lack_only_this_event(harness: EventHarness) -> None:
    harness.wait("x", "a")
    assert "x" in granted_names(harness.set("a"))
    harness.clear("a")
    assert harness.wait("y", "a") == []


def test_setting_an_event_twice_has_no_further_effect(harness: EventHarness) -> None:
    harness.wait("x", "a", "b")
    harness.set("a", "a")
    assert list(granted_names(harness.set("a", arrival="s"))) == ["s"]
    harness.clear("a")
    assert list(granted_names(harness.set("b", arrival="t"))) == ["t"]


def test_a_name_that_is_requested_twice_counts_once(harness: EventHarness) -> None:
    harness.wait("x", "a", "a")
    assert granted_names(harness.set("a", arrival="s")) == {"s": (), "x": ("a",)}


def test_waits_are_served_in_order_of_arrival(harness: EventHarness) -> None:
    harness.wait("x", "b", "a")
    harness.wait("y", "a")
    harness.wait("z", "b", any_=True)
    assert list(granted_names(harness.set("b", "a", arrival="s"))) == ["s", "x", "y", "z"]


def test_a_retry_after_a_lost_reply_sets_nothing_again(harness: EventHarness) -> None:
    harness.set("a", arrival="s")
    harness.clear("a")
    assert granted_names(harness.set("a", arrival="s")) == {"s": ()}
    assert harness.wait("x", "a") == []


def test_a_retry_of_an_ended_wait_gets_the_same_result(harness: EventHarness) -> None:
    harness.wait("x", "a")
    harness.set("a")
    harness.clear("a")
    assert granted_names(harness.wait("x", "a")) == {"x": ("a",)}


def test_the_same_name_in_two_namespaces_means_two_events(harness: EventHarness) -> None:
    harness.set("a", namespace="night")
    assert harness.wait("x", "a") == []
    assert granted_names(harness.wait("y", "a", namespace="night")) == {"y": ("a",)}


def test_a_poll_answers_immediately(harness: EventHarness) -> None:
    error = only_error(harness.wait("x", "a", "b", timeout=0))
    assert isinstance(error, TimedOut) and len(harness.events) == 0
    assert str(error) == "poll failed at events 'a, b': missing: a, b"
    harness.set("b")
    assert granted_names(harness.wait("y", "a", "b", any_=True, timeout=0)) == {"y": ("b",)}


def test_a_timeout_names_the_set_and_the_missing_events(harness: EventHarness) -> None:
    harness.set("c", "a")
    harness.wait("x", "a", "b", "c", timeout=5)
    harness.wait("y", "d", "e", any_=True, timeout=5)
    assert harness.waits.next_timer() == 5.0
    errors = failed(harness.waits.handle_timer(5.0))
    assert isinstance(errors["x"], TimedOut)
    assert str(errors["x"]) == "timed out after 5 s at events 'a, b, c': set: a, c; missing: b"
    assert errors["x"].details == {"set": ["a", "c"], "missing": ["b"], "any": False}
    assert str(errors["y"]) == "timed out after 5 s at events 'd, e': missing: d, e; any of them is enough"


def test_an_error_names_the_namespace(harness: EventHarness) -> None:
    error = only_error(harness.wait("x", "a", namespace="night", timeout=0))
    assert str(error) == "poll failed at event 'a' of namespace 'night': missing: a"


def test_a_wait_that_has_ended_is_not_served(harness: EventHarness) -> None:
    harness.wait("x", "a", host="a")
    harness.wait("y", "a", host="b")
    assert list(failed(harness.waits.host_gone("a", 1.0, Cause.LINE_LOST))) == ["x"]
    assert list(granted_names(harness.set("a", arrival="s"))) == ["s", "y"]


def test_waits_that_end_leave_nothing(harness: EventHarness) -> None:
    harness.wait("x", "a", "b")
    harness.set("a")
    harness.clear("a")
    harness.waits.withdraw("x", client("a"), 1.0, Cause.GAVE_UP)
    assert len(harness.events) == 0
    harness.waits.handle_timer(1000.0)
    assert_empty(harness.waits)


def test_a_reset_clears_events_and_fails_waits_for_any_of_them(harness: EventHarness) -> None:
    harness.set("a", "b", "c")
    harness.wait("x", "b", "z")
    harness.wait("y", "q")
    harness.wait("z", "c", "y", any_=False)
    forgotten, errors = harness.reset("a", "z", "nobody's", "a")
    assert forgotten == 1
    assert list(errors) == ["x"] and isinstance(errors["x"], Aborted)
    assert harness.wait("v", "a") == []
    assert granted_names(harness.wait("w", "b", "c")) == {"w": ("b", "c")}


def test_the_reset_of_a_namespace_does_not_change_other_namespaces(harness: EventHarness) -> None:
    harness.set("a", "b")
    harness.set("a", namespace="night")
    harness.wait("n", "q", namespace="night")
    harness.wait("x", "q", "a")
    forgotten, errors = harness.reset()
    assert (forgotten, list(errors)) == (2, ["x"])
    assert [row.namespace for row in harness.events.status(0.0)] == ["night", "night"]


@pytest.mark.parametrize("names", [(), ("",), ("a\nb",), ("x" * 201,), tuple(f"n{n}" for n in range(101))])
def test_invalid_names_are_refused_and_change_nothing(harness: EventHarness, names: tuple[str, ...]) -> None:
    good = ("good", *names) if names and len(names) < 100 else names
    assert isinstance(only_error(harness.set(*good)), UsageError)
    assert isinstance(only_error(harness.clear(*good)), UsageError)
    assert isinstance(only_error(harness.wait("x", *good)), UsageError)
    assert len(harness.events) == 0 and harness.waits.sizes().waits == 0


def test_an_invalid_namespace_or_timeout_is_refused(harness: EventHarness) -> None:
    assert isinstance(only_error(harness.set("a", namespace="")), UsageError)
    harness.set("a")
    assert isinstance(only_error(harness.wait("x", "a", timeout=-1)), UsageError)


def test_a_request_that_sets_too_many_events_sets_none_of_them(
    harness: EventHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "SET_MAX", 2)
    harness.set("a")
    error = only_error(harness.set("b", "c"))
    assert isinstance(error, LinesyncFailed) and "reset" in str(error)
    assert list(granted_names(harness.set("b", "a", arrival="s"))) == ["s"]
    harness.clear("a")
    assert list(granted_names(harness.set("c", arrival="t"))) == ["t"]


def test_waits_for_too_many_names_are_refused(harness: EventHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "AWAITED_MAX", 3)
    harness.wait("x", "a", "b")
    assert isinstance(only_error(harness.wait("y", "c", "d")), LinesyncFailed)
    harness.waits.withdraw("x", client("a"), 0.0, Cause.GAVE_UP)
    assert harness.wait("z", "a", "b", "c") == []
    harness.set("a", "b", "c")
    assert harness.wait("w", "d", "e", "f") == []


def test_too_many_waits_leave_nothing_behind(harness: EventHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits_module, "WAITS_PER_HOST", 1)
    harness.wait("x", "a")
    assert isinstance(only_error(harness.wait("y", "b")), LinesyncFailed)
    assert [row.name for row in harness.events.status(0.0)] == ["a"]


def test_status_shows_set_events_and_waits(harness: EventHarness) -> None:
    harness.set("up")
    harness.wait("x", "up", "b", now=1.0)
    harness.wait("y", "b", "c", any_=True, host="b", now=2.0)
    x = {"name": "a", "client": "1", "waiting": 3.0, "any": False}
    y = {"name": "b", "client": "1", "waiting": 2.0, "any": True}
    assert [event.as_json() for event in harness.events.status(4.0)] == [
        {"namespace": "default", "name": "up", "set": True, "waiting": [x]},
        {"namespace": "default", "name": "b", "set": False, "waiting": [x, y]},
        {"namespace": "default", "name": "c", "set": False, "waiting": [y]},
    ]


def test_ten_thousand_waits_are_served_in_one_call(harness: EventHarness) -> None:
    for number in range(10_000):
        harness.wait(f"x{number}", "a", host=f"h{number % 10}")
    assert len(harness.set("a")) == 10_001
