"""The base64 and the eight form of a payload."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linesync import limits
from linesync.wire.framing import digits, frames, payload
from linesync.wire.framing.frames import Lane

from ..kit.profiles import examples

_TOKEN = st.text(digits.ALPHABET.decode(), min_size=8, max_size=8)
_RANGES = st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), max_size=limits.ACK_RANGES).map(tuple)
_LANE_REPORT = st.tuples(st.integers(0, 4095), _RANGES)


@examples(300, 10_000)
@given(st.binary(max_size=600))
def test_a_payload_is_read_as_it_was_written_in_both_forms(data: bytes) -> None:
    text = payload.encode_base64(data)
    assert payload.decode_base64(text) == data
    assert not text.translate(None, digits.ALPHABET)
    text = payload.encode_eight(data)
    assert payload.decode_eight(text) == data
    assert not set(text) & set(b"\n\r^") and len(text) <= 3 * len(data)


@given(st.binary(max_size=40))
def test_reading_a_payload_from_any_bytes_never_raises(text: bytes) -> None:
    for read in (payload.decode_base64, payload.decode_eight):
        assert isinstance(read(text), bytes | None)


@given(st.integers(40, 5000))
def test_a_full_frame_has_the_agreed_length(length: int) -> None:
    room = payload.raw_room(frames.data_body_room(length), eight=False)
    for lane in Lane:
        kind = frames.data_kind(lane, eight=False)
        frame = frames.encode(kind, frames.data_body(0, 0, bytes(room), eight=False), 0)
        assert length - 4 <= len(frame) <= length
