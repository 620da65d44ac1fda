"""Numbers that people write: in arguments, settings and endpoints."""

from __future__ import annotations

import re

from .errors import UsageError

__all__ = ["SECONDS_MAX", "read_number", "read_seconds", "read_whole"]

SECONDS_MAX = 10 * 365 * 86400  # the hub's own limit

# float() and int() would also accept blanks, underscores and the digits of all scripts.
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?inf")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DIGITS = 19  # int() would refuse thousands of digits
_SHOWN = 32  # characters of a wrong number that the error repeats


def read_number(text: str, what: str, least: float, most: float, unit: str) -> float:
    """Read a number from ``least`` to ``most``.

    :param what: what it is, for the error: "time", "size" ...
    :raises UsageError: it is not a number, or out of range.
    """
    value = float(text) if _DECIMAL.fullmatch(text) else None
    if value is not None and least <= value <= most:
        return value
    problem = "not a number" if value is None else "out of range"
    raise UsageError(f"invalid {what} {text[:_SHOWN]!r}: {problem}; expected {least:.16g} to {most:.16g} {unit}")


def read_seconds(text: str, what: str = "time") -> float:
    """Read a number of seconds, from 0 to ten years.

    :raises UsageError: it is not a number, or out of range.
    """
    return read_number(text, what, 0, SECONDS_MAX, "seconds")


def read_whole(text: str, what: str, least: int, most: int, unit: str = "", *, expected: str = "") -> int:
    """Read a whole number from ``least`` to ``most``.

    :param expected: what is expected, if a range would not say it.
    :raises UsageError: it is not a whole number, or out of range.
    """
    problem = "not a whole number"
    if _WHOLE.fullmatch(text):
        digits = text.lstrip("+-").lstrip("0") or "0"
        value = int(digits) * (-1 if text.startswith("-") else 1) if len(digits) <= _DIGITS else most + 1
        if least <= value <= most:
            return value
        problem = "out of range"
    expected = expected or f"{least} to {most} {unit}".rstrip()
    raise UsageError(f"invalid {what} {text[:_SHOWN]!r}: {problem}; expected {expected}")
