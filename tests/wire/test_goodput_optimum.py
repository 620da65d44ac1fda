"""The goodput of random bytes compared with the optimum of frames of one length at an error rate, on virtual time.

The optimum is the maximum over all lengths up to the longest frame. It uses the overhead and the rule of
linesync/wire/reliability/frame_size.py: a frame is lost if it has one wrong bit, or two if one is repaired. The
measurement covers the steady state of a session with escapes, acknowledgements, repetitions and the choice of the length.
"""

from __future__ import annotations

from math import exp, log1p

import pytest

from linesync import limits
from linesync.runtime.identity import local_end
from linesync.testing.faults import Faults
from linesync.wire.reliability import frame_size

from .kit.traffic import endless_bulk, ready, received

RATE = 11520
REAL_FLAGS = {"flags": local_end("c", clean=False).flags}
LEAST_SHARE = 0.97  # the minimum share of the best goodput
LEARNING, MEASURED = 12.0, 40.0  # the durations of the adaptation and of the measurement, in seconds


def arrival_probability(size: int, ber: float, *, repaired: bool) -> float:
    """Return the probability that a frame of this size need not be sent again."""
    bits = 8 * size
    whole = exp(bits * log1p(-ber))
    return whole + bits * ber * exp((bits - 1) * log1p(-ber)) if repaired else whole


def optimum(ber: float, *, repaired: bool) -> tuple[float, int]:
    """Return (the best goodput as a share of the line's rate, the frame length that reaches it)."""
    overhead = frame_size._OVERHEAD_REPAIRABLE if repaired else frame_size._OVERHEAD
    lengths = range(frame_size._LEAST, limits.SERIAL_FRAME + 1)
    return max(((1 - overhead / size) * arrival_probability(size, ber, repaired=repaired), size) for size in lengths)


@pytest.mark.long
@pytest.mark.parametrize("ber", [0.0, 1e-6, 1e-5, 3e-5, 1e-4])
def test_goodput_is_within_three_percent_of_the_best_for_the_error_rate(ber: float) -> None:
    line = ready(9, settle=3, byte_rate=float(RATE), faults=Faults(ber=ber), local=REAL_FLAGS)
    endless_bulk(line, line.a)
    line.run(LEARNING)
    before = received(line.b)
    line.run(MEASURED)
    found = (received(line.b) - before) / MEASURED / RATE
    repaired = line.a.link.session.frame_sizer.repaired
    best, length = optimum(ber, repaired=repaired)
    chosen = line.a.link.session.frame_sizer.length
    assert found >= LEAST_SHARE * best, (
        f"{found:.4f} of {best:.4f}; frames of {chosen}, best {length}; repaired: {repaired}"
    )
