"""The repair of one wrong bit in a frame that has a second check."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync.wire.events import Damaged, ForeignText, FrameFound
from linesync.wire.framing import frames
from linesync.wire.framing.bit_repair import repair_bit
from linesync.wire.framing.check import check_text
from linesync.wire.framing.frames import Lane
from linesync.wire.framing.payload import MaskedForm

from ..kit.masked import SEED, bulk_frame, decode, payloads
from ..kit.profiles import examples


@examples(200, 10_000)
@given(st.binary(min_size=1, max_size=300), st.integers(0, 2**32 - 1), st.data())
def test_one_wrong_bit_is_repaired_and_two_are_not(text: bytes, seed: int, data: st.DataObject) -> None:
    check = check_text(text, seed)
    whole = bytearray(text + check)
    first = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[first // 8] ^= 1 << first % 8
    assert repair_bit(bytes(whole[:-6]), bytes(whole[-6:]), seed) == text
    second = data.draw(st.integers(0, 8 * len(text) - 1).filter(lambda bit: bit != first))
    if first < 8 * len(text):
        whole[second // 8] ^= 1 << second % 8
        assert repair_bit(bytes(whole[:-6]), bytes(whole[-6:]), seed) is None


@pytest.mark.parametrize("seed", range(40))
def test_a_masked_bulk_frame_with_one_wrong_bit_is_repaired(seed: int) -> None:
    rng = random.Random(seed)
    data = rng.randbytes(rng.choice((40, 700, 1900)))
    text = bytearray(bulk_frame(data))
    # A frame with a wrong start, kind or length is not recognised, so the wrong bit is behind these.
    bit = rng.randrange(8 * 5, 8 * (len(text) - 1))
    text[bit // 8] ^= 1 << bit % 8
    events, decoder = decode(bytes(text) + bulk_frame(b"next"))
    assert payloads(events) == [data, b"next"]
    assert decoder.repaired == 1 and decoder.framed == len(text) + len(bulk_frame(b"next"))
    assert not any(isinstance(event, Damaged | ForeignText) for event in events)


def test_a_frame_with_a_wrong_second_check_is_not_repaired() -> None:
    text = MaskedForm().encode(b"some payload")
    body = frames.masked_body(Lane.BULK, 3, 4, b"another one", text)  # the second check of another payload
    frame = bytearray(frames.encode(b"B", body, SEED))
    frame[20] ^= 1
    events, decoder = decode(bytes(frame))
    assert payloads(events) == [] and decoder.repaired == 0


def test_a_frame_without_a_second_check_is_not_repaired() -> None:
    frame = bytearray(frames.encode(b"d", frames.data_body(3, 4, bytes(60), eight=False), SEED))
    frame[30] ^= 1
    events, _ = decode(bytes(frame))
    assert not any(isinstance(event, FrameFound) for event in events)
