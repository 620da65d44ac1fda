"""Repair of one inverted bit in a frame (section 3.2 of docs/protocol.md).

If one bit of a frame is wrong, its CRC differs from the right one by a value that identifies the bit: no two bits of a
frame give the same value, and in frames of less than 11 KB no pair of bits gives the value of a single one (the Hamming
distance of the polynomial is 4 there; Koopman, "32-bit cyclic redundancy codes for internet applications", 2002). So the
frame can be repaired immediately, without a repetition.

The CRC does not protect a repaired frame. Of frames with three or more wrong bits, or with other damage, about one in
2**32 divided by the number of bits in the frame would be repaired to something wrong. Therefore only frames with a
second check may be repaired, and only if that check agrees.
"""

from __future__ import annotations

from functools import cache
from zlib import crc32

from . import digits
from .check import check_text

__all__ = ["REPAIR_COST", "repair_bit"]

REPAIR_COST = 25
"""The cost of a repair for each byte of the frame, in the bytes that a check reads in the same time."""
_ALL = 0xFFFFFFFF


def repair_bit(covered: bytes, check: bytes, seed: int) -> bytes | None:
    """The covered text with one bit inverted so that the check is right.

    :returns: the text; unchanged if the wrong bit is in the check; None if more than one bit is wrong.
    """
    right = check_text(covered, seed)
    wrong = [one ^ other for one, other in zip(right, check, strict=True) if one != other]
    if len(wrong) == 1 and wrong[0] & (wrong[0] - 1) == 0:
        return covered
    claimed = _number(check)
    if claimed is None:
        return None
    # Run the shift register backwards from the difference, a byte at a time. When it holds what one wrong bit leaves
    # behind its byte, that bit is the wrong one.
    back, left_by = _tables()
    difference = crc32(covered, seed) ^ claimed
    for at in range(len(covered) - 1, -1, -1):
        if difference in left_by:
            return covered[:at] + bytes((covered[at] ^ left_by[difference],)) + covered[at + 1 :]
        difference = (difference << 8 & _ALL) ^ back[difference >> 24]
    return None


@cache
def _tables() -> tuple[list[int], dict[int, int]]:
    """(what to add to the register when it runs a byte backwards, by its highest byte; the wrong bit of a byte by the
    register behind it)."""
    forward = [crc32(bytes((byte,)), _ALL) ^ _ALL for byte in range(256)]
    back = [0] * 256
    for byte, register in enumerate(forward):
        back[register >> 24] = (register << 8 & _ALL) | byte
    return back, {forward[1 << bit]: 1 << bit for bit in range(8)}


def _number(check: bytes) -> int | None:
    """The 32 bits of the six digits of a check; None if they are malformed."""
    number = 0
    for at in range(0, len(check), 2):
        two = digits.read_fixed(check, at)
        if two < 0:
            return None
        number = number << 12 | two
    return number >> 4 if number & 15 == 0 else None
