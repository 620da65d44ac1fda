"""The link works on lines that add, change, lose or repeat bytes."""

from __future__ import annotations

import random
import re

import crcmod
import pytest

from linesync import limits
from linesync.testing.faults import Faults
from linesync.testing.virtual_line import VirtualLine
from linesync.wire.events import Damaged, Echo, ForeignText, FrameFound, LineBack, LineQuiet
from linesync.wire.framing import check, frames
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.frames import Lane

from .kit.traffic import NOISY, endless_bulk, ready, received, send_all

_PRINTK = b"[   12.345678] usb 1-1: new high-speed USB device number %d using xhci_hcd\r\n"


def _sent_bytes(line: VirtualLine) -> dict[str, bytearray]:
    """Return the bytes that each end hands to the line from now on."""
    sent = {"a": bytearray(), "b": bytearray()}
    feed = line.cable.feed

    def note(end: str, data: bytes, now: float) -> None:
        sent[end] += data
        feed(end, data, now)  # type: ignore[arg-type]

    line.cable.feed = note  # type: ignore[method-assign, assignment]
    return sent


# -- foreign text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"login: ", b"U-Boot 2023.01 (Jan)\r\n=> ", b"root@sut:~# ls^C\r\n", _PRINTK % 1])
def test_foreign_text_before_and_between_frames_reaches_the_console(text: bytes) -> None:
    line = VirtualLine(1)
    line.inject("b", text)
    line.inject("a", text)
    line.establish()
    line.run(2)
    line.inject("b", text)
    line.a.link.mux.send_message(0, b"after")
    line.run(1)
    assert bytes(line.b.text) == text * 2
    assert bytes(line.a.text) == text
    assert line.b.messages(0) == [b"after"]
    assert not line.a.noise and not line.b.noise


@pytest.mark.parametrize("at", range(5, 110, 7))
def test_foreign_lines_inside_a_frame_are_removed_immediately(at: int) -> None:
    frame = frames.encode(b"d", frames.data_body(3, 4, bytes(70), eight=False), 5)
    for text in (_PRINTK % 2, _PRINTK % 3 + _PRINTK % 4, b"x\n"):
        for chunk in (1, 7, 4096):
            stream = frame[:at] + text + frame[at:]
            events = _decode(stream, chunk)
            assert [e.frame.body for e in events if isinstance(e, FrameFound)] == [frame[4:-7]]
            assert b"".join(e.data for e in events if isinstance(e, ForeignText)) == text


@pytest.mark.parametrize("at", range(5, 110, 7))
@pytest.mark.parametrize("quoted", [b"^DDAAAAAbcdefgh ^", b"^dL", b"^Th_U", b"a ^cD", b"^^ ~. ^a"])
def test_neither_a_foreign_line_that_quotes_a_frame_nor_the_frame_around_it_is_lost(at: int, quoted: bytes) -> None:
    frame = frames.encode(b"d", frames.data_body(3, 4, bytes(70), eight=False), 5)
    text = b"[   12.345678] odd " + quoted + b";\r\n"
    for chunk in (1, 7, 4096):
        decoder = Decoder()
        decoder.seeds = (5,)
        stream = frame[:at] + text + frame[at:] + frame
        events = [
            event for i in range(0, len(stream), chunk) for event in decoder.receive(stream[i : i + chunk], i / 11520)
        ]
        assert [type(event) for event in events].count(FrameFound) == 2, (chunk, events)
        assert b"".join(event.data for event in events if isinstance(event, ForeignText)) == text, (chunk, events)


@pytest.mark.parametrize("outer_at", [10, 60, 99])
@pytest.mark.parametrize("kind", [b"K", b"A", b"c"])
def test_a_foreign_line_inside_an_inner_frame_and_both_frames_are_found(outer_at: int, kind: bytes) -> None:
    body = {b"K": b"", b"A": b"AAAAAABAACA", b"c": frames.data_body(3, 4, b"prompt", eight=False)}[kind]
    outer = frames.encode(b"d", frames.data_body(3, 4, bytes(70), eight=False), 5)
    inner, text = frames.encode(kind, body, 5), _PRINTK % 7
    start = len(inner) - len(body) - limits.CHECK_SIZE  # an incomplete header looks like foreign text
    for at in range(start, len(inner) - 1):
        decoder = Decoder()
        decoder.seeds = (5,)
        events = decoder.receive(outer[:outer_at] + inner[:at] + text + inner[at:] + outer[outer_at:], 0.0)
        assert [e.frame.kind for e in events if isinstance(e, FrameFound)] == [kind, b"d"], (at, events)
        assert b"".join(event.data for event in events if isinstance(event, ForeignText)) == text, (at, events)
        assert not any(isinstance(event, Damaged) for event in events), (at, events)


def test_text_inside_a_damaged_frame_is_reported_when_the_good_copy_arrives() -> None:
    line = ready()
    channel = line.a.link.mux.open(Lane.BULK, b"bulk")
    line.a.link.mux.send(channel, 0, line.random.randbytes(6000))
    line.run(0.1)
    line.inject("b", _PRINTK % 7)
    line.inject("b", b"\xff" * 3)  # the frame is damaged as well
    line.run(3)
    assert bytes(line.b.text) == _PRINTK % 7
    assert len(line.b.data(channel)) == 6000


@pytest.mark.long
def test_little_text_is_lost_and_none_is_doubled_under_bulk_load() -> None:
    printed = lost = 0
    for seed in range(5):
        line = ready(seed)
        endless_bulk(line, line.a)
        texts = [b"[%5d.%06d] eth%d: link is up\r\n" % (n, line.random.randrange(10**6), n) for n in range(12)]
        for text in texts:
            line.at(line.now + line.random.random() * 6, lambda line=line, text=text: line.inject("b", text))
        line.run(11)
        whole = bytes(line.b.text) + bytes(line.b.noise)
        assert all(whole.count(text) <= 1 for text in texts)
        printed += len(texts)
        lost += sum(text not in whole for text in texts)
    assert lost <= printed * 0.02, f"{lost} of {printed} lines lost, seeds 0 to 4"


def test_text_behind_a_held_piece_keeps_its_order() -> None:
    line = ready()
    uuid = b"disk 0123456789abcdef0123456789abcdef is up\r\n"
    for text in (uuid, b"second\r\n", b"third\r\n"):
        line.inject("b", text)
        line.run(0.05)
    line.run(3)
    assert bytes(line.b.text) == uuid + b"second\r\nthird\r\n"


def test_the_remains_of_damaged_frames_are_counted_as_noise() -> None:
    line = ready(3, faults=Faults(ber=3e-4))
    send_all(line, line.a, line.random.randbytes(60_000))
    line.run(3)
    b = line.b
    assert b.link.counters.damaged > 20
    assert b.link.counters.noise == len(b.noise)
    assert len(b.text) < len(b.noise) + 4000


# -- echo --------------------------------------------------------------------------------------------------------------


def test_frames_that_return_to_their_sender_are_ignored_and_counted_as_echo() -> None:
    line = VirtualLine(2, echo=True, grain=0.02)
    line.establish()
    for number in range(20):
        line.at(1 + number * 0.3, lambda n=number: line.a.link.mux.send_message(0, b"message %d" % n))
    line.run(9)
    assert line.b.messages(0) == [b"message %d" % n for n in range(20)]
    assert line.a.messages(0) == []
    assert line.a.link.counters.echo > 500
    assert line.a.link.counters.stray == line.a.link.counters.third == 0


def test_an_echo_is_recognised_by_its_seed() -> None:
    decoder = Decoder()
    decoder.seeds, decoder.echo_seeds = (5,), (9,)
    own = frames.encode(b"P", frames.poll_body(3), 9)
    assert decoder.receive(own, 0.0) == [Echo(len(own))]


# -- ttys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        Faults(seven_bit=True),
        Faults(eat_xonxoff=True),
        Faults(lf_to_crlf=True),
        Faults(lf_to_crlf=True, cr_to_lf=True),
        Faults(trim_blanks=True),
        Faults(add_blanks=3),
        Faults(seven_bit=True, eat_xonxoff=True, lf_to_crlf=True, add_blanks=2),
    ],
)
def test_lines_that_rewrite_bytes_carry_everything(faults: Faults) -> None:
    line = ready(3, faults=faults)
    every_byte = bytes(range(256)) * 20
    send_all(line, line.a, every_byte)
    send_all(line, line.b, every_byte)
    line.run(2.5)
    assert line.a.link.counters.damaged == line.b.link.counters.damaged == 0
    assert not bytes(line.b.noise).strip() and not bytes(line.b.text).strip()


def test_the_tries_of_a_line_that_removes_xon_and_xoff_are_neither_text_nor_noise() -> None:
    line = ready(3, faults=Faults(eat_xonxoff=True, lf_to_crlf=True), local={"flags": "nm"})
    send_all(line, line.a, bytes(range(256)) * 20)
    line.run(5)
    for end in line.ends:
        session = end.link.session
        assert session is not None and session.transparency.escapes is not None
        assert not bytes(end.noise).strip() and not bytes(end.text).strip()


def test_a_frame_with_parity_bits_and_inserted_controls_is_read() -> None:
    frame = frames.encode(b"d", frames.data_body(3, 4, b"hello", eight=False), 5)
    harmed = bytes(byte | 0x80 for byte in frame[:9]) + b"\x11\x13\x00\x7f" + frame[9:-1] + b"\r\n"
    assert [e.frame.body for e in _decode(harmed, 1) if isinstance(e, FrameFound)] == [frame[3:-7]]


def test_frames_are_printable_and_only_they_contain_the_start_character() -> None:
    line = VirtualLine(4)
    sent = _sent_bytes(line)
    line.establish()
    send_all(line, line.a, bytes(range(256)) * 40)
    line.a.link.mux.send_message(0, bytes(300))
    line.a.link.close("bye +++ ~.")
    line.run(1)
    for stream in map(bytes, sent.values()):
        assert set(stream) <= set(range(0x21, 0x7F)) | {0x0A}
        assert b"+++" not in stream and b"~" not in stream
    text = _without_nested(bytes(sent["a"]))
    assert all(part.startswith(b"^") and part.count(b"^") == 1 for part in text.splitlines())


def _without_nested(stream: bytes) -> bytes:
    return re.sub(rb"\^[A-Zc][^\n^]{0,126}\n", b"", stream)


@pytest.mark.parametrize("eight", [False, True])
def test_the_start_character_occurs_nowhere_else_in_any_form(eight: bool) -> None:
    body = frames.data_body(94, 4095, bytes(range(256)) * 3, eight=eight)
    frame = frames.encode(b"D" if eight else b"d", body, 0)
    assert frame.count(b"^") == 1 and frame.count(b"\n") == 1 and b"\r" not in frame


# -- short lines, short buffers ----------------------------------------------------------------------------------------


def test_the_first_frames_fit_into_128_bytes_and_grow_by_agreement() -> None:
    line = VirtualLine(5)
    lengths: list[int] = []
    line.a.link.trace = lambda way, kind, body, length: lengths.append(length) if way == "out" else None
    line.establish()
    before = max(length for length in lengths)
    line.run(2)
    assert before <= limits.BASIC_FRAME
    assert line.a.link.session.frame_sizer.agreed == 2048


def test_a_receiver_with_128_bytes_gets_no_frame_beyond_127() -> None:
    line = VirtualLine(6, local_b={"frame": 127})
    lengths: list[int] = []
    line.establish()
    line.a.link.trace = lambda way, kind, body, length: lengths.append(length) if way == "out" else None
    send_all(line, line.a, bytes(5000))
    assert max(lengths) <= 127


@pytest.mark.parametrize("limit", [300, 1100, 4096])
def test_frames_stay_below_the_length_at_which_a_line_cuts(limit: int) -> None:
    line = ready(7, settle=20, faults=Faults(line_limit=limit))
    agreed = line.a.link.session.frame_sizer.agreed
    assert agreed == max(size for size in (127, *limits.PROBE_SIZES) if size <= limit)
    send_all(line, line.a, line.random.randbytes(20_000))


# -- noise, cuts, a stuck line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_bit_errors_and_lost_and_doubled_bytes_and_bursts_cost_only_time(seed: int) -> None:
    line = ready(seed, faults=NOISY)
    send_all(line, line.a, line.random.randbytes(30_000))
    send_all(line, line.b, line.random.randbytes(10_000))


def test_a_cut_of_minutes_is_reported_and_the_session_continues() -> None:
    line = ready(9, faults=Faults(cuts=((4.0, 200.0),)))
    endless_bulk(line, line.a)
    line.run(20)
    assert line.a.seen(LineQuiet) and line.b.seen(LineQuiet)
    before = received(line.b)
    line.run_until(lambda: line.now > 204.0, 300)
    assert received(line.b) == before
    assert line.run_until(lambda: received(line.b) > before + 20_000, 8), line.transcript()
    assert line.a.seen(LineBack) and line.b.seen(LineBack)


def test_a_stuck_xoff_stops_the_line_but_not_the_session() -> None:
    line = ready(10, faults=Faults(stuck_xoff=((4.0, 30.0),)))
    channel = endless_bulk(line, line.a)
    line.run_until(lambda: line.now > 33.9, 60)
    # A stopped line does not fill memory with bytes that cannot be taken back.
    assert line.cable.ab.waiting < 16_000
    before = received(line.b)
    line.run(8)
    assert received(line.b) > before + 20_000, line.transcript()
    assert line.a.link.mux.is_open(channel)


# -- the check ---------------------------------------------------------------------------------------------------------


def test_the_check_is_the_crc_32_of_crcmod() -> None:
    reference = crcmod.mkCrcFun(**check.CRC32)
    assert reference(b"123456789") == 0xCBF43926
    assert reference(b"123456789") == crcmod.predefined.mkCrcFun("crc-32")(b"123456789")
    rng = random.Random(6)
    for _ in range(200):
        text, seed = rng.randbytes(rng.randrange(300)), rng.getrandbits(32)
        assert frames.crc(text, seed) == reference(text, seed)


def test_no_damaged_frame_is_accepted() -> None:
    rng = random.Random(66)
    good = [frames.encode(b"d", frames.data_body(n, n, rng.randbytes(60), eight=False), 5) for n in range(50)]
    bodies = {frame[4:-7] for frame in good}
    decoder = Decoder()
    decoder.seeds = (5,)
    damaged = 0
    for _ in range(20_000):
        frame = bytearray(rng.choice(good))
        for _ in range(rng.randint(1, 4)):
            frame[rng.randrange(1, len(frame))] ^= 1 << rng.randrange(7)
        for event in decoder.receive(frame + b"\n\n", 0.0) + decoder.receive_eof():
            damaged += isinstance(event, Damaged)
            if isinstance(event, FrameFound):
                assert event.frame.body in bodies  # only the newline or the unused bits of the last digit were damaged
    assert damaged > 10_000


def _decode(stream: bytes, chunk: int) -> list[object]:
    decoder = Decoder()
    decoder.seeds = (5,)
    out: list[object] = []
    for at in range(0, len(stream), chunk):
        out += decoder.receive(stream[at : at + chunk], 0.0)
    return out + decoder.receive_eof()
