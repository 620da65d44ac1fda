"""Repair of one inverted bit in a frame (section 3.2 of docs/protocol.md).

If one bit of a frame is wrong, its CRC differs from the correct CRC by a value that identifies the bit. No two bits of a
frame give the same value. In frames of less than 11 KB, no pair of wrong bits gives the value of a single wrong bit (the
Hamming distance of the polynomial is 4; Koopman, "32-bit cyclic redundancy codes for internet applications", 2002). The
frame can therefore be repaired immediately, without a repetition.

The CRC does not protect a repaired frame. A repair can turn a frame with three or more wrong bits, or with other damage, into
a wrong frame. The probability is the number of bits in the frame divided by 2**32. Only frames with a second check are
therefore repaired, and only if that check is correct.
"""

from __future__ import annotations

from functools import cache
from zlib import crc32

from . import digits
from .check import check_text

__all__ = ["REPAIR_COST", "repair_bit"]

REPAIR_COST = 25
"""The cost of a repair for each byte of the frame, as the number of bytes that a check reads in the same time."""
_ALL = 0xFFFFFFFF


def repair_bit(covered: bytes, check: bytes, seed: int) -> bytes | None:
    """Repair one wrong bit in the text of a frame.

    :param covered: the text that the check covers.
    :param check: the received check.
    :param seed: the seed of the check.
    :returns: the repaired text; the unchanged text if the wrong bit is in the check; None if more than one bit is wrong.
    """
    correct = check_text(covered, seed)
    differences = [left ^ right for left, right in zip(correct, check, strict=True) if left != right]
    if len(differences) == 1 and differences[0] & (differences[0] - 1) == 0:
        return covered
    claimed = _number(check)
    if claimed is None:
        return None
    # Run the shift register backwards from the difference, one byte in each step. If the register has the value that one
    # wrong bit gives directly after its byte, this bit is the wrong bit.
    back, left_by = _tables()
    difference = crc32(covered, seed) ^ claimed
    for at in range(len(covered) - 1, -1, -1):
        if difference in left_by:
            return covered[:at] + bytes((covered[at] ^ left_by[difference],)) + covered[at + 1 :]
        difference = (difference << 8 & _ALL) ^ back[difference >> 24]
    return None


@cache
def _tables() -> tuple[list[int], dict[int, int]]:
    """Two tables: the value to add to the register for one byte backwards, by its highest byte; and the wrong bit of a byte,
    by the value of the register after this byte."""
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
