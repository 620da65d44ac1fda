"""What goes out, when and in what length: outbox, pacing, sizing, timers, and the goodput they add up to."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync import limits
from linesync.testing.fault_stages import Faults
from linesync.wire.events import ChannelData
from linesync.wire.reliability.frame_size import FrameSizer
from linesync.wire.reliability.pacing import Pacer
from linesync.wire.reliability.round_trip import RoundTrip
from linesync.wire.reliability.transmit_queue import OutgoingFrame, TransmitQueue

from .traffic import endless_bulk, ready, received

# -- outbox -----------------------------------------------------------------------------------------------------------


class _Desk:
    """An outbox with frames to give."""

    def __init__(self, *, nest: bool) -> None:
        self.control: list[bytes] = []
        self.bulk: list[bytes] = []
        self.done: list[bytes] = []
        self.inside: list[bool] = []
        self.transmit_queue = TransmitQueue(
            self._control, self._bulk, lambda frame, given: self.done.append(frame.data)
        )
        self.transmit_queue.nest = nest

    def _control(self, inside: bool) -> OutgoingFrame | None:
        if not self.control:
            return None
        self.inside.append(inside)
        return OutgoingFrame(self.control.pop(0), b"c")

    def _bulk(self, inside: bool) -> OutgoingFrame | None:
        return OutgoingFrame(self.bulk.pop(0), b"d") if self.bulk else None


@pytest.mark.parametrize("at", range(6, 11))
def test_a_control_frame_begins_at_any_byte_of_a_bulk_frame_behind_its_length(at: int) -> None:
    desk = _Desk(nest=True)
    bulk = b"^dIbulkbulk\n"
    desk.bulk = [bulk, b"more"]
    out = desk.transmit_queue.take(at)
    desk.control = [b"<now>"]
    out += desk.transmit_queue.take(100)
    assert out == bulk[:at] + b"<now>" + bulk[at:] + b"more"
    assert desk.done == [b"<now>", bulk, b"more"] and desk.inside == [True]


@pytest.mark.parametrize("at", [*range(1, 6), 11])
def test_a_control_frame_never_begins_in_a_header_or_before_a_newline(at: int) -> None:
    desk = _Desk(nest=True)
    bulk = b"^dIbulkbulk\n"
    desk.bulk = [bulk]
    out = desk.transmit_queue.take(at)
    desk.control = [b"<now>"]
    out += desk.transmit_queue.take(100)
    begin = 6 if at < 6 else len(bulk)
    assert out == bulk[:begin] + b"<now>" + bulk[begin:]


def test_a_control_frame_is_never_interrupted() -> None:
    desk = _Desk(nest=True)
    desk.control = [b"<one>"]
    out = desk.transmit_queue.take(2)
    desk.control = [b"<two>"]
    desk.bulk = [b"bulk"]
    assert out + desk.transmit_queue.take(100) == b"<one><two>bulk"


def test_a_peer_that_takes_no_frames_inside_frames_gets_none() -> None:
    desk = _Desk(nest=False)
    desk.bulk = [b"bulkbulk"]
    out = desk.transmit_queue.take(3)
    desk.control = [b"<now>"]
    assert out + desk.transmit_queue.take(100) == b"bulkbulk<now>"


@given(st.lists(st.integers(1, 20)))
def test_an_outbox_gives_at_most_what_is_asked(budgets: list[int]) -> None:
    desk = _Desk(nest=True)
    desk.bulk = [b"0123456789"] * 5
    out = b""
    for budget in budgets:
        piece = desk.transmit_queue.take(budget)
        assert len(piece) == min(budget, 50 - len(out))
        out += piece
    assert (b"0123456789" * 5).startswith(out)


# -- pacing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [11.0, 30.0, 120.0, 960.0, 11520.0, 300_000.0])
def test_a_pacer_keeps_close_to_the_line_and_never_asks_to_be_called_for_nothing(rate: float) -> None:
    pacer, now, given, left = Pacer(rate), 0.0, 0, 0.0
    while now < 20 / rate + 1.0:
        budget = pacer.budget(now)
        assert budget > 0, "called at the time it named, and nothing may go"
        left = max(left, now) + budget / rate
        assert left - now <= max(limits.AHEAD, 1 / rate) + 1e-6
        pacer.sent(budget, now)
        given += budget
        later = pacer.next_time(now)
        assert later > now
        now = later
    assert given >= 0.99 * rate * now - 1, "the line ran dry"


def test_a_line_without_a_rate_is_not_paced() -> None:
    pacer = Pacer(None)
    pacer.sent(1 << 20, 1.0)
    assert pacer.budget(1.0) > 10_000 and pacer.next_time(1.0) == 1.0


def test_a_line_that_runs_slower_than_its_name_is_noticed_and_followed() -> None:
    line = ready(byte_rate=11520 * 0.97, nominal=11520.0)
    endless_bulk(line, line.a)
    line.run(5)
    line.a.ahead = 0
    line.run(10)
    assert line.a.ahead / 11520 < 0.020
    before = received(line.b)
    line.run(5)
    assert (received(line.b) - before) / 5 / (11520 * 0.97) > 0.69


def test_a_line_that_stopped_for_a_while_is_not_taken_for_a_slow_one() -> None:
    line = ready(faults=Faults(stuck_xoff=((4.0, 0.6), (7.0, 0.6))))
    endless_bulk(line, line.a)
    line.run(8)
    before = received(line.b)
    line.run(5)
    assert (received(line.b) - before) / 5 / 11520 > 0.70


# -- timers -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 5), min_size=20))
def test_the_timeout_lies_above_the_round_trips_it_was_learnt_from(samples: list[float]) -> None:
    trip = RoundTrip()
    for sample in samples:
        trip.measured(sample)
    assert 0 <= trip.value <= max(samples)
    assert trip.least == min(samples)
    assert trip.probe_timeout(0.0) > trip.value


def test_polls_without_answer_come_rarer_and_never_cease() -> None:
    trip = RoundTrip()
    trip.measured(0.01)
    waits = []
    for trip.backoff in range(11):
        waits.append(trip.probe_timeout(0.0))
    assert waits == sorted(waits) and waits[-1] == limits.POLL_MAX


# -- sizing -----------------------------------------------------------------------------------------------------------


def test_frames_grow_as_probes_are_answered_and_stay_where_they_are_not() -> None:
    frame_sizer = FrameSizer(most=2048, probe=True)
    assert frame_sizer.length == 127
    for size in (256, 512):
        assert frame_sizer.next_probe() == size
        frame_sizer.probe_sent(0.1, 0.0)
        assert frame_sizer.next_probe() == 0
        frame_sizer.probe_answered(size)
        assert frame_sizer.length == size
    for now in range(limits.PROBE_TRIES):
        assert frame_sizer.next_probe() == 1024
        frame_sizer.probe_sent(0.1, float(now))
        frame_sizer.handle_timer(now + 0.2)
    assert frame_sizer.next_probe() == 0 and frame_sizer.length == 512


@pytest.mark.parametrize("ber", [3e-6, 1e-5, 1e-4])
def test_the_length_in_use_is_about_the_best_for_the_error_rate(ber: float) -> None:
    line = ready(3, faults=Faults(ber=ber))
    endless_bulk(line, line.a)
    line.run(25)
    best = min(2048, sqrt(16 / (8 * ber)))
    assert 0.5 * best <= line.a.link.session.frame_sizer.length <= 1.7 * best


# -- goodput ----------------------------------------------------------------------------------------------------------


def _goodput(ber: float, *, both: bool, seconds: float = 15.0) -> list[float]:
    """Shares of the line's rate that random bytes get through, by direction: at b, and with ``both`` at a."""
    line = ready(5, faults=Faults(ber=ber))
    ends = line.ends if both else (line.a,)
    for end in ends:
        endless_bulk(line, end)
    line.run(4)
    to = [line.b, line.a][: len(ends)]
    before = [received(end) for end in to]
    line.run(seconds)
    assert not any(isinstance(event, ChannelData) and not event.data for _, event in line.b.events)
    return [(received(end) - start) / seconds / 11520 for end, start in zip(to, before, strict=True)]


@pytest.mark.parametrize(
    ("ber", "both", "least"), [(0.0, False, 0.71), (0.0, True, 0.71), (1e-5, False, 0.66), (1e-5, True, 0.66)]
)
def test_random_bytes_get_their_share_of_the_line(ber: float, both: bool, least: float) -> None:
    assert min(_goodput(ber, both=both)) >= least


def test_at_one_bit_in_ten_thousand_more_than_half_still_gets_through() -> None:
    assert min(_goodput(1e-4, both=False)) >= 0.5
