"""The masked form: how it is written, how one wrong bit and foreign text are put right, and how two ends come to use it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync import limits
from linesync.testing.fault_stages import Faults
from linesync.testing.virtual import VirtualLine
from linesync.wire.events import Damaged, Event, ForeignText, FrameFound
from linesync.wire.framing import frames, payload
from linesync.wire.framing.bit_repair import repaired
from linesync.wire.framing.check import check_text
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.foreign_text import Splicer
from linesync.wire.framing.frames import Lane
from linesync.wire.framing.payload import MaskedForm, decode_masked
from linesync.wire.framing.transparency import GROUPS, READ_SEVEN_BITS, TransparencyProbe

from .profiles import examples
from .traffic import NOISY, endless_bulk, ready, received, send_all

FLAGS = {"flags": "nm"}
_SEED = 77
_HARMED = st.sets(st.sampled_from(list(b"".join(GROUPS[:6]) + GROUPS[7])), max_size=70).map(bytes)

# -- the form ---------------------------------------------------------------------------------------------------------


@examples(300, 10_000)
@given(st.binary(max_size=700), _HARMED, st.integers(0, 70))
def test_a_payload_comes_back_whatever_is_escaped_and_under_any_mask(data: bytes, harmed: bytes, other: int) -> None:
    text = MaskedForm(harmed).encode(data, other)
    assert decode_masked(text) == data
    assert not set(text) & (set(harmed) | set(b"\n\r^"))


@examples(200, 10_000)
@given(st.integers(2, 3000), _HARMED, st.lists(st.integers(0, 255), min_size=1, max_size=5))
def test_what_fits_by_the_reckoning_fits_even_at_its_worst(text_room: int, harmed: bytes, few: list[int]) -> None:
    escapes = MaskedForm(harmed)
    worst = [byte for byte in escapes.bytes if byte & 3 == escapes.bytes[0] & 3]
    for values in (few, list(escapes.bytes), worst):
        data = bytes(values * (text_room // len(values) + 1))[: escapes.room(text_room)]
        assert len(escapes.encode(data)) <= text_room


@given(st.binary(max_size=600))
def test_reading_never_raises(text: bytes) -> None:
    assert isinstance(decode_masked(text), bytes | None)


def test_random_bytes_grow_by_less_than_one_in_150_and_text_stays_readable() -> None:
    data = random.Random(1).randbytes(20_000)
    assert len(MaskedForm().encode(data)) < len(data) * (1 + 1 / 150)
    assert MaskedForm().encode(b"usb 1-1: new device") == b"Ausb 1-1: new device"


# -- one wrong bit ----------------------------------------------------------------------------------------------------


@examples(200, 10_000)
@given(st.binary(min_size=1, max_size=300), st.integers(0, 2**32 - 1), st.data())
def test_one_wrong_bit_is_found_and_two_are_never_mistaken_for_one(text: bytes, seed: int, data: st.DataObject) -> None:
    check = check_text(text, seed)
    whole = bytearray(text + check)
    first = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[first // 8] ^= 1 << first % 8
    assert repaired(bytes(whole[:-6]), bytes(whole[-6:]), seed) == text
    second = data.draw(st.integers(0, 8 * len(text) - 1).filter(lambda bit: bit != first))
    if first < 8 * len(text):
        whole[second // 8] ^= 1 << second % 8
        assert repaired(bytes(whole[:-6]), bytes(whole[-6:]), seed) is None


def _bulk(data: bytes, harmed: bytes = b"") -> bytes:
    body = frames.masked_body(Lane.BULK, 3, 4, data, MaskedForm(harmed).encode(data))
    return frames.encode(b"B", body, _SEED)


def _decode(stream: bytes) -> tuple[list[Event], Decoder]:
    decoder = Decoder(longest=4160, eight=True)
    decoder.seeds = (_SEED,)
    return [*decoder.receive(stream, 0.0), *decoder.receive_eof()], decoder


def _payloads(events: list[Event]) -> list[bytes]:
    found = [frames.read_data(e.frame.kind, e.frame.body) for e in events if isinstance(e, FrameFound)]
    return [data.payload for data in found if data is not None]


@pytest.mark.parametrize("seed", range(40))
def test_a_bulk_frame_with_one_wrong_bit_is_put_right(seed: int) -> None:
    rng = random.Random(seed)
    data = rng.randbytes(rng.choice((40, 700, 1900)))
    text = bytearray(_bulk(data))
    bit = rng.randrange(8 * 5, 8 * (len(text) - 1))  # the start, the kind, the length: then it is not seen as a frame
    text[bit // 8] ^= 1 << bit % 8
    events, decoder = _decode(bytes(text) + _bulk(b"next"))
    assert _payloads(events) == [data, b"next"]
    assert decoder.repaired == 1 and decoder.framed == len(text) + len(_bulk(b"next"))
    assert not any(isinstance(event, Damaged | ForeignText) for event in events)


def test_what_the_second_check_does_not_confirm_is_not_put_right() -> None:
    text = MaskedForm().encode(b"some payload")
    body = frames.masked_body(Lane.BULK, 3, 4, b"another one", text)  # the second check of something else
    frame = bytearray(frames.encode(b"B", body, _SEED))
    frame[20] ^= 1
    events, decoder = _decode(bytes(frame))
    assert _payloads(events) == [] and decoder.repaired == 0


def test_frames_without_a_second_check_are_not_put_right() -> None:
    frame = bytearray(frames.encode(b"d", frames.data_body(3, 4, bytes(60), eight=False), _SEED))
    frame[30] ^= 1
    events, _ = _decode(bytes(frame))
    assert not any(isinstance(event, FrameFound) for event in events)


# -- foreign text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_two_kernel_messages_at_two_places_of_a_frame_are_taken_out(seed: int) -> None:
    rng = random.Random(seed)
    data = rng.randbytes(1500)
    frame = _bulk(data)
    first, second = sorted(rng.sample(range(8, len(frame) - 8), 2))
    one, two = b"[ 1.0] usb 1-1\r\n", b"[ 1.2] usb 1-1: new device %d\r\n" % seed
    events, _ = _decode(frame[:first] + one + frame[first:second] + two + frame[second:])
    assert _payloads(events) == [data]
    text = b"".join(event.data for event in events if isinstance(event, ForeignText))
    assert len(text) == len(one + two) and text.endswith(b"\r\n")


def test_the_search_for_two_texts_is_bounded() -> None:
    tried = 0

    def is_good(text: bytes) -> bool:
        nonlocal tried
        tried += 1
        return False

    piece = b"^" + b"a" * 199 + b"x\n" * 3 + b"a" * 1200 + b"y" * 900 + b"\n" * 5
    Splicer(1400, two_texts=True).look(piece, len(piece), is_good)
    assert 0 < tried < 2 * limits.FOREIGN_TRIES


# -- coming to use it -------------------------------------------------------------------------------------------------


def _form(line: VirtualLine) -> tuple[str, bytes]:
    session = line.a.link.session
    assert session is not None
    escapes = session.alphabet.escapes
    return session.form, escapes.bytes if escapes is not None else b""


@pytest.mark.parametrize(
    ("faults", "form", "harmed"),
    [
        (Faults(), "masked", b""),
        (Faults(eat_xonxoff=True), "masked", b"\x11\x13"),
        (Faults(seven_bit=True), "base64", b""),
        (NOISY, "masked", b""),
        (Faults(printk=2.0), "masked", b""),
        (Faults(delay=0.3), "masked", b""),
        (Faults(lf_to_crlf=True), "masked", b""),
    ],
)
def test_a_line_is_tried_and_what_it_harms_is_escaped(faults: Faults, form: str, harmed: bytes) -> None:
    line = ready(3, settle=6, faults=faults, local=FLAGS)
    assert _form(line) == (form, (payload.ALWAYS + harmed) if form == "masked" else b""), line.transcript()
    data = random.Random(2).randbytes(30_000)
    send_all(line, line.a, data)


def test_each_direction_has_its_own_form() -> None:
    line = ready(3, settle=4, faults=Faults(seven_bit=True), faults_ba=Faults(), local=FLAGS)
    assert line.a.link.session.form == "base64" and line.b.link.session.form == "masked"
    for end in line.ends:
        send_all(line, end, bytes(range(256)) * 40)


@pytest.mark.parametrize(("a", "b"), [("ne", "nem"), ("nem", "ne"), ("n", "n")])
def test_an_end_that_does_not_know_the_form_is_never_asked(a: str, b: str) -> None:
    line = ready(local_a={"flags": a}, local_b={"flags": b})
    send_all(line, line.a, bytes(range(256)) * 10)
    send_all(line, line.b, bytes(range(256)) * 10)
    assert {end.link.session.form for end in line.ends} == {"base64"}
    assert "V" not in line.transcript(1000).split()


def test_a_line_that_sets_the_eighth_bit_is_read_as_before() -> None:
    decoder = Decoder(longest=4160)
    decoder.seeds = (_SEED,)
    frame = frames.encode(b"d", frames.data_body(3, 4, b"hello", eight=False), _SEED)
    parity = bytes(byte | (byte.bit_count() & 1) << 7 for byte in frame)
    assert _payloads(decoder.receive(parity, 0.0)) == [b"hello"] and decoder.altered
    noise = bytes((frame[0], frame[1], frame[2], frame[3] | 0x80)) + frame[4:]
    decoder = Decoder(longest=4160)
    decoder.seeds = (_SEED,)
    assert _payloads(decoder.receive(noise, 0.0)) == [b"hello"] and not decoder.altered


@pytest.mark.parametrize("end", ["a", "b"])
def test_an_end_that_opens_its_line_anew_reads_as_before_and_is_asked_again(end: str) -> None:
    line = ready(5, settle=4, local=FLAGS)
    endless_bulk(line, line.a)
    line.run(1)
    one = line.a if end == "a" else line.b
    one.line_down()
    line.run(0.5)
    one.line_up()
    line.run(6)
    before = received(line.b)
    line.run(5)
    assert _form(line)[0] == "masked" and received(line.b) - before > 0.9 * 5 * 11520, line.transcript()


def test_a_line_that_turns_out_to_have_seven_bits_is_left_for_base64() -> None:
    line = ready(5, settle=4, local=FLAGS)
    assert _form(line)[0] == "masked"
    later = VirtualLine(5, faults=Faults(seven_bit=True), local=FLAGS)
    line.cable = later.cable  # the same ends on another cable, which neither has seen coming
    data = random.Random(3).randbytes(20_000)
    send_all(line, line.a, data, limit=300)
    assert _form(line)[0] == "base64"
    send_all(line, line.a, data, limit=60)


def test_what_is_not_answered_three_times_is_harmed_and_a_late_answer_changes_nothing() -> None:
    alphabet = TransparencyProbe(wanted=True)
    assert alphabet.next_try(1.0, 0.0) == (0, b"")
    alphabet.answered(3)  # nobody asked
    alphabet.answered(0)
    for now in (0.0, 1.0, 2.0):
        while (tried := alphabet.next_try(1.0, now)) is not None:
            if tried[0] not in (2, 3):
                alphabet.answered(tried[0])
        assert alphabet.escapes is None
        alphabet.handle_timer(now + 1.0)
    assert alphabet.escapes is not None and alphabet.escapes.bytes == payload.ALWAYS + b"\x00\x11\x13\x7f"
    alphabet.answered(3)
    assert alphabet.escapes.bytes == payload.ALWAYS + b"\x00\x11\x13\x7f" and not alphabet.waiting
    alphabet.revert_to_base64()
    assert alphabet.escapes is None and alphabet.next_try(1.0, 9.0) == (READ_SEVEN_BITS, b"") and not alphabet.waiting


# -- what it is good for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "least"),
    [
        (Faults(), 0.97),
        (Faults(ber=1e-5), 0.95),
        (Faults(ber=1e-4), 0.85),
        (Faults(ber=3e-4), 0.6),
        (Faults(eat_xonxoff=True), 0.965),
        (Faults(seven_bit=True), 0.73),
        (Faults(printk=1.0), 0.92),
    ],
)
def test_goodput_of_random_bytes(faults: Faults, least: float) -> None:
    line = ready(5, faults=faults, local=FLAGS, settle=5)
    for end in line.ends:
        endless_bulk(line, end)
    line.run(5)
    before = received(line.b)
    line.run(20)
    assert (received(line.b) - before) / 20 / 11520 >= least, line.transcript(20)


@pytest.mark.parametrize("quoted", [b"^DDAAAAAbcdefgh ^", b"^dL", b"^Th_U", b"a ^cD", b"^^ ~. ^a", b"^BDAAAAA"])
@pytest.mark.parametrize("at", [6, 9, 300, 700])
def test_a_kernel_message_that_quotes_a_frame_costs_neither_itself_nor_the_frame(at: int, quoted: bytes) -> None:
    data = random.Random(at).randbytes(700)
    frame = _bulk(data)
    text = b"[   12.345678] odd " + quoted + b";\r\n"
    events, _ = _decode(frame[:at] + text + frame[at:] + _bulk(b"next"))
    assert _payloads(events) == [data, b"next"]
    assert b"".join(event.data for event in events if isinstance(event, ForeignText)) == text


def test_a_frame_that_broke_off_before_another_costs_only_itself() -> None:
    frame = _bulk(random.Random(1).randbytes(700))
    events, _ = _decode(frame[:400] + b"\n" + _bulk(b"next") + _bulk(b"and the next"))
    assert _payloads(events) == [b"next", b"and the next"]
