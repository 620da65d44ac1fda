"""The masked form of a payload."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from linesync.wire.framing.payload import MaskedForm, decode_masked

from ..kit.masked import HARMED
from ..kit.profiles import examples


@examples(300, 10_000)
@given(st.binary(max_size=700), HARMED, st.integers(0, 70))
def test_a_payload_is_read_as_it_was_written_under_any_mask_and_escapes(data: bytes, harmed: bytes, other: int) -> None:
    text = MaskedForm(harmed).encode(data, other)
    assert decode_masked(text) == data
    assert not set(text) & (set(harmed) | set(b"\n\r^"))


@examples(200, 10_000)
@given(st.integers(2, 3000), HARMED, st.lists(st.integers(0, 255), min_size=1, max_size=5))
def test_the_computed_room_suffices_in_the_worst_case(text_room: int, harmed: bytes, few: list[int]) -> None:
    escapes = MaskedForm(harmed)
    worst = [byte for byte in escapes.bytes if byte & 3 == escapes.bytes[0] & 3]
    for values in (few, list(escapes.bytes), worst):
        data = bytes(values * (text_room // len(values) + 1))[: escapes.room(text_room)]
        assert len(escapes.encode(data)) <= text_room


@given(st.binary(max_size=600))
def test_reading_the_masked_form_of_any_bytes_never_raises(text: bytes) -> None:
    assert isinstance(decode_masked(text), bytes | None)


def test_random_bytes_grow_by_less_than_one_150th_and_text_stays_readable() -> None:
    data = random.Random(1).randbytes(20_000)
    assert len(MaskedForm().encode(data)) < len(data) * (1 + 1 / 150)
    assert MaskedForm().encode(b"usb 1-1: new device") == b"Ausb 1-1: new device"
