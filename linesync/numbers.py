"""Reads the numbers that users write in arguments, settings and endpoints."""

from __future__ import annotations

import re

from .errors import UsageError

__all__ = ["SECONDS_MAX", "read_number", "read_seconds", "read_whole"]

SECONDS_MAX = 10 * 365 * 86400  # the longest time that a hub accepts

# float() and int() would also accept spaces, underscores and the digits of all writing systems.
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?inf")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DIGITS = 19  # the maximum number of digits; for thousands of digits, int() raises an error of its own
_SHOWN = 32  # the maximum number of characters of an invalid number in the error


def read_number(text: str, kind: str, lowest: float, highest: float, unit: str) -> float:
    """Read a number from ``lowest`` to ``highest``.

    :param kind: the kind of number for the error: "time", "size" ...
    :param unit: the unit for the error, in the plural.
    :raises UsageError: the text is not a number, or the number is out of range.
    """
    value = float(text) if _DECIMAL.fullmatch(text) else None
    if value is not None and lowest <= value <= highest:
        return value
    problem = "not a number" if value is None else "out of range"
    raise UsageError(f"invalid {kind} {text[:_SHOWN]!r}: {problem}; expected {lowest:.16g} to {highest:.16g} {unit}")


def read_seconds(text: str, kind: str = "time") -> float:
    """Read a number of seconds, from 0 to ten years.

    :raises UsageError: the text is not a number, or the number is out of range.
    """
    return read_number(text, kind, 0, SECONDS_MAX, "seconds")


def read_whole(text: str, kind: str, lowest: int, highest: int, unit: str = "", *, expected: str = "") -> int:
    """Read a whole number from ``lowest`` to ``highest``.

    :param expected: the description of valid values for the error; by default, the range.
    :raises UsageError: the text is not a whole number, or the number is out of range.
    """
    problem = "not a whole number"
    if _WHOLE.fullmatch(text):
        digits = text.lstrip("+-").lstrip("0") or "0"
        value = int(digits) * (-1 if text.startswith("-") else 1) if len(digits) <= _DIGITS else highest + 1
        if lowest <= value <= highest:
            return value
        problem = "out of range"
    expected = expected or f"{lowest} to {highest} {unit}".rstrip()
    raise UsageError(f"invalid {kind} {text[:_SHOWN]!r}: {problem}; expected {expected}")
