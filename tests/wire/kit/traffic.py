"""Traffic and measurements for tests of the link."""

from __future__ import annotations

from linesync.testing.faults import Faults
from linesync.testing.virtual_line import VirtualEnd, VirtualLine
from linesync.wire.events import ChannelData, ChannelEnded, ChannelMessage, ChannelWritable, Event
from linesync.wire.framing.frames import Lane

__all__ = ["answer_pings", "endless_bulk", "percentile", "ready", "received", "round_trips", "send_all"]


def ready(seed: int = 1, *, settle: float = 1.5, **settings: object) -> VirtualLine:
    """Return a line with a session, after the frames have reached their full length."""
    line = VirtualLine(seed, **settings)  # type: ignore[arg-type]
    line.establish(30)
    line.run(settle)
    return line


def send_all(line: VirtualLine, end: VirtualEnd, data: bytes, limit: float = 120.0) -> float:
    """Send bytes on a new bulk channel and check that they arrive.

    :returns: the seconds until the last byte arrives.
    """
    other = line.b if end is line.a else line.a
    number = end.link.mux.open(Lane.BULK, b"bulk")
    began = line.now
    end.link.mux.send(number, 0, data)
    end.link.mux.end(number)
    done = line.run_until(lambda: any(e.channel == number for e in other.seen(ChannelEnded)), limit)
    assert done, line.transcript()
    assert other.data(number) == data, line.transcript()
    return line.now - began


def endless_bulk(line: VirtualLine, end: VirtualEnd) -> int:
    """Keep the bulk lane of an end full of random bytes from now on.

    :returns: the number of the channel.
    """
    mux = end.link.mux
    number = mux.open(Lane.BULK, b"bulk")
    before = end.on_event

    def fill() -> None:
        while mux.send(number, 0, line.random.randbytes(4096)):
            pass

    def on_event(event: Event) -> None:
        if isinstance(event, ChannelWritable) and event.channel == number:
            fill()
        if before is not None:
            before(event)

    end.on_event = on_event
    fill()
    return number


def received(end: VirtualEnd) -> int:
    """Return the number of stream bytes that an end has received."""
    return sum(len(event.data) for event in end.seen(ChannelData))


def answer_pings(end: VirtualEnd) -> None:
    """Let an end return each message of channel 0 to its sender."""

    def on_event(event: Event) -> None:
        if isinstance(event, ChannelMessage) and event.channel == 0:
            end.link.mux.send_message(0, event.data)

    end.on_event = on_event


def round_trips(line: VirtualLine, count: int, gap: float) -> list[float]:
    """Return the sorted round-trip times of messages from a to b, in seconds. End b must answer them (:func:`answer_pings`)."""
    times = []
    for number in range(count):
        came, sent_at = len(line.a.messages(0)), line.now
        line.a.link.mux.send_message(0, b"acquire sem-%04d" % number)
        assert line.run_until(lambda came=came: len(line.a.messages(0)) > came, 20), line.transcript()
        times.append(line.now - sent_at)
        line.run(gap * (0.5 + line.random.random()))
    return sorted(times)


def percentile(times: list[float], share: float) -> float:
    """Return the value that is greater than this share (0 to 1) of the sorted times."""
    return times[min(len(times) - 1, int(len(times) * share))]


NOISY = Faults(ber=1e-4, drop=1e-4, dup=1e-4, burst=2e-5)
"""All faults of a bad line."""
