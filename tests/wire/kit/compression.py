"""Pairs of multiplexers that compress, and data for them."""

from __future__ import annotations

import random

from linesync.wire.channels.mux import Mux
from linesync.wire.events import ChannelData, ChannelMessage, Event
from linesync.wire.framing.digits import counted
from linesync.wire.framing.frames import Lane

__all__ = ["CREDIT", "NOISE", "OPENED", "PROSE", "carry", "data_of", "messages_of", "pair", "record"]

CREDIT = 1 << 16
PROSE = b"".join(
    b"line %d of what anybody may copy and change, under the terms of this licence\n" % n for n in range(900)
)
NOISE = random.Random(7).randbytes(1 << 20)


def pair(credit: int = CREDIT, **settings: bool) -> tuple[Mux, Mux]:
    how = {"compress": True, "expand": True, **settings}
    a, b = (Mux(odd=odd, send_credit=credit, receive_window=credit, **how) for odd in (True, False))
    return a, b


def carry(a: Mux, b: Mux, room: int = 1400) -> tuple[list[Event], int]:
    """Carry all payloads from a to b, and credit back.

    :returns: (the events of b, the bytes of the payloads).
    """
    events: list[Event] = []
    size = 0
    while any(a.wants(lane) for lane in Lane):
        for lane in Lane:
            payload = a.next_payload(lane, room)
            assert len(payload) <= room
            assert b.receive(lane, payload)
            size += len(payload)
            for event in b.events:
                if isinstance(event, ChannelData | ChannelMessage):
                    b.consumed(event.channel, event.data)
            events += b.events
            b.events = []
        while b.wants(Lane.PROMPT):
            assert a.receive(Lane.PROMPT, b.next_payload(Lane.PROMPT, 80))
    return events, size


def data_of(events: list[Event], stream: int = 0) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, ChannelData) and event.stream == stream)


def messages_of(events: list[Event]) -> list[bytes]:
    return [event.data for event in events if isinstance(event, ChannelMessage)]


def record(kind: bytes, number: int, body: bytes) -> bytes:
    return kind + counted(number) + counted(len(body)) + body


OPENED = record(b"o", 2, b"x")
