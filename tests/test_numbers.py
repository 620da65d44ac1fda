"""Numbers that people write."""

from __future__ import annotations

import pytest

from linesync.errors import UsageError
from linesync.numbers import read_number, read_seconds, read_whole


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("1.5", 1.5), (".5", 0.5), ("5.", 5), ("+3", 3), ("1e3", 1000), ("315360000", 315360000)],
)
def test_seconds_are_decimal_numbers(text: str, value: float) -> None:
    assert read_seconds(text) == value


@pytest.mark.parametrize("text", ["1e9", "-1", "-0.1", "inf", "-inf", "1e400", "9" * 5000, "315360000.1"])
def test_a_number_beyond_the_limits_is_out_of_range(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_seconds(text)
    assert caught.value.message == f"invalid time {text[:32]!r}: out of range; expected 0 to 315360000 seconds"


@pytest.mark.parametrize(
    "text", ["", " ", "nan", "soon", "1_0", " 5", "5 ", "5s", "0x10", "٣", "1e", ".", "\udcff", "1\n"]
)
def test_other_texts_are_not_numbers(text: str) -> None:
    with pytest.raises(UsageError, match="not a number; expected 0.5 to 2 MiB"):
        read_number(text, "size", 0.5, 2, "MiB")


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("-5", -5), ("+5", 5), ("007", 7), ("0" * 5000 + "7", 7), ("-0", 0)]
)
def test_whole_numbers_have_a_sign_and_digits(text: str, value: int) -> None:
    assert read_whole(text, "change", -5, 7, "units") == value


@pytest.mark.parametrize("text", ["8", "-6", "9" * 5000, "-" + "9" * 5000])
def test_whole_numbers_have_limits(text: str) -> None:
    with pytest.raises(UsageError, match="out of range; expected -5 to 7 units"):
        read_whole(text, "change", -5, 7, "units")


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "inf", "nan", "1_0", "٣", "+-1", "0x1", "7\n"])
def test_other_texts_are_not_whole_numbers(text: str) -> None:
    with pytest.raises(UsageError, match="not a whole number; expected the one that was printed"):
        read_whole(text, "token", 0, 9, expected="the one that was printed")
