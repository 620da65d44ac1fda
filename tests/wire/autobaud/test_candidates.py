"""Which rate is tried next, and how long one that failed is left alone."""

from __future__ import annotations

from linesync import limits
from linesync.wire.autobaud.candidates import CandidateRates

BASE, RATES = 115200, (230400, 460800, 921600)


def ladder(*peer: int) -> CandidateRates:
    made = CandidateRates(BASE, RATES)
    if peer:
        made.peer_takes(frozenset(peer))
    return made


def test_the_next_rate_is_the_next_one_that_both_ports_take() -> None:
    assert ladder().above(BASE) == 230400
    assert ladder(460800, 4000000).above(BASE) == 460800
    assert ladder(460800, 4000000).above(460800) is None


def test_down_goes_by_what_both_take_and_ends_where_the_line_begins() -> None:
    assert ladder(460800, 921600).below(921600) == 460800
    assert ladder(460800, 921600).below(460800) == BASE
    assert ladder().below(BASE) == BASE


def test_what_our_port_refused_is_not_tried_again() -> None:
    made = ladder()
    made.remove(230400)
    assert made.above(BASE) == 460800


def test_a_rate_that_fails_again_is_left_alone_for_longer_each_time() -> None:
    made, waits = ladder(), []
    for _ in range(9):
        made.failed(921600, 100.0)
        waits.append(made.not_before(921600) - 100.0)
    assert waits[:2] == [limits.CLIMB_AGAIN, limits.CLIMB_AGAIN * 10]
    assert waits == sorted(waits) and waits[-1] == limits.CLIMB_AGAIN_MOST
    assert made.not_before(460800) < 0
    made.forgive(921600)
    assert made.not_before(921600) < 0


def test_a_refusal_counts_only_for_a_rate_that_the_peer_s_port_takes() -> None:
    made = ladder(921600)
    made.refused(460800, 5.0)
    made.refused(921600, 5.0)
    assert made.not_before(460800) < 0 < made.not_before(921600)


def test_a_rate_is_to_blame_only_for_a_silence_that_ends_soon_after_it() -> None:
    soon, late = ladder(), ladder()
    for made, after in ((soon, limits.CLIMB_BLAME / 2), (late, limits.CLIMB_BLAME * 2)):
        made.blame(921600, 10.0)
        made.heard_again(10.0 + after)
        made.heard_again(10.1)
    assert soon.not_before(921600) > 10.0
    assert late.not_before(921600) < 0


def test_a_new_session_begins_without_what_the_last_one_learned() -> None:
    made = ladder(460800)
    made.failed(460800, 1.0)
    made.begin()
    assert made.above(BASE) == 230400
    assert made.not_before(460800) < 0
