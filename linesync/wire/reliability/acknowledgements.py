"""The acknowledgements that one end owes its peer: when the next one is due, and its contents."""

from __future__ import annotations

from ... import limits
from ..framing import frames
from ..framing.frames import Ack, Lane
from .pacing import Pacer
from .selective_repeat import SelectiveRepeatReceiver

__all__ = ["Acknowledgements"]

_FEW_BYTES = 512  # received bytes that need no full acknowledgement while data frames carry acknowledgements
_AT_ONCE = 0.005  # seconds: a burst of early frames gets one acknowledgement


class Acknowledgements:
    """The acknowledgements of a session.

    :param receivers: the receivers of both lanes, which know what has arrived.
    :param short: the peer accepts short acknowledgements.
    """

    __slots__ = ("_answer", "_bytes", "_due", "_newest_at", "_polled", "_receivers", "_sent_at", "_short", "_whole")

    def __init__(self, receivers: dict[Lane, SelectiveRepeatReceiver], short: bool, now: float) -> None:
        self._receivers = receivers
        self._short = short
        self._due: dict[Lane, float | None] = dict.fromkeys(Lane)  # when the acknowledgement of a lane is due
        self._bytes = 0  # bytes received since the last full acknowledgement
        self._sent_at = now  # when that was sent
        self._whole = False  # the peer needs to know what is missing
        self._newest_at = now  # when the last data frame or poll arrived
        self._polled = 0  # the number of the peer's last poll
        self._answer = False  # the peer asked for one

    # -- what arrives --------------------------------------------------------------------------------------------------

    def polled(self, number: int | None, now: float) -> None:
        """A poll has arrived.

        :param number: its number; None if it is malformed.
        """
        self._polled = number or self._polled
        self._newest_at = now
        self._answer = True

    def asked(self) -> None:
        """The peer wants to know what arrived."""
        self._answer = True

    def owe(self, lane: Lane, length: int, pacer: Pacer, now: float, *, urgent: bool) -> None:
        """A data frame has arrived.

        :param length: its length on the line, bytes.
        :param urgent: a frame is missing, or has come after others were sent again.
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

    # -- what is sent --------------------------------------------------------------------------------------------------

    def is_due(self, now: float) -> bool:
        """An acknowledgement must be sent now."""
        if self._answer:
            return True
        prompt, bulk = self._due[Lane.PROMPT], self._due[Lane.BULK]
        return (prompt is not None and prompt <= now) or (bulk is not None and bulk <= now)

    def next_timer(self, now: float) -> float | None:
        """When the next acknowledgement is due that is not due yet, or None."""
        return min((due for due in self._due.values() if due is not None and due > now), default=None)

    def carried(self, lane: Lane, control_time: float, now: float) -> None:
        """A data frame of this lane leaves, and carries the acknowledgement of the lane. That is enough if nothing is missing
        and a full acknowledgement was sent a short time ago. Only a full one reports our delay to the peer, and the peer's
        pacer computes the rate of the line from it.

        :param control_time: the duration of the longest control frame, seconds.
        """
        if not self._receivers[lane].has_gap and self._measured_lately(control_time, now):
            self._due[lane] = None

    def _measured_lately(self, control_time: float, now: float) -> bool:
        """We sent a full acknowledgement a short time ago, or have received only a few bytes since the last one."""
        few = self._bytes < _FEW_BYTES
        apart = max(limits.MEASURE, limits.MEASURE_COST_MOST * control_time)
        apart = max(apart, min(limits.MEASURE_COST * control_time, limits.MEASURE_MOST))
        return few or now - self._sent_at < apart

    def take(self, now: float, departs: float) -> tuple[bytes, bytes]:
        """The acknowledgement to send now: the kind and the body of its frame.

        :param departs: when a frame that is handed over now begins to leave, seconds.
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
        """The body of an acknowledgement of the next sequence numbers alone; empty if more needs to be reported."""
        if not self._short or self._answer or self._whole or self._bytes >= _FEW_BYTES:
            return b""
        prompt, bulk = self._receivers[Lane.PROMPT], self._receivers[Lane.BULK]
        if prompt.has_gap or bulk.has_gap:
            return b""
        both = self._due[Lane.BULK] is not None
        self._due = dict.fromkeys(Lane)
        return frames.short_ack_body(prompt.expected, bulk.expected if both else None)
