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


class Room:
    """Events with their waits, and short ways to change and await them."""

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
        who = host if isinstance(host, Client) else client(host)
        return self.events.wait(arrival, namespace, names, any_, who, now, timeout)

    def reset(self, *names: str) -> tuple[int, dict[str, LinesyncError]]:
        """The number of events that were forgotten, and the errors of the waits that failed."""
        forgotten, waits = self.events.reset("default", names or None, 0.0)
        return forgotten, failed(self.waits.fail([(wait, Aborted("reset")) for wait in waits], Cause.RESET, 0.0))

    def fresh(self) -> str:
        self.count += 1
        return f"fresh{self.count}"


@pytest.fixture
def room() -> Room:
    return Room()


def got(outcomes: list[Outcome]) -> dict[str, tuple[str, ...]]:
    """The names that each arrival got; empty for a change."""
    values = granted(outcomes)
    assert all(isinstance(value, Names) for value in values.values())
    return {arrival: value.names for arrival, value in values.items() if isinstance(value, Names)}


def test_setting_an_event_ends_the_waits_for_it(room: Room) -> None:
    assert room.wait("x", "boot") == []
    assert got(room.set("boot", arrival="s")) == {"s": (), "x": ("boot",)}


def test_an_event_stays_set_for_later_waits(room: Room) -> None:
    room.set("boot")
    assert got(room.wait("x", "boot")) == {"x": ("boot",)}
    assert got(room.wait("y", "boot", host="b")) == {"y": ("boot",)}


def test_a_client_can_wait_for_a_cleared_event_again(room: Room) -> None:
    room.set("boot")
    room.clear("boot")
    assert room.wait("x", "boot") == []


def test_clearing_an_event_that_is_not_set_changes_nothing(room: Room) -> None:
    assert got(room.clear("boot", arrival="c")) == {"c": ()}
    assert len(room.events) == 0


def test_waiting_for_all_ends_with_the_last_one(room: Room) -> None:
    room.wait("x", "c", "a", "b")
    assert list(got(room.set("a", "b"))) == ["fresh1"]
    assert got(room.set("c", arrival="s")) == {"s": (), "x": ("c", "a", "b")}


def test_waiting_for_any_ends_with_the_first_and_names_all_that_are_set(room: Room) -> None:
    room.wait("x", "a", "b", "c", any_=True)
    assert got(room.set("c", "a", arrival="s")) == {"s": (), "x": ("a", "c")}
    assert got(room.wait("y", "b", "c", any_=True)) == {"y": ("c",)}


def test_an_event_that_is_cleared_before_the_others_are_set_does_not_count(room: Room) -> None:
    room.wait("x", "a", "b")
    room.set("a")
    room.clear("a")
    assert list(got(room.set("b", arrival="s"))) == ["s"]
    assert got(room.set("a", arrival="t")) == {"t": (), "x": ("a", "b")}


def test_a_short_pulse_ends_waits_that_lack_only_this_event(room: Room) -> None:
    room.wait("x", "a")
    assert "x" in got(room.set("a"))
    room.clear("a")
    assert room.wait("y", "a") == []


def test_setting_twice_is_setting_once(room: Room) -> None:
    room.wait("x", "a", "b")
    room.set("a", "a")
    assert list(got(room.set("a", arrival="s"))) == ["s"]
    room.clear("a")
    assert list(got(room.set("b", arrival="t"))) == ["t"]


def test_a_name_that_is_requested_twice_counts_once(room: Room) -> None:
    room.wait("x", "a", "a")
    assert got(room.set("a", arrival="s")) == {"s": (), "x": ("a",)}


def test_waits_are_served_in_order_of_arrival(room: Room) -> None:
    room.wait("x", "b", "a")
    room.wait("y", "a")
    room.wait("z", "b", any_=True)
    assert list(got(room.set("b", "a", arrival="s"))) == ["s", "x", "y", "z"]


def test_a_retry_after_a_lost_reply_sets_nothing_again(room: Room) -> None:
    room.set("a", arrival="s")
    room.clear("a")
    assert got(room.set("a", arrival="s")) == {"s": ()}
    assert room.wait("x", "a") == []


def test_a_retry_of_a_wait_that_is_over_gets_the_same_result(room: Room) -> None:
    room.wait("x", "a")
    room.set("a")
    room.clear("a")
    assert got(room.wait("x", "a")) == {"x": ("a",)}


def test_the_same_name_in_two_namespaces_means_two_events(room: Room) -> None:
    room.set("a", namespace="night")
    assert room.wait("x", "a") == []
    assert got(room.wait("y", "a", namespace="night")) == {"y": ("a",)}


def test_a_poll_answers_immediately(room: Room) -> None:
    error = only_error(room.wait("x", "a", "b", timeout=0))
    assert isinstance(error, TimedOut) and len(room.events) == 0
    assert str(error) == "poll failed at events 'a, b': missing: a, b"
    room.set("b")
    assert got(room.wait("y", "a", "b", any_=True, timeout=0)) == {"y": ("b",)}


def test_a_timeout_names_the_set_and_the_missing_events(room: Room) -> None:
    room.set("c", "a")
    room.wait("x", "a", "b", "c", timeout=5)
    room.wait("y", "d", "e", any_=True, timeout=5)
    assert room.waits.next_timer() == 5.0
    errors = failed(room.waits.handle_timer(5.0))
    assert isinstance(errors["x"], TimedOut)
    assert str(errors["x"]) == "timed out after 5 s at events 'a, b, c': set: a, c; missing: b"
    assert errors["x"].details == {"set": ["a", "c"], "missing": ["b"], "any": False}
    assert str(errors["y"]) == "timed out after 5 s at events 'd, e': missing: d, e; any of them would do"


def test_an_error_names_the_namespace(room: Room) -> None:
    error = only_error(room.wait("x", "a", namespace="night", timeout=0))
    assert str(error) == "poll failed at event 'a' of namespace 'night': missing: a"


def test_a_wait_that_has_ended_is_not_served(room: Room) -> None:
    room.wait("x", "a", host="a")
    room.wait("y", "a", host="b")
    assert list(failed(room.waits.host_gone("a", 1.0, Cause.LINE_LOST))) == ["x"]
    assert list(got(room.set("a", arrival="s"))) == ["s", "y"]


def test_waits_that_end_leave_nothing(room: Room) -> None:
    room.wait("x", "a", "b")
    room.set("a")
    room.clear("a")
    room.waits.withdraw("x", client("a"), 1.0, Cause.GAVE_UP)
    assert len(room.events) == 0
    room.waits.handle_timer(1000.0)
    assert_empty(room.waits)


def test_a_reset_clears_events_and_fails_waits_for_any_of_them(room: Room) -> None:
    room.set("a", "b", "c")
    room.wait("x", "b", "z")
    room.wait("y", "q")
    room.wait("z", "c", "y", any_=False)
    forgotten, errors = room.reset("a", "z", "nobody's", "a")
    assert forgotten == 1
    assert list(errors) == ["x"] and isinstance(errors["x"], Aborted)
    assert room.wait("v", "a") == []
    assert got(room.wait("w", "b", "c")) == {"w": ("b", "c")}


def test_the_reset_of_a_namespace_does_not_change_other_namespaces(room: Room) -> None:
    room.set("a", "b")
    room.set("a", namespace="night")
    room.wait("n", "q", namespace="night")
    room.wait("x", "q", "a")
    forgotten, errors = room.reset()
    assert (forgotten, list(errors)) == (2, ["x"])
    assert [row.namespace for row in room.events.status(0.0)] == ["night", "night"]


@pytest.mark.parametrize("names", [(), ("",), ("a\nb",), ("x" * 201,), tuple(f"n{n}" for n in range(101))])
def test_invalid_names_are_refused_and_change_nothing(room: Room, names: tuple[str, ...]) -> None:
    good = ("good", *names) if names and len(names) < 100 else names
    assert isinstance(only_error(room.set(*good)), UsageError)
    assert isinstance(only_error(room.clear(*good)), UsageError)
    assert isinstance(only_error(room.wait("x", *good)), UsageError)
    assert len(room.events) == 0 and room.waits.sizes().waits == 0


def test_an_invalid_namespace_or_timeout_is_refused(room: Room) -> None:
    assert isinstance(only_error(room.set("a", namespace="")), UsageError)
    room.set("a")
    assert isinstance(only_error(room.wait("x", "a", timeout=-1)), UsageError)


def test_a_request_that_sets_too_many_events_sets_none_of_them(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "SET_MAX", 2)
    room.set("a")
    error = only_error(room.set("b", "c"))
    assert isinstance(error, LinesyncFailed) and "reset" in str(error)
    assert list(got(room.set("b", "a", arrival="s"))) == ["s"]
    room.clear("a")
    assert list(got(room.set("c", arrival="t"))) == ["t"]


def test_waits_for_too_many_names_are_refused(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "AWAITED_MAX", 3)
    room.wait("x", "a", "b")
    assert isinstance(only_error(room.wait("y", "c", "d")), LinesyncFailed)
    room.waits.withdraw("x", client("a"), 0.0, Cause.GAVE_UP)
    assert room.wait("z", "a", "b", "c") == []
    room.set("a", "b", "c")
    assert room.wait("w", "d", "e", "f") == []


def test_too_many_waits_leave_nothing_behind(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits_module, "WAITS_PER_HOST", 1)
    room.wait("x", "a")
    assert isinstance(only_error(room.wait("y", "b")), LinesyncFailed)
    assert [row.name for row in room.events.status(0.0)] == ["a"]


def test_status_shows_set_events_and_waits(room: Room) -> None:
    room.set("up")
    room.wait("x", "up", "b", now=1.0)
    room.wait("y", "b", "c", any_=True, host="b", now=2.0)
    x = {"name": "a", "client": "1", "waiting": 3.0, "any": False}
    y = {"name": "b", "client": "1", "waiting": 2.0, "any": True}
    assert [event.as_json() for event in room.events.status(4.0)] == [
        {"namespace": "default", "name": "up", "set": True, "waiting": [x]},
        {"namespace": "default", "name": "b", "set": False, "waiting": [x, y]},
        {"namespace": "default", "name": "c", "set": False, "waiting": [y]},
    ]


def test_ten_thousand_waits_are_served_in_one_call(room: Room) -> None:
    for number in range(10_000):
        room.wait(f"x{number}", "a", host=f"h{number % 10}")
    assert len(room.set("a")) == 10_001
