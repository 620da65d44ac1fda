"""The goodput of random bytes, in base64 and in the masked form, on virtual time."""

from __future__ import annotations

import pytest

from linesync.testing.faults import Faults
from linesync.wire.events import ChannelData

from .kit.traffic import endless_bulk, ready, received

GRAIN = 0.008  # seconds between two reads at an end, as with ports that buffer bytes


def _goodput(ber: float, *, both: bool, seconds: float = 15.0) -> list[float]:
    """Return the goodput of random bytes as a share of the line's rate: at b, and with ``both`` also at a."""
    line = ready(5, faults=Faults(ber=ber), grain=GRAIN)
    ends = line.ends if both else (line.a,)
    for end in ends:
        endless_bulk(line, end)
    line.run(4)
    to = [line.b, line.a][: len(ends)]
    before = [received(end) for end in to]
    line.run(seconds)
    assert not any(isinstance(event, ChannelData) and not event.data for _, event in line.b.events)
    return [(received(end) - start) / seconds / 11520 for end, start in zip(to, before, strict=True)]


@pytest.mark.parametrize(
    ("ber", "both", "least"), [(0.0, False, 0.71), (0.0, True, 0.71), (1e-5, False, 0.66), (1e-5, True, 0.66)]
)
def test_random_bytes_reach_their_goodput_in_base64(ber: float, both: bool, least: float) -> None:
    assert min(_goodput(ber, both=both)) >= least


def test_goodput_is_at_least_half_at_one_error_in_ten_thousand_bits() -> None:
    assert min(_goodput(1e-4, both=False)) >= 0.5


@pytest.mark.parametrize(
    ("faults", "least"),
    [
        (Faults(), 0.97),
        (Faults(ber=1e-5), 0.95),
        (Faults(ber=1e-4), 0.85),
        (Faults(ber=3e-4), 0.6),
        (Faults(eat_xonxoff=True), 0.965),
        (Faults(seven_bit=True), 0.73),
        (Faults(printk=1.0), 0.92),
    ],
)
def test_random_bytes_reach_their_goodput_in_the_masked_form(faults: Faults, least: float) -> None:
    line = ready(5, faults=faults, local={"flags": "nm"}, settle=5, grain=GRAIN)
    for end in line.ends:
        endless_bulk(line, end)
    line.run(5)
    before = received(line.b)
    line.run(20)
    assert (received(line.b) - before) / 20 / 11520 >= least, line.transcript(20)
