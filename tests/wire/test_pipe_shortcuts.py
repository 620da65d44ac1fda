"""The shortcuts for clean pipes give the same result as the general code.

One shortcut reads frames. The other shortcut sends prompt data.
"""

from __future__ import annotations

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from linesync.runtime.identity import local_end
from linesync.wire.events import ChannelMessage, Event, ForeignText, FrameFound
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.frames import Lane, encode
from linesync.wire.framing.payload import decode_eight, encode_eight

from .kit.pipes import Pipes

_SEED = 77
_PIECES = st.one_of(
    st.tuples(st.sampled_from([b"C", b"D", b"A", b"P", b"K"]), st.binary(max_size=300)).map(
        lambda frame: encode(frame[0], encode_eight(frame[1]), _SEED)
    ),
    st.binary(max_size=20),
    st.sampled_from([b"^", b"\n", b"\r\n", b"^C", b"^CA", encode(b"C", b"of another session", 5)]),
)


def read(cuts: list[bytes]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """(the frames, the foreign text) of bytes that arrive in these pieces."""
    decoder = Decoder(longest=1000, eight=True)
    decoder.seeds = (_SEED,)
    events: list[Event] = []
    for cut in cuts:
        events += decoder.receive(cut, 0.0)
    events += decoder.handle_timer(1.0)
    events += decoder.receive_eof()
    found = [(event.frame.kind, event.frame.body) for event in events if isinstance(event, FrameFound)]
    return found, b"".join(event.data for event in events if isinstance(event, ForeignText))


@settings(deadline=None)
@given(st.lists(_PIECES, max_size=8), st.integers(1, 400))
def test_the_same_frames_are_found_whole_and_in_pieces(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    whole = read([data])
    assert read([data[at : at + size] for at in range(0, len(data), size)])[0] == whole[0]
    assert read([data[at : at + 1] for at in range(len(data))])[0] == whole[0]


_EIGHT = re.compile(rb"(?:[^=]|=[0-9A-Fa-f]{2})*", re.DOTALL)


@given(st.lists(st.one_of(st.binary(), st.sampled_from([b"=", b"=3", b"=3D", b"=\n", b"\r", b"A"]))).map(b"".join))
def test_reading_the_eight_form_of_any_bytes_never_raises(text: bytes) -> None:
    data = decode_eight(text)
    if not set(text) & set(b"\n\r^"):
        assert (data is not None) == (_EIGHT.fullmatch(text) is not None)
    assert data is None or decode_eight(encode_eight(data)) == data


class Pair(Pipes):
    """Two ends of a pipe, and their events."""

    def __init__(self, *, traced: bool) -> None:
        super().__init__(*(local_end(role, clean=True, boot=f"boot000{role}") for role in "cl"))
        self.events: list[list[Event]] = [[], []]
        if traced:
            for end in self.ends:
                end.trace = lambda *_: None  # a traced link does not use the shortcut

    def take(self, at: int, events: list[Event]) -> None:
        self.events[at] += events


def exchange_messages(pair: Pair, seed: int) -> None:
    """Send messages of all lengths both ways, some in bursts. In the pauses, acknowledgements are sent without data."""
    source = random.Random(seed)
    pair.run(0.1)
    for _ in range(30):
        for _ in range(source.choice((1, 1, 1, 5))):
            sender = source.choice(pair.ends)
            sender.mux.send_message(0, source.randbytes(source.choice((3, 30, 300, 70_000))))
        pair.run(source.choice((0.001, 0.003, 0.1)))
        for end, events in zip(pair.ends, pair.events, strict=True):
            for event in events:
                if isinstance(event, ChannelMessage):
                    end.mux.consumed(event.channel, event.data)
            events.clear()
    pair.run(0.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30))
def test_prompt_data_is_sent_as_through_the_transmit_queue(seed: int) -> None:
    with_shortcut, without_shortcut = Pair(traced=False), Pair(traced=True)
    exchange_messages(with_shortcut, seed)
    exchange_messages(without_shortcut, seed)
    for n, end in enumerate(with_shortcut.ends):
        assert not end.session.outstanding, "not everything was acknowledged"
        assert end.counters.frames_out <= without_shortcut.ends[n].counters.frames_out
        assert (
            end.session.senders[Lane.PROMPT].next_seq == without_shortcut.ends[n].session.senders[Lane.PROMPT].next_seq
        )
        assert (
            end.session.receivers[Lane.PROMPT].expected
            == without_shortcut.ends[n].session.receivers[Lane.PROMPT].expected
        )


def test_a_pipe_that_stops_within_a_frame_loses_nothing() -> None:
    pair = Pair(traced=False)
    pair.run(0.1)
    pair.ends[0].mux.send_message(0, b"m" * 200_000)
    data = b""
    while piece := pair.ends[0].data_to_send(pair.now):
        data += piece
    half = len(data) // 2
    pair.events[1] += pair.ends[1].receive_data(data[:half], pair.now)
    for _ in range(30):  # the next bytes on a pipe come late, but none are lost
        pair.now += 0.1
        pair.events[1] += pair.ends[1].handle_timer(pair.now)
    assert pair.ends[1].counters.damaged == 0
    pair.events[1] += pair.ends[1].receive_data(data[half:], pair.now)
    assert [len(event.data) for event in pair.events[1] if isinstance(event, ChannelMessage)] == [200_000]
    assert pair.ends[0].session.senders[Lane.PROMPT].repeated == 0
