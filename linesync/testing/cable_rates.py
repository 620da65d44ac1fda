"""The rates of the two ports of a cable, and their effect on the bytes.

Bytes travel at the rate of the sending port. A port with another rate samples them at the wrong moments. It receives other
bytes, and another number of bytes. A cable may also be too long for a rate, or its driver too weak.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import inf

from linesync.errors import UsageError
from linesync.testing.cable import Cable, End, FaultyLine
from linesync.testing.faults import Counters, Faults, Stage, stages

__all__ = ["CableRates"]

_TOLERANCE = 0.04  # the difference, as a share of the rate, up to which a UART still samples the bits correctly
_MOST = 3.0  # the maximum number of garbage bytes for each sent byte
_ENDS: tuple[End, End] = ("a", "b")


class CableRates:
    """The rates of the two ports of a cable.

    :param cable: the cable. Its lines get the rates of their senders.
    :param baud: the rate of both ports at the start, in bits per second; a byte has ten bits.
    :param most: the highest rate that the cable carries, in bits per second, or None for no limit. Bytes at a higher rate
        arrive as garbage.
    :param noisy: the probability that a bit flips, by rate: each key applies to the rates above it. The highest key below the
        current rate counts.
    :raises UsageError: a rate is not above 0, or a probability is not between 0 and 1.
    """

    def __init__(
        self,
        cable: Cable,
        *,
        baud: float = 115200,
        most: float | None = None,
        noisy: Mapping[float, float] | None = None,
        seed: int = 0,
        now: float = 0.0,
    ) -> None:
        if not all(0 < rate < inf for rate in (baud, *([] if most is None else [most]))):
            raise UsageError(f"invalid rate {baud if most is None else most}: expected more than 0 bits per second")
        self.baud: dict[End, float] = {"a": baud, "b": baud}
        self._most = inf if most is None else most
        self._cable = cable
        self._random = {end: random.Random(f"{seed} {end}") for end in _ENDS}
        self._seed = seed
        self.set_noise(noisy or {}, now)

    def set(self, end: End, baud: float, now: float) -> None:
        """Set the rate of the port at ``end`` in bits per second."""
        if baud != self.baud[end] and baud > 0:
            self.baud[end] = baud
            self._apply(now)

    def set_noise(self, noisy: Mapping[float, float], now: float) -> None:
        """Change the probabilities of bit flips; see ``noisy`` of the class."""
        self.noisy = dict(sorted(noisy.items()))
        self._noise = {
            (end, above): stages(Faults(ber=ber), self._seed * 16 + 7 + number, self._cable.line_from(end).counters)
            for number, end in enumerate(_ENDS)
            for above, ber in self.noisy.items()
        }
        self._apply(now)

    def _apply(self, now: float) -> None:
        for end, far in (_ENDS, _ENDS[::-1]):
            line = self._cable.line_from(end)
            line.set_rate(self.baud[end] / 10, self._rate_fault(end, far, line), now)

    def _rate_fault(self, end: End, far: End, line: FaultyLine) -> Stage | None:
        rate, far_rate = self.baud[end], self.baud[far]
        if abs(rate - far_rate) > _TOLERANCE * rate:
            return _garbage(self._random[end], min(far_rate / rate, _MOST), line.counters)
        if rate > self._most:
            return _garbage(self._random[end], 1.0, line.counters)
        above = max((limit for limit in self.noisy if rate > limit), default=None)
        found = [] if above is None else self._noise[end, above]
        return found[0] if found else None


def _garbage(rng: random.Random, share: float, counters: Counters) -> Stage:
    """A stage that replaces each byte by ``share`` random bytes on average."""
    owed = 0.0

    def stage(data: bytes) -> bytes:
        nonlocal owed
        owed += len(data) * share * rng.uniform(0.7, 1.1)
        count = int(owed)
        owed -= count
        counters.garbled += min(count, len(data))
        counters.doubled += max(count - len(data), 0)
        counters.dropped += max(len(data) - count, 0)
        return rng.randbytes(count)

    return stage
