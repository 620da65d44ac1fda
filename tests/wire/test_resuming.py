"""A transfer continues soon after the end of a cut of the line, in both directions."""

from __future__ import annotations

import pytest

from linesync.runtime.identity import local_end
from linesync.testing.faults import Faults
from linesync.wire.events import ChannelData

from .kit.traffic import endless_bulk, ready

REAL_FLAGS = {"flags": local_end("c", clean=False).flags}


@pytest.mark.parametrize("sender", ["a", "b"])
@pytest.mark.parametrize("seconds", [1.5, 3.0, 3.3, 5.0])
@pytest.mark.parametrize("start", [6.0, 6.07, 6.13, 6.29])
def test_a_transfer_continues_within_300_ms_after_the_end_of_a_cut(sender: str, seconds: float, start: float) -> None:
    line = ready(9, settle=3, faults=Faults(cuts=((start, seconds),)), local=REAL_FLAGS, grain=0.004)
    end, other = (line.a, line.b) if sender == "a" else (line.b, line.a)
    endless_bulk(line, end)
    line.run(start + seconds + 3 - line.now)
    came = [when for when, event in other.events if isinstance(event, ChannelData) and when > start + seconds]
    # the first frame after a cut takes up to 180 ms on this line
    assert came and came[0] - (start + seconds) <= 0.3, line.transcript()
