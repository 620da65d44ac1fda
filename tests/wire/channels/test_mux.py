"""Channels and their credit against a model: two multiplexers joined by lanes that carry payloads in order."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from linesync import limits
from linesync.wire.channels.channel import CLOSED, LIFE
from linesync.wire.channels.mux import Mux
from linesync.wire.events import (
    ChannelClosed,
    ChannelData,
    ChannelEnded,
    ChannelMessage,
    ChannelOpened,
    ChannelWritable,
    Event,
)
from linesync.wire.framing.digits import counted
from linesync.wire.framing.frames import Lane

from ..kit.profiles import examples

_CREDIT = 300


def _pair(credit: int = _CREDIT) -> tuple[Mux, Mux]:
    return tuple(Mux(odd=odd, send_credit=credit, receive_window=credit) for odd in (True, False))  # type: ignore[return-value]


def _carry(a: Mux, b: Mux, *, consume: bool = True, room: int = 80, most: int = 10_000) -> list[Event]:
    """Carry payloads from a to b, at most ``most``.

    :returns: the events of b.
    """
    events: list[Event] = []
    for lane in Lane:
        while most and a.wants(lane):
            most -= 1
            payload = a.next_payload(lane, room)
            assert len(payload) <= room
            if not payload:
                assert not a.wants(lane), "a mux wants to send but has no payload: its owner would loop forever"
                break
            assert b.receive(lane, payload)
            events += b.events
            b.events = []
    if consume:
        for event in events:
            if isinstance(event, ChannelData | ChannelMessage):
                b.consumed(event.channel, event.data)
    return events


def _shuttle(a: Mux, b: Mux, rounds: int = 60) -> tuple[list[Event], list[Event]]:
    to_a: list[Event] = []
    to_b: list[Event] = []
    for _ in range(rounds):
        to_b += _carry(a, b)
        to_a += _carry(b, a)
    return to_a, to_b


class MuxMachine(RuleBasedStateMachine):
    """Each side receives the data that the other side sent on a channel, and unread data never exceeds the credit."""

    credit = _CREDIT

    def __init__(self) -> None:
        super().__init__()
        self.muxes = self.pair()
        self.sent: dict[tuple[int, int], list[tuple[object, bytes]]] = {}
        self.received: dict[tuple[int, int], list[tuple[object, bytes]]] = {}
        self.unread: list[list[Event]] = [[], []]
        self.over: set[int] = set()
        self.open: list[list[int]] = [[0], [0]]

    def pair(self) -> tuple[Mux, Mux]:
        return _pair(self.credit)

    def _note_sent(self, side: int, number: int, content: object, data: bytes) -> None:
        sent = self.sent.setdefault((side, number), [])
        if content != "message" and sent and sent[-1][0] == content:
            sent[-1] = (content, sent[-1][1] + data)
        else:
            sent.append((content, data))

    @rule(side=st.integers(0, 1), lane=st.sampled_from(Lane), words=st.binary(max_size=200))
    def open_one(self, side: int, lane: Lane, words: bytes) -> None:
        if len(self.open[side]) < 6:
            number = self.muxes[side].open(lane, words)
            self.open[side].append(number)
            self._note_sent(side, number, "open", words)

    @rule(
        side=st.integers(0, 1),
        which=st.integers(0, 5),
        stream=st.integers(0, 3),
        data=st.binary(min_size=1, max_size=400),
    )
    def send(self, side: int, which: int, stream: int, data: bytes) -> None:
        number = self.open[side][which % len(self.open[side])]
        if number in self.over:
            return
        if number == 0 or len(data) % 2:
            self.muxes[side].send_message(number, data)
            self._note_sent(side, number, "message", data)
        else:
            self.muxes[side].send(number, stream, data)
            self._note_sent(side, number, stream, data)

    @rule(side=st.integers(0, 1), which=st.integers(1, 5))
    def end(self, side: int, which: int) -> None:
        if which < len(self.open[side]):
            number = self.open[side].pop(which)
            if number not in self.over:
                self.muxes[side].end(number)
                self._note_sent(side, number, "end", b"")

    @rule(side=st.integers(0, 1), which=st.integers(1, 5))
    def reset(self, side: int, which: int) -> None:
        if which < len(self.open[side]):
            number = self.open[side].pop(which)
            self.over.add(number)
            self.muxes[side].reset(number, "enough")

    @rule(side=st.integers(0, 1), room=st.integers(40, 400), most=st.integers(1, 40), consume=st.booleans())
    def carry(self, side: int, room: int, most: int, consume: bool) -> None:
        to = 1 - side
        events = _carry(self.muxes[side], self.muxes[to], consume=False, room=room, most=most)
        for event in events:
            self._note_received(side, to, event)
        self.unread[to] += events
        if consume:
            for event in self.unread[to]:
                if isinstance(event, ChannelData | ChannelMessage):
                    self.muxes[to].consumed(event.channel, event.data)
            self.unread[to] = []

    def _note_received(self, side: int, to: int, event: Event) -> None:
        if isinstance(event, ChannelWritable):
            return
        received = self.received.setdefault((side, event.channel), [])  # type: ignore[attr-defined]
        if isinstance(event, ChannelOpened):
            received.append(("open", event.words))
            self.open[to].append(event.channel)
        elif isinstance(event, ChannelData):
            if received and received[-1][0] == event.stream:
                received[-1] = (event.stream, received[-1][1] + event.data)
            else:
                received.append((event.stream, event.data))
        elif isinstance(event, ChannelMessage):
            received.append(("message", event.data))
        elif isinstance(event, ChannelEnded):
            received.append(("end", b""))
        elif isinstance(event, ChannelClosed) and event.reason:
            self.over.add(event.channel)

    @invariant()
    def received_data_was_sent(self) -> None:
        for key, received in self.received.items():
            sent = self.sent.get(key, [])
            if received:
                assert received[:-1] == sent[: len(received) - 1]
                content, data = sent[len(received) - 1]
                assert received[-1][0] == content and data.startswith(received[-1][1])

    @invariant()
    def unread_data_stays_within_the_credit(self) -> None:
        for to in (0, 1):
            by_channel: dict[int, int] = {}
            for event in self.unread[to]:
                if isinstance(event, ChannelData):
                    by_channel[event.channel] = by_channel.get(event.channel, 0) + len(event.data)
            assert all(size <= self.credit for size in by_channel.values())

    @invariant()
    def the_memory_of_unread_records_is_counted_exactly(self) -> None:
        for mux in self.muxes:
            assert mux._unread == sum(channel.memory for channel in mux._channels.values() if channel.state != CLOSED)

    def teardown(self) -> None:
        """If everything is consumed, everything arrives."""
        for _ in range(400):
            for side in (0, 1):
                self.carry(side, 100, 1000, True)
        for key, sent in self.sent.items():
            if key[1] not in self.over:
                assert self.received.get(key, []) == sent, key
        assert not any(mux.wants(lane) for mux in self.muxes for lane in Lane)


TestMuxMachine = MuxMachine.TestCase
TestMuxMachine.settings = examples(60, 3000, steps=40)


def test_a_channel_that_both_sides_ended_closes_at_both_sides() -> None:
    a, b = _pair()
    number = a.open(Lane.BULK, b"x")
    a.send(number, 0, b"to b" * 200)
    a.end(number)
    to_a, to_b = _shuttle(a, b)
    b.send(number, 1, b"to a" * 200)
    b.end(number)
    to_a2, to_b2 = _shuttle(a, b)
    for events in (to_a + to_a2 + a.events, to_b + to_b2 + b.events):
        assert [e.reason for e in events if isinstance(e, ChannelClosed)] == [""]
    assert a.open_count == b.open_count == 0


def test_a_reset_of_a_channel_without_credit_closes_it_at_both_sides() -> None:
    a, b = _pair()
    number = a.open(Lane.PROMPT, b"x")
    a.send(number, 0, bytes(5000))
    _carry(a, b, consume=False)
    a.reset(number, "gave up")
    assert [e.reason for e in _carry(a, b) if isinstance(e, ChannelClosed)] == ["gave up"]
    assert a.open_count == b.open_count == 0
    a.send_message(0, b"alive")
    assert [e.data for e in _carry(a, b) if isinstance(e, ChannelMessage)] == [b"alive"]


def test_a_reset_by_the_peer_closes_a_channel_whose_end_waits_for_credit() -> None:
    a, b = _pair()
    number = a.open(Lane.PROMPT, b"x")
    _carry(a, b)
    b.end(number)
    _carry(b, a)
    a.send(number, 0, bytes(5000))
    a.end(number)
    _carry(a, b, consume=False)
    b.reset(number, "enough")
    assert [e.reason for e in _carry(b, a) if isinstance(e, ChannelClosed)] == ["enough"]
    assert a.open_count == b.open_count == 0


def test_an_end_record_needs_no_credit() -> None:
    a, b = _pair(40)
    number = a.open(Lane.BULK, b"x")
    a.send(number, 0, bytes(36))
    a.end(number)
    events = _carry(a, b, consume=False)
    assert [type(e) for e in events] == [ChannelOpened, ChannelData, ChannelEnded]


def test_channels_of_a_lane_take_turns() -> None:
    a, b = _pair(10_000)
    numbers = [a.open(Lane.BULK, b"") for _ in range(3)]
    _carry(a, b)
    for number in numbers:
        a.send(number, 0, bytes(900))
    order = [e.channel for e in _carry(a, b, room=100) if isinstance(e, ChannelData)]
    assert order[:6] == numbers * 2 or sorted(order[:3]) == numbers


def test_channel_0_does_not_wait_for_other_channels_but_takes_turns_with_them() -> None:
    a, b = _pair(10_000)
    busy = [a.open(Lane.PROMPT, b"busy") for _ in range(20)]
    _carry(a, b)
    for number in busy:
        a.send(number, 0, b"x" * 200)
    for _ in range(3):
        a.send_message(0, b"r" * 100)
    found = [event.channel for event in _carry(a, b, room=110) if isinstance(event, ChannelData | ChannelMessage)]
    assert found[0] == 0, "a request does not wait for twenty frames"
    assert found.index(busy[0]) < 4, "the other channels do not wait for all requests"


def test_a_channel_in_the_prompt_lane_is_full_after_one_kibibyte_on_a_serial_line() -> None:
    """Output that is queued cannot be interrupted, and a person waits for it."""
    mux, _ = _pair(limits.CREDIT_SERIAL)
    prompt, bulk = (mux.open(lane, b"run") for lane in (Lane.PROMPT, Lane.BULK))
    assert mux.next_payload(Lane.PROMPT, 80) and mux.next_payload(Lane.BULK, 80)  # the openings
    assert mux.send(prompt, 1, bytes(1024)) and not mux.send(prompt, 1, b"x")
    assert mux.send(bulk, 1, bytes(16384)) and not mux.send(bulk, 1, b"x")
    while mux.full(prompt):
        assert mux.next_payload(Lane.PROMPT, 80)
    assert ChannelWritable(prompt) in mux.events


def test_late_records_of_a_closed_channel_are_discarded_and_counted() -> None:
    a, b = _pair()
    number = a.open(Lane.BULK, b"x")
    _carry(a, b)
    b.reset(number, "no")
    a.send(number, 0, b"late")
    assert not [e for e in _carry(a, b) if isinstance(e, ChannelData)]
    assert b.discarded == 4


def _record(kind: bytes, number: int, body: bytes) -> bytes:
    return kind + counted(number) + counted(len(body)) + body


@pytest.mark.parametrize(
    "payload",
    [
        b"?AA", b"m", b"mA", b"mAE12", _record(b"o", 0, b""), _record(b"o", 1, b""), _record(b"x", 0, b"bye"),
        _record(b"e", 0, b""), _record(b"m", 0, bytes(_CREDIT)), _record(b"o", 2, b"") * 2,
        _record(b"o", 2, b"") + _record(b"e", 2, b"") * 2,
    ],
)  # fmt: skip
def test_an_invalid_record_is_a_protocol_violation(payload: bytes) -> None:
    assert not _pair()[0].receive(Lane.PROMPT, payload)


def test_a_closed_channel_never_opens_again() -> None:
    states = {state for state, _ in LIFE} | set(LIFE.values())
    assert all(state != CLOSED for state, _ in LIFE)
    assert all((state, "reset") in LIFE for state in states - {CLOSED})


def test_the_end_of_a_session_closes_every_channel_with_its_reason() -> None:
    a, b = _pair()
    numbers = [a.open(Lane.BULK, b"") for _ in range(3)]
    _carry(a, b)
    b.end(numbers[0])
    _carry(b, a)
    a.send(numbers[0], 0, bytes(5000))
    a.end(numbers[0])
    assert {(e.channel, e.reason) for e in a.close_all("over")} == {(n, "over") for n in numbers}  # type: ignore[attr-defined]


def test_incomplete_messages_of_all_channels_together_are_bounded() -> None:
    mux = Mux(odd=True, send_credit=1 << 20, receive_window=1 << 20)
    piece = b"f" * (1 << 16)
    for number in range(2, 40, 2):
        opened = b"o" + counted(number) + counted(1) + b"x"
        assert mux.receive(Lane.BULK, opened)
        for _ in range(8):
            if not mux.receive(Lane.BULK, b"f" + counted(number) + counted(len(piece)) + piece):
                assert number > 2 * (limits.PIECES_MAX // (8 * len(piece)))
                return
    pytest.fail("nothing stopped the peer")
