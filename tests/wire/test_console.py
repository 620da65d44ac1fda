"""The console text of a line: the foreign text in order, without the remains of damaged frames."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from linesync import limits
from linesync.wire.console import Console
from linesync.wire.events import Damaged, Event, ForeignText, Noise
from linesync.wire.framing import frames, transparency
from linesync.wire.framing.foreign_text import Splicer, Verdict

_PRINTK = b"[   12.345678] usb 1-1: new high-speed USB device\r\n"
_FRAME = frames.encode(b"d", frames.data_body(3, 4, random.Random(1).randbytes(300), eight=False), 5)
_GOOD = _FRAME[1:-7]  # from the kind on, without the check


def _text(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, ForeignText))


def splice_out(piece: bytes, total: int, is_good: Callable[[bytes], bool]) -> Verdict:
    return Splicer(total).look(piece, len(piece), is_good)


def test_text_is_reported_immediately_and_a_word_at_its_end_soon() -> None:
    console = Console()
    assert console.sort(ForeignText(b"login: "), 0.0) == [ForeignText(b"login: ")]
    assert console.sort(ForeignText(b"root"), 0.0) == []
    due = console.next_timer()
    assert due is not None and due <= limits.FRAME_PATIENCE
    assert console.handle_timer(due) == [ForeignText(b"root")]
    assert console.next_timer() is None


def test_a_damaged_piece_is_held_until_its_good_copy_arrives() -> None:
    console = Console()
    piece = b"^" + _FRAME[1:50] + b"#" + _FRAME[51:100] + _PRINTK + _FRAME[100:]
    assert console.sort(Damaged(piece), 0.0) == []
    assert console.good_copy(b"dhA" + b"something else entirely" * 9) == []
    assert console.good_copy(_GOOD) == [ForeignText(_PRINTK)]
    assert not console.holds and console.pending == 0


def test_a_damaged_piece_whose_good_copy_never_arrives_is_noise() -> None:
    console = Console()
    console.sort(Damaged(b"^d garbage \n"), 0.0)
    assert console.handle_timer(limits.HELD_TIME - 0.01) == []
    assert console.handle_timer(limits.HELD_TIME) == [Noise(b"^d garbage \n")]


def test_a_damaged_control_frame_is_noise_immediately() -> None:
    assert Console().sort(Damaged(b"^KAzzzzzz\n"), 0.0) == [Noise(b"^KAzzzzzz\n")]


@pytest.mark.parametrize("group", range(1, 9))
def test_a_try_without_its_bytes_is_not_shown_because_the_line_was_expected_to_remove_them(group: int) -> None:
    tried = transparency.GROUPS[group - 1]
    sent = frames.encode(b"V", frames.try_body(group, tried), 5)
    for arrived in (sent.replace(tried, b""), sent.replace(tried, bytes(byte & 127 for byte in tried))):
        if arrived != sent:
            console = Console()
            assert console.sort(Damaged(arrived), 0.0) == [] and not console.holds, arrived
            assert console.explained == len(arrived)
    text = sent.replace(tried, b"usb 1-1: new device")
    assert Console().sort(Damaged(text), 0.0) == [Noise(text)]


def test_a_frame_with_a_damaged_start_is_not_text_if_its_good_copy_arrives() -> None:
    console = Console()
    events = console.sort(ForeignText(_FRAME[1:]), 0.0) + console.good_copy(_GOOD)
    assert _text(events + console.flush()) == b""


def test_text_that_resembles_a_frame_is_reported_after_a_time() -> None:
    console = Console()
    line = b"d41d8cd98f00b204e9800998ecf8427e  empty\n"
    events = console.sort(ForeignText(line), 0.0)
    assert _text(events + console.handle_timer(limits.HELD_TIME)) == line


def test_text_behind_a_held_piece_waits_with_it() -> None:
    console = Console()
    first = b"^" + _FRAME[1:50] + b"#" + _FRAME[51:90] + b"one\r\n\r\n" + _FRAME[90:]
    events = console.sort(Damaged(first), 0.0)
    events += console.sort(ForeignText(b"two\r\n"), 0.1)
    assert events == []
    assert _text(console.good_copy(_GOOD)) == b"one\r\n\r\ntwo\r\n"


def test_held_pieces_are_bounded_in_number_and_bytes() -> None:
    console, reported = Console(), 0
    for number in range(200):
        events = console.sort(Damaged(b"^d" + b"%d " % number * 300), 0.0)
        reported += sum(len(event.data) for event in events)  # type: ignore[attr-defined]
        assert console.pending <= limits.HELD_BYTES
    assert reported > 100_000


@pytest.mark.parametrize("rest", [b"iggAOENktw\n", b".nemza.BBjfiggAHtduKw\r\n"])
def test_the_rest_of_a_frame_at_the_beginning_of_a_line_is_noise(rest: bytes) -> None:
    console = Console()
    assert console.sort(ForeignText(rest + b"login: "), 0.0) == [Noise(rest), ForeignText(b"login: ")]
    assert _text(console.sort(ForeignText(rest), 0.0)) == rest, "later the same bytes are text"


@pytest.mark.parametrize("first", [b"Booting\n", b"hello\n", b"1234567\n", b"Starting kernel ...\n", b"\n"])
def test_a_word_at_the_beginning_of_a_line_is_text(first: bytes) -> None:
    assert _text(Console().sort(ForeignText(first), 0.0)) == first


@pytest.mark.parametrize("at", [30, 127, 900])
def test_text_behind_an_incomplete_probe_is_reported(at: int) -> None:
    probe = frames.encode(frames.PROBE, frames.probe_body(2048), 5)
    panic = b"[    9.114953] sysrq: Trigger a crash\r\n[    9.119724] Kernel panic - not syncing\r\n"
    console = Console()
    events = console.sort(Damaged(probe[:at] + panic), 0.0) + console.flush()
    assert _text(events) == panic
