"""Separating foreign text from a frame: immediately, and by comparing with the good copy later."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from linesync import limits
from linesync.wire.events import Event, ForeignText
from linesync.wire.framing import frames
from linesync.wire.framing.foreign_text import Splicer, Verdict, difference

_PRINTK = b"[   12.345678] usb 1-1: new high-speed USB device\r\n"
_FRAME = frames.encode(b"d", frames.data_body(3, 4, random.Random(1).randbytes(300), eight=False), 5)
_GOOD = _FRAME[1:-7]  # from the kind on, without the check


def _text(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, ForeignText))


def splice_out(piece: bytes, total: int, is_good: Callable[[bytes], bool]) -> Verdict:
    return Splicer(total).look(piece, len(piece), is_good)


@given(st.integers(2, len(_FRAME) - 2), st.lists(st.sampled_from((b"x\n", _PRINTK, b"oops\r")), min_size=1, max_size=4))
def test_whole_foreign_lines_inside_a_frame_are_removed(at: int, lines: list[bytes]) -> None:
    text = b"".join(lines)
    # A line end exactly where the frame's own is expected is taken for that one.
    assume(at + len(lines[0].rstrip()) != len(_FRAME) - 1)
    piece = _FRAME[:at] + text + _FRAME[at:]
    verdict = splice_out(piece + b"next", len(_FRAME) - 1, lambda frame: frame == _FRAME[:-1])
    assert verdict.frame == _FRAME[:-1]
    assert piece[verdict.text_start : verdict.text_end] == text
    assert verdict.end == len(piece)


def test_a_damaged_frame_without_foreign_text_is_given_up_at_its_own_newline() -> None:
    verdict = splice_out(b"^" + b"#" * (len(_FRAME) - 2) + b"\n", len(_FRAME) - 1, lambda frame: False)
    assert verdict.hopeless and verdict.end == len(_FRAME)


@given(st.binary(max_size=3000), st.integers(10, 500))
def test_a_search_computes_a_bounded_number_of_checks(piece: bytes, total: int) -> None:
    tries = 0

    def never(frame: bytes) -> bool:
        nonlocal tries
        tries += 1
        return False

    splice_out(piece, total, never)
    assert tries <= limits.FOREIGN_LINES * (limits.FOREIGN_LINES + 1)


@given(
    st.integers(0, len(_FRAME) - 2),
    st.integers(1, len(_GOOD) - 1),
    st.sampled_from(("flip", "drop", "double", "burst")),
)
def test_bytes_that_are_not_in_the_good_copy_are_text(at: int, hit: int, how: str) -> None:
    piece = bytearray(_FRAME[1:])
    if abs(at - hit) < 24:
        return  # the damage is next to the text, so they cannot be distinguished
    harm = {"flip": bytes([piece[hit] ^ 4]), "drop": b"", "double": piece[hit : hit + 1] * 2, "burst": b"\xff" * 3}[how]
    piece[hit : hit + (3 if how == "burst" else 1)] = harm
    at += (len(harm) - (3 if how == "burst" else 1)) if at > hit else 0
    piece[at:at] = _PRINTK
    share, text, _ = difference(bytes(piece), _GOOD)
    assert text == _PRINTK
    assert share > 0.95


@pytest.mark.parametrize("payload", [bytes(1500), b"ab" * 700, bytes(range(256)) * 6])
def test_comparing_a_repetitive_payload_is_fast_and_finds_no_text(payload: bytes) -> None:
    good = frames.encode(b"d", frames.data_body(3, 4, payload, eight=False), 5)[1:]
    for hit in range(10, len(good) - 20, 31):
        piece = good[:hit] + b"#" + good[hit + 1 :]
        share, text, _ = difference(piece, good[:-7])
        assert text == b"" and share > 0.9


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_comparing_any_bytes_never_raises_and_accounts_for_each_byte(damaged: bytes, good: bytes) -> None:
    share, text, noise = difference(damaged, good)
    assert 0 <= share <= 1
    assert len(text) + noise <= len(damaged) + 1
