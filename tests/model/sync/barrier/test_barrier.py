"""Barriers by count, by example; the search against a reference model is in search/test_barrier_search.py."""

from __future__ import annotations

import pytest

from linesync.errors import LinesyncFailed, Mismatch, TimedOut, UsageError
from linesync.model.decisions import Outcome, Released
from linesync.model.hosts.membership import Membership
from linesync.model.participants import Cause, Client
from linesync.model.sync.barriers import history as past_module
from linesync.model.sync.barriers.service import Barriers
from linesync.model.sync.barriers.terms import Terms
from linesync.model.sync.waits import Waits

from ...helpers import client, failed, granted, only_error


class BarrierHarness:
    """Barriers with their waits, and a short method to arrive."""

    def __init__(self) -> None:
        self.waits = Waits()
        self.barriers = Barriers(self.waits, Membership())

    def arrive(
        self,
        arrival: str,
        host: Client | str,
        count: int = 2,
        *,
        name: str = "boot",
        now: float = 0.0,
        timeout: float | None = None,
        as_member: str | None = None,
        namespace: str = "default",
    ) -> list[Outcome]:
        owner = host if isinstance(host, Client) else client(host)
        return self.barriers.arrive(arrival, namespace, name, Terms(count=count), owner, now, timeout, as_member)


@pytest.fixture
def harness() -> BarrierHarness:
    return BarrierHarness()


def test_the_last_of_three_releases_all_in_order_of_arrival(harness: BarrierHarness) -> None:
    assert harness.arrive("x", "a", 3) == []
    assert harness.arrive("y", "b", 3) == []
    parties = ("a", "b", "hub")
    assert granted(harness.arrive("z", "hub", 3)) == {
        "x": Released(generation=1, parties=parties, position=1, count=3),
        "y": Released(generation=1, parties=parties, position=2, count=3),
        "z": Released(generation=1, parties=parties, position=3, count=3),
    }
    assert len(harness.barriers) == 0


def test_a_barrier_for_one_party_never_waits(harness: BarrierHarness) -> None:
    assert granted(harness.arrive("x", "a", 1, timeout=0))["x"] == Released(
        generation=1, parties=("a",), position=1, count=1
    )


def test_three_invocations_on_one_host_are_three_parties(harness: BarrierHarness) -> None:
    harness.arrive("x", client("a", "1"), 3)
    harness.arrive("y", client("a", "1"), 3)
    events = granted(harness.arrive("z", client("a", "2"), 3))
    assert events["y"] == Released(generation=1, parties=("a", "a", "a"), position=2, count=3)


def test_the_next_arrival_opens_the_next_generation(harness: BarrierHarness) -> None:
    for generation in (1, 2, 3):
        harness.arrive(f"x{generation}", "a")
        value = granted(harness.arrive(f"y{generation}", "b"))[f"y{generation}"]
        assert isinstance(value, Released) and value.generation == generation


def test_the_number_of_a_generation_that_all_parties_left_is_used_again(harness: BarrierHarness) -> None:
    harness.arrive("x", "a", timeout=1)
    harness.waits.handle_timer(1.0)
    assert len(harness.barriers) == 0
    harness.arrive("y", "a", now=2.0)
    value = granted(harness.arrive("z", "b", now=2.0))["z"]
    assert isinstance(value, Released) and value.generation == 1


def test_a_retry_joins_once_and_gets_the_same_result(harness: BarrierHarness) -> None:
    harness.arrive("x", "a")
    assert harness.arrive("x", "a") == []
    events = harness.arrive("y", "b")
    assert harness.arrive("x", "a") == [events[0]]
    assert harness.arrive("y", "b") == [events[1]]
    assert len(harness.barriers) == 0


def test_a_retry_moves_the_arrival_to_the_new_connection(harness: BarrierHarness) -> None:
    harness.arrive("x", client("a", "1"))
    harness.arrive("x", client("a", "2"))
    assert harness.waits.client_gone(client("a", "1"), 0.0, Cause.CLIENT_GONE) == []
    assert {event.client for event in harness.arrive("y", "b")} == {client("a", "2"), client("b")}


def test_the_same_id_from_two_hosts_is_two_arrivals(harness: BarrierHarness) -> None:
    harness.arrive("x", "a")
    assert len(harness.arrive("x", "b")) == 2


def test_another_count_is_refused_and_both_counts_are_named(harness: BarrierHarness) -> None:
    harness.arrive("x", "a", 3)
    harness.arrive("y", "b", 3)
    error = only_error(harness.arrive("z", "c", 2))
    assert isinstance(error, Mismatch)
    assert "count of 3" in str(error) and "(arrived: a, b)" in str(error) and "is for a count of 2" in str(error)
    assert error.details == {
        "count": 3,
        "stands": "for a count of 3",
        "yours": "for a count of 2",
        "arrived": ["a", "b"],
    }
    assert len(harness.arrive("w", "c", 3)) == 3


def test_another_count_is_accepted_after_a_release(harness: BarrierHarness) -> None:
    harness.arrive("x", "a", 1)
    assert harness.arrive("y", "a", 2) == []


def test_a_timeout_names_the_arrived_parties_and_the_number_of_missing_parties(harness: BarrierHarness) -> None:
    harness.arrive("x", "a", 3, timeout=5)
    harness.arrive("y", "b", 3)
    assert harness.waits.next_timer() == 5.0
    error = failed(harness.waits.handle_timer(5.0))["x"]
    assert isinstance(error, TimedOut)
    assert str(error) == "timed out after 5 s at barrier 'boot': 2 of 3 arrived: a, b; 1 missing"
    assert error.details["arrived"] == ["a", "b"] and error.details["missing"] == 1


def test_a_party_that_left_is_named_with_the_cause_until_it_returns(harness: BarrierHarness) -> None:
    harness.arrive("x", "a", 4, timeout=5)
    harness.arrive("y", "b", 4)
    harness.arrive("w", "c", 4)
    harness.waits.host_gone("b", 1.0, Cause.LINE_LOST)
    harness.waits.withdraw("w", client("c"), 1.0, Cause.GAVE_UP)
    harness.arrive("w2", "c", 4)
    error = failed(harness.waits.handle_timer(5.0))["x"]
    assert str(error).endswith("2 of 4 arrived: a, c; 2 missing; b left (line lost)")
    assert error.details["gone"] == {"b": "line lost"}


def test_parties_that_time_out_together_get_the_same_error(harness: BarrierHarness) -> None:
    harness.arrive("x", "a", 3, timeout=5)
    harness.arrive("y", "b", 3, timeout=5)
    errors = failed(harness.waits.handle_timer(6.0))
    assert {error.details["missing"] for error in errors.values()} == {1}


def test_a_poll_of_an_incomplete_barrier_fails_and_changes_nothing(harness: BarrierHarness) -> None:
    error = only_error(harness.arrive("x", "a", 2, timeout=0))
    assert isinstance(error, TimedOut)
    assert str(error) == "barrier 'boot' is not complete: 1 of 2 arrived: a; 1 missing"
    assert len(harness.barriers) == 0 and harness.barriers.status(0.0) == []


def test_a_poll_that_completes_the_count_releases(harness: BarrierHarness) -> None:
    harness.arrive("x", "a")
    assert len(granted(harness.arrive("y", "b", timeout=0))) == 2


def test_a_party_that_gave_up_is_not_counted(harness: BarrierHarness) -> None:
    harness.arrive("x", "a")
    gone = only_error(harness.waits.withdraw("x", client("a"), 0.0, Cause.GAVE_UP))
    assert isinstance(gone, LinesyncFailed) and "gave up" in str(gone)
    assert harness.arrive("y", "b") == []


def test_giving_up_after_the_release_returns_the_release(harness: BarrierHarness) -> None:
    harness.arrive("x", "a")
    events = harness.arrive("y", "b")
    assert harness.waits.withdraw("x", client("a"), 0.0, Cause.GAVE_UP) == [events[0]]
    assert harness.waits.withdraw("unknown", client("a"), 0.0, Cause.GAVE_UP) == []


def test_a_second_live_arrival_of_one_member_is_refused(harness: BarrierHarness) -> None:
    harness.arrive("x", client("a", "1"), 3, as_member="a#net")
    error = only_error(harness.arrive("y", client("a", "2"), 3, as_member="a#net"))
    assert isinstance(error, Mismatch) and "is already waiting at" in str(error) and "a#net" in str(error)
    assert harness.arrive("z", client("a", "2"), 3, as_member="a#disk") == []


def test_a_member_that_died_and_returned_replaces_its_old_arrival(harness: BarrierHarness) -> None:
    harness.arrive("w", "c", 3)
    harness.arrive("x", client("a", "1"), 3, as_member="a#net")
    harness.waits.client_gone(client("a", "1"), 0.0, Cause.CLIENT_GONE)
    assert harness.arrive("y", client("a", "2"), 3, as_member="a#net") == []
    value = granted(harness.arrive("z", "b", 3))["y"]
    assert isinstance(value, Released) and value.parties == ("c", "a#net", "b")


def test_the_same_name_in_two_namespaces_means_two_barriers(harness: BarrierHarness) -> None:
    harness.arrive("x", "a", namespace="run1")
    assert harness.arrive("y", "b", namespace="run2") == []
    assert [row.namespace for row in harness.barriers.status(0.0)] == ["run1", "run2"]


def test_status_shows_arrivals_and_the_number_missing(harness: BarrierHarness) -> None:
    harness.arrive("x", client("a", "7"), 3, now=1.0)
    (row,) = harness.barriers.status(4.0)
    assert row.as_json() == {
        "namespace": "default",
        "name": "boot",
        "count": 3,
        "members": None,
        "reuse": "cyclic",
        "generation": 1,
        "missing": 2,
        "unheard": [],
        "arrived": [{"name": "a", "client": "7", "waiting": 3.0}],
        "gone": {},
    }


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_a_count_out_of_range_is_a_usage_error(harness: BarrierHarness, count: int) -> None:
    assert isinstance(only_error(harness.arrive("x", "a", count)), UsageError)


@pytest.mark.parametrize("name", ["", "x" * 201, "é" * 101, "a\nb", "a\x1b[31m", "\udc80", "a\u2028b"])
def test_an_invalid_name_is_a_usage_error(harness: BarrierHarness, name: str) -> None:
    assert isinstance(only_error(harness.arrive("x", "a", name=name)), UsageError)
    assert isinstance(only_error(harness.arrive("y", "a", namespace=name)), UsageError)


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), float("inf"), 1e12])
def test_an_invalid_timeout_is_a_usage_error(harness: BarrierHarness, timeout: float) -> None:
    assert isinstance(only_error(harness.arrive("x", "a", timeout=timeout)), UsageError)


@pytest.mark.parametrize("member", ["", "#a", "a#", "a b", "a#b#c", "a,b"])
def test_an_invalid_member_is_a_usage_error(harness: BarrierHarness, member: str) -> None:
    assert isinstance(only_error(harness.arrive("x", "a", as_member=member)), UsageError)


def test_a_forgotten_name_never_repeats_a_generation(harness: BarrierHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_module, "NAMES_REMEMBERED", 2)
    seen: dict[str, list[int]] = {}
    for turn, name in enumerate("abcabcaabbcc"):
        value = granted(harness.arrive(f"x{turn}", "a", 1, name=name))[f"x{turn}"]
        assert isinstance(value, Released)
        seen.setdefault(name, []).append(value.generation)
    assert all(numbers == sorted(set(numbers)) for numbers in seen.values())


def test_the_name_longest_unused_is_forgotten_first(harness: BarrierHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_module, "NAMES_REMEMBERED", 2)
    for turn, name in enumerate("bbbabc"):  # c replaces a, which had generation 1
        harness.arrive(f"x{turn}", "a", 1, name=name)
    value = granted(harness.arrive("y", "a", 1, name="new"))["y"]
    assert isinstance(value, Released) and value.generation == 2


def test_the_errors_of_a_thousand_parties_that_time_out_are_short(harness: BarrierHarness) -> None:
    for number in range(1000):
        harness.arrive(f"x{number}", f"host{number}", 1001, timeout=5)
    errors = failed(harness.waits.handle_timer(5.0))
    assert len(errors) == 1000
    assert str(errors["x0"]).endswith("host10, host11, and 988 more; 1 missing")
    assert len(harness.barriers) == 0
