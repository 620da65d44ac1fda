"""Turning back the one bit that the line has turned over.

The CRC of a frame in which one bit is wrong differs from the right one by a value that tells which bit it was: no two
bits of a frame give the same, nor does any pair of bits give that of a single one in frames of less than 11 KB (the
polynomial's Hamming distance is 4 there; Koopman, "32-bit cyclic redundancy codes for internet applications", 2002).
So a frame with one wrong bit can be mended at once, which saves its repetition.

What is mended is no longer guarded by those 32 bits: of frames with three wrong bits and more, or with something else
in them, one of 4 GiB divided by the frame's number of bits would be mended to something wrong. That is why only frames
that carry a second check may be mended, and only where that one agrees.
"""

from __future__ import annotations

from zlib import crc32

from . import digits
from .check import check_text

__all__ = ["repaired"]

_POLYNOMIAL = 0xEDB88320  # that of the frame check, its highest power in the lowest bit


def repaired(covered: bytes, check: bytes, seed: int) -> bytes | None:
    """The covered text with one bit turned over so that the check is right.

    :returns: the text; the same one when the wrong bit is in the check; None when it takes more than one bit.
    """
    right = check_text(covered, seed)
    wrong = [one ^ other for one, other in zip(right, check, strict=True) if one != other]
    if len(wrong) == 1 and wrong[0] & (wrong[0] - 1) == 0:
        return covered
    claimed = _number(check)
    if claimed is None:
        return None
    # Run the shift register backwards from the difference: where only the bit about to be shifted in is set, that
    # is the wrong one.
    difference = crc32(covered, seed) ^ claimed
    for back in range(1, 8 * len(covered) + 1):
        if difference & 0x80000000:
            difference = (difference ^ _POLYNOMIAL) << 1 | 1
            if difference == 1:
                at, bit = divmod(8 * len(covered) - back, 8)
                return covered[:at] + bytes((covered[at] ^ 1 << bit,)) + covered[at + 1 :]
        else:
            difference <<= 1
    return None


def _number(check: bytes) -> int | None:
    """The 32 bits of a check's six digits, None when they are none."""
    number = 0
    for at in range(0, len(check), 2):
        two = digits.read_fixed(check, at)
        if two < 0:
            return None
        number = number << 12 | two
    return number >> 4 if number & 15 == 0 else None
