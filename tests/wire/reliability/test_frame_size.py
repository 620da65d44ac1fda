"""The length of bulk frames."""

from __future__ import annotations

from math import sqrt

import pytest

from linesync import limits
from linesync.testing.faults import Faults
from linesync.wire.reliability.frame_size import FrameSizer

from ..kit.traffic import endless_bulk, ready


def test_frames_grow_with_answered_probes_and_not_with_unanswered_probes() -> None:
    frame_sizer = FrameSizer(most=2048, probe=True)
    assert frame_sizer.length == 127
    for size in (256, 512):
        assert frame_sizer.next_probe() == size
        frame_sizer.probe_sent(0.1, 0.0)
        assert frame_sizer.next_probe() == 0
        frame_sizer.probe_answered(size)
        assert frame_sizer.length == size
    for now in range(limits.PROBE_TRIES):
        assert frame_sizer.next_probe() == 1024
        frame_sizer.probe_sent(0.1, float(now))
        frame_sizer.handle_timer(now + 0.2)
    assert frame_sizer.next_probe() == 0 and frame_sizer.length == 512


@pytest.mark.parametrize("ber", [3e-6, 1e-5, 1e-4])
def test_the_frame_length_is_near_the_best_length_for_the_error_rate(ber: float) -> None:
    line = ready(3, faults=Faults(ber=ber))
    endless_bulk(line, line.a)
    line.run(25)
    best = min(2048, sqrt(16 / (8 * ber)))
    assert 0.5 * best <= line.a.link.session.frame_sizer.length <= 1.7 * best
