"""The rates of a cable's two ports, and their effect on the bytes."""

from __future__ import annotations

import pytest

from linesync.errors import UsageError
from linesync.testing.cable import Cable
from linesync.testing.cable_rates import CableRates

TEXT = bytes(range(256)) * 4


def carried(rates: CableRates, cable: Cable, begin: float, data: bytes = TEXT) -> tuple[bytes, float]:
    """Return (the bytes that arrive at b if a sends ``data``, the seconds until the last of them arrives)."""
    cable.feed("a", data, begin)
    now, out, came = begin, b"", begin
    while now < begin + 3:
        now += 0.001
        more = cable.take("b", now)
        if more:
            out, came = out + more, now
    return out, came - begin


def test_bytes_travel_at_the_rate_of_their_sender() -> None:
    cable = Cable(byte_rate=11520)
    rates = CableRates(cable)
    data, slow = carried(rates, cable, 0)
    assert data == TEXT and abs(slow - 1024 / 11520) < 0.003
    rates.set("a", 921600, 5)
    rates.set("b", 921600, 5)
    data, quick = carried(rates, cable, 5)
    assert data == TEXT and abs(quick - 1024 / 92160) < 0.003


@pytest.mark.parametrize(("sender", "receiver"), [(115200, 230400), (230400, 115200), (921600, 9600)])
def test_between_different_rates_garbage_of_another_length_arrives(sender: int, receiver: int) -> None:
    cable = Cable(byte_rate=11520)
    rates = CableRates(cable, seed=4)
    rates.set("a", sender, 0)
    rates.set("b", receiver, 0)
    data, _ = carried(rates, cable, 0)
    assert len(data) != len(TEXT) and (len(data) > len(TEXT)) == (receiver > sender)
    assert not any(TEXT[at : at + 8] in data for at in range(0, 1000, 8))
    found = cable.ab.counters
    assert found.bytes_in + found.doubled == found.bytes_out + found.dropped


def test_rates_within_a_uarts_tolerance_count_as_equal() -> None:
    cable = Cable(byte_rate=11520)
    rates = CableRates(cable)
    rates.set("a", 117000, 0)
    assert carried(rates, cable, 0)[0] == TEXT


def test_above_its_highest_rate_a_cable_carries_garbage() -> None:
    cable = Cable(byte_rate=11520)
    rates = CableRates(cable, most=230400)
    for end in ("a", "b"):
        rates.set(end, 230400, 0)  # type: ignore[arg-type]
    assert carried(rates, cable, 0)[0] == TEXT
    for end in ("a", "b"):
        rates.set(end, 460800, 5)  # type: ignore[arg-type]
    assert TEXT[:16] not in carried(rates, cable, 5)[0]


def test_errors_may_begin_above_a_rate() -> None:
    cable = Cable(byte_rate=11520)
    rates = CableRates(cable, noisy={200000: 1e-3, 400000: 0.1})
    assert carried(rates, cable, 0)[0] == TEXT
    flips = []
    for begin, baud in ((5, 230400), (10, 460800)):
        before = cable.ab.counters.flipped_bits
        for end in ("a", "b"):
            rates.set(end, baud, begin)  # type: ignore[arg-type]
        assert len(carried(rates, cable, begin)[0]) == len(TEXT)
        flips.append(cable.ab.counters.flipped_bits - before)
    assert 1 <= flips[0] < 40 and 600 < flips[1] < 1100


@pytest.mark.parametrize("wrong", [{"baud": 0}, {"most": -1}, {"noisy": {1: 2.0}}])
def test_an_invalid_rate_or_probability_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        CableRates(Cable(byte_rate=11520), **wrong)  # type: ignore[arg-type]
