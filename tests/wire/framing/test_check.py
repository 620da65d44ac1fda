"""The frame check and its seeds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linesync import limits
from linesync.wire.framing import check, digits, frames

_TOKEN = st.text(digits.ALPHABET.decode(), min_size=8, max_size=8)
_RANGES = st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), max_size=limits.ACK_RANGES).map(tuple)
_LANE_REPORT = st.tuples(st.integers(0, 4095), _RANGES)


def test_the_check_of_123456789_is_that_of_the_standard() -> None:
    assert frames.crc(b"123456789", 0) == 0xCBF43926
    assert check.check_text(b"123456789", 0) == b"y_Q5Jg"


@given(st.binary(max_size=100), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_two_seeds_never_give_the_same_check(text: bytes, first: int, second: int) -> None:
    assert (check.check_text(text, first) == check.check_text(text, second)) == (first == second)


@given(_TOKEN, _TOKEN)
def test_the_two_directions_of_a_session_have_different_seeds(first: str, second: str) -> None:
    if first != second:
        assert check.session_seed(first, second) != check.session_seed(second, first)
