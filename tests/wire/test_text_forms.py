"""Numbers, checks, payload forms and frame bodies as text: each comes back as it went."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync import limits
from linesync.wire.framing import check, digits, frames, payload
from linesync.wire.framing.frames import Ack, Hello, Lane

from .profiles import examples

_TOKEN = st.text(digits.ALPHABET.decode(), min_size=8, max_size=8)
_RANGES = st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), max_size=limits.ACK_RANGES).map(tuple)
_LANE_REPORT = st.tuples(st.integers(0, 4095), _RANGES)


# -- digits -----------------------------------------------------------------------------------------------------------


@examples(200, 5000)
@given(st.integers(0, limits.LONGEST_FRAME), st.binary(max_size=4), st.binary(max_size=4))
def test_a_counted_number_comes_back_from_any_offset(number: int, before: bytes, after: bytes) -> None:
    text = digits.counted(number)
    assert digits.read_counted(before + text + after, len(before)) == (number, len(before) + len(text))
    assert len(text) == max(1, (number.bit_length() + 4) // 5)


@given(st.integers(0, 4095))
def test_a_fixed_number_comes_back(number: int) -> None:
    assert digits.read_fixed(b"x" + digits.fixed(number), 1) == number


@given(st.binary(max_size=8), st.integers(0, 10))
def test_reading_numbers_never_raises(text: bytes, at: int) -> None:
    value, end = digits.read_counted(text, at)
    assert (value >= 0 and at < end <= len(text)) or (value in (-1, -2) and end == at)
    assert digits.read_fixed(text, at) >= -1


@pytest.mark.parametrize(("text", "value"), [(b"", -1), (b"h", -1), (b"gA", -2), (b"!", -2), (b"hhhhA", -2)])
def test_a_number_that_is_short_or_malformed_says_which(text: bytes, value: int) -> None:
    assert digits.read_counted(text, 0)[0] == value


# -- the check --------------------------------------------------------------------------------------------------------


def test_the_check_of_123456789_is_the_known_one() -> None:
    assert frames.crc(b"123456789", 0) == 0xCBF43926
    assert check.check_text(b"123456789", 0) == b"y_Q5Jg"


@given(st.binary(max_size=100), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_two_seeds_never_agree_on_a_text(text: bytes, one: int, other: int) -> None:
    assert (check.check_text(text, one) == check.check_text(text, other)) == (one == other)


@given(_TOKEN, _TOKEN)
def test_the_two_directions_of_a_session_have_seeds_of_their_own(ours: str, theirs: str) -> None:
    if ours != theirs:
        assert check.session_seed(ours, theirs) != check.session_seed(theirs, ours)


# -- payload ----------------------------------------------------------------------------------------------------------


@examples(300, 10_000)
@given(st.binary(max_size=600))
def test_payload_comes_back_in_both_forms(data: bytes) -> None:
    text = payload.encode_base64(data)
    assert payload.decode_base64(text) == data
    assert not text.translate(None, digits.ALPHABET)
    text = payload.encode_eight(data)
    assert payload.decode_eight(text) == data
    assert not set(text) & set(b"\n\r^") and len(text) <= 3 * len(data)


@given(st.binary(max_size=40))
def test_reading_payload_never_raises(text: bytes) -> None:
    for read in (payload.decode_base64, payload.decode_eight):
        assert isinstance(read(text), bytes | None)


@given(st.integers(40, 5000))
def test_a_full_frame_is_as_long_as_agreed_and_no_longer(length: int) -> None:
    room = payload.raw_room(frames.data_body_room(length), eight=False)
    for lane in Lane:
        kind = frames.data_kind(lane, eight=False)
        frame = frames.encode(kind, frames.data_body(0, 0, bytes(room), eight=False), 0)
        assert length - 4 <= len(frame) <= length


# -- bodies -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 4095), st.integers(0, 4095), st.binary(max_size=300), st.sampled_from(Lane), st.booleans())
def test_a_data_frame_comes_back(seq: int, ack: int, data: bytes, lane: Lane, eight: bool) -> None:
    body = frames.data_body(seq, ack, data, eight=eight)
    assert frames.read_data(frames.data_kind(lane, eight=eight), body) == frames.Data(lane, seq, ack, data)


@given(st.integers(0, 1023), st.integers(0, 31), _LANE_REPORT, _LANE_REPORT)
def test_an_acknowledgement_comes_back(age: int, poll: int, prompt: tuple, bulk: tuple) -> None:
    ack = Ack(age=age, poll=poll, prompt=prompt, bulk=bulk)
    assert Ack.read(ack.body()) == ack
    assert len(frames.encode(frames.ACK, ack.body(), 0)) <= limits.CONTROL_FRAME


@given(
    st.tuples(st.integers(0, 99), st.integers(0, 99)).map(sorted), st.sampled_from("cl"), _TOKEN,
    st.one_of(st.just(""), _TOKEN), _TOKEN, st.integers(127, limits.LONGEST_FRAME), st.integers(limits.CREDIT_LEAST, 1 << 19),
    st.text("nepqNZ", max_size=6), st.sampled_from((b"", b".x", b".a.b.c")),
)  # fmt: skip
def test_a_hello_comes_back_and_what_a_newer_peer_adds_is_left_unread(
    versions: list[int], role: str, nonce: str, peer: str, boot: str, frame: int, credit: int, flags: str, more: bytes
) -> None:
    hello = Hello(
        oldest=versions[0], newest=versions[1], role=role, nonce=nonce, peer=peer, boot=boot, frame=frame,
        credit=credit, flags=flags,
    )  # fmt: skip
    assert Hello.read(hello.body() + more) == hello
    assert len(frames.encode(frames.HELLO, hello.body(), 0)) <= limits.BASIC_FRAME


@examples(300, 20_000)
@given(st.binary(max_size=60))
def test_reading_a_body_never_raises(body: bytes) -> None:
    for read in (Ack.read, Hello.read, frames.read_poll, frames.read_probed):
        read(body)
    for kind in frames.DATA_KINDS:
        frames.read_data(kind, body)


@given(st.integers(60, 5000))
def test_a_probe_is_as_long_as_it_says(size: int) -> None:
    frame = frames.encode(frames.PROBE, frames.probe_body(size), 0)
    assert abs(len(frame) - size) <= 1
    assert frames.read_probed(frames.probed_body(len(frame))) == len(frame)
    if size in limits.PROBE_SIZES:
        assert len(frame) == size


@pytest.mark.parametrize("size", limits.PROBE_SIZES)
def test_the_probes_in_use_have_their_length(size: int) -> None:
    assert len(frames.encode(frames.PROBE, frames.probe_body(size), 0)) == size
