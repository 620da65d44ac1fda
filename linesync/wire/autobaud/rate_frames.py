"""Rate frames: the messages with which two ends agree on a rate (section 7.2 of docs/protocol.md)."""

from __future__ import annotations

from ... import limits
from ...frozen_record import Record
from ..framing import digits

__all__ = ["RateFrame", "rate_set", "read_rate_set"]

_UNIT = 100  # the unit of the rates in a frame, in bits a second
_STEPS = frozenset(bytes((byte,)) for byte in b"aynhtrkbw")


class RateFrame(Record):
    """The body of a rate frame."""

    step: str
    """``a`` ask, ``y`` yes, ``n`` no, ``h`` here, ``t`` test, ``r`` report, ``k`` keep, ``b`` back, ``w`` worse."""
    number: int
    """The number of the trial, 1 to 31; 0 in ``w``."""
    rate: int
    """The rate in bits a second, a multiple of 100."""
    value: int = 0
    """``a``, ``y``, ``n``: the set of rates that the sender's port supports; ``t``: the number of test frames that follow;
    ``r``: the number of test frames that arrived at the sender."""

    def body(self) -> bytes:
        text = self.step.encode("ascii") + digits.counted(self.number)
        text += digits.counted(self.rate // _UNIT) + digits.counted(self.value)
        if self.step == "t":
            room = limits.CONTROL_FRAME - 3 - 2 - limits.CHECK_SIZE - len(text)
            text += (digits.ALPHABET * 2)[:room]
        return text

    @classmethod
    def read(cls, body: bytes) -> RateFrame | None:
        """Read a body; None if it is malformed. Further fields of a newer peer are ignored."""
        number, at = digits.read_counted(body, 1, 1)
        rate, at = digits.read_counted(body, at)
        value, at = digits.read_counted(body, at)
        if body[:1] not in _STEPS or min(number, rate, value) < 0:
            return None
        return cls(step=body[:1].decode("ascii"), number=number, rate=rate * _UNIT, value=value)


def rate_set(rates: frozenset[int]) -> int:
    """Write a set of rates as a number. Bit n stands for rate n of ``CLIMB_RATES``."""
    return sum(1 << n for n, rate in enumerate(limits.CLIMB_RATES) if rate in rates)


def read_rate_set(number: int) -> frozenset[int]:
    """Read a set of rates. Bits beyond ``CLIMB_RATES`` come from a newer peer and are ignored."""
    return frozenset(rate for n, rate in enumerate(limits.CLIMB_RATES) if number >> n & 1)
