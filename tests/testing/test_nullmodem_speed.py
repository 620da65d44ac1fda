"""The speed of the null modem in real time. These tests measure, so ``make test`` runs them alone."""

from __future__ import annotations

import os
import select
import time

import pytest

from linesync.testing.nullmodem import NullModem

from .test_nullmodem import opened, read_for

pytestmark = pytest.mark.live


def saturate(cable: NullModem, seconds: float) -> dict[str, float]:
    """The bytes per second in each direction while both ends write as much as they can."""
    with opened(cable.a, cable.b) as ends:
        block = bytes(4096)
        first: dict[int, float] = {}
        last = dict.fromkeys(ends, 0.0)
        counts = dict.fromkeys(ends, 0)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            readable, writable, _ = select.select(ends, ends, [], 1)
            for end in writable:
                os.write(end, block)
            for end in readable:
                got, now = len(os.read(end, 65536)), time.monotonic()
                if end in first:
                    counts[end] += got
                first.setdefault(end, now)
                last[end] = now
            time.sleep(0.002)
        names = dict(zip(ends, ("ba", "ab"), strict=True))
        return {names[end]: counts[end] / (last[end] - first[end]) for end in ends}


@pytest.mark.parametrize(("baud", "tolerance"), [(115200, 0.01), (921600, 0.02)])
def test_both_directions_run_at_the_line_rate_at_the_same_time(baud: int, tolerance: float) -> None:
    with NullModem(baud=baud) as cable:
        for rate in saturate(cable, 2.0).values():
            assert rate == pytest.approx(baud / 10, rel=tolerance)


def test_a_single_byte_takes_its_line_time_and_about_a_millisecond() -> None:
    with NullModem(baud=9600) as cable, opened(cable.a, cable.b) as (a, b):
        times = []
        for _ in range(30):
            time.sleep(0.005)
            began = time.monotonic()
            os.write(a, b"x")
            assert read_for(b, 1, 1) == b"x"
            times.append(time.monotonic() - began)
        assert min(times) >= 10 / 9600
        assert sorted(times)[15] < 10 / 9600 + 0.0015
