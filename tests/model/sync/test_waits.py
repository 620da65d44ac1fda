"""The common part of all services: timers, kept results, arrival ids, and lists of names in errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync.errors import UsageError
from linesync.model.decisions import Granted, Level
from linesync.model.hosts.membership import Membership
from linesync.model.participants import Cause, names_in_words, seconds_in_words
from linesync.model.state.status import Remembered
from linesync.model.sync import kept_results as results_module
from linesync.model.sync.barriers.service import Barriers
from linesync.model.sync.barriers.terms import Terms
from linesync.model.sync.kept_results import RESULT_LIFE, Results
from linesync.model.sync.waits import Waits
from linesync.model.timers import Timers

from ..helpers import client, only_error, profile


def result(arrival: str, host: str = "a") -> Granted:
    return Granted(arrival=arrival, client=client(host), value=Level(value=0))


def test_a_result_is_kept_for_ten_minutes() -> None:
    results = Results()
    results.put(result("x"), 5.0)
    assert results.next_timer() == 5.0 + RESULT_LIFE == 605.0
    results.handle_timer(604.9)
    assert results.get("a", "x") == result("x")
    results.handle_timer(605.0)
    assert results.get("a", "x") is None and results.next_timer() is None


def test_a_host_with_too_many_results_loses_only_its_own_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_module, "RESULTS_PER_HOST", 2)
    results = Results()
    results.put(result("x", "b"), 0.0)
    for arrival in ("x", "y", "z"):
        results.put(result(arrival), 0.0)
    assert results.get("a", "x") is None and results.get("a", "y") and results.get("a", "z")
    assert results.get("b", "x") and len(results) == 3


def test_a_confirmed_result_is_forgotten() -> None:
    waits = Waits()
    barriers = Barriers(waits, Membership())
    barriers.arrive("x", "default", "boot", Terms(count=1), client("a"), 0.0)
    assert waits.confirm("x", client("b")) is False
    assert waits.confirm("x", client("a")) is True
    assert waits.confirm("x", client("a")) is False
    assert waits.sizes() == Remembered(waits=0, deadlines=0, results=0)


def test_confirming_a_failure_forgets_it_and_returns_false() -> None:
    waits = Waits()
    Barriers(waits, Membership()).arrive("x", "default", "boot", Terms(count=2), client("a"), 0.0)
    waits.client_gone(client("a"), 0.0, Cause.CLIENT_GONE)
    assert waits.confirm("x", client("a")) is False and waits.sizes().results == 0


@pytest.mark.parametrize("arrival", ["", "x" * 65, "é", "a\n"])
def test_an_invalid_arrival_id_fails_and_is_not_kept(arrival: str) -> None:
    waits = Waits()
    error = only_error(
        Barriers(waits, Membership()).arrive(arrival, "default", "boot", Terms(count=1), client("a"), 0.0)
    )
    assert isinstance(error, UsageError) and waits.sizes().results == 0


@profile()
@given(
    st.lists(
        st.tuples(st.sampled_from(["set", "cancel", "pop"]), st.integers(0, 5), st.integers(0, 20)),
        max_size=300,
    )
)
def test_timers_behave_like_a_sorted_dictionary(steps: list[tuple[str, int, int]]) -> None:
    timers: Timers[int] = Timers()
    reference: dict[int, tuple[float, int]] = {}
    for serial, (step, key, time) in enumerate(steps):
        if step == "set":
            timers.set(key, float(time))
            reference[key] = (float(time), serial)
        elif step == "cancel":
            timers.cancel(key)
            reference.pop(key, None)
        else:
            due = sorted((*entry, key) for key, entry in reference.items() if entry[0] <= time)
            assert timers.pop_due(float(time)) == [key for _, _, key in due]
            reference = {key: entry for key, entry in reference.items() if entry[0] > time}
        assert timers.next_timer() == min((due for due, _ in reference.values()), default=None)
        assert len(timers) == len(reference)


def test_timers_stay_small_however_often_they_are_set_and_cancelled() -> None:
    timers: Timers[int] = Timers()
    for number in range(10_000):
        timers.set(number, 1e6)
        timers.cancel(number)
    assert len(timers._heap) < 200


def test_an_error_lists_twelve_names_and_counts_the_rest() -> None:
    assert names_in_words([], 0) == "none"
    assert names_in_words(["a", "b", "a"], 3) == "a (2 times), b"
    many = [f"h{number}" for number in range(14)]
    assert names_in_words(many, 20).endswith("h11, and 8 more")


def test_seconds_are_written_without_exponents() -> None:
    assert [seconds_in_words(s) for s in (0.0, 0.05, 0.412, 5.0, 20.0, 86400.0)] == [
        "0 s",
        "0.05 s",
        "0.412 s",
        "5 s",
        "20 s",
        "86400 s",
    ]
