"""Compressed records: they take fewer bytes, their content arrives unchanged, and a peer cannot abuse them."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import rule

from linesync import limits
from linesync.wire.channels.compression import (
    PRESET,
    DataCompressor,
    DataDecompressor,
    TextCompressor,
    TextDecompressor,
)
from linesync.wire.channels.mux import Mux
from linesync.wire.events import ChannelClosed, ChannelData, ChannelMessage, ChannelOpened, Event
from linesync.wire.framing import frames
from linesync.wire.framing.frames import Lane

from ..kit.compression import CREDIT, NOISE, OPENED, PROSE, carry, data_of, messages_of, pair, record
from ..kit.profiles import examples
from ..kit.traffic import ready, send_all
from .test_mux import MuxMachine

# -- integrity ---------------------------------------------------------------------------------------------------------

_WORDS = (b"sem", b"ok", b"barrier up", b"-", b"%20", b"{", b"007", b"0", b"1.", b"")


class CompressedMuxMachine(MuxMachine):
    """The tests of :class:`MuxMachine` with compression, and with texts that repeat earlier texts with other numbers."""

    credit = 1500

    def pair(self) -> tuple[Mux, Mux]:
        return pair(self.credit)

    @rule(
        side=st.integers(0, 1),
        which=st.integers(0, 5),
        words=st.lists(st.one_of(st.sampled_from(_WORDS), st.integers(0, 10**10).map(lambda n: b"%d" % n)), max_size=9),
    )
    def send_text(self, side: int, which: int, words: list[bytes]) -> None:
        number = self.open[side][which % len(self.open[side])]
        if number not in self.over:
            text = b" ".join(words)
            self.muxes[side].send_message(number, text)
            self._note_sent(side, number, "message", text)

    @rule(side=st.integers(0, 1), which=st.integers(1, 5), stream=st.integers(0, 3), size=st.integers(1, 3000))
    def send_prose(self, side: int, which: int, stream: int, size: int) -> None:
        number = self.open[side][which % len(self.open[side])]
        if number and number not in self.over:
            self.muxes[side].send(number, stream, PROSE[:size])
            self._note_sent(side, number, stream, PROSE[:size])

    @rule(side=st.integers(0, 1), count=st.integers(0, 40))
    def open_another(self, side: int, count: int) -> None:
        if len(self.open[side]) < 6:
            words = b"run sut /bin/true %d" % count
            number = self.muxes[side].open(Lane.BULK, words)
            self.open[side].append(number)
            self._note_sent(side, number, "open", words)


TestCompressedMuxMachine = CompressedMuxMachine.TestCase
TestCompressedMuxMachine.settings = examples(60, 3000, steps=40)


@given(st.lists(st.tuples(st.sampled_from((b"%d.%d sem x -%d", b"%d ok %d%d", b"- gone %d %d \xff %d")),
                          st.tuples(*[st.integers(0, 2**34)] * 3)), max_size=30))  # fmt: skip
def test_recalled_texts_arrive_unchanged(sent: list[tuple[bytes, tuple[int, int, int]]]) -> None:
    writer, reader = TextCompressor(), TextDecompressor()
    for template, numbers in sent:
        text = template % numbers
        code = writer.recall(text, 100)
        if code is not None:
            assert reader.recall(b"before" + code.rstrip(b"\0"), 6) == (text, 6 + len(code.rstrip(b"\0")))
            assert len(code) <= len(text)
            continue
        piece = writer.compress(text, 1000, last=True)
        if piece is not None:
            assert reader.expand(piece, len(text)) == text
            reader.remember(text)


@given(st.lists(st.integers(1, 5000), max_size=12), st.lists(st.integers(1, 700), min_size=1), st.booleans())
def test_data_divided_before_and_after_compression_arrives_unchanged(
    takes: list[int], cuts: list[int], noise: bool
) -> None:
    source, compressor, decompressor, at, out = (
        NOISE if noise else PROSE,
        DataCompressor(),
        DataDecompressor(),
        0,
        b"",
    )
    for number, size in enumerate(takes):
        piece = source[at : at + size]
        if not compressor.put(piece):
            continue
        at += size
        while compressor.out:
            data = decompressor.take(compressor.take(cuts[number % len(cuts)]), 5000)
            assert data is not None
            out += data
    assert out == source[:at]


def test_streams_messages_and_the_end_of_a_channel_keep_their_order() -> None:
    a, b = pair()
    number = a.open(Lane.BULK, b"run sut sh")
    arrived: list[bytes] = []
    for turn in range(20):
        a.send(number, turn % 3, PROSE[turn * 50 : turn * 50 + 900])
        if turn % 4 == 3:
            a.send_message(number, b"so far %d" % turn)
    a.end(number)
    events, _ = carry(a, b, room=300)
    for event in events:
        if isinstance(event, ChannelData):
            arrived += [bytes((byte,)) + b"%d" % event.stream for byte in event.data]
        elif isinstance(event, ChannelMessage):
            arrived.append(event.data)
    sent = []
    for turn in range(20):
        sent += [bytes((byte,)) + b"%d" % (turn % 3) for byte in PROSE[turn * 50 : turn * 50 + 900]]
        if turn % 4 == 3:
            sent.append(b"so far %d" % turn)
    assert arrived == sent


def test_a_reset_channel_does_not_disturb_the_others() -> None:
    a, b = pair()
    first, second = a.open(Lane.BULK, b"put sut a"), a.open(Lane.BULK, b"put sut b")
    a.send(first, 0, PROSE)
    a.send(second, 0, PROSE)
    a.send_message(first, b"done " + PROSE[:5000])
    for _ in range(3):
        assert b.receive(Lane.BULK, a.next_payload(Lane.BULK, 500))
    a.reset(first, "enough")
    events, _ = carry(a, b)
    events = b.events + events
    assert [event.reason for event in events if isinstance(event, ChannelClosed)] == ["enough"]
    came = b"".join(event.data for event in events if isinstance(event, ChannelData) and event.channel == second)
    assert came == PROSE
    third = a.open(Lane.BULK, b"put sut c")
    a.send_message(third, b"done 7")
    assert messages_of(carry(a, b)[0]) == [b"done 7"]


def test_texts_for_a_closed_channel_still_enter_the_common_history() -> None:
    a, b = pair()
    number = a.open(Lane.PROMPT, b"x")
    carry(a, b)
    b.reset(number, "no")
    a.send_message(number, b"sent into the void 1")
    a.send_message(number, b"sent into the void 2")
    a.send_message(0, b"sent into the void 3")
    assert messages_of(carry(a, b)[0]) == [b"sent into the void 3"]


# -- size --------------------------------------------------------------------------------------------------------------


def test_a_repeated_request_and_its_reply_take_two_bytes_each() -> None:
    a, b = pair()
    sizes = []
    for number in range(5, 9):
        a.send_message(0, b"%d.2 sem ready -1" % number)
        events, request_size = carry(a, b)
        assert messages_of(events) == [b"%d.2 sem ready -1" % number]
        b.send_message(0, b"%d.2 ok 0" % number)
        events, reply_size = carry(b, a)
        assert messages_of(events) == [b"%d.2 ok 0" % number]
        sizes.append((request_size, reply_size))
    assert sizes[0][0] > 10
    assert sizes[1:] == [(2, 2)] * 3


def test_opening_a_channel_for_the_same_command_again_takes_three_bytes() -> None:
    a, b = pair()
    for turn in range(3):
        a.open(Lane.BULK, b"run sut /bin/true")
        events, size = carry(a, b)
        assert [event.words for event in events if isinstance(event, ChannelOpened)] == [b"run sut /bin/true"]
        assert size <= 3 or turn == 0


def test_prose_shrinks_in_frames_nearly_as_much_as_in_one_piece() -> None:
    a, b = pair()
    number = a.open(Lane.BULK, b"put sut a")
    carry(a, b)
    a.send(number, 0, PROSE)
    events, size = carry(a, b)
    assert data_of(events) == PROSE
    assert size < 1.1 * len(zlib.compress(PROSE, 9))


def test_data_that_does_not_shrink_takes_few_bytes_more_than_without_compression() -> None:
    a, b = pair(1 << 21)
    c, d = pair(1 << 21, compress=False)
    sizes = []
    for sender, receiver in ((a, b), (c, d)):
        number = sender.open(Lane.BULK, b"put sut a")
        carry(sender, receiver)
        sender.send(number, 0, NOISE)
        events, size = carry(sender, receiver)
        assert data_of(events) == NOISE
        sizes.append(size)
    assert sizes[0] < 1.001 * sizes[1]


def test_compression_resumes_when_data_shrinks_again() -> None:
    a, b = pair(1 << 21)
    number = a.open(Lane.BULK, b"put sut a")
    a.send(number, 0, NOISE[: 1 << 17])
    carry(a, b)
    before = PROSE * 8
    a.send(number, 0, before)
    events, size = carry(a, b)
    assert data_of(events) == before
    assert size < limits.UNTRIED_LEAST * 2 + len(before) / 4


def test_short_data_does_not_become_longer() -> None:
    a, b = pair()
    number = a.open(Lane.BULK, b"run sut sh")
    a.send(number, 1, PROSE[:2000])
    carry(a, b)
    for byte in b"exit\n":
        a.send(number, 0, bytes((byte,)))
        assert carry(a, b)[1] == 4


# -- protocol violations -----------------------------------------------------------------------------------------------


def _deflated(data: bytes, *, preset: bool = False, window: int = 15) -> bytes:
    more = (zlib.Z_DEFAULT_STRATEGY, PRESET) if preset else ()
    context = zlib.compressobj(9, zlib.DEFLATED, -window, 8, *more)
    return (context.compress(data) + context.flush(zlib.Z_SYNC_FLUSH))[:-4] + (b"" if preset else b"\0\0\xff\xff")


@pytest.mark.parametrize(
    "payload",
    [
        OPENED + record(b"4", 2, _deflated(bytes(CREDIT))),  # a bomb: its output exceeds the credit
        OPENED + record(b"7", 2, _deflated(bytes(1 << 28))),
        record(b"M", 0, _deflated(bytes(1 << 28), preset=True, window=12)),
        record(b"F", 0, _deflated(bytes(CREDIT), preset=True, window=12)),
        record(b"O", 2, _deflated(bytes(limits.OPEN_MAX + 1), preset=True, window=12)),
        OPENED + record(b"4", 2, b"\xff\xff\xff"),  # not deflate
        record(b"M", 0, b"\xff\xff\xff"),
        record(b"M", 0, zlib.compress(b"with a header")),
        OPENED + record(b"5", 2, zlib.compress(b"its stream ends", wbits=-15)),
        record(b"4", 0, _deflated(bytes(CREDIT))),
        b"\x80", b"\xff\x10", b"r", b"rA", b"rA\x80", b"R", b"RC\x80", b"rg\x80", b"RC",  # without any earlier text
        OPENED + record(b"8", 2, b""),
    ],
)  # fmt: skip
def test_abuse_of_compression_is_a_protocol_violation(payload: bytes) -> None:
    assert not pair()[0].receive(Lane.BULK, payload)


def test_the_decompressed_size_counts_against_the_credit() -> None:
    a, b = pair(4096)
    number = a.open(Lane.BULK, b"x")
    a.send(number, 0, bytes(1 << 20))
    got = 0
    while a.wants(Lane.BULK):
        assert b.receive(Lane.BULK, a.next_payload(Lane.BULK, 500))
    got = len(data_of(b.events))
    assert 2000 < got <= 4096
    assert not a.wants(Lane.BULK)


@pytest.mark.parametrize("payload", [b"\x80", b"rA\x80", b"RC\x80", record(b"M", 0, b"a"), record(b"4", 0, b"a")])
def test_an_end_without_compression_treats_compressed_records_as_unknown(payload: bytes) -> None:
    assert not pair(expand=False)[0].receive(Lane.BULK, payload)


# -- on a line ---------------------------------------------------------------------------------------------------------


def _kinds(flags_a: str, flags_b: str, byte_rate: float | None = 11520.0) -> set[bytes]:
    """Return the first byte of each payload that end a sends while it sends some requests and copies a file."""
    line = ready(
        local_a={"flags": flags_a}, local_b={"flags": flags_b}, byte_rate=byte_rate, shared=byte_rate is not None
    )
    seen: set[bytes] = set()

    def trace(way: str, kind: bytes, body: bytes, length: int) -> None:
        if way == "out" and kind in frames.DATA_KINDS:
            data = frames.read_data(kind, body)
            assert data is not None
            seen.add(data.payload[:1])

    line.a.link.trace = trace
    for number in range(3):
        line.a.link.mux.send_message(0, b"%d sem ready -1" % number)
        line.run(0.1)
    send_all(line, line.a, PROSE)
    assert line.b.messages(0) == [b"%d sem ready -1" % number for number in range(3)]
    return seen


def test_a_peer_that_accepts_compressed_records_gets_them_on_a_line_with_a_rate() -> None:
    assert _kinds("nz", "nz") >= {b"M", b"\x80", b"4"}


@pytest.mark.parametrize(
    ("flags_a", "flags_b", "rate"), [("nz", "n", 11520.0), ("n", "nz", 11520.0), ("nz", "nz", None)]
)
def test_nothing_is_compressed_for_an_older_peer_or_on_a_line_without_a_rate(
    flags_a: str, flags_b: str, rate: float | None
) -> None:
    assert _kinds(flags_a, flags_b, rate) <= {b"m", b"o", b"0", b"e", b"w"}


def test_lost_frames_do_not_disturb_compression() -> None:
    from ..kit.traffic import NOISY

    line = ready(5, faults=NOISY, local={"flags": "nza"}, settle=3)
    for number in range(200):
        line.a.link.mux.send_message(0, b"%d sem ready -%d" % (number, number % 7))
        line.b.link.mux.send_message(0, b"%d ok %d" % (number, number % 5))
    send_all(line, line.a, PROSE)
    send_all(line, line.b, PROSE)
    assert line.b.messages(0) == [b"%d sem ready -%d" % (number, number % 7) for number in range(200)]
    assert line.a.messages(0) == [b"%d ok %d" % (number, number % 5) for number in range(200)]


def test_running_a_command_again_takes_at_most_a_hundred_bytes_in_both_directions() -> None:
    line = ready(local={"flags": "nmza"}, settle=3)
    size = 0

    def trace(way: str, kind: bytes, body: bytes, length: int) -> None:
        nonlocal size
        size += length * (kind != b"K")

    def serve(event: Event) -> None:
        if isinstance(event, ChannelOpened):
            line.at(line.now + 0.003, lambda: finish(event.channel))

    def finish(number: int) -> None:
        line.b.link.mux.send_message(number, b"exit 0")
        line.b.link.mux.end(number)

    def done(event: Event) -> None:
        if isinstance(event, ChannelMessage):
            line.a.link.mux.end(event.channel)

    line.a.link.trace, line.a.on_event, line.b.on_event = trace, done, serve
    sizes = []
    for _ in range(6):
        size = 0
        line.a.link.mux.open(Lane.BULK, b"run sut /bin/true")
        line.run(1.0)
        assert line.a.link.mux.open_count == line.b.link.mux.open_count == 0
        sizes.append(size)
    assert max(sizes[1:]) <= 100, sizes
