"""Selective repeat: the sender and the receiver of one lane (sections 5.1 to 5.4 of docs/protocol.md).

Sequence numbers have 12 bits on the line and are unbounded integers in this module. The receiver delivers payloads in order
and keeps payloads that arrive early. It reports the next number that it expects, and the ranges of later numbers that it has
received. The numbers between these ranges are missing. The sender keeps every payload until it is acknowledged.

A line does not change the order of frames. The order of arrivals, and not a timer, therefore shows the lost payloads. Each
transmission in either lane, including repetitions, gets the next number of one common *transmission count* when its last byte
is handed over. When a transmission is known to have arrived, all unacknowledged transmissions with a smaller count are lost.
Only the last frames need timers (:mod:`linesync.wire.reliability.round_trip`). This is RACK (RFC 8985) without its clock.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

from ... import limits

__all__ = ["SelectiveRepeatReceiver", "SelectiveRepeatSender", "SentPayload"]

_HALF = limits.SEQ_MOD // 2


def nearest(wire: int, reference: int) -> int:
    """The integer nearest to ``reference`` that equals ``wire`` modulo 4096."""
    return reference + (wire - reference + _HALF) % limits.SEQ_MOD - _HALF


def nearest_of_six_bits(wire: int, reference: int) -> int:
    """The integer nearest to ``reference`` that equals ``wire`` modulo 64."""
    return reference + (wire - reference + 32) % 64 - 32


class SentPayload:
    """One payload that is not acknowledged yet."""

    __slots__ = ("count", "first_at", "lost", "masked", "payload", "sent_at", "seq", "size", "times")

    def __init__(self, seq: int, payload: bytes) -> None:
        self.seq = seq
        self.payload = payload
        self.count = -1
        """The transmission count of its last transmission; -1 until this transmission is complete."""
        self.first_at = float("-inf")
        """The time at which its first transmission began, in seconds; minus infinity before that."""
        self.sent_at = 0.0
        """The time at which the last byte of the last transmission leaves, estimated by the pacer, in seconds."""
        self.size = 0
        """The length of the last transmission on the line, in bytes."""
        self.times = 0
        """The number of complete transmissions."""
        self.masked = False
        """Whether the last transmission was in the masked form."""
        self.lost = False
        """Whether it waits to be repeated."""


class SelectiveRepeatSender:
    """The sender of one lane: numbers payloads, keeps them until they are acknowledged, and selects payloads to repeat."""

    def __init__(self) -> None:
        self.next_seq = 0
        """The sequence number of the next new payload."""
        self.base = 0
        """The sequence number of the oldest unacknowledged payload."""
        self.bytes_in_flight = 0
        """The number of payload bytes that are not acknowledged."""
        self.repeated = 0
        """The number of repetitions."""
        self._out: dict[int, SentPayload] = {}  # bound: limits.WINDOW_FRAMES
        # bound: limits.WINDOW_FRAMES
        self._lost: list[int] = []  # a heap of sequence numbers to repeat, the oldest first
        # bound: limits.WINDOW_FRAMES
        self._fresh: deque[SentPayload] = deque()  # outstanding payloads in the order of their transmission counts

    @property
    def outstanding(self) -> bool:
        """Whether any payload is not acknowledged."""
        return bool(self._out)

    @property
    def window_open(self) -> bool:
        """Whether a new payload may be sent."""
        return self.next_seq - self.base < limits.WINDOW_FRAMES

    @property
    def has_lost(self) -> bool:
        """Whether any payload waits to be repeated."""
        return bool(self._lost)

    def push(self, payload: bytes) -> SentPayload:
        """Give a sequence number to a new payload, and keep it."""
        sent = SentPayload(self.next_seq, payload)
        self._out[self.next_seq] = sent
        self.next_seq += 1
        self.bytes_in_flight += len(payload)
        return sent

    def next_lost(self) -> SentPayload | None:
        """Take the oldest lost payload for a repetition; None if no payload is lost."""
        while self._lost:
            sent = self._out.get(heappop(self._lost))
            if sent is not None and sent.lost:
                sent.lost = False
                self.repeated += 1
                return sent
        return None

    def put_back(self, sent: SentPayload) -> None:
        """Return a payload of :meth:`next_lost` that cannot be sent now."""
        sent.lost = True
        self.repeated -= 1
        heappush(self._lost, sent.seq)

    def lose_all(self) -> None:
        """Mark all unacknowledged payloads as lost, because the line is gone."""
        self._fresh.clear()
        self._lost = []
        for seq, sent in self._out.items():
            sent.lost, sent.count = True, -1
            heappush(self._lost, seq)

    def transmitted(self, sent: SentPayload, count: int, sent_at: float, size: int) -> None:
        """Record a complete transmission of a payload.

        :param count: its transmission count.
        :param sent_at: the time at which its last byte leaves the line, in seconds.
        :param size: its length on the line, in bytes.
        """
        if sent.seq not in self._out:
            return  # an earlier transmission has arrived and is already acknowledged
        sent.count, sent.sent_at, sent.size = count, sent_at, size
        sent.times += 1
        self._fresh.append(sent)

    def acknowledged(self, expected: int, ranges: tuple[tuple[int, int], ...]) -> list[SentPayload] | None:
        """Handle an acknowledgement.

        :param expected: the next sequence number that the peer expects, modulo 4096.
        :param ranges: the ranges from this number on: the number of missing payloads, and the number of received payloads
            after them.
        :returns: the newly acknowledged payloads in any order; None if it acknowledges payloads that were never sent.
        """
        upto = nearest(expected, self.base)
        if upto > self.next_seq:
            return None
        new: list[SentPayload] = []
        while self.base < upto:
            self._settle(self.base, new)
            self.base += 1
        at = upto
        for missing, received in ranges:
            start, at = at + missing, at + missing + received
            if at > self.next_seq or received > limits.WINDOW_FRAMES:
                return None
            for seq in range(max(start, self.base), at):
                self._settle(seq, new)
        return new

    def acknowledged_shortly(self, six_bits: int) -> list[SentPayload] | None:
        """Handle a short acknowledgement.

        With more than 31 payloads in flight, it may acknowledge fewer payloads than the peer has received. It never
        acknowledges more, because the expected number never decreases.

        :param six_bits: the next sequence number that the peer expects, modulo 64.
        """
        return self.acknowledged(nearest_of_six_bits(six_bits, self.base) % limits.SEQ_MOD, ())

    def _settle(self, seq: int, new: list[SentPayload]) -> None:
        sent = self._out.pop(seq, None)
        if sent is not None:
            self.bytes_in_flight -= len(sent.payload)
            new.append(sent)

    def lose_before(self, count: int) -> list[SentPayload]:
        """Mark every unacknowledged payload as lost whose last transmission has a smaller count than ``count``.

        :returns: the newly lost payloads.
        """
        lost: list[SentPayload] = []
        fresh = self._fresh
        while fresh and (fresh[0].count < count or fresh[0].seq not in self._out):
            sent = fresh.popleft()
            if sent.seq in self._out and sent.count < count and not sent.lost:
                sent.lost = True
                sent.count = -1
                heappush(self._lost, sent.seq)
                lost.append(sent)
        return lost

    def oldest_sent_at(self) -> float | None:
        """The departure time of the oldest transmission that is neither acknowledged nor lost, in seconds, or None."""
        fresh = self._fresh
        while fresh and fresh[0].seq not in self._out:
            fresh.popleft()
        return fresh[0].sent_at if fresh else None


class SelectiveRepeatReceiver:
    """The receiver of one lane: delivers payloads in order, and reports the missing payloads."""

    def __init__(self) -> None:
        self.expected = 0
        """The sequence number of the next payload to deliver."""
        self.duplicates = 0
        self._early: dict[int, bytes] = {}  # bound: limits.WINDOW_FRAMES, limits.WINDOW_BYTES
        self._early_bytes = 0

    @property
    def has_gap(self) -> bool:
        """Whether a payload is missing before a received payload."""
        return bool(self._early)

    def receive(self, wire_seq: int, payload: bytes) -> list[bytes] | None:
        """Handle a received payload.

        :param wire_seq: its sequence number, modulo 4096.
        :returns: the payloads that can be delivered now, in order; None if this payload is dropped, because it is a duplicate
            or outside the window (in numbers or in bytes).
        """
        seq = nearest(wire_seq, self.expected)
        if seq < self.expected or seq in self._early or seq >= self.expected + limits.WINDOW_FRAMES:
            self.duplicates += 1
            return None
        if seq != self.expected:
            if self._early_bytes + len(payload) > limits.WINDOW_BYTES:
                return None
            self._early[seq] = payload
            self._early_bytes += len(payload)
            return []
        out = [payload]
        self.expected += 1
        while self.expected in self._early:
            out.append(self._early.pop(self.expected))
            self._early_bytes -= len(out[-1])
            self.expected += 1
        return out

    def report(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """The content of an acknowledgement: the next expected number modulo 4096, and the ranges (missing, received) after
        it."""
        ranges: list[tuple[int, int]] = []
        at, previous = self.expected, None
        for seq in sorted(self._early):
            if previous is not None and seq == previous + 1:
                ranges[-1] = (ranges[-1][0], ranges[-1][1] + 1)
            elif len(ranges) == limits.ACK_RANGES:
                break
            else:
                ranges.append((seq - at, 1))
            previous = seq
            at = seq + 1
        return self.expected % limits.SEQ_MOD, tuple(ranges)
