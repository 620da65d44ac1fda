"""A model of a faulty serial line without I/O: the changes and delays of bytes by a cable, two UARTs and two ttys.

Tests run it on virtual time, and ``tools/nullmodem`` runs it in real time. Both pass ``now`` as an argument. The seed of a
failure in one of them therefore repeats the failure in the other. A :class:`FaultyLine` is one direction; a :class:`Cable`
has two directions.

The path of a byte, in order:

1. the sender's buffer (``capacity`` bytes), which empties at ``byte_rate`` and stops at a stuck XOFF;
2. kernel messages (printk) of the sender, which are inserted as complete lines at any byte position;
3. the wire: during a cut it loses all bytes; otherwise bursts, bit flips, lost bytes and doubled bytes;
4. the ttys: the eighth bit cleared, XON/XOFF removed, line ends rewritten, blanks removed or added, long lines cut;
5. the delay, and then :meth:`FaultyLine.take`.

The same seed and the same calls of ``feed`` give the same bytes at the same times, for any number of calls of ``take``.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import deque
from math import ceil, inf
from typing import Literal

from linesync.errors import UsageError
from linesync.testing.faults import Counters, Faults, Stage, stages

__all__ = ["GROUP_S", "Cable", "Counters", "End", "Faults", "FaultyLine"]

End = Literal["a", "b"]
"""An end of a cable."""

GROUP_S = 0.001
"""The longest duration on the line, in seconds, of bytes that a line with a rate delivers together; at least one byte."""

# A line without a rate sends all bytes immediately, so no bytes wait when a kernel message is due. The message is therefore
# held until the sender's next bytes, and is inserted between them.
_PRINTK_HOLD_S = 0.5  # the longest time that a message is held, in seconds
_PRINTK_SPREAD = 256  # the message is inserted after 0 to 255 of these bytes
_SLACK = (
    1e-3  # a part of a byte that is added, so that a rounding error in (now - begin) / byte_time does not cost a byte
)

_PRINTK = (
    "usb 1-1: new high-speed USB device number {} using xhci_hcd",
    "usb 1-1: USB disconnect, device number {}",
    "e1000e 0000:00:1f.6 eth0: NIC Link is Up 1000 Mbps Full Duplex, Flow Control: Rx/Tx",
    "EXT4-fs (sda{}): mounted filesystem with ordered data mode. Quota mode: none.",
    "random: crng init done",
    "systemd[1]: Started Session {} of User root.",
    'audit: type=1400 audit(1700000000.{}:29): apparmor="STATUS" operation="profile_load"',
    "nvme nvme0: I/O {} QID 3 timeout, completion polled",
    "CPU{}: Core temperature above threshold, cpu clock throttled (total events = 1)",
    "rcu: INFO: rcu_sched self-detected stall on CPU {}",
    "WARNING: CPU: {} PID: 77 at kernel/sched/core.c:3141 ttwu_queue+0x1c/0x60",
    " ? __do_softirq+0x{}/0x2a0",
    "---[ end trace 0000000000000000 ]---",
    "md/raid1:md0: Disk failure on sdb{}, disabling device.",
)


class _Windows:
    """Spans of time, merged where they overlap. A span contains its start but not its end."""

    __slots__ = ("_edges",)

    def __init__(self, spans: tuple[tuple[float, float], ...], origin: float) -> None:
        self._edges: list[float] = []
        for start, duration in sorted(spans):
            begin, end = origin + start, origin + start + duration
            if self._edges and begin <= self._edges[-1]:
                self._edges[-1] = max(self._edges[-1], end)
            elif duration > 0:
                self._edges += (begin, end)

    def covers(self, t: float) -> bool:
        return bisect_right(self._edges, t) % 2 == 1

    def past(self, t: float) -> float:
        """``t``, or the end of the span that covers it."""
        at = bisect_right(self._edges, t)
        return self._edges[at] if at % 2 else t

    def edge(self, t: float) -> float:
        """The next start or end of a span after ``t``; infinity if there is none."""
        at = bisect_right(self._edges, t)
        return self._edges[at] if at < len(self._edges) else inf


class _Kernel:
    """The sender's kernel: the time of its next message, and the message."""

    __slots__ = ("_origin", "_rate", "_rng", "due")

    def __init__(self, rate: float, seed: int, origin: float) -> None:
        self._rng = random.Random(seed)
        self._rate = rate
        self._origin = origin
        self.due = origin + self._rng.expovariate(rate)

    def next_message(self, spread: int) -> tuple[bytes, int]:
        """Take the due message. Return its text, and the number of the sender's bytes before it (below ``spread``)."""
        text = self._rng.choice(_PRINTK).format(self._rng.randint(1, 9))
        line = f"[{self.due - self._origin + 5:12.6f}] {text}\r\n".encode()
        after = self._rng.randrange(spread) if spread and self._rng.random() < 0.5 else 0
        self.due += self._rng.expovariate(self._rate)
        return line, after


class FaultyLine:
    """One direction of a serial line.

    Times are seconds of any clock that does not run backwards. Every call advances the line to its ``now``.

    :param faults: its faults; none by default.
    :param seed: decides every random choice.
    :param byte_rate: bytes per second (baud / 10 for 8N1), or None for a line without transmission time.
    :param capacity: the size of the sender's buffer in bytes (a UART has 16 to 256), or None for no limit.
    :param start: the time at which the line starts. The times of cuts and stuck XOFFs are relative to it.
    """

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        seed: int = 0,
        byte_rate: float | None = None,
        capacity: int | None = None,
        start: float = 0.0,
    ) -> None:
        if byte_rate is not None and not 0 < byte_rate < inf:
            raise UsageError(f"invalid byte_rate {byte_rate}: expected more than 0 bytes per second, or None")
        self.faults = faults or Faults()
        self.counters = Counters()
        self._byte_time = 1.0 / byte_rate if byte_rate else 0.0
        self._group = max(1, int(byte_rate * GROUP_S)) if byte_rate else None
        self._capacity = capacity
        self._delay = self.faults.delay
        self._cuts = _Windows(self.faults.cuts, start)
        self._stuck = _Windows(self.faults.stuck_xoff, start)
        self._windowed = bool(self.faults.cuts or self.faults.stuck_xoff)
        self._stages = stages(self.faults, seed * 16, self.counters)
        self._rate_fault: Stage | None = None  # the effect of the ports' rates on the bytes
        self._kernel = _Kernel(self.faults.printk, seed * 16, start) if self.faults.printk else None
        self._pulled = False
        self._seen = start  # the latest `now`
        self._settled = -inf  # the time up to which nothing is left to compute
        self._free = start  # the time at which the wire can begin the next byte
        self._fifo = bytearray()
        self._message = b""  # a kernel message that waits to be sent
        self._message_after = 0  # the number of bytes of the fifo that are sent before the message
        self._message_by = inf  # the time of the message if the fifo has fewer bytes
        self._travelling: deque[tuple[float, bytes]] = deque()
        self._travelling_bytes = 0
        self._ready = bytearray()

    @property
    def waiting(self) -> int:
        """The number of bytes that were fed or added and were not taken yet."""
        on_the_way = len(self._fifo) + len(self._message) + self._travelling_bytes
        return on_the_way + self.counters.held + len(self._ready)

    @property
    def pulled(self) -> bool:
        """Whether :meth:`pull` has unplugged the cable."""
        return self._pulled

    def room(self, now: float) -> int:
        """The number of bytes that :meth:`feed` accepts at ``now``; a large number if the buffer has no limit."""
        self._advance(now)
        return (1 << 30) if self._capacity is None else max(self._capacity - len(self._fifo), 0)

    def feed(self, data: bytes, now: float) -> None:
        """Put ``data`` into the sender's buffer.

        :raises UsageError: the data is longer than :meth:`room`. The line has accepted no byte.
        """
        self._advance(now)
        if self._capacity is not None and len(data) > self._capacity - len(self._fifo):
            raise UsageError(
                f"{len(data)} bytes do not fit into the line's buffer of {self._capacity}; call room() first"
            )
        if not self._source():
            self._free = max(self._free, self._seen)
        self._fifo += data
        if not self._byte_time:
            self._settled = -inf
        self.counters.bytes_in += len(data)

    def take(self, now: float) -> bytes:
        """Take the bytes that have arrived up to ``now``."""
        self._advance(now)
        while self._travelling and self._travelling[0][0] <= self._seen:
            chunk = self._travelling.popleft()[1]
            self._travelling_bytes -= len(chunk)
            self._ready += chunk
        if not self._ready:
            return b""
        out = bytes(self._ready)
        self._ready.clear()
        self.counters.bytes_out += len(out)
        return out

    def set_rate(self, byte_rate: float, rate_fault: Stage | None, now: float) -> None:
        """Change the rate at which bytes leave.

        :param byte_rate: the new rate in bytes per second.
        :param rate_fault: a stage for the bytes before the line's own faults, or None.
        """
        self._advance(now)
        if not self._source():
            self._free = max(self._free, self._seen)
        self._byte_time = 1.0 / byte_rate
        self._group = max(1, int(byte_rate * GROUP_S))
        if self._capacity is not None:
            self._capacity = max(16, ceil(byte_rate * 2 * GROUP_S))
        self._rate_fault = rate_fault

    def pull(self, now: float) -> None:
        """Unplug the cable. Bytes are lost, as during a cut, until :meth:`plug`."""
        self._advance(now)
        self._pulled = True

    def plug(self, now: float) -> None:
        """Plug the cable in again."""
        self._advance(now)
        self._pulled = False

    def next_time(self) -> float | None:
        """The time of the next event, or None. An event is the arrival of bytes, room in the buffer, or a kernel message.

        The time is in the past if there are bytes for :meth:`take`.
        """
        if self._ready:
            return self._seen
        when = self._begin()
        if self._group and when < inf:
            when += min(self._group, len(self._source()) or 1) * self._byte_time
        if self._travelling and self._travelling[0][0] < when:
            return self._travelling[0][0]
        return when if when < inf else None

    def _begin(self) -> float:
        """The time at which the next byte leaves the sender; infinity if there is none."""
        if self._fifo or (self._message and not self._message_after):
            begin = self._free
        elif self._message:
            begin = max(self._free, self._message_by)
        elif self._kernel:
            begin = max(self._free, self._kernel.due)
        else:
            return inf
        return self._stuck.past(begin) if self._windowed else begin

    def _source(self) -> bytes | bytearray:
        return self._message if self._message and not self._message_after else self._fifo

    def _advance(self, now: float) -> None:
        if now <= self._settled:
            return
        self._settled = self._seen = now = max(now, self._seen)
        while (begin := self._begin()) <= now:
            if self._message and not self._fifo:
                self._message_after = 0
            elif self._kernel and not self._message and self._kernel.due <= begin:
                self._queue_message(self._kernel)
                continue
            self._free = begin
            count = self._sendable(begin, now)
            if not count:
                return
            self._depart(count, begin)

    def _queue_message(self, kernel: _Kernel) -> None:
        self._message_by = kernel.due + _PRINTK_HOLD_S
        if not self._fifo:
            self._free = max(self._free, kernel.due)
        self._message, self._message_after = kernel.next_message(0 if self._byte_time else _PRINTK_SPREAD)
        self.counters.printk += len(self._message)

    def _sendable(self, begin: float, now: float) -> int:
        """The number of bytes of the source that leave together from ``begin`` on. All of them are complete by ``now`` and
        are in the same window."""
        source = self._source()
        count = len(source)
        if source is self._fifo and self._message:
            count = min(count, self._message_after)
        if not self._byte_time:
            return count
        if self._delay and self._group:
            count = min(count, self._group)
        count = min(count, int((now - begin) / self._byte_time + _SLACK))
        until = self._kernel.due if self._kernel and not self._message else inf
        if self._windowed:
            until = min(until, self._cuts.edge(begin), self._stuck.edge(begin))
        if until - begin < count * self._byte_time:
            # A byte whose transmission has begun is sent completely.
            count = min(count, max(1, ceil((until - begin) / self._byte_time - _SLACK)))
        return count

    def _depart(self, count: int, begin: float) -> None:
        if self._source() is self._fifo:
            chunk = bytes(self._fifo[:count])
            del self._fifo[:count]
            if self._message:
                self._message_after -= count
        else:
            chunk, self._message = self._message[:count], self._message[count:]
        self._free = begin + count * self._byte_time
        if self._pulled or (self._windowed and self._cuts.covers(begin)):
            self.counters.cut += count
            return
        if self._rate_fault is not None:
            chunk = self._rate_fault(chunk)
        for stage in self._stages:
            chunk = stage(chunk)
        if not self._delay:
            self._ready += chunk
        elif chunk:
            self._travelling.append((self._free + self._delay, chunk))
            self._travelling_bytes += len(chunk)


class Cable:
    """Two lines, one in each direction, between the ends ``"a"`` and ``"b"``.

    :param faults: the faults of the direction a to b.
    :param faults_ba: the faults of the direction b to a; None for the same faults.
    :param echo: whether each end also receives the bytes that it sends, in the form in which they arrive at the other end (a
        two-wire bus).
    :param seed: decides every random choice. The two directions get different seeds.
    :param byte_rate: the same as for :class:`FaultyLine`; also ``capacity`` and ``start``.
    """

    def __init__(
        self,
        faults: Faults | None = None,
        faults_ba: Faults | None = None,
        *,
        echo: bool = False,
        seed: int = 0,
        byte_rate: float | None = None,
        capacity: int | None = None,
        start: float = 0.0,
    ) -> None:
        self.echo = echo
        self.ab = FaultyLine(faults, seed=2 * seed, byte_rate=byte_rate, capacity=capacity, start=start)
        self.ba = FaultyLine(
            faults_ba or faults, seed=2 * seed + 1, byte_rate=byte_rate, capacity=capacity, start=start
        )
        self._echoed = {"a": bytearray(), "b": bytearray()}
        self._seen = start

    def line_from(self, end: End) -> FaultyLine:
        """The direction that begins at ``end``."""
        return self.ab if end == "a" else self.ba

    def line_to(self, end: End) -> FaultyLine:
        """The direction that leads to ``end``."""
        return self.ba if end == "a" else self.ab

    def room(self, end: End, now: float) -> int:
        """The number of bytes that ``end`` may feed at ``now``."""
        return self.line_from(end).room(now)

    def feed(self, end: End, data: bytes, now: float) -> None:
        """Send ``data`` from ``end``; see :meth:`FaultyLine.feed`."""
        self.line_from(end).feed(data, now)

    def take(self, end: End, now: float) -> bytes:
        """Take the bytes that have arrived at ``end`` up to ``now``, including echoes."""
        self._seen = max(self._seen, now)
        if not self.echo:
            return self.line_to(end).take(now)
        ab, ba = self.ab.take(now), self.ba.take(now)
        for inbox in self._echoed.values():
            inbox += ba + ab
        out = bytes(self._echoed[end])
        self._echoed[end].clear()
        return out

    def pull(self, now: float) -> None:
        """Unplug the cable. Bytes are lost in both directions until :meth:`plug`."""
        self.ab.pull(now)
        self.ba.pull(now)

    def plug(self, now: float) -> None:
        """Plug the cable in again."""
        self.ab.plug(now)
        self.ba.plug(now)

    def next_time(self) -> float | None:
        """The time of the next event at either end, or None."""
        if any(self._echoed.values()):
            return self._seen
        times = [when for line in (self.ab, self.ba) if (when := line.next_time()) is not None]
        return min(times, default=None)
