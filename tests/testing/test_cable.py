"""The model of a faulty line: its rate, the statistics of its faults, its counters, and the same faults from the same
seed."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Sequence

import pytest

from linesync.errors import UsageError
from linesync.testing.cable import GROUP_S, Cable, FaultyLine
from linesync.testing.faults import Faults

RATE = 11520.0
EVERYTHING = Faults(
    ber=1e-4,
    drop=1e-3,
    dup=1e-3,
    burst=1e-4,
    cuts=((0.5, 0.2),),
    stuck_xoff=((1.0, 0.3),),
    eat_xonxoff=True,
    lf_to_crlf=True,
    trim_blanks=True,
    add_blanks=2,
    line_limit=200,
    printk=5.0,
    delay=0.05,
)


def blob(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def assert_sums_up(line: FaultyLine) -> None:
    c = line.counters
    came = c.bytes_in + c.printk + c.doubled + c.added
    assert came == c.bytes_out + c.dropped + c.eaten + c.cut + line.waiting, c


def through(line: FaultyLine, data: bytes, *, until: float = 1e6) -> bytes:
    """Return the bytes that arrive until ``until`` (seconds) if ``data`` is sent at time 0."""
    line.feed(data, 0.0)
    out = line.take(until)
    assert_sums_up(line)
    return out


def arrivals(line: FaultyLine, until: float = 100.0) -> Iterator[tuple[float, bytes]]:
    """Yield (time in seconds, bytes) for a receiver that takes bytes at each time that the line requests."""
    while (when := line.next_time()) is not None and when <= until:
        yield when, line.take(when)


def chop(data: bytes, seed: int) -> Sequence[bytes]:
    rng = random.Random(seed)
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(50))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


# -- pace ----------------------------------------------------------------------------------------------------


def test_a_perfect_line_without_a_rate_delivers_everything_immediately() -> None:
    line = FaultyLine()
    line.feed(b"hello", 3.0)
    assert line.next_time() == 3.0
    assert line.take(3.0) == b"hello"
    assert line.next_time() is None


def test_bytes_leave_one_by_one_at_the_byte_rate() -> None:
    line = FaultyLine(byte_rate=1000.0)
    line.feed(b"abcdef", 10.0)
    assert line.take(10.0009) == b""
    assert line.take(10.0011) == b"a"
    assert line.take(10.0035) == b"bc"
    assert line.take(10.0061) == b"def"


def test_an_idle_line_does_not_send_faster_later() -> None:
    line = FaultyLine(byte_rate=1000.0)
    assert line.take(50.0) == b""
    line.feed(b"xy", 50.0)
    assert line.take(50.0015) == b"x"


@pytest.mark.parametrize("rate", [960.0, 11520.0, 92160.0])
def test_groups_last_a_millisecond_or_a_byte(rate: float) -> None:
    line = FaultyLine(byte_rate=rate)
    line.feed(blob(2000), 0.0)
    seen = list(arrivals(line))
    assert b"".join(data for _, data in seen) == blob(2000)
    longest = max(1, int(rate * GROUP_S))
    for when, data in seen:
        assert len(data) <= longest, when
    assert seen[-1][0] == pytest.approx(2000 / rate, rel=1e-6)


def test_the_buffer_has_room_again_when_bytes_have_left() -> None:
    line = FaultyLine(byte_rate=1000.0, capacity=16)
    line.feed(b"x" * 16, 0.0)
    assert line.room(0.0) == 0
    with pytest.raises(UsageError, match="room"):
        line.feed(b"y", 0.0)
    assert line.room(0.0042) == 4
    line.feed(b"y" * 4, 0.0042)
    assert line.take(1.0) == b"x" * 16 + b"y" * 4


def test_the_delay_moves_every_byte_by_the_same_time() -> None:
    line = FaultyLine(Faults(delay=0.1), byte_rate=1000.0)
    line.feed(b"ab", 0.0)
    assert line.next_time() == pytest.approx(0.001)
    assert line.take(0.1005) == b""
    assert line.waiting == 2
    assert list(arrivals(line)) == [(pytest.approx(0.101), b"a"), (pytest.approx(0.102), b"b")]


def test_a_stuck_xoff_stops_the_flow_and_loses_nothing() -> None:
    line = FaultyLine(Faults(stuck_xoff=((0.010, 1.0),)), byte_rate=1000.0)
    line.feed(b"0123456789abcdefghij", 0.0)
    assert line.take(0.9) == b"0123456789"
    assert line.next_time() == pytest.approx(1.011)
    assert line.take(1.0201) == b"abcdefghij"


# -- faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ber", [1e-3, 1e-4, 1e-5])
def test_bits_flip_at_the_bit_error_rate(ber: float) -> None:
    data = blob(2_000_000)
    line = FaultyLine(Faults(ber=ber), seed=7)
    out = through(line, data)
    flipped = (int.from_bytes(data, "big") ^ int.from_bytes(out, "big")).bit_count()
    assert flipped == line.counters.flipped_bits
    expected = ber * 8 * len(data)
    assert abs(flipped - expected) < 4 * expected**0.5


def test_a_fault_with_probability_1_hits_every_byte() -> None:
    assert through(FaultyLine(Faults(ber=1.0)), b"\x00\xff\x55") == b"\xff\x00\xaa"
    assert through(FaultyLine(Faults(drop=1.0)), b"abc") == b""
    assert through(FaultyLine(Faults(dup=1.0)), b"abc") == b"aabbcc"


@pytest.mark.parametrize("kind", ["drop", "dup"])
def test_bytes_are_dropped_and_doubled_at_their_rates(kind: str) -> None:
    data = blob(500_000)
    line = FaultyLine(Faults(**{kind: 1e-3}), seed=3)
    out = through(line, data)
    changed = abs(len(out) - len(data))
    assert changed == (line.counters.dropped if kind == "drop" else line.counters.doubled)
    assert abs(changed - 500) < 4 * 500**0.5


def test_a_burst_replaces_up_to_its_longest_length() -> None:
    data = bytes(100_000)
    line = FaultyLine(Faults(burst=1e-4, burst_max=20), seed=5)
    out = through(line, data)
    assert len(out) == len(data)
    runs = [len(run) for run in re.findall(rb"(?:[^\0]\0?)+", out)]
    assert 0 < len(runs) < 40
    assert max(runs) <= 21
    assert sum(1 for code in out if code) <= line.counters.garbled


def test_bytes_sent_during_a_cut_are_lost_and_the_other_bytes_arrive() -> None:
    line = FaultyLine(Faults(cuts=((0.005, 0.010), (0.014, 0.002))), byte_rate=1000.0)
    line.feed(bytes(range(30)), 0.0)
    assert line.take(1.0) == bytes(range(5)) + bytes(range(16, 30))
    assert line.counters.cut == 11
    assert_sums_up(line)


def test_windows_count_from_the_start_of_the_line() -> None:
    line = FaultyLine(Faults(cuts=((1.0, 1.0),)), start=100.0)
    line.feed(b"a", 100.5)
    line.feed(b"b", 101.5)
    line.feed(b"c", 102.0)
    assert line.take(102.0) == b"ac"


def test_a_pulled_cable_loses_bytes_until_it_is_plugged_in() -> None:
    cable = Cable(byte_rate=1000.0)
    cable.feed("a", b"abcdef", 0.0)
    cable.pull(0.0025)
    cable.plug(0.0045)
    assert cable.take("b", 1.0) == b"abef"
    assert cable.ab.counters.cut == 2


def test_seven_bit_lines_clear_a_bit_and_ttys_remove_xonxoff() -> None:
    assert through(FaultyLine(Faults(seven_bit=True)), bytes([0x41, 0xC1, 0xFF])) == b"AA\x7f"
    line = FaultyLine(Faults(eat_xonxoff=True))
    assert through(line, b"a\x11b\x13c") == b"abc"
    assert line.counters.eaten == 2


@pytest.mark.parametrize(
    ("faults", "sent", "seen"),
    [
        (Faults(lf_to_crlf=True), b"a\nb\r\n", b"a\r\nb\r\r\n"),
        (Faults(cr_to_lf=True), b"a\rb\r\n", b"a\nb\n\n"),
        (Faults(lf_to_crlf=True, cr_to_lf=True), b"a\n", b"a\n\n"),
        (Faults(trim_blanks=True), b"a  \nb \t\r\nc d\n", b"a\nb\r\nc d\n"),
        (Faults(add_blanks=2), b"a\nb\r\nc\rd", b"a  \nb  \r\nc  \rd"),
        (Faults(line_limit=5), b"123456789\n12\n1234\n12345", b"1234\n12\n1234\n1234"),
    ],
)
def test_line_ends_are_rewritten_however_the_stream_is_split(faults: Faults, sent: bytes, seen: bytes) -> None:
    assert through(FaultyLine(faults), sent) == seen
    line = FaultyLine(faults)
    by_byte = b""
    for at in range(len(sent)):
        line.feed(sent[at : at + 1], 0.0)
        by_byte += line.take(0.0)
        assert_sums_up(line)
    assert by_byte == seen


def test_trailing_blanks_are_held_but_not_lost() -> None:
    line = FaultyLine(Faults(trim_blanks=True))
    line.feed(b"a  ", 0.0)
    assert (line.take(0.0), line.waiting) == (b"a", 2)
    line.feed(b"b", 0.0)
    assert (line.take(0.0), line.waiting) == (b"  b", 0)


# -- kernel messages -----------------------------------------------------------------------------------------

_MESSAGE = re.compile(rb"\[ *\d+\.\d{6}\] [^\r\n]+\r\n")


@pytest.mark.parametrize("rate", [RATE, None], ids=["paced", "unpaced"])
def test_kernel_messages_are_whole_lines_and_change_no_other_bytes(rate: float | None) -> None:
    line = FaultyLine(Faults(printk=5.0), seed=2, byte_rate=rate)
    frame = b"+" * 40 + b"|"
    out = b""
    for step in range(10_000):
        line.feed(frame, step * 0.01)
        out += line.take(step * 0.01)
    out += line.take(102.0)
    assert_sums_up(line)
    assert _MESSAGE.sub(b"", out) == frame * 10_000
    found = _MESSAGE.findall(out)
    assert sum(map(len, found)) == line.counters.printk - line.waiting
    assert abs(len(found) - 510) < 4 * 510**0.5
    inside = sum(1 for message in _MESSAGE.finditer(out) if out[message.start() - 1 : message.start()] == b"+")
    assert inside > 20


def test_kernel_messages_arrive_on_an_idle_line_at_its_rate() -> None:
    line = FaultyLine(Faults(printk=2.0), seed=4, byte_rate=RATE)
    seen = [data for _, data in arrivals(line, until=20.0)]
    assert max(map(len, seen)) <= 11
    *lines, rest = b"".join(seen).split(b"\n")
    assert 20 < len(lines) < 70
    assert all(_MESSAGE.fullmatch(text + b"\n") for text in lines)
    assert len(rest) < 100


# -- reproducibility -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [RATE, None], ids=["paced", "unpaced"])
def test_the_same_seed_gives_the_same_faults_and_another_seed_others(rate: float | None) -> None:
    data = blob(30_000)
    outs = [through(FaultyLine(EVERYTHING, seed=seed, byte_rate=rate), data, until=60) for seed in (1, 1, 2)]
    assert outs[0] == outs[1] != outs[2]


@pytest.mark.parametrize("seed", range(5))
def test_the_faults_do_not_depend_on_how_the_stream_is_split(seed: int) -> None:
    data = blob(30_000)
    whole = through(FaultyLine(EVERYTHING, seed=seed), data, until=0.4)
    line = FaultyLine(EVERYTHING, seed=seed)
    for piece in chop(data, seed):
        line.feed(piece, 0.0)
        line.room(0.0)
    assert line.take(0.4) == whole


@pytest.mark.parametrize("seed", range(5))
def test_the_faults_do_not_depend_on_how_often_bytes_are_taken(seed: int) -> None:
    data = blob(30_000)
    whole = through(FaultyLine(EVERYTHING, seed=seed, byte_rate=RATE), data, until=10.0)
    line = FaultyLine(EVERYTHING, seed=seed, byte_rate=RATE)
    line.feed(data, 0.0)
    rng = random.Random(seed)
    now, out = 0.0, b""
    while now < 10.0:
        out += line.take(now)
        now = min(10.0, now + rng.expovariate(200.0))
    assert out + line.take(10.0) == whole


def test_one_kind_of_fault_does_not_change_another() -> None:
    data = blob(50_000)
    flips_only = through(FaultyLine(Faults(ber=1e-4), seed=9), data)
    both = through(FaultyLine(Faults(ber=1e-4, eat_xonxoff=True, printk=0.0, dup=1e-9), seed=9), data)
    assert both == flips_only.translate(None, b"\x11\x13")


# -- the cable -----------------------------------------------------------------------------------------------


def test_each_direction_of_a_cable_has_its_own_faults() -> None:
    cable = Cable(Faults(seven_bit=True), Faults(), byte_rate=RATE)
    cable.feed("a", b"\xc1", 0.0)
    cable.feed("b", b"\xc2", 0.0)
    assert cable.next_time() == pytest.approx(1 / RATE)
    assert (cable.take("a", 0.01), cable.take("b", 0.01)) == (b"\xc2", b"A")
    assert cable.next_time() is None


def test_faults_in_the_two_directions_are_independent() -> None:
    cable = Cable(Faults(ber=1e-3), seed=1)
    for end in ("a", "b"):
        cable.feed(end, bytes(10_000), 0.0)
    assert cable.take("a", 0.0) != cable.take("b", 0.0)


def test_with_echo_an_end_receives_its_own_bytes_as_the_other_end_does() -> None:
    cable = Cable(Faults(ber=1e-2), echo=True, byte_rate=RATE, seed=3)
    cable.feed("a", b"x" * 200, 0.0)
    at_b = cable.take("b", 1.0)
    assert cable.next_time() == 1.0
    assert cable.take("a", 1.0) == at_b != b"x" * 200
    cable.feed("b", b"y", 2.0)
    assert cable.take("a", 3.0) == cable.take("b", 3.0) == b"y"


# -- usage and cost ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"ber": 1.5},
        {"drop": -0.1},
        {"dup": float("nan")},
        {"delay": -1.0},
        {"printk": float("inf")},
        {"line_limit": 0},
        {"burst_max": 0},
        {"cuts": ((-1.0, 1.0),)},
        {"stuck_xoff": ((1.0, -1.0),)},
    ],
)
def test_invalid_faults_are_refused_in_one_sentence(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        Faults(**wrong)  # type: ignore[arg-type]
    assert str(caught.value).startswith("invalid ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_an_invalid_rate_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="bytes per second"):
        FaultyLine(byte_rate=rate)


def test_rare_errors_cost_little_time() -> None:
    began = time.process_time()
    for seed in range(8):
        through(FaultyLine(Faults(ber=1e-4, drop=1e-5, dup=1e-5), seed=seed), bytes(1_000_000))
    assert time.process_time() - began < 2.0
