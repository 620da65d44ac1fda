"""Rate frames as text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linesync import limits
from linesync.wire.autobaud.rate_frames import RateFrame, rate_set, read_rate_set
from linesync.wire.framing import frames

RATES = (230400, 460800, 921600)


def test_a_rate_frame_is_unchanged_after_writing_and_reading() -> None:
    for step in "aynhtrkbw":
        for rate in limits.CLIMB_RATES:
            frame = RateFrame(step=step, number=31, rate=rate, value=77)
            assert RateFrame.read(frame.body()) == frame


def test_a_test_frame_is_as_long_as_the_longest_control_frame() -> None:
    for rate in limits.CLIMB_RATES:
        body = RateFrame(step="t", number=1, rate=rate, value=11).body()
        assert len(frames.encode(frames.RATE, body, 0)) == limits.CONTROL_FRAME


@given(st.binary(max_size=140))
def test_reading_any_bytes_gives_a_known_step_or_none(body: bytes) -> None:
    found = RateFrame.read(body)
    assert found is None or found.step in "aynhtrkbw"


def test_a_set_of_rates_is_unchanged_after_writing_and_reading() -> None:
    for chosen in (frozenset(), frozenset(RATES), frozenset(limits.CLIMB_RATES)):
        assert read_rate_set(rate_set(chosen)) == chosen
