"""Foreign text in masked bulk frames, whose second check permits more repairs."""

from __future__ import annotations

import random

import pytest

from linesync import limits
from linesync.wire.events import ForeignText
from linesync.wire.framing.foreign_text import Splicer

from ..kit.masked import bulk_frame, decode, payloads


@pytest.mark.parametrize("seed", range(30))
def test_two_kernel_messages_at_two_places_in_a_frame_are_removed(seed: int) -> None:
    rng = random.Random(seed)
    data = rng.randbytes(1500)
    frame = bulk_frame(data)
    first, second = sorted(rng.sample(range(8, len(frame) - 8), 2))
    one, two = b"[ 1.0] usb 1-1\r\n", b"[ 1.2] usb 1-1: new device %d\r\n" % seed
    events, _ = decode(frame[:first] + one + frame[first:second] + two + frame[second:])
    assert payloads(events) == [data]
    text = b"".join(event.data for event in events if isinstance(event, ForeignText))
    assert len(text) == len(one + two) and text.endswith(b"\r\n")


def test_a_search_for_two_texts_computes_a_bounded_number_of_checks() -> None:
    tried = 0

    def is_good(text: bytes) -> bool:
        nonlocal tried
        tried += 1
        return False

    piece = b"^" + b"a" * 199 + b"x\n" * 3 + b"a" * 1200 + b"y" * 900 + b"\n" * 5
    Splicer(1400, two_texts=True).look(piece, len(piece), is_good)
    assert 0 < tried < 2 * limits.FOREIGN_TRIES


@pytest.mark.parametrize("quoted", [b"^DDAAAAAbcdefgh ^", b"^dL", b"^Th_U", b"a ^cD", b"^^ ~. ^a", b"^BDAAAAA"])
@pytest.mark.parametrize("at", [6, 9, 300, 700])
def test_neither_a_kernel_message_that_quotes_a_frame_nor_the_frame_around_it_is_lost(at: int, quoted: bytes) -> None:
    data = random.Random(at).randbytes(700)
    frame = bulk_frame(data)
    text = b"[   12.345678] odd " + quoted + b";\r\n"
    events, _ = decode(frame[:at] + text + frame[at:] + bulk_frame(b"next"))
    assert payloads(events) == [data, b"next"]
    assert b"".join(event.data for event in events if isinstance(event, ForeignText)) == text


def test_an_incomplete_frame_does_not_harm_the_next_frame() -> None:
    frame = bulk_frame(random.Random(1).randbytes(700))
    events, _ = decode(frame[:400] + b"\n" + bulk_frame(b"next") + bulk_frame(b"and the next"))
    assert payloads(events) == [b"next", b"and the next"]
