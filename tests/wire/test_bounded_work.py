"""The work for each byte is bounded, even for hostile or damaged bytes, and no call exceeds its limit of work.

The tests count work: steps of the decoder, bytes that repairs check, and records. Therefore they do not depend on the speed
of the machine.
"""

from __future__ import annotations

import pytest

from linesync import limits
from linesync.runtime.identity import local_end
from linesync.wire.channels.compression import TextCompressor
from linesync.wire.channels.mux import ALL, Mux
from linesync.wire.events import ChannelMessage, Event, SessionEnded
from linesync.wire.framing import frames
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.digits import counted
from linesync.wire.framing.frames import Lane
from linesync.wire.framing.payload import MaskedForm

from .kit.pipes import Pipes

_LONG = 700_000
_SHORT = 100

_STREAMS = {
    "start characters": b"^" * 30_000,
    "starts of frames": b"^dA" * 10_000,
    "headers of long frames": (b"^D" + counted(_LONG)) * 5_000,
    "headers of control frames": b"^zgA" * 8_000,
    "a long repairable frame": b"^B" + counted(_LONG) + b"A" * _LONG + b"AAAAAA\n",
    "a long frame of lines": b"^B" + counted(_LONG) + b"A" * 9 + b"\n" * (_LONG - 9) + b"AAAAAA\n" + b"x\n" * 50,
    "a long frame of blanks": b"^D" + counted(_LONG) + b" " * (_LONG + 6) + b" ^zA" * 500,
    "short repairable frames": (b"^B" + counted(_SHORT) + b"A" * _SHORT + b"AAAAAA\n") * 300,
    "short frames with lines": (b"^B" + counted(20) + b"AA\n" * 30) * 300,
}


@pytest.mark.parametrize("eight", [True, False])
@pytest.mark.parametrize("name", _STREAMS)
def test_the_work_of_the_decoder_for_each_byte_is_bounded(name: str, eight: bool) -> None:
    stream = _STREAMS[name]
    for chunk in (1000, 64_000, len(stream)):
        decoder = Decoder(longest=1 << 20, eight=eight)
        decoder.seeds = (1, 2)
        for at in range(0, len(stream), chunk):
            decoder.receive(stream[at : at + chunk], 0.0)
        decoder.receive_eof()
        assert decoder.steps <= len(stream) + len(stream) // chunk + 1
        if eight:  # the rate of other lines limits the work
            assert decoder.repair_work <= limits.REPAIR_SHARE * len(stream) + limits.REPAIR_MOST


def test_damaged_frames_without_pause_exhaust_the_budget_and_frames_after_a_pause_are_repaired() -> None:
    data = b"A" * 1000
    body = frames.masked_body(Lane.BULK, 0, 0, data, MaskedForm().encode(data))
    good = frames.encode(b"B", body, 1)
    damaged = good[:500] + b"C" + good[501:]  # one wrong bit: A is 41, C is 43
    decoder = Decoder(longest=2048, eight=True)
    decoder.seeds = (1,)
    twice_damaged = damaged[:600] + b"C" + damaged[601:]
    decoder.receive(twice_damaged * 2000 + damaged, 0.0)
    assert decoder.repaired == 0 and decoder.repair_work <= limits.REPAIR_MOST
    decoder.receive(b"text\n" * 200 + damaged, 1.0)
    assert decoder.repaired == 1


class _Pair(Pipes):
    def take(self, at: int, events: list[Event]) -> None:
        """Ignore the events of the handshake."""


def _attacked() -> tuple[Pipes, int]:
    """(a pipe with a session, the seed of the caller's frames)."""
    pipes = _Pair(*(local_end(role, clean=True, boot=f"boot000{role}") for role in "cl"))
    pipes.run(0.1)
    session = pipes.ends[0].session
    assert session is not None
    return pipes, session.seed_out


def _data(seed: int, seq: int, payload: bytes, lane: Lane = Lane.PROMPT) -> bytes:
    kind = frames.data_kind(lane, eight=True)
    return frames.encode(kind, frames.data_body(seq, 0, payload, eight=True), seed)


def _message(text: bytes) -> bytes:
    return b"m" + counted(0) + counted(len(text)) + text


def test_a_call_handles_as_many_records_as_it_may_and_the_rest_keeps_its_order() -> None:
    pipes, seed = _attacked()
    link = pipes.ends[1]
    texts = [b"%d" % number for number in range(300)]
    stream = b"".join(
        _data(seed, at // 100, b"".join(map(_message, texts[at : at + 100]))) for at in range(0, len(texts), 100)
    )
    stream += frames.encode(frames.BYE, b"ZW5k", seed)
    events: list[Event] = link.receive_data(stream, 1.0, 10)
    calls = 1
    while link.backlog:
        more = link.receive_data(b"", 1.0, 10)
        assert len(more) <= 10
        events += more
        calls += 1
    assert [event.data for event in events[:-1] if isinstance(event, ChannelMessage)] == texts
    assert events[-1] == SessionEnded("end"), "a goodbye must not overtake the records before it"
    assert calls >= 30


def test_bytes_that_arrive_during_a_backlog_wait_behind_it() -> None:
    pipes, seed = _attacked()
    link = pipes.ends[1]
    events = link.receive_data(_data(seed, 0, b"".join(_message(b"%d" % n) for n in range(50))), 1.0, 5)
    events += link.receive_data(_data(seed, 1, _message(b"last")), 1.0, 0)
    assert [event.data for event in events] == [b"0", b"1", b"2", b"3"]  # type: ignore[attr-defined]
    while link.backlog:
        events += link.receive_data(b"", 1.0, 5)
    assert [event.data for event in events] == [*(b"%d" % n for n in range(50)), b"last"]  # type: ignore[attr-defined]


def test_a_line_that_is_lost_during_a_backlog_loses_no_record_of_a_frame_that_was_acknowledged() -> None:
    pipes, seed = _attacked()
    link = pipes.ends[1]
    events = link.receive_data(_data(seed, 0, b"".join(_message(b"%d" % n) for n in range(50))), 1.0, 5)
    events += link.line_down(1.0)
    assert link.backlog
    while link.backlog:
        events += link.receive_data(b"", 1.0, 5)
    assert [event.data for event in events if isinstance(event, ChannelMessage)] == [b"%d" % n for n in range(50)]


def test_the_timer_gives_up_no_frame_whose_bytes_are_unread() -> None:
    pipes, seed = _attacked()
    link = pipes.ends[1]
    stream = b"".join(_data(seed, n, _message(b"%d" % n)) for n in range(20))
    events = link.receive_data(stream, 1.0, 4)
    events += link.handle_timer(1.0 + 2 * limits.PIPE_PATIENCE)
    while link.backlog:
        events += link.receive_data(b"", 11.5, 4)
    assert [event.data for event in events if isinstance(event, ChannelMessage)] == [b"%d" % n for n in range(20)]
    assert link.counters.damaged == 0


def _mux() -> Mux:
    return Mux(odd=True, send_credit=1_000_000, receive_window=1_000_000, expand=True)


@pytest.mark.parametrize("lane", list(Lane))
def test_a_payload_of_many_records_is_taken_in_parts(lane: Lane) -> None:
    compressor = TextCompressor()
    text = compressor.compress(b"1 nothing", 1000, last=True)
    assert text is not None
    payload = b"M" + counted(0) + counted(len(text)) + text + b"\x80\x10" * 1000  # each of two bytes is a message
    whole, parts = _mux(), _mux()
    assert whole.receive(lane, payload)
    at = calls = 0
    while at < len(payload):
        before = len(parts.events)
        at = parts.receive_some(lane, payload, at, 10)
        assert at > 0 and len(parts.events) - before <= 10
        calls += 1
    assert parts.events == whole.events and len(whole.events) == 1001
    assert calls >= 100 and parts.work == whole.work == 1001


def test_long_texts_count_as_more_work_than_short_texts() -> None:
    mux = _mux()
    payload = _message(b"x" * 200_000) * 3
    assert 0 < mux.receive_some(Lane.PROMPT, payload, 0, 5) < len(payload) // 2
    assert mux.receive_some(Lane.PROMPT, payload, 0, ALL) == len(payload)
