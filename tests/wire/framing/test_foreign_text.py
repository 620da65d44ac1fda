"""The separation of foreign text from a frame: immediately, or later with the help of the good copy."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from linesync import limits
from linesync.wire.events import Event, ForeignText
from linesync.wire.framing import frames
from linesync.wire.framing.foreign_text import Splicer, Verdict, difference, lines_beside, whole_lines

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
    # A foreign line end directly before the frame's own line end cannot be distinguished from it.
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
    damage = {"flip": bytes([piece[hit] ^ 4]), "drop": b"", "double": piece[hit : hit + 1] * 2, "burst": b"\xff" * 3}[
        how
    ]
    piece[hit : hit + (3 if how == "burst" else 1)] = damage
    at += (len(damage) - (3 if how == "burst" else 1)) if at > hit else 0
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


_MESSAGES = (
    b"[    1.500000] x;\r\n",
    _PRINTK,
    b"\n",
    b"[   12.000000] sha256 0123456789abcdef01234567\n",
    b"[ 2.0] ^a ^dB\r\n",
)


@given(st.lists(st.tuples(st.integers(0, len(_FRAME) - 1), st.sampled_from(_MESSAGES)), min_size=1, max_size=12))
def test_all_lines_inside_a_frame_are_found_however_close_they_are(places: list[tuple[int, bytes]]) -> None:
    piece, last = b"", 0
    for at, text in sorted(places, key=lambda place: place[0]):
        piece, last = piece + _FRAME[last:at] + text, at
    piece += _FRAME[last:]
    # A blank line exactly before the frame's newline cannot be distinguished from it, so its place among the lines may differ.
    found = whole_lines(piece, _FRAME[: -1 - limits.CHECK_SIZE])
    assert found is not None
    assert sorted(found.splitlines()) == sorted(b"".join(text for _, text in places).splitlines())


def test_a_piece_with_other_damage_is_not_divided_into_lines() -> None:
    piece = _FRAME[:50] + _PRINTK + _FRAME[50:]
    assert whole_lines(piece, _FRAME[:-7]) == _PRINTK
    assert whole_lines(piece.replace(_FRAME[200:204], b"####"), _FRAME[:-7]) is None
    assert whole_lines(_FRAME, _FRAME[:-7]) is None


@pytest.mark.parametrize("digit", [b"A", b"AB"])
def test_dividing_a_repetitive_piece_takes_a_bounded_time(digit: bytes) -> None:
    good = b"^dsU" + digit * 600
    piece = b"^dsU" + (digit * 80 + b"\n") * 10 + b"#"
    start = time.process_time()
    assert whole_lines(piece, good[:500]) is None
    assert time.process_time() - start < 0.5  # it usually takes a hundredth of this time


@pytest.mark.parametrize("count", [1, 2, 3])
def test_lines_inside_a_control_frame_are_found_without_a_good_copy(count: int) -> None:
    frame = frames.encode(b"K", b"AAAA", 5)
    for at in range(3, len(frame) - 1 - count):
        cut = [frame[:at], *(frame[at + n : at + n + 1] for n in range(count - 1)), frame[at + count - 1 :]]
        assert lines_beside(_PRINTK.join(cut)) == _PRINTK * count


def test_the_first_message_of_a_panic_is_found_beside_the_incomplete_frame() -> None:
    panic = b"[ 6.7] sysrq: Trigger a crash\r\n[ 6.8] Kernel panic - not syncing\r\n"
    assert lines_beside(_FRAME[:70] + panic) == panic


@pytest.mark.parametrize("at", [20, 70, 300])
def test_a_frame_with_other_damage_is_not_a_line_of_text(at: int) -> None:
    for damage in (b"#", b" ", b"", b"##", b"# #"):
        assert lines_beside(_FRAME[:at] + damage + _FRAME[at + 1 :]) is None


def test_all_lines_of_a_panic_inside_a_frame_are_found_although_the_frame_stops_there() -> None:
    good = frames.encode(frames.PROBE, frames.probe_body(1024), 0)[1 : -limits.CHECK_SIZE - 1]
    first, panic = b"[   12.0] noise;\r\n", b"".join(b"[   13.%d] panic+0x%d/0x80\r\n" % (n, n) for n in range(60))
    piece = good[:300] + first + good[300:340] + panic
    assert whole_lines(piece, good) == first + panic


@pytest.mark.parametrize("hit", [100, 300])
def test_a_frame_that_continues_after_a_damaged_byte_does_not_count_as_stopped(hit: int) -> None:
    good = frames.encode(frames.PROBE, frames.probe_body(1024), 0)[1 : -limits.CHECK_SIZE - 1]
    assert whole_lines(good[:hit] + b" " + good[hit + 1 : 500] + b"[   13.0] panic\r\n", good) is None


def test_an_incomplete_message_inside_a_frame_is_found() -> None:
    good = frames.encode(frames.PROBE, frames.probe_body(256), 0)[1 : -limits.CHECK_SIZE - 1]
    messages = b"[   12.0] sha256 0123456789abcdef0123456789abcdef;\r\n[   13.0] noise "
    assert whole_lines(good[:100] + messages, good) == messages
