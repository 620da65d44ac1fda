"""Pacing: a sender never hands over many more bytes than its line has carried."""

from __future__ import annotations

import pytest

from linesync import limits
from linesync.testing.faults import Faults
from linesync.wire.reliability.pacing import Pacer

from ..kit.traffic import endless_bulk, ready, received


@pytest.mark.parametrize("rate", [11.0, 30.0, 120.0, 960.0, 11520.0, 300_000.0])
def test_a_pacer_stays_close_to_the_line_and_wakes_up_only_to_send(rate: float) -> None:
    pacer, now, given, busy_until = Pacer(rate), 0.0, 0, 0.0
    while now < 20 / rate + 1.0:
        budget = pacer.budget(now)
        assert budget > 0, "the pacer woke up although no byte may be sent"
        busy_until = max(busy_until, now) + budget / rate
        assert busy_until - now <= max(limits.AHEAD, 1 / rate) + 1e-6
        pacer.sent(budget, now)
        given += budget
        later = pacer.next_time(now)
        assert later > now
        now = later
    assert given >= 0.99 * rate * now - 1, "the line was idle"


def test_a_line_without_a_rate_is_not_paced() -> None:
    pacer = Pacer(None)
    pacer.sent(1 << 20, 1.0)
    assert pacer.budget(1.0) > 10_000 and pacer.next_time(1.0) == 1.0


def test_a_pacer_follows_a_line_that_is_slower_than_its_nominal_rate() -> None:
    line = ready(byte_rate=11520 * 0.97, nominal=11520.0)
    endless_bulk(line, line.a)
    line.run(5)
    line.a.ahead = 0
    line.run(10)
    assert line.a.ahead / 11520 < 0.020
    before = received(line.b)
    line.run(5)
    assert (received(line.b) - before) / 5 / (11520 * 0.97) > 0.69


def test_a_line_that_stopped_for_a_while_is_not_treated_as_slow() -> None:
    line = ready(faults=Faults(stuck_xoff=((4.0, 0.6), (7.0, 0.6))))
    endless_bulk(line, line.a)
    line.run(8)
    before = received(line.b)
    line.run(5)
    assert (received(line.b) - before) / 5 / 11520 > 0.70
