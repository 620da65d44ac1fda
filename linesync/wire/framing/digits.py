"""Numbers as text, in base64url digits (section 1 of docs/protocol.md).

A *fixed* number has two digits of six bits, the most significant digit first. A *counted* number has digits of five bits, the
most significant digit first; 32 is added to every digit except the last. A number below 32 has one digit.
"""

from __future__ import annotations

__all__ = ["ALPHABET", "counted", "fixed", "read_counted", "read_fixed"]

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_VALUE = [-1] * 256
for _index, _digit in enumerate(ALPHABET):
    _VALUE[_digit] = _index
_ONE = [ALPHABET[n : n + 1] for n in range(64)]
_two: dict[int, bytes] = {}  # filled on demand; bound: fixed
_COUNTED = [_ONE[n] if n < 32 else _ONE[32 + (n >> 5)] + _ONE[n & 31] for n in range(1024)]


def fixed(number: int) -> bytes:
    """Write a number of 0 to 4095 as two digits."""
    digits = _two.get(number)
    if digits is None:
        digits = _two[number] = _ONE[number >> 6] + _ONE[number & 63]
    return digits


def read_fixed(text: bytes | bytearray, at: int) -> int:
    """Read two digits at an offset; -1 if they are malformed or incomplete."""
    if at + 2 > len(text):
        return -1
    high, low = _VALUE[text[at]], _VALUE[text[at + 1]]
    return -1 if high < 0 or low < 0 else high << 6 | low


def counted(number: int) -> bytes:
    """Write a number of 0 or more in as few digits as possible."""
    if number < 1024:
        return _COUNTED[number]
    out = _ONE[number & 31]
    number >>= 5
    while number:
        out = _ONE[32 + (number & 31)] + out
        number >>= 5
    return out


def read_counted(text: bytes | bytearray, at: int, most_digits: int = 4) -> tuple[int, int]:
    """Read a counted number at an offset.

    :param most_digits: the maximum number of digits.
    :returns: the value and the offset after it. The value is -1 if the text ends before the number, and -2 if the number is
        malformed: a byte that is not a digit, too many digits, or a leading zero digit.
    """
    value = 0
    for end in range(at, at + most_digits):
        if end >= len(text):
            return -1, at
        digit = _VALUE[text[end]]
        if digit < 0 or (digit == 32 and end == at):
            return -2, at
        value = value << 5 | digit & 31
        if digit < 32:
            return value, end + 1
    return -2, at
