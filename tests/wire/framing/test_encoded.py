"""Data that is forwarded from one line to another keeps its encoded form, and always arrives unchanged."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesync.runtime.identity import local_end
from linesync.wire.channels.mux import Mux
from linesync.wire.events import ChannelData, ChannelEnded, ChannelOpened, Event, FrameFound
from linesync.wire.framing import frames
from linesync.wire.framing.encoded import Encoded
from linesync.wire.framing.frames import Lane
from linesync.wire.framing.payload import decode_eight, encode_eight
from linesync.wire.reliability.handshake import LocalParameters
from tests.effort import lives

from ..kit.pipes import Pipes


def _pipe_end(role: str, boot: str = "bootlast") -> LocalParameters:
    return local_end(role, clean=True, boot=boot)


class ForwardingPath(Pipes):
    """A sender, a hub between two pipes, and a receiver. The hub forwards each piece from one pipe to the other.

    ``ends`` are the links of the sender, of the hub to the sender, of the hub to the receiver, and of the receiver.
    """

    def __init__(self, last: LocalParameters) -> None:
        self.got = b""
        self.ended = False
        super().__init__(_pipe_end("c", "bootfrst"), _pipe_end("l", "boothub1"), _pipe_end("l", "boothub2"), last)
        self.run(0.2)

    def take(self, at: int, events: list[Event]) -> None:
        for event in events:
            if at == 1:
                self.relay(event)
            elif at == 3 and isinstance(event, ChannelData):
                self.got += event.data
                self.ends[3].mux.consumed(event.channel, event.data)
            elif at == 3 and isinstance(event, ChannelEnded):
                self.ended = True

    def relay(self, event: Event) -> None:
        hub = self.ends[2]
        if isinstance(event, ChannelOpened):
            self.out = hub.mux.open(Lane.BULK, event.words)
        elif isinstance(event, ChannelData):
            hub.mux.send(self.out, event.stream, event.data)
            self.ends[1].mux.consumed(event.channel, event.data)
        elif isinstance(event, ChannelEnded):
            hub.mux.end(self.out)

    def send(self, *pieces: bytes) -> None:
        mux = self.ends[0].mux
        number = mux.open(Lane.BULK, b"a file")
        self.run(0.01)  # the opening is sent in a frame of its own
        for piece in pieces:
            mux.send(number, 0, piece)
        self.run(0.5)
        mux.end(number)
        self.run(2.0)

    def texts(self, at: int) -> list[bytes]:
        """Return the last 10,000 characters of each payload of a long bulk frame that the link with this index sent."""
        found = []
        decoder = self.ends[at ^ 1]._line.decoder  # a second decoder reads the same bytes under the same seeds
        second = type(decoder)(longest=decoder.longest, eight=True)
        second.seeds = decoder.seeds
        for event in second.receive(self.sent[at], 0.0):
            if isinstance(event, FrameFound) and event.frame.kind == b"D" and len(event.frame.body) > 10_000:
                found.append(event.frame.body[4:][-10_000:])
        return found


def _file(seed: int, size: int = 249_996, pieces: int = 4) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(size) for _ in range(pieces)]


def test_a_hub_forwards_the_encoded_text_that_it_received() -> None:
    path, pieces = ForwardingPath(_pipe_end("c")), _file(1)
    path.send(*pieces)
    assert path.got == b"".join(pieces) and path.ended
    received, forwarded = path.texts(0), path.texts(2)
    assert len(received) == len(forwarded) == len(pieces), (
        "the pieces were divided into other frames on one of the lines"
    )
    assert received == forwarded


def test_pieces_begin_new_frames_even_if_credit_divided_a_piece() -> None:
    path, pieces = ForwardingPath(_pipe_end("c")), _file(4, pieces=40)
    path.send(*pieces)
    path.run(3.0)
    assert path.got == b"".join(pieces)
    received, forwarded = set(path.texts(0)), set(path.texts(2))
    assert len(received & forwarded) >= len(pieces) * 3 // 4, "too many frames were encoded again"


@pytest.mark.interpreted
def test_a_hub_encodes_nothing_that_it_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = frames.payload.encode_eight

    def encode(data: bytes) -> bytes:
        if not isinstance(data, Encoded):
            made.append(len(data))
        return original(data)

    monkeypatch.setattr(frames.payload, "encode_eight", encode)
    path, pieces = ForwardingPath(_pipe_end("c")), _file(2)
    path.send(*pieces)
    assert path.got == b"".join(pieces)
    assert len([size for size in made if size > 10_000]) == len(pieces), "not only the sender encoded the data"


@pytest.mark.parametrize(
    ("difference", "last"),
    [
        ("without the form", LocalParameters(role="c", boot="bootlast", frame=65536, credit=1_000_000, flags="np")),
        ("with shorter frames", LocalParameters(role="c", boot="bootlast", frame=5000, credit=1_000_000, flags="nqp")),
        ("with little credit", LocalParameters(role="c", boot="bootlast", frame=65536, credit=3000, flags="nqp")),
    ],
)
def test_a_receiver_with_other_parameters_gets_the_same_bytes(difference: str, last: LocalParameters) -> None:
    path, pieces = ForwardingPath(last), _file(3, pieces=2)
    path.send(*pieces)
    path.run(20.0)
    assert path.got == b"".join(pieces), difference
    assert path.ended


@settings(max_examples=lives(60, 2000), deadline=None)
@given(st.integers(0, 1 << 30))
def test_pieces_of_all_sizes_arrive_complete_and_in_order(seed: int) -> None:
    source = random.Random(seed)
    alphabet = source.choice((b"=\n\r^", bytes(range(256)), b"abc"))  # the first becomes three times as long
    sizes = [
        source.choice((1, 20, 4000, 5000, 60_000, 70_000, 250_000, 262_000, 263_000))
        for _ in range(source.randint(1, 6))
    ]
    pieces = [bytes(source.choices(alphabet, k=size)) for size in sizes]
    path = ForwardingPath(_pipe_end("c"))
    path.send(*pieces)
    path.run(3.0)
    assert path.got == b"".join(pieces)


@given(st.binary(min_size=1, max_size=300), st.integers(30, 400))
def test_encoded_bytes_arrive_unchanged_whether_divided_or_not(data: bytes, room: int) -> None:
    mux = Mux(odd=True, send_credit=1 << 20, receive_window=1 << 20)
    other = Mux(odd=False, send_credit=1 << 20, receive_window=1 << 20)
    number = mux.open(Lane.BULK, b"")
    mux.send(number, 2, Encoded.of(data, encode_eight(data)))
    while payload := mux.next_payload(Lane.BULK, room):
        assert len(payload) <= room
        assert decode_eight(encode_eight(payload)) == payload
        assert other.receive(Lane.BULK, payload)
    found = [event for event in other.events if isinstance(event, ChannelData)]
    assert b"".join(event.data for event in found) == data and {event.stream for event in found} == {2}


def test_a_record_that_is_longer_than_its_payload_is_not_forwarded() -> None:
    path = ForwardingPath(_pipe_end("c"))
    attacker, session = path.ends[0], path.ends[0].session
    number = attacker.mux.open(Lane.BULK, b"a file")
    path.run(0.1)
    record = b"".join((b"0", frames.digits.counted(number), frames.digits.counted(5000), bytes(4999)))
    body = frames.digits.fixed(session.senders[Lane.BULK].next_seq) + frames.digits.fixed(0) + record
    path.take(1, path.ends[1].receive_data(frames.encode(b"D", body, session.seed_out), path.now))
    path.run(0.1)
    assert path.ends[1].session is None, "the violation did not end the session"
    assert path.ends[2].session is not None and path.got == b""
