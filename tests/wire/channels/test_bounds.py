"""The limits of a session for unread records and openings."""

from __future__ import annotations

import pytest

from linesync import limits
from linesync.wire.channels.mux import Mux
from linesync.wire.events import ChannelClosed, ChannelData, ChannelOpened, Event
from linesync.wire.framing.digits import counted
from linesync.wire.framing.encoded import Encoded
from linesync.wire.framing.frames import Lane

WINDOW = 1 << 20


def record(kind: bytes, number: int, body: bytes) -> bytes:
    return kind + counted(number) + counted(len(body)) + body


class Receiver:
    """A mux whose user reads nothing."""

    def __init__(self) -> None:
        self.mux = Mux(odd=True, send_credit=WINDOW, receive_window=WINDOW)
        self.events: list[Event] = []

    def take(self, payload: bytes) -> None:
        assert self.mux.receive(Lane.BULK, payload)
        self.events += self.mux.events
        self.mux.events = []

    def closed(self) -> list[int]:
        return [event.channel for event in self.events if isinstance(event, ChannelClosed)]

    def unread(self) -> int:
        """Return the number of bytes that all open channels keep for their user."""
        closed = set(self.closed())
        return sum(len(e.data) for e in self.events if isinstance(e, ChannelData) and e.channel not in closed)


@pytest.mark.parametrize("size", [60_000, 1])
def test_unread_data_of_all_channels_together_is_bounded(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNREAD_MAX", 4 << 20)
    receiver = Receiver()
    data = record(b"0", 0, bytes(size))[2:]  # without its kind and channel
    receiver.take(record(b"o", 2, b"small") + record(b"0", 2, b"hello"))
    count = min(WINDOW // (size + 4) - 1, 4000)
    for number in range(4, 40, 2):
        receiver.take(record(b"o", number, b"large"))
        for begin in range(0, count, 1000):
            receiver.take((b"0" + counted(number) + data) * min(1000, count - begin))
    assert receiver.closed(), "nothing was reset"
    assert 2 not in receiver.closed(), "a channel with little unread data was reset"
    maximum = limits.UNREAD_MAX // (size + 4 + limits.RECORD_MEMORY) * size
    assert 0.6 * maximum < receiver.unread() <= maximum


def test_a_reset_makes_room_again() -> None:
    receiver = Receiver()
    for number in range(2, 200, 2):
        receiver.take(record(b"o", number, b"") + record(b"0", number, bytes(900_000)))
        receiver.mux.reset(number, "not wanted")
    assert receiver.closed() == []


def test_data_that_was_read_makes_room_again() -> None:
    receiver = Receiver()
    receiver.take(record(b"o", 2, b""))
    for _ in range(200):
        receiver.take(record(b"0", 2, bytes(700_000)))
        receiver.mux.consumed(2, bytes(700_000))
    assert receiver.closed() == []


def test_openings_of_all_open_channels_together_are_bounded() -> None:
    receiver = Receiver()
    words = bytes(limits.OPEN_MAX)
    maximum = limits.OPENINGS_MAX // len(words)
    for number in range(2, 2 * maximum + 20, 2):
        receiver.take(record(b"o", number, words))
    opened = [event.channel for event in receiver.events if isinstance(event, ChannelOpened)]
    assert len(opened) == maximum
    receiver.mux.reset(opened[0], "not wanted")
    while receiver.mux.next_payload(Lane.BULK, 1000):
        pass
    receiver.take(record(b"o", 2000, words))
    assert isinstance(receiver.events[-1], ChannelOpened), "a closed channel still counts"


def test_a_peer_that_does_not_read_refusals_cannot_open_more_and_more_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANNELS", 50)
    receiver = Receiver()
    numbers = iter(range(2, 2000, 2))
    while receiver.mux.receive(Lane.BULK, record(b"o", next(numbers), b"run")):
        assert receiver.mux.open_count <= 2 * limits.CHANNELS
    assert receiver.mux.open_count > limits.CHANNELS, "the first refusals must not end the session"


def test_data_keeps_its_text_for_forwarding_only_while_little_is_unread() -> None:
    receiver = Receiver()
    receiver.take(record(b"o", 2, b"") + record(b"o", 4, b""))
    for number in (2, 2, 4, 4) * 20:
        head = b"0" + counted(number) + counted(100_000)
        receiver.take(Encoded.of(head + bytes(100_000), head + bytes(100_000)))
        receiver.mux.consumed(number, bytes(100_000))
    assert all(isinstance(event.data, Encoded) for event in receiver.events if isinstance(event, ChannelData))
    receiver.events.clear()
    for number in range(6, 40, 2):
        head = b"0" + counted(number) + counted(900_000)
        receiver.take(record(b"o", number, b""))
        receiver.take(Encoded.of(head + bytes(900_000), head + bytes(900_000)))
    kept = [isinstance(event.data, Encoded) for event in receiver.events if isinstance(event, ChannelData)]
    assert kept == [True] * 5 + [False] * 12


def test_the_rest_of_partly_sent_data_does_not_keep_all_of_the_data_in_memory() -> None:
    mux = Mux(odd=True, send_credit=WINDOW, receive_window=WINDOW)
    data = Encoded.of(bytes(200_000), bytes(200_000))
    number = mux.open(Lane.BULK, b"")
    mux.send(number, 0, data)
    mux.next_payload(Lane.BULK, 1000)
    (rest,) = [body for _, body in mux._channels[number].queue]
    assert not isinstance(rest.obj, Encoded) and rest == data[len(data) - len(rest) :]
