"""The choice of the next rate, and the wait before a failed rate is tried again."""

from __future__ import annotations

from linesync import limits
from linesync.wire.autobaud.candidates import CandidateRates

BASE, RATES = 115200, (230400, 460800, 921600)


def candidates(*peer: int) -> CandidateRates:
    made = CandidateRates(BASE, RATES)
    if peer:
        made.set_peer_rates(frozenset(peer))
    return made


def test_the_next_rate_is_the_next_faster_rate_that_both_ports_take() -> None:
    assert candidates().above(BASE) == 230400
    assert candidates(460800, 4000000).above(BASE) == 460800
    assert candidates(460800, 4000000).above(460800) is None


def test_the_next_slower_rate_is_a_rate_that_both_ports_take_or_the_first_rate() -> None:
    assert candidates(460800, 921600).below(921600) == 460800
    assert candidates(460800, 921600).below(460800) == BASE
    assert candidates().below(BASE) == BASE


def test_a_rate_that_the_own_port_refused_is_not_tried_again() -> None:
    made = candidates()
    made.remove(230400)
    assert made.above(BASE) == 460800


def test_the_wait_before_another_try_grows_with_each_failure() -> None:
    made, waits = candidates(), []
    for _ in range(9):
        made.failed(921600, 100.0)
        waits.append(made.not_before(921600) - 100.0)
    assert waits[:2] == [limits.CLIMB_AGAIN, limits.CLIMB_AGAIN * 10]
    assert waits == sorted(waits) and waits[-1] == limits.CLIMB_AGAIN_MOST
    assert made.not_before(460800) < 0
    made.clear_failures(921600)
    assert made.not_before(921600) < 0


def test_a_refusal_is_a_failure_only_if_the_port_of_the_peer_takes_the_rate() -> None:
    made = candidates(921600)
    made.refused(460800, 5.0)
    made.refused(921600, 5.0)
    assert made.not_before(460800) < 0 < made.not_before(921600)


def test_a_rate_failed_only_if_the_peer_is_heard_again_soon() -> None:
    soon, late = candidates(), candidates()
    for made, after in ((soon, limits.CLIMB_BLAME / 2), (late, limits.CLIMB_BLAME * 2)):
        made.suspect(921600, 10.0)
        made.heard_again(10.0 + after)
        made.heard_again(10.1)
    assert soon.not_before(921600) > 10.0
    assert late.not_before(921600) < 0


def test_a_new_session_forgets_the_failures_of_the_last_session() -> None:
    made = candidates(460800)
    made.failed(460800, 1.0)
    made.begin()
    assert made.above(BASE) == 230400
    assert made.not_before(460800) < 0
