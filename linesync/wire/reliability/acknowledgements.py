"""The acknowledgements that one end must send to its peer: the time and the contents of the next acknowledgement."""

from __future__ import annotations

from ... import limits
from ..framing import frames
from ..framing.frames import Ack, Lane
from .pacing import Pacer
from .selective_repeat import SelectiveRepeatReceiver

__all__ = ["Acknowledgements"]

_FEW_BYTES = 512  # so few received bytes need no full acknowledgement while data frames carry acknowledgements
_AT_ONCE = 0.005  # seconds between two urgent acknowledgements, so that a burst of frames gets only one


class Acknowledgements:
    """The acknowledgements that this end sends in a session.

    :param receivers: the receivers of both lanes, which know the received sequence numbers.
    :param short: whether the peer accepts short acknowledgements.
    """

    __slots__ = ("_answer", "_bytes", "_due", "_newest_at", "_polled", "_receivers", "_sent_at", "_short", "_whole")

    def __init__(self, receivers: dict[Lane, SelectiveRepeatReceiver], short: bool, now: float) -> None:
        self._receivers = receivers
        self._short = short
        self._due: dict[Lane, float | None] = dict.fromkeys(Lane)  # the time when each lane needs an acknowledgement
        self._bytes = 0  # the number of bytes received since the last full acknowledgement
        self._sent_at = now  # the time of the last full acknowledgement, in seconds
        self._whole = False  # whether a full acknowledgement must report missing frames
        self._newest_at = now  # the time when the last data frame or poll arrived, in seconds
        self._polled = 0  # the number of the peer's last poll
        self._answer = False  # whether the peer asked for an acknowledgement

    # -- receiving -----------------------------------------------------------------------------------------------------

    def polled(self, number: int | None, now: float) -> None:
        """Register a received poll.

        :param number: the number of the poll; None if it is malformed.
        """
        self._polled = number or self._polled
        self._newest_at = now
        self._answer = True

    def asked(self) -> None:
        """Send an acknowledgement as soon as possible, because the peer asked for it."""
        self._answer = True

    def owe(self, lane: Lane, length: int, pacer: Pacer, now: float, *, urgent: bool) -> None:
        """Register a received data frame, which needs an acknowledgement.

        :param length: the length of the frame on the line, in bytes.
        :param urgent: whether a frame is missing, or a missing frame has arrived now.
        """
        self._newest_at = now
        self._bytes += length
        delay = limits.ACK_DELAY
        if urgent:
            self._whole = True
            delay = max(0.0, self._sent_at + _AT_ONCE - now)
        elif self._bytes >= limits.ACK_EVERY:
            delay = 0.0
        elif lane is Lane.BULK and pacer.rate:
            delay = min(limits.ACK_DELAY_MAX, max(delay, 1.5 * length / pacer.rate))
        due = self._due[lane]
        self._due[lane] = now + delay if due is None else min(due, now + delay)

    # -- sending -------------------------------------------------------------------------------------------------------

    def is_due(self, now: float) -> bool:
        """Return whether an acknowledgement must be sent now."""
        if self._answer:
            return True
        prompt, bulk = self._due[Lane.PROMPT], self._due[Lane.BULK]
        return (prompt is not None and prompt <= now) or (bulk is not None and bulk <= now)

    def next_timer(self, now: float) -> float | None:
        """Return the next time after ``now`` when an acknowledgement must be sent, in seconds, or None."""
        return min((due for due in self._due.values() if due is not None and due > now), default=None)

    def carried(self, lane: Lane, control_time: float, now: float) -> None:
        """Register a sent data frame, which carries the acknowledgement of its lane.

        No further acknowledgement is necessary if no frame is missing and a full acknowledgement was sent a short time
        ago. Only a full acknowledgement contains the delay at this end, from which the peer's pacer computes the rate
        of the line.

        :param control_time: the duration of the longest control frame, in seconds.
        """
        if not self._receivers[lane].has_gap and self._measured_lately(control_time, now):
            self._due[lane] = None

    def _measured_lately(self, control_time: float, now: float) -> bool:
        """Return whether the last full acknowledgement was sent a short time ago, or only a few bytes arrived since then."""
        few = self._bytes < _FEW_BYTES
        interval = max(limits.MEASURE, limits.MEASURE_COST_MOST * control_time)
        interval = max(interval, min(limits.MEASURE_COST * control_time, limits.MEASURE_MOST))
        return few or now - self._sent_at < interval

    def take(self, now: float, departs: float) -> tuple[bytes, bytes]:
        """Return the acknowledgement to send now: (the kind of its frame, the body of its frame).

        :param departs: the time when a frame that is handed over now begins to leave, in seconds.
        """
        short = self._take_short()
        if short:
            return frames.SHORT_ACK, short
        self._answer = self._whole = False
        self._due = dict.fromkeys(Lane)
        self._bytes = 0
        self._sent_at = now
        ack = Ack(
            age=int((departs - self._newest_at) * 1000),
            poll=self._polled,
            prompt=self._receivers[Lane.PROMPT].report(),
            bulk=self._receivers[Lane.BULK].report(),
        )
        return frames.ACK, ack.body()

    def _take_short(self) -> bytes:
        """Return the body of a short acknowledgement; empty if a full acknowledgement is necessary."""
        if not self._short or self._answer or self._whole or self._bytes >= _FEW_BYTES:
            return b""
        prompt, bulk = self._receivers[Lane.PROMPT], self._receivers[Lane.BULK]
        if prompt.has_gap or bulk.has_gap:
            return b""
        both = self._due[Lane.BULK] is not None
        self._due = dict.fromkeys(Lane)
        return frames.short_ack_body(prompt.expected, bulk.expected if both else None)
