"""Pacing: the limit of bytes that are handed to the line at one time, so that control frames do not wait behind many bytes
(section 5.6 of docs/protocol.md).

1. The line is busy until all bytes that were handed over have left at its byte rate. The pacer estimates this time. It
   allows only so many bytes that the estimated time is at most ``AHEAD`` in the future.
2. This estimate may be wrong: the line may be slower, it may be stopped by an XOFF, or an adapter may be busy. Each
   acknowledgement shows the real arrival time of a frame. The *delay* is the time from the estimated departure to this
   arrival. The smallest delay of the last 10 to 20 seconds is the propagation delay. The smallest delay of a short span
   exceeds the propagation delay by the *lag*: the time by which the line is behind the estimate. A significant lag is added
   to the busy time once. A late acknowledgement can only increase a delay, so the smallest delay is the most exact.
3. A line that lags in several consecutive spans is slower than its nominal rate. The pacer then lowers its rate by the
   smallest share of time that the line lost in one of these spans, and slowly returns to the nominal rate. A single lag is
   caused by a busy machine or a printing kernel, and is only corrected once.

Lines without a rate (sockets, pipes) are not paced, because their back-pressure is enough.
"""

from __future__ import annotations

from math import inf

from ... import limits

__all__ = ["SLICE", "Pacer"]

SLICE = 1 << 17  # the maximum number of bytes that are handed to a line without a rate at one time
_SLACK = 1e-6  # a part of a byte that is added, so that a rounding error does not cost a byte
_BASE_LIFE = 10.0  # seconds after which the propagation delay is measured again
_SPAN = 0.4  # the shortest span for the measurement of a lag, in seconds
_SAMPLES = 2  # the smallest number of acknowledgements in a span, because a single one may have been delayed
_WAIT = 6  # the possible error of the start of an acknowledgement, in bytes
_STALL = 0.08  # the lag of a span in seconds above which the line has stopped and is not just slower
_LEAST_PACE = 0.8  # the lowest pace as a share of the nominal rate
_STEADY = 2  # the number of consecutive spans with a lag after which the line counts as slower
_REGAIN = (
    0.001  # the share of the rate that is regained after the first span without a lag; doubled after each further span
)
_REGAIN_MOST = 0.002  # the largest share of the rate that is regained after a span


class Pacer:
    """The estimate for the outgoing direction of one line. Times are monotonic seconds.

    :param rate: the nominal rate in bytes a second; None for a line that is not paced.
    """

    __slots__ = (
        "_base",
        "_base_next",
        "_base_since",
        "_lagging",
        "_least",
        "_least_share",
        "_pace",
        "_regain",
        "_samples",
        "_since",
        "_valid_from",
        "busy_until",
        "rate",
    )

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        """The nominal rate in bytes a second; None if the line is not paced."""
        self.busy_until = 0.0
        """The estimated time at which all bytes that were handed over will have left."""
        self._pace = 1.0  # the estimated real rate of the line as a share of the nominal rate
        self._base = inf  # the smallest delay of the last 10 to 20 seconds
        self._base_next = inf
        self._base_since = 0.0
        self._least = inf  # the smallest delay of this span
        self._since = 0.0
        self._samples = 0
        self._lagging = 0  # the number of consecutive spans with a lag
        self._least_share = 1.0  # the smallest share of its time that the line lost in one of these spans
        self._regain = _REGAIN
        self._valid_from = -inf  # frames with an earlier departure were sent before the last correction

    def budget(self, now: float) -> int:
        """The number of bytes that may be handed over now."""
        if self.rate is None:
            return SLICE
        if self.busy_until <= now:
            return max(int(limits.AHEAD * self.rate), 1)
        return max(int((now + limits.AHEAD - self.busy_until) * self.rate + _SLACK), 0)

    def sent(self, size: int, now: float) -> None:
        """Record the number of bytes that were handed over."""
        if self.rate is None:
            self.busy_until = now
        else:
            self.busy_until = max(self.busy_until, now) + size / (self.rate * self._pace)

    def next_time(self, now: float) -> float:
        """The time at which the next bytes should be handed over.

        Half of ``AHEAD`` must have passed, so that there are few wake-ups, and at least one byte must fit.
        """
        if self.rate is None:
            return now
        return max(now, self.busy_until - min(limits.AHEAD / 2, max(limits.AHEAD - 1 / self.rate, 0.0)))

    def arrived(self, sent_at: float, delay: float, now: float) -> None:
        """Handle the acknowledgement of a frame.

        :param sent_at: the estimated departure of the frame.
        :param delay: the time from the departure to the arrival in seconds, without the duration of the acknowledgement.
        """
        if self.rate is None or sent_at <= self._valid_from:
            return
        if now - self._base_since > _BASE_LIFE:
            self._base, self._base_next, self._base_since = self._base_next, inf, now
        self._base = min(self._base, delay)
        self._base_next = min(self._base_next, delay)
        self._least = min(self._least, delay)
        self._samples += 1
        if now - self._since >= _SPAN and self._samples >= _SAMPLES:
            self._correct(self._least - self._base, now)
            self._least, self._since, self._samples = inf, now, 0

    def _correct(self, behind: float, now: float) -> None:
        """Correct the estimate for a line with a lag of ``behind`` seconds."""
        assert self.rate is not None
        slack = max(limits.AHEAD_SLACK, _WAIT / self.rate)
        if behind < slack:
            if behind < slack / 2:
                self._lagging = 0
                self._least_share = 1.0
                self._pace = min(self._pace + self._regain, 1.0)
                self._regain = min(self._regain * 2, _REGAIN_MOST)
            return
        self._lagging += 1
        self._regain = _REGAIN
        self._least_share = min(self._least_share, behind / max(now - self._since, _SPAN))
        if behind < _STALL and self._lagging >= _STEADY:
            self._pace = max(self._pace * (1 - self._least_share), _LEAST_PACE)
        self.busy_until = max(self.busy_until, now) + min(behind, 0.5)
        self._valid_from = self.busy_until
