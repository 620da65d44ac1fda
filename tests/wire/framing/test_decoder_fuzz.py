"""Random and hostile bytes: the decoder never raises, holds a bounded number of bytes, and finds the same frames in a stream
that arrives in pieces of any size.

A few hundred examples in CI, 100,000 with LINESYNC_SOAK=1.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from linesync import limits
from linesync.wire.console import Console
from linesync.wire.events import Damaged, Echo, Event, ForeignText, FrameFound
from linesync.wire.framing import frames
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.frames import Lane
from linesync.wire.framing.payload import MaskedForm

from ..kit.profiles import examples

_LONGEST = 600
_SEED, _ECHO = 5, 9
_DATA = bytes(range(200))
_OUTER = (
    frames.encode(b"d", frames.data_body(3, 4, _DATA, eight=False), _SEED),
    frames.encode(b"T", frames.probe_body(256), _SEED),
    frames.encode(b"B", frames.masked_body(Lane.BULK, 3, 4, _DATA, MaskedForm().encode(_DATA)), _SEED),
    frames.encode(b"D", frames.data_body(3, 4, _DATA, eight=True), _SEED),
)
_INNER = (
    frames.encode(b"c", frames.data_body(94, 0, b"prompt", eight=False), _SEED),
    frames.encode(b"A", frames.Ack(age=3, poll=1, prompt=(3, ()), bulk=(4, ((1, 2),))).body(), _SEED),
    frames.encode(b"P", frames.poll_body(4), _SEED),
    frames.encode(b"K", b"", _SEED),
    frames.encode(b"Z", b"a frame of a kind to come", _SEED),
)
_OUR_OWN = frames.encode(b"P", frames.poll_body(4), _ECHO)
_GOOD = (*_OUTER, *_INNER, _OUR_OWN)
_PLAIN = (*_OUTER[:2], *_INNER, _OUR_OWN)  # frames that have only seven-bit bytes
_PRINTK = b"[   12.345678] usb 1-1: new device\r\n"
_FOREIGN = (
    _PRINTK, b"login: ", b"^", b"^d", b"^A", b"^dz", b"\n", b"\r", b"\r\n", b"\x00", b"\xff", b"~.", b"^dgA", b"^cB",
    b"\x11\x13", b"x\n", b"a\nb\n", b"odd ^cD;\r\n", b"^dL q\n",
)  # fmt: skip


def _insert(draw: st.DrawFn, into: bytes, piece: bytes) -> bytes:
    at = draw(st.integers(0, len(into)))
    return into[:at] + piece + into[at:]


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A stream of valid frames and foreign text, with random damage."""
    parts = draw(
        st.lists(st.one_of(st.sampled_from(_GOOD), st.sampled_from(_FOREIGN), st.binary(max_size=30)), max_size=8)
    )
    stream = bytearray(b"".join(parts))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(stream)))
        what = draw(st.sampled_from(("flip", "cut", "double", "put", "nest")))
        if what == "flip" and at < len(stream):
            stream[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "cut":
            del stream[at : at + draw(st.integers(1, 40))]
        elif what == "double":
            stream[at:at] = stream[at : at + draw(st.integers(1, 40))]
        elif what == "put":
            stream[at:at] = draw(st.sampled_from(_FOREIGN))
        else:
            stream[at:at] = draw(st.sampled_from(_GOOD))
    return bytes(stream)


@st.composite
def _nested(draw: st.DrawFn) -> bytes:
    """Foreign text inside control frames that stand inside a bulk frame."""
    stream = draw(st.sampled_from(_OUTER))
    for _ in range(draw(st.integers(1, 2))):
        inner = draw(st.sampled_from(_INNER))
        for text in draw(st.lists(st.sampled_from(_FOREIGN), max_size=2)):
            inner = _insert(draw, inner, text)
        stream = _insert(draw, stream, inner)
    for text in draw(st.lists(st.sampled_from(_FOREIGN), max_size=2)):
        stream = _insert(draw, stream, text)
    return stream + b"".join(draw(st.lists(st.sampled_from((*_GOOD, *_FOREIGN)), max_size=3)))


_STREAMS = st.one_of(
    _mutated(), _nested(), st.binary(max_size=400), st.text("^dcAHPKX\n\r AB", max_size=200).map(str.encode)
)


def _decoder(*, eight: bool) -> Decoder:
    decoder = Decoder(longest=_LONGEST, eight=eight)
    decoder.seeds, decoder.echo_seeds = (_SEED,), (_ECHO,)
    return decoder


def _read(stream: bytes, chunk: int, *, eight: bool) -> list[Event]:
    """Return the events of a stream that arrives in pieces of this size and then ends."""
    decoder, events = _decoder(eight=eight), []
    for at in range(0, len(stream), chunk):
        events += decoder.receive(stream[at : at + chunk], 0.0)
        assert len(decoder._view) <= _LONGEST + 2 * limits.FOREIGN_IN_FRAME + chunk
    now = 0.0
    while (due := decoder.next_timer()) is not None:
        now += limits.LINE_PATIENCE
        assert due <= now + 1e-9, "the deadline does not come nearer"
        events += decoder.handle_timer(now)
    return events + decoder.receive_eof()


def _read_in_steps(stream: bytes, chunk: int, *, eight: bool) -> list[Event]:
    """Return the same events, with only one step in each call."""
    decoder, events = _decoder(eight=eight), []
    for at in range(0, len(stream), chunk):
        before = decoder.steps
        events += decoder.receive(stream[at : at + chunk], 0.0, 1)
        while decoder.stopped:
            assert decoder.steps <= before + 1, "a call made more steps than it may"
            assert decoder.next_timer() is None, "a candidate whose bytes are unread would be given up"
            before = decoder.steps
            events += decoder.receive(b"", 0.0, 1)
    now = 0.0
    while decoder.next_timer() is not None:
        now += limits.LINE_PATIENCE
        events += decoder.handle_timer(now)
    return events + decoder.receive_eof()


def _frames(events: list[Event]) -> list[tuple[bytes, bytes]]:
    return [(event.frame.kind, event.frame.body) for event in events if isinstance(event, FrameFound)]


def _joined(events: list[Event]) -> list[Event]:
    """Return the events after adjacent pieces of text, and of damage, were joined."""
    out: list[Event] = []
    for event in events:
        last = out[-1] if out else None
        if isinstance(event, ForeignText) and isinstance(last, ForeignText):
            out[-1] = ForeignText(last.data + event.data)
        elif isinstance(event, Damaged) and isinstance(last, Damaged):
            out[-1] = Damaged(last.data + event.data)
        else:
            out.append(event)
    return out


@examples(300)
@given(_STREAMS, st.booleans())
@example(_OUTER[0][:50] + _INNER[1] + _OUTER[0][50:], False)
@example(_OUTER[0][:60] + _PRINTK + _OUTER[0][60:], False)
@example(_OUTER[0][:60] + _PRINTK + _OUTER[0][60:90] + _INNER[2] + _OUTER[0][90:], False)
@example(_OUTER[0][:60] + _INNER[1][:12] + _PRINTK + _INNER[1][12:] + _OUTER[0][60:], False)
def test_a_stream_gives_the_same_events_whole_and_in_pieces(stream: bytes, eight: bool) -> None:
    whole = _joined(_read(stream, max(len(stream), 1), eight=eight))
    for chunk in (1, 2, 5, 64):
        assert _joined(_read(stream, chunk, eight=eight)) == whole, f"in pieces of {chunk}"


@examples(300)
@given(_STREAMS, st.booleans())
@example(_OUTER[0] * 3, True)
@example(b"^doP" + _OUTER[0] + b"^doP" + _OUTER[0] + _OUTER[1], True)
@example(_OUTER[0][:60] + _PRINTK + _OUTER[0][60:90] + _INNER[2] + _OUTER[0][90:], False)
def test_a_stream_gives_the_same_events_in_single_steps(stream: bytes, eight: bool) -> None:
    whole = _joined(_read(stream, max(len(stream), 1), eight=eight))
    for chunk in (7, max(len(stream), 1)):
        assert _joined(_read_in_steps(stream, chunk, eight=eight)) == whole, f"in pieces of {chunk}"


@examples(300)
@given(_STREAMS, st.booleans())
def test_every_byte_belongs_to_a_frame_or_is_reported(stream: bytes, eight: bool) -> None:
    decoder = _decoder(eight=eight)
    events = decoder.receive(stream, 0.0) + decoder.receive_eof()
    reported = sum(len(event.data) for event in events if isinstance(event, ForeignText | Damaged))
    assert reported + decoder.framed + decoder.inserted == len(stream)


@examples(300)
@given(_STREAMS)
def test_only_frames_that_were_sent_are_found(stream: bytes) -> None:
    sent = {(frame[1:2], body) for frame in _PLAIN for body in (frame[3:-7], frame[4:-7])}
    assert set(_frames(_read(stream, 7, eight=False))) <= sent


@examples(200)
@given(st.lists(st.tuples(st.sampled_from(_PLAIN), st.sampled_from((b"", *_FOREIGN[:2]))), max_size=12))
def test_all_frames_between_foreign_text_are_found_in_order(parts: list[tuple[bytes, bytes]]) -> None:
    stream = b"".join(frame + text for frame, text in parts)
    events = _read(stream, 9, eight=False)
    wanted = [frame[1:2] for frame, _ in parts if frame != _OUR_OWN]
    assert [kind for kind, _ in _frames(events)] == wanted
    assert sum(isinstance(event, Echo) for event in events) == sum(frame == _OUR_OWN for frame, _ in parts)
    assert b"".join(e.data for e in events if isinstance(e, ForeignText)) == b"".join(text for _, text in parts)


@examples(200)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=400)), max_size=30), st.lists(st.binary(max_size=300)))
def test_the_console_reports_or_explains_each_byte_once(pieces: list[tuple[bool, bytes]], good: list[bytes]) -> None:
    console, reported, now = Console(), 0, 0.0
    for damaged, data in pieces:
        if not data:
            continue
        now += 0.1
        events = console.sort(Damaged(data) if damaged else ForeignText(data), now)
        if good:
            events += console.good_copy(good[int(now * 10) % len(good)])
        events += console.handle_timer(now)
        reported += sum(len(event.data) for event in events)  # type: ignore[attr-defined]
        assert console.pending <= limits.HELD_BYTES + limits.SERIAL_FRAME
    reported += sum(len(event.data) for event in console.flush())  # type: ignore[attr-defined]
    assert reported + console.explained == sum(len(data) for _, data in pieces)
