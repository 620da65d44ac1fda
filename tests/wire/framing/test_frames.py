"""The bodies of frames as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync import limits
from linesync.wire.framing import digits, frames
from linesync.wire.framing.frames import Ack, Hello, Lane

from ..kit.profiles import examples

_TOKEN = st.text(digits.ALPHABET.decode(), min_size=8, max_size=8)
_RANGES = st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), max_size=limits.ACK_RANGES).map(tuple)
_LANE_REPORT = st.tuples(st.integers(0, 4095), _RANGES)


@given(st.integers(0, 4095), st.integers(0, 4095), st.binary(max_size=300), st.sampled_from(Lane), st.booleans())
def test_a_data_frame_is_read_as_it_was_written(seq: int, ack: int, data: bytes, lane: Lane, eight: bool) -> None:
    body = frames.data_body(seq, ack, data, eight=eight)
    assert frames.read_data(frames.data_kind(lane, eight=eight), body) == frames.Data(lane, seq, ack, data)


@given(st.integers(0, 1023), st.integers(0, 31), _LANE_REPORT, _LANE_REPORT)
def test_an_acknowledgement_is_read_as_it_was_written(age: int, poll: int, prompt: tuple, bulk: tuple) -> None:
    ack = Ack(age=age, poll=poll, prompt=prompt, bulk=bulk)
    assert Ack.read(ack.body()) == ack
    assert len(frames.encode(frames.ACK, ack.body(), 0)) <= limits.CONTROL_FRAME


@given(
    st.tuples(st.integers(0, 99), st.integers(0, 99)).map(sorted), st.sampled_from("cl"), _TOKEN,
    st.one_of(st.just(""), _TOKEN), _TOKEN, st.integers(127, limits.LONGEST_FRAME), st.integers(limits.CREDIT_LEAST, 1 << 19),
    st.text("nepqNZ", max_size=6), st.sampled_from((b"", b".x", b".a.b.c")),
)  # fmt: skip
def test_a_hello_is_read_as_it_was_written_and_additions_are_ignored(
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
def test_reading_a_body_from_any_bytes_never_raises(body: bytes) -> None:
    for read in (Ack.read, Hello.read, frames.read_poll, frames.read_probed):
        read(body)
    for kind in frames.DATA_KINDS:
        frames.read_data(kind, body)


@given(st.integers(60, 5000))
def test_a_probe_has_the_requested_length(size: int) -> None:
    frame = frames.encode(frames.PROBE, frames.probe_body(size), 0)
    assert abs(len(frame) - size) <= 1
    assert frames.read_probed(frames.probed_body(len(frame))) == len(frame)
    if size in limits.PROBE_SIZES:
        assert len(frame) == size


@pytest.mark.parametrize("size", limits.PROBE_SIZES)
def test_the_probes_in_use_have_exactly_their_length(size: int) -> None:
    assert len(frames.encode(frames.PROBE, frames.probe_body(size), 0)) == size


def test_the_description_of_a_frame_without_fields_is_its_name() -> None:
    assert frames.describe(frames.KEEP, b"") == "keep"
