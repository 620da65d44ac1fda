"""Selective repeat: the sender and the receiver of one lane (sections 5.1 to 5.4 of docs/protocol.md).

Sequence numbers have 12 bits on the line and are unbounded integers here. The receiver delivers in order, keeps payloads
that come early, and reports the next number that it expects together with the ranges that it holds beyond. The gaps
between these are missing. The sender keeps every payload until it is acknowledged.

Order, not time, decides what is lost, because a line does not reorder frames. Each transmission of either lane, the
first or a repetition, takes the next number of one common *transmission count* when its last byte is handed over. When a
transmission is known to have arrived, all unacknowledged ones with a smaller count are lost, including repetitions. Only
the last frames need timers (:mod:`linesync.wire.reliability.round_trip`). This is RACK (RFC 8985) without its clock.
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
    """The same modulo 64."""
    return reference + (wire - reference + 32) % 64 - 32


class SentPayload:
    """One payload that is not acknowledged yet."""

    __slots__ = ("count", "first_at", "lost", "masked", "payload", "sent_at", "seq", "size", "times")

    def __init__(self, seq: int, payload: bytes) -> None:
        self.seq = seq
        self.payload = payload
        self.count = -1
        """The transmission count of its last transmission, -1 until that is complete."""
        self.first_at = float("-inf")
        """When its first transmission began, seconds; minus infinity before that."""
        self.sent_at = 0.0
        """When the last byte of that transmission leaves, as the pacer computes it; seconds."""
        self.size = 0
        """The length of that transmission on the line, bytes."""
        self.times = 0
        """Completed transmissions."""
        self.masked = False
        """The last transmission was in the masked form."""
        self.lost = False
        """It waits to be repeated."""


class SelectiveRepeatSender:
    """Numbers payloads, keeps them until they are acknowledged, and says which to repeat."""

    def __init__(self) -> None:
        self.next_seq = 0
        """The number of the next new payload."""
        self.base = 0
        """The number of the oldest unacknowledged payload."""
        self.bytes_in_flight = 0
        """Payload bytes that are not acknowledged."""
        self.repeated = 0
        """The number of repetitions."""
        self._out: dict[int, SentPayload] = {}  # bound: limits.WINDOW_FRAMES
        # bound: limits.WINDOW_FRAMES
        self._lost: list[int] = []  # a heap of sequence numbers to repeat, the oldest first
        # bound: limits.WINDOW_FRAMES
        self._fresh: deque[SentPayload] = deque()  # outstanding payloads in the order of their transmission counts

    @property
    def outstanding(self) -> bool:
        """Some payload is not acknowledged."""
        return bool(self._out)

    @property
    def window_open(self) -> bool:
        """A new payload may be sent."""
        return self.next_seq - self.base < limits.WINDOW_FRAMES

    @property
    def has_lost(self) -> bool:
        """Some payload waits to be repeated."""
        return bool(self._lost)

    def push(self, payload: bytes) -> SentPayload:
        """Number a new payload."""
        sent = SentPayload(self.next_seq, payload)
        self._out[self.next_seq] = sent
        self.next_seq += 1
        self.bytes_in_flight += len(payload)
        return sent

    def next_lost(self) -> SentPayload | None:
        """Take the oldest lost payload, to repeat it."""
        while self._lost:
            sent = self._out.get(heappop(self._lost))
            if sent is not None and sent.lost:
                sent.lost = False
                self.repeated += 1
                return sent
        return None

    def put_back(self, sent: SentPayload) -> None:
        """A payload that was taken from :meth:`next_lost` cannot be sent now."""
        sent.lost = True
        self.repeated -= 1
        heappush(self._lost, sent.seq)

    def lose_all(self) -> None:
        """The line is gone, so everything that is not acknowledged is lost, even if it was sent only in part."""
        self._fresh.clear()
        self._lost = []
        for seq, sent in self._out.items():
            sent.lost, sent.count = True, -1
            heappush(self._lost, seq)

    def transmitted(self, sent: SentPayload, count: int, sent_at: float, size: int) -> None:
        """The last byte of a transmission was handed over.

        :param count: its transmission count.
        :param sent_at: when the byte leaves the line, seconds.
        :param size: the length of the transmission, bytes.
        """
        if sent.seq not in self._out:
            return  # acknowledged in the meantime: an earlier transmission had arrived
        sent.count, sent.sent_at, sent.size = count, sent_at, size
        sent.times += 1
        self._fresh.append(sent)

    def acknowledged(self, expected: int, ranges: tuple[tuple[int, int], ...]) -> list[SentPayload] | None:
        """Take an acknowledgement.

        :param expected: the next sequence number that the peer expects, modulo 4096.
        :param ranges: (payloads missing, payloads received after them), from there on.
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
        """Take a short acknowledgement: the next sequence number that the peer expects, modulo 64. With more than 31
        payloads in flight this may acknowledge fewer payloads than the peer received, but never more, because the
        expected number never decreases."""
        return self.acknowledged(nearest_of_six_bits(six_bits, self.base) % limits.SEQ_MOD, ())

    def _settle(self, seq: int, new: list[SentPayload]) -> None:
        sent = self._out.pop(seq, None)
        if sent is not None:
            self.bytes_in_flight -= len(sent.payload)
            new.append(sent)

    def lose_before(self, count: int) -> list[SentPayload]:
        """Every unacknowledged payload whose last transmission was before ``count`` is lost.

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
        """When the oldest transmission left that is neither acknowledged nor lost, seconds; None if there is none."""
        fresh = self._fresh
        while fresh and fresh[0].seq not in self._out:
            fresh.popleft()
        return fresh[0].sent_at if fresh else None


class SelectiveRepeatReceiver:
    """Delivers payloads in order and knows which are missing."""

    def __init__(self) -> None:
        self.expected = 0
        """The number of the next payload to deliver."""
        self.duplicates = 0
        self._early: dict[int, bytes] = {}  # bound: limits.WINDOW_FRAMES, limits.WINDOW_BYTES
        self._early_bytes = 0

    @property
    def has_gap(self) -> bool:
        """A payload is missing before one that arrived."""
        return bool(self._early)

    def receive(self, wire_seq: int, payload: bytes) -> list[bytes] | None:
        """Take a payload.

        :param wire_seq: its sequence number, modulo 4096.
        :returns: the payloads that can be delivered now, in order; None if this one is dropped: a duplicate, or one outside
            the window, in numbers or in bytes.
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
        """The content of an acknowledgement: (next expected number modulo 4096, ranges of (missing, received) after it)."""
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
