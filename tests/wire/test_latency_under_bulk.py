"""The latency of control frames under bulk load, on virtual time.

At every rate, round trips take only a little longer than on an idle line, and the sender is never far ahead of the line.
The ends have the flags that real ends have on a serial line.
"""

from __future__ import annotations

import pytest

from linesync import limits
from linesync.runtime.identity import local_end
from linesync.testing.faults import Faults
from linesync.testing.virtual_line import VirtualEnd, VirtualLine
from linesync.wire.events import ChannelWritable, Event
from linesync.wire.framing.frames import Lane

from .kit.traffic import answer_pings, endless_bulk, percentile, ready, received, round_trips

BAUDS = (9600, 115200, 921600)
TRIPS = {9600: 120, 115200: 150, 921600: 100}
REAL_FLAGS = {"flags": local_end("c", clean=False).flags}
MOST_EXTRA_DELAY = 0.045  # seconds that a round trip may take longer than on an idle line
MOST_AHEAD = 0.020  # seconds that the last byte handed over may wait for the line
TEXT = b"Permission is hereby granted, free of charge, to any person obtaining a copy of this software. "


def make_line(baud: int, faults: Faults | None = None) -> VirtualLine:
    """Return a line whose frames have reached their full length. End b answers messages."""
    line = ready(settle=3 + 50_000 / baud, byte_rate=baud / 10, faults=faults, local=REAL_FLAGS)
    answer_pings(line.b)
    return line


def fill_both_ways(line: VirtualLine, baud: int) -> VirtualLine:
    """Fill both directions of a line with bulk data."""
    for end in line.ends:
        endless_bulk(line, end)
    line.run(12 if baud < 20_000 else 5)
    line.a.ahead = line.b.ahead = 0
    return line


def endless_text(end: VirtualEnd) -> None:
    """Keep the bulk lane of an end full of text."""
    mux = end.link.mux
    number = mux.open(Lane.BULK, b"text")

    def fill() -> None:
        while mux.send(number, 0, TEXT * 40):
            pass

    before = end.on_event

    def on_event(event: Event) -> None:
        if isinstance(event, ChannelWritable) and event.channel == number:
            fill()
        if before is not None:
            before(event)

    end.on_event = on_event
    fill()


def idle_p99(baud: int) -> float:
    return percentile(round_trips(make_line(baud), TRIPS[baud], 0.05), 0.99)


@pytest.mark.long
@pytest.mark.parametrize("baud", BAUDS)
def test_bulk_both_ways_delays_control_by_at_most_45_ms(baud: int) -> None:
    line = fill_both_ways(make_line(baud), baud)
    before, began = [received(end) for end in line.ends], line.now
    busy = percentile(round_trips(line, TRIPS[baud], 0.05), 0.99)
    idle = idle_p99(baud)
    assert busy <= idle + MOST_EXTRA_DELAY, f"idle {idle * 1e3:.1f} ms, busy {busy * 1e3:.1f} ms\n{line.transcript(60)}"
    came = [received(end) - old for end, old in zip(line.ends, before, strict=True)]
    full = [count / (line.now - began) / (baud / 10) for count in came]
    assert min(full) > 0.6, f"the line was not full: {full}"


@pytest.mark.long
@pytest.mark.parametrize("baud", [9600, 115200])
def test_compressible_bulk_delays_control_by_at_most_45_ms(baud: int) -> None:
    line = make_line(baud)
    for end in line.ends:
        endless_text(end)
    line.run(12 if baud < 20_000 else 3)
    busy = percentile(round_trips(line, TRIPS[baud] // 2, 0.05), 0.99)
    assert busy <= idle_p99(baud) + MOST_EXTRA_DELAY, line.transcript(60)


def test_errors_under_bulk_do_not_make_control_wait_for_long_timers() -> None:
    faults = Faults(ber=1e-5)
    line = fill_both_ways(make_line(115200, faults), 115200)
    busy = round_trips(line, 300, 0.05)
    assert percentile(busy, 0.9) <= idle_p99(115200) + MOST_EXTRA_DELAY
    assert busy[-1] < 1.0, "a lost control frame waited for a retransmission timer of more than 1 s"


@pytest.mark.parametrize("baud", BAUDS)
def test_the_sender_is_never_more_than_20_ms_ahead_of_the_line(baud: int) -> None:
    line = fill_both_ways(make_line(baud), baud)
    round_trips(line, 20, 0.05)
    line.run(3 + 70_000 / baud)
    most = max(end.ahead for end in line.ends)
    assert 0 < most / (baud / 10) <= MOST_AHEAD


def test_the_sender_is_not_further_ahead_on_a_line_that_is_half_a_percent_slow() -> None:
    line = ready(settle=5, byte_rate=11520 * 0.995, nominal=11520.0, local=REAL_FLAGS)
    fill_both_ways(line, 115200)
    line.run(10)
    assert max(end.ahead for end in line.ends) / 11520 <= MOST_AHEAD


def test_a_line_that_is_two_percent_slow_is_followed_within_ten_seconds() -> None:
    line = ready(settle=5, byte_rate=11520 * 0.98, nominal=11520.0, local=REAL_FLAGS)
    fill_both_ways(line, 115200)
    line.run(8)
    line.a.ahead = line.b.ahead = 0
    line.run(10)
    # The pacer does not correct a lag below AHEAD_SLACK, and it repeatedly tries to return to the nominal rate.
    assert max(end.ahead for end in line.ends) / 11520 <= MOST_AHEAD + limits.AHEAD_SLACK
