"""Numbers as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync import limits
from linesync.wire.framing import digits

from ..kit.profiles import examples

_TOKEN = st.text(digits.ALPHABET.decode(), min_size=8, max_size=8)
_RANGES = st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), max_size=limits.ACK_RANGES).map(tuple)
_LANE_REPORT = st.tuples(st.integers(0, 4095), _RANGES)


@examples(200, 5000)
@given(st.integers(0, limits.LONGEST_FRAME), st.binary(max_size=4), st.binary(max_size=4))
def test_a_counted_number_is_read_at_any_offset_as_it_was_written(number: int, before: bytes, after: bytes) -> None:
    text = digits.counted(number)
    assert digits.read_counted(before + text + after, len(before)) == (number, len(before) + len(text))
    assert len(text) == max(1, (number.bit_length() + 4) // 5)


@given(st.integers(0, 4095))
def test_a_fixed_number_is_read_as_it_was_written(number: int) -> None:
    assert digits.read_fixed(b"x" + digits.fixed(number), 1) == number


@given(st.binary(max_size=8), st.integers(0, 10))
def test_reading_a_number_from_any_bytes_never_raises(text: bytes, at: int) -> None:
    value, end = digits.read_counted(text, at)
    assert (value >= 0 and at < end <= len(text)) or (value in (-1, -2) and end == at)
    assert digits.read_fixed(text, at) >= -1


@pytest.mark.parametrize(("text", "value"), [(b"", -1), (b"h", -1), (b"gA", -2), (b"!", -2), (b"hhhhA", -2)])
def test_incomplete_and_malformed_numbers_are_distinguished(text: bytes, value: int) -> None:
    assert digits.read_counted(text, 0)[0] == value
