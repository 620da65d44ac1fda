"""Random and adversarial bytes: the decoder never raises, holds little, and finds the same frames however they come.

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

from ..kit.profiles import examples

_LONGEST = 600
_SEED, _ECHO = 5, 9
_GOOD = (
    frames.encode(b"d", frames.data_body(3, 4, bytes(range(200)), eight=False), _SEED),
    frames.encode(b"c", frames.data_body(94, 0, b"prompt", eight=False), _SEED),
    frames.encode(b"A", frames.Ack(age=3, poll=1, prompt=(3, ()), bulk=(4, ((1, 2),))).body(), _SEED),
    frames.encode(b"P", frames.poll_body(4), _SEED),
    frames.encode(b"K", b"", _SEED),
    frames.encode(b"T", frames.probe_body(256), _SEED),
    frames.encode(b"P", frames.poll_body(4), _ECHO),
    frames.encode(b"Z", b"a frame of a kind to come", _SEED),
)
_FOREIGN = (
    b"[   12.345678] usb 1-1: new device\r\n", b"login: ", b"^", b"^d", b"^A", b"^dz", b"\n", b"\r", b"\r\n",
    b"\x00", b"\xff", b"~.", b"^dgA", b"^cB", b"\x11\x13",
)  # fmt: skip


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A stream of good frames, and what a hostile line makes of it."""
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


_STREAMS = st.one_of(_mutated(), st.binary(max_size=400), st.text("^dcAHPKX\n\r AB", max_size=200).map(str.encode))


def _decoder(*, eight: bool) -> Decoder:
    decoder = Decoder(longest=_LONGEST, eight=eight)
    decoder.seeds, decoder.echo_seeds = (_SEED,), (_ECHO,)
    return decoder


def _read(stream: bytes, chunk: int, *, eight: bool) -> list[Event]:
    decoder, events = _decoder(eight=eight), []
    for at in range(0, len(stream), chunk):
        events += decoder.receive(stream[at : at + chunk], 0.0)
        assert len(decoder._view) <= _LONGEST + 2 * limits.FOREIGN_IN_FRAME + chunk
    now = 0.0
    while (due := decoder.next_timer()) is not None:
        now += limits.FRAME_PATIENCE
        assert due <= now + 1e-9, "the timer does not come nearer"
        events += decoder.handle_timer(now)
    return events + decoder.receive_eof()


def _frames(events: list[Event]) -> list[tuple[bytes, bytes]]:
    return [(event.frame.kind, event.frame.body) for event in events if isinstance(event, FrameFound)]


@examples(300)
@given(_STREAMS, st.booleans())
@example(_GOOD[0][:50] + _GOOD[2] + _GOOD[0][50:], False)
@example(_GOOD[0][:60] + _FOREIGN[0] + _GOOD[0][60:], False)
@example(_GOOD[0][:60] + _FOREIGN[0] + _GOOD[0][60:90] + _GOOD[3] + _GOOD[0][90:], False)
def test_the_same_frames_are_found_whole_and_byte_by_byte(stream: bytes, eight: bool) -> None:
    whole = _read(stream, max(len(stream), 1), eight=eight)
    for chunk in (1, 5, 64):
        assert sorted(_frames(_read(stream, chunk, eight=eight))) == sorted(_frames(whole)), f"in pieces of {chunk}"


@examples(300)
@given(_STREAMS, st.booleans())
def test_every_byte_is_a_frame_s_or_text_or_damaged(stream: bytes, eight: bool) -> None:
    decoder = _decoder(eight=eight)
    events = decoder.receive(stream, 0.0) + decoder.receive_eof()
    told = sum(len(event.data) for event in events if isinstance(event, ForeignText | Damaged))
    assert told + decoder.framed + decoder.inserted == len(stream)


@examples(300)
@given(_STREAMS)
def test_no_frame_is_made_of_what_nobody_sent(stream: bytes) -> None:
    sent = {(frame[1:2], body) for frame in _GOOD for body in (frame[3:-7], frame[4:-7])}
    assert set(_frames(_read(stream, 7, eight=False))) <= sent


@examples(200)
@given(st.lists(st.tuples(st.sampled_from(_GOOD), st.sampled_from((b"", *_FOREIGN[:2]))), max_size=12))
def test_all_good_frames_between_foreign_text_are_found_in_order(parts: list[tuple[bytes, bytes]]) -> None:
    stream = b"".join(frame + text for frame, text in parts)
    events = _read(stream, 9, eight=False)
    wanted = [frame[1:2] for frame, _ in parts if frame != _GOOD[6]]
    assert [kind for kind, _ in _frames(events)] == wanted
    assert sum(isinstance(event, Echo) for event in events) == sum(frame == _GOOD[6] for frame, _ in parts)
    assert b"".join(e.data for e in events if isinstance(e, ForeignText)) == b"".join(text for _, text in parts)


@examples(200)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=400)), max_size=30), st.lists(st.binary(max_size=300)))
def test_the_console_gives_back_each_byte_once_or_explains_it(
    pieces: list[tuple[bool, bytes]], good: list[bytes]
) -> None:
    console, told, now = Console(), 0, 0.0
    for damaged, data in pieces:
        if not data:
            continue
        now += 0.1
        events = console.sort(Damaged(data) if damaged else ForeignText(data), now)
        if good:
            events += console.good_copy(good[int(now * 10) % len(good)])
        events += console.handle_timer(now)
        told += sum(len(event.data) for event in events)  # type: ignore[attr-defined]
        assert console.pending <= limits.HELD_BYTES + limits.SERIAL_FRAME
    told += sum(len(event.data) for event in console.flush())  # type: ignore[attr-defined]
    assert told + console.explained == sum(len(data) for _, data in pieces)
