"""The time until which a client certainly has a hold. The hub loses a host that it has not heard for a lease."""

from __future__ import annotations

import random
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from linesync.client import validity
from linesync.client.validity import Validity

LEASE = 20.0


class Clock:
    """The clock of the validity."""

    def __init__(self) -> None:
        self.now = 100.0


@pytest.fixture
def clock() -> Iterator[Clock]:
    made = Clock()
    with patch.object(validity, "boottime", lambda: made.now):
        yield made


def test_a_hold_is_ours_for_most_of_a_lease_after_its_commit(clock: Clock) -> None:
    hold = Validity()
    assert hold.over, "the lease is not known yet"
    hold.heard(90.0, LEASE, 101.0)
    assert hold.until == 119.0 and not hold.over
    clock.now = 119.0
    assert hold.over and "lease of 20 s" in hold.why_over


def test_each_later_sign_of_life_postpones_the_end_and_an_earlier_one_does_not(clock: Clock) -> None:
    hold = Validity()
    hold.heard(101.0, LEASE, 101.0)
    hold.heard(105.0, LEASE, 106.0)
    assert hold.until == 124.0
    hold.heard(103.0, LEASE, 107.0)
    assert hold.until == 124.0


def test_an_answer_that_comes_too_late_does_not_bring_a_hold_back(clock: Clock) -> None:
    hold = Validity()
    hold.heard(100.0, LEASE, 100.5)
    hold.heard(120.0, LEASE, 120.0)
    assert hold.until == 119.0
    late = Validity()
    late.heard(130.0, LEASE, 130.0)
    assert late.until == 119.0, "it is not known whether the hub heard us between the commit and the first answer"


def test_a_short_lease_has_a_short_reserve(clock: Clock) -> None:
    hold = Validity()
    hold.heard(100.0, 2.0, 100.0)
    assert hold.until == 101.75


@pytest.mark.parametrize(
    "text", ["err failed unknown", "ok", "ok soon", "ok -1", "ok nan", "ok 0 lease=0", "ok 0 lease=x"]
)
def test_an_answer_that_makes_no_sense_changes_nothing(clock: Clock, text: str) -> None:
    hold = Validity()
    hold._answered(text, 100.0, 100.0)
    assert not hold.lease and hold.over
    hold._answered("ok 1.5 lease=4", 100.0, 100.0)
    hold._answered(text, 101.0, 101.0)
    assert (hold.lease, hold.until) == (4.0, 103.5)


@pytest.mark.parametrize("seed", range(20))
def test_a_hold_is_never_ours_after_the_hub_has_lost_the_host(clock: Clock, seed: int) -> None:
    """Messages to the hub and back are lost or late at random. The hub counts the lease from the last message that it got."""
    chance = random.Random(seed)
    for _ in range(50):
        clock.now = 100.0
        hold, heard = Validity(), [100.0 + chance.random()]  # the commit
        answers = []
        for number in range(40):
            sent = 101.0 + number * chance.uniform(0.2, 3.0)
            arrives = sent + chance.choice([0.01, 0.01, 0.5, 15.0, 30.0])
            if chance.random() < 0.8:
                heard.append(arrives)
                if chance.random() < 0.8:
                    answers.append((arrives + chance.choice([0.01, 0.5, 10.0, 40.0]), sent))
        heard.sort()
        ends = [
            time + LEASE for time, after in zip(heard, [*heard[1:], float("inf")], strict=True) if after > time + LEASE
        ]
        for clock.now, sent in sorted(answers):
            hold.heard(sent, LEASE, clock.now)
        assert hold.until <= ends[0]
