"""Selective repeat: one lane's sender and receiver, apart from each other and from any clock but ``now``.

Sequence numbers are 12 bits on the line and unbounded integers in here. The receiver delivers in order, keeps what
comes early, and reports the next number it expects with the ranges it holds past that: what lies between is asked for
by being left out. The sender keeps every payload until it is acknowledged.

Loss is decided by order, not by time, because a line does not reorder: every transmission, first or repeated, of
either lane, takes the next number of one common *transmission count* when its last byte is handed over. Once something
with a later count is known to have arrived, whatever has an earlier one and is not acknowledged is lost, repetitions
included. Timers are for the tail alone (:mod:`linesync.wire.reliability.round_trip`). (After RACK, RFC 8985, without its time.)
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

from ... import limits

__all__ = ["SelectiveRepeatReceiver", "SelectiveRepeatSender", "SentPayload"]

_HALF = limits.SEQ_MOD // 2


def nearest(wire: int, reference: int) -> int:
    """The integer that reads ``wire`` modulo 4096 and lies nearest to ``reference``."""
    return reference + (wire - reference + _HALF) % limits.SEQ_MOD - _HALF


def nearest_of_six_bits(wire: int, reference: int) -> int:
    """Likewise modulo 64."""
    return reference + (wire - reference + 32) % 64 - 32


class SentPayload:
    """One payload on its way."""

    __slots__ = ("count", "lost", "masked", "payload", "sent_at", "seq", "size", "times")

    def __init__(self, seq: int, payload: bytes) -> None:
        self.seq = seq
        self.payload = payload
        self.count = -1
        """Transmission count of its last transmission, -1 while that is not complete."""
        self.sent_at = 0.0
        """When the last byte of that transmission leaves by the pacer's reckoning, seconds."""
        self.size = 0
        """Bytes of that transmission on the line."""
        self.times = 0
        self.masked = False
        """That transmission was in the masked form."""
        self.lost = False


class SelectiveRepeatSender:
    """Gives out payloads to send, first the lost ones, and keeps them until they are acknowledged."""

    def __init__(self) -> None:
        self.next_seq = 0
        self.base = 0
        self.bytes_in_flight = 0
        """Payload bytes given out and not acknowledged."""
        self.repeated = 0
        """Transmissions that were repetitions."""
        self._out: dict[int, SentPayload] = {}
        self._lost: list[int] = []  # heap of sequence numbers to repeat, oldest first
        self._fresh: deque[SentPayload] = deque()  # outstanding in the order of their transmission count

    @property
    def outstanding(self) -> bool:
        return bool(self._out)

    @property
    def window_open(self) -> bool:
        return self.next_seq - self.base < limits.WINDOW_FRAMES

    @property
    def has_lost(self) -> bool:
        return bool(self._lost)

    def push(self, payload: bytes) -> SentPayload:
        """Number a new payload."""
        sent = SentPayload(self.next_seq, payload)
        self._out[self.next_seq] = sent
        self.next_seq += 1
        self.bytes_in_flight += len(payload)
        return sent

    def next_lost(self) -> SentPayload | None:
        """Take the oldest lost payload for repetition."""
        while self._lost:
            sent = self._out.get(heappop(self._lost))
            if sent is not None and sent.lost:
                sent.lost = False
                self.repeated += 1
                return sent
        return None

    def put_back(self, sent: SentPayload) -> None:
        """A payload taken for repetition cannot go now."""
        sent.lost = True
        self.repeated -= 1
        heappush(self._lost, sent.seq)

    def lose_all(self) -> None:
        """Everything unacknowledged is lost, half sent or not: its line is gone."""
        self._fresh.clear()
        self._lost = []
        for seq, sent in self._out.items():
            sent.lost, sent.count = True, -1
            heappush(self._lost, seq)

    def transmitted(self, sent: SentPayload, count: int, sent_at: float, size: int) -> None:
        """The last byte of a transmission was handed over."""
        if sent.seq not in self._out:
            return  # acknowledged meanwhile: an earlier transmission had arrived after all
        sent.count, sent.sent_at, sent.size = count, sent_at, size
        sent.times += 1
        self._fresh.append(sent)

    def acknowledged(self, expected: int, ranges: tuple[tuple[int, int], ...]) -> list[SentPayload] | None:
        """Take an acknowledgement (wire numbers).

        :returns: the payloads newly acknowledged, in no order; None when it claims what was never sent.
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
        """Take the next number that the peer expects, modulo 64. Where more than 31 are in flight that may be read as less
        than it says, never as more: what the peer expects is not below what it has acknowledged before."""
        return self.acknowledged(nearest_of_six_bits(six_bits, self.base) % limits.SEQ_MOD, ())

    def _settle(self, seq: int, new: list[SentPayload]) -> None:
        sent = self._out.pop(seq, None)
        if sent is not None:
            self.bytes_in_flight -= len(sent.payload)
            new.append(sent)

    def lose_before(self, count: int) -> list[SentPayload]:
        """Everything whose last transmission came before ``count`` and is still unacknowledged is lost.

        :returns: what is newly lost.
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
        """When the oldest transmission that is neither acknowledged nor lost left, seconds."""
        fresh = self._fresh
        while fresh and fresh[0].seq not in self._out:
            fresh.popleft()
        return fresh[0].sent_at if fresh else None


class SelectiveRepeatReceiver:
    """Puts payloads back into order and knows what is missing."""

    def __init__(self) -> None:
        self.expected = 0
        self.duplicates = 0
        self._early: dict[int, bytes] = {}

    @property
    def has_gap(self) -> bool:
        return bool(self._early)

    def receive(self, wire_seq: int, payload: bytes) -> list[bytes] | None:
        """Take a payload.

        :returns: the payloads now deliverable, in order; None when this one was a duplicate or outside the window.
        """
        seq = nearest(wire_seq, self.expected)
        if seq < self.expected or seq in self._early or seq >= self.expected + limits.WINDOW_FRAMES:
            self.duplicates += 1
            return None
        if seq != self.expected:
            self._early[seq] = payload
            return []
        out = [payload]
        self.expected += 1
        while self.expected in self._early:
            out.append(self._early.pop(self.expected))
            self.expected += 1
        return out

    def report(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """What an acknowledgement says: (next expected, modulo 4096; ranges of (missing, received) after it)."""
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
