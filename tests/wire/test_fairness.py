"""The shares of a busy line, on virtual time: bulk channels get equal shares, and neither a flood of prompt messages nor a
flood of bulk data starves the other."""

from __future__ import annotations

import pytest

from linesync.runtime.identity import local_end
from linesync.testing.faults import Faults
from linesync.testing.virtual_line import VirtualEnd, VirtualLine
from linesync.wire.events import ChannelData, ChannelEnded, ChannelMessage, ChannelWritable, Event
from linesync.wire.framing.frames import Lane

from .kit.traffic import endless_bulk, ready, received

RATE = 11520
REAL_FLAGS = {"flags": local_end("c", clean=False).flags}
CHANNELS = 10


def make_line(faults: Faults | None = None) -> VirtualLine:
    return ready(settle=3, byte_rate=float(RATE), faults=faults, local=REAL_FLAGS, grain=0.008)


def shares(line: VirtualLine, end: VirtualEnd, channels: list[int], seconds: float) -> list[float]:
    """Return the share of the line that each channel gets from now on, measured at the receiving end."""
    began = line.now
    line.run(seconds)
    came = dict.fromkeys(channels, 0)
    for when, event in end.events:
        if isinstance(event, ChannelData) and event.channel in came and when > began:
            came[event.channel] += len(event.data)
    return [came[channel] / seconds / RATE for channel in channels]


def flood(line: VirtualLine, end: VirtualEnd, size: int) -> list[int]:
    """Keep the prompt lane of an end full of messages on four new channels.

    :returns: the numbers of the channels.
    """
    mux = end.link.mux
    numbers = [mux.open(Lane.PROMPT, b"flood") for _ in range(4)]
    before = end.on_event

    def fill(number: int) -> None:
        while mux.send_message(number, line.random.randbytes(size)):
            pass

    def on_event(event: Event) -> None:
        if isinstance(event, ChannelWritable) and event.channel in numbers:
            fill(event.channel)
        if before is not None:
            before(event)

    end.on_event = on_event
    for number in numbers:
        fill(number)
    return numbers


def message_bytes(end: VirtualEnd, channels: list[int], since: float) -> int:
    """Return the number of bytes of messages that arrived on these channels after a time."""
    return sum(
        len(event.data)
        for when, event in end.events
        if isinstance(event, ChannelMessage) and event.channel in channels and when > since
    )


# -- bulk against bulk -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ber", [0.0, 1e-5])
def test_ten_bulk_channels_get_a_tenth_each(ber: float) -> None:
    line = make_line(Faults(ber=ber))
    channels = [endless_bulk(line, line.a) for _ in range(CHANNELS)]
    line.run(4)
    found = shares(line, line.b, channels, 25)
    assert max(found) <= 1.1 * min(found), found
    assert sum(found) > 0.8


def test_ten_channels_each_way_get_equal_shares() -> None:
    line = make_line()
    ways = [(line.b, [endless_bulk(line, line.a) for _ in range(CHANNELS)])]
    ways.append((line.a, [endless_bulk(line, line.b) for _ in range(CHANNELS)]))
    line.run(4)
    began = line.now
    shares(line, line.b, ways[0][1], 25)
    for end, channels in ways:
        came = [sum(len(e.data) for when, e in end.events if _data(e, number) and when > began) for number in channels]
        assert max(came) <= 1.15 * min(came), came
        assert sum(came) / 25 / RATE > 0.75


def _data(event: Event, number: int) -> bool:
    return isinstance(event, ChannelData) and event.channel == number


def test_a_late_channel_gets_its_share_immediately() -> None:
    line = make_line()
    early = [endless_bulk(line, line.a) for _ in range(CHANNELS - 1)]
    line.run(10)
    late = endless_bulk(line, line.a)
    line.run(2)
    found = shares(line, line.b, [*early, late], 25)
    assert max(found) <= 1.1 * min(found), found


def test_a_small_file_does_not_wait_for_nine_endless_transfers() -> None:
    line = make_line()
    for _ in range(CHANNELS - 1):
        endless_bulk(line, line.a)
    line.run(5)
    number = line.a.link.mux.open(Lane.BULK, b"small")
    line.a.link.mux.send(number, 0, line.random.randbytes(1024))
    line.a.link.mux.end(number)
    began = line.now
    assert line.run_until(lambda: any(e.channel == number for e in line.b.seen(ChannelEnded)), 30), line.transcript()
    assert line.now - began < 2 * CHANNELS * 2048 / RATE, "more than two rounds of full frames"


# -- prompt against bulk -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [20, 90])
def test_a_flood_of_prompt_messages_does_not_stop_bulk(size: int) -> None:
    line = make_line()
    bulk = endless_bulk(line, line.a)
    line.run(3)
    numbers = flood(line, line.a, size)
    line.run(2)
    began = line.now
    (share,) = shares(line, line.b, [bulk], 20)
    prompt = message_bytes(line.b, numbers, began) / 20 / RATE
    assert share > 0.05, f"bulk has {share:.3f} of the line, prompt {prompt:.3f}"
    assert prompt > 4 * share, "prompt messages have no priority"


@pytest.mark.long
def test_a_flood_of_bulk_does_not_stop_prompt_messages() -> None:
    alone = make_line()
    numbers = flood(alone, alone.a, 60)
    alone.run(5)
    full = message_bytes(alone.b, numbers, alone.now - 4) / 4 / RATE
    line = make_line()
    for end in line.ends:
        for _ in range(CHANNELS):
            endless_bulk(line, end)
    line.run(3)
    numbers = flood(line, line.a, 60)
    line.run(2)
    began = line.now
    line.run(20)
    with_bulk = message_bytes(line.b, numbers, began) / 20 / RATE
    assert with_bulk > 0.7 * full, f"prompt alone has {full:.3f} of the line, with bulk {with_bulk:.3f}"
    assert received(line.a) > 0
