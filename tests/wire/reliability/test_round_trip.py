"""The round-trip estimate and the probe timeout."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linesync import limits
from linesync.wire.reliability.round_trip import RoundTrip


@given(st.lists(st.floats(0, 5), min_size=20))
def test_the_probe_timeout_exceeds_the_estimate(samples: list[float]) -> None:
    trip = RoundTrip()
    for sample in samples:
        trip.measured(sample)
    assert 0 <= trip.value <= max(samples)
    assert trip.least == min(samples)
    assert trip.probe_timeout(0.0) > trip.value


def test_unanswered_polls_become_rarer_but_never_stop() -> None:
    trip = RoundTrip()
    trip.measured(0.01)
    waits = []
    for trip.backoff in range(11):
        waits.append(trip.probe_timeout(0.0))
    assert waits == sorted(waits) and waits[-1] == limits.POLL_MAX
