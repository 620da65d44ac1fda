"""Two ends find out which bytes their line carries, and begin to use the masked form."""

from __future__ import annotations

import random

import pytest

from linesync.testing.faults import Faults
from linesync.testing.virtual_line import VirtualLine
from linesync.wire.framing import frames, payload
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.transparency import READ_SEVEN_BITS, TransparencyProbe

from ..kit.masked import FLAGS, SEED, payloads
from ..kit.traffic import NOISY, endless_bulk, ready, received, send_all


def _form(line: VirtualLine) -> tuple[str, bytes]:
    session = line.a.link.session
    assert session is not None
    escapes = session.transparency.escapes
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
def test_bytes_that_a_line_damages_are_found_and_escaped(faults: Faults, form: str, harmed: bytes) -> None:
    line = ready(3, settle=6, faults=faults, local=FLAGS)
    assert _form(line) == (form, (payload.ALWAYS + harmed) if form == "masked" else b""), line.transcript()
    data = random.Random(2).randbytes(30_000)
    send_all(line, line.a, data)


def test_each_direction_has_a_form_of_its_own() -> None:
    line = ready(3, settle=4, faults=Faults(seven_bit=True), faults_ba=Faults(), local=FLAGS)
    assert line.a.link.session.form == "base64" and line.b.link.session.form == "masked"
    for end in line.ends:
        send_all(line, end, bytes(range(256)) * 40)


@pytest.mark.parametrize(("a", "b"), [("ne", "nem"), ("nem", "ne"), ("n", "n")])
def test_an_end_that_does_not_know_the_masked_form_gets_no_tries(a: str, b: str) -> None:
    line = ready(local_a={"flags": a}, local_b={"flags": b})
    send_all(line, line.a, bytes(range(256)) * 10)
    send_all(line, line.b, bytes(range(256)) * 10)
    assert {end.link.session.form for end in line.ends} == {"base64"}
    assert "V" not in line.transcript(1000).split()


def test_frames_with_parity_bits_are_read_and_noticed() -> None:
    decoder = Decoder(longest=4160)
    decoder.seeds = (SEED,)
    frame = frames.encode(b"d", frames.data_body(3, 4, b"hello", eight=False), SEED)
    parity = bytes(byte | (byte.bit_count() & 1) << 7 for byte in frame)
    assert payloads(decoder.receive(parity, 0.0)) == [b"hello"] and decoder.altered
    noise = bytes((frame[0], frame[1], frame[2], frame[3] | 0x80)) + frame[4:]
    decoder = Decoder(longest=4160)
    decoder.seeds = (SEED,)
    assert payloads(decoder.receive(noise, 0.0)) == [b"hello"] and not decoder.altered


@pytest.mark.parametrize("end", ["a", "b"])
def test_an_end_that_reopens_its_line_reads_seven_bits_until_it_is_asked_again(end: str) -> None:
    line = ready(5, settle=4, local=FLAGS)
    endless_bulk(line, line.a)
    line.run(1)
    reopened = line.a if end == "a" else line.b
    reopened.line_down()
    line.run(0.5)
    reopened.line_up()
    line.run(6)
    before = received(line.b)
    line.run(5)
    assert _form(line)[0] == "masked" and received(line.b) - before > 0.9 * 5 * 11520, line.transcript()


def test_a_line_that_loses_its_eighth_bit_returns_to_base64() -> None:
    line = ready(5, settle=4, local=FLAGS)
    assert _form(line)[0] == "masked"
    later = VirtualLine(5, faults=Faults(seven_bit=True), local=FLAGS)
    line.cable = later.cable  # the same ends on another cable, which neither end knows
    data = random.Random(3).randbytes(20_000)
    send_all(line, line.a, data, limit=300)
    assert _form(line)[0] == "base64"
    send_all(line, line.a, data, limit=60)


def test_a_group_without_an_answer_to_three_tries_is_escaped() -> None:
    probe = TransparencyProbe(wanted=True)
    assert probe.next_try(1.0, 0.0) == (0, b"")
    probe.answered(3)  # an answer without a question
    probe.answered(0)
    for now in (0.0, 1.0, 2.0):
        while (tried := probe.next_try(1.0, now)) is not None:
            if tried[0] not in (2, 3):
                probe.answered(tried[0])
        assert probe.escapes is None
        probe.handle_timer(now + 1.0)
    assert probe.escapes is not None and probe.escapes.bytes == payload.ALWAYS + b"\x00\x11\x13\x7f"
    probe.answered(3)
    assert probe.escapes.bytes == payload.ALWAYS + b"\x00\x11\x13\x7f" and not probe.waiting
    probe.revert_to_base64()
    assert probe.escapes is None and probe.next_try(1.0, 9.0) == (READ_SEVEN_BITS, b"") and not probe.waiting
