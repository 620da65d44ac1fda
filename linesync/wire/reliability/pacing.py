"""Pacing: how many bytes may be handed to the line now, so that control frames never wait behind earlier bytes.

1. The line is busy until all bytes that were handed over have left at its byte rate. Hand over only so many that this
   moment stays within ``AHEAD`` of now.
2. This estimate may be wrong: the line is slower, an XOFF is stuck, an adapter is busy. Each acknowledgement shows when a
   frame really arrived. The delay is the time from the estimated departure to this arrival. The least delay of the last
   10 to 20 seconds is the propagation delay. The least delay of a short span exceeds it by the time that the line lags
   behind the estimate. A significant lag is added to the busy time once. A late acknowledgement can only increase a delay,
   so the least one is the most exact.
3. A line that lags in several consecutive spans is slower than its nominal rate. We slow down by the least share of time
   that it lost in one of these spans, and approach the nominal rate again slowly. A single lag comes from a busy machine
   or a printing kernel and costs no more than its correction.

Lines without a rate (sockets, pipes) are not paced; their back-pressure is enough. (Section 5.6 of docs/protocol.md.)
"""

from __future__ import annotations

from math import inf

from ... import limits

__all__ = ["SLICE", "Pacer"]

SLICE = 1 << 17  # bytes handed to a line without a rate together
_SLACK = 1e-6  # of a byte: a rounding error must not cost a whole byte
_BASE_LIFE = 10.0  # seconds after which the least delay is measured again
_SPAN = 0.4  # seconds over which the lag is measured
_SAMPLES = 2  # the fewest acknowledgements in a span: each may have been delayed by something else
_WAIT = 6  # bytes by which the start of an acknowledgement may be wrong
_STALL = 0.08  # seconds: a greater lag within a span is a stop, not a slower line
_LEAST_PACE = 0.8  # of the nominal rate
_STEADY = 2  # so many consecutive spans with a lag show that the line is slower
_REGAIN = 0.001  # of the rate, regained after the first span without a lag, doubled after each further one
_REGAIN_MOST = 0.002  # of the rate, the most that is regained after a span


class Pacer:
    """The estimate for the outgoing direction of one line. Times are monotonic seconds.

    :param rate: the nominal bytes a second, None for a line that is not paced.
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
        """The nominal bytes a second, None if the line is not paced."""
        self.busy_until = 0.0
        """The estimated time when all bytes that were handed over will have left."""
        self._pace = 1.0  # the real rate of the line as a share of the nominal one
        self._base = inf  # the least delay of the last 10 to 20 seconds
        self._base_next = inf
        self._base_since = 0.0
        self._least = inf  # the least delay of this span
        self._since = 0.0
        self._samples = 0
        self._lagging = 0  # consecutive spans with a lag
        self._least_share = 1.0  # the least share of its time that the line lost in one of these
        self._regain = _REGAIN
        self._valid_from = -inf  # frames that were sent earlier precede the last correction

    def budget(self, now: float) -> int:
        """The number of bytes that may be handed over now."""
        if self.rate is None:
            return SLICE
        if self.busy_until <= now:
            return max(int(limits.AHEAD * self.rate), 1)
        return max(int((now + limits.AHEAD - self.busy_until) * self.rate + _SLACK), 0)

    def sent(self, size: int, now: float) -> None:
        """This many bytes were handed over."""
        if self.rate is None:
            self.busy_until = now
        else:
            self.busy_until = max(self.busy_until, now) + size / (self.rate * self._pace)

    def next_time(self, now: float) -> float:
        """When the next bytes should be handed over: when half of the lead is used up, so that there are few wake-ups, and
        not before a whole byte fits."""
        if self.rate is None:
            return now
        return max(now, self.busy_until - min(limits.AHEAD / 2, max(limits.AHEAD - 1 / self.rate, 0.0)))

    def arrived(self, sent_at: float, delay: float, now: float) -> None:
        """A frame with the estimated departure ``sent_at`` arrived ``delay`` seconds later.

        :param delay: as its acknowledgement shows it, without the duration of the acknowledgement.
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
        """Correct the estimate for a line that lags ``behind`` seconds."""
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
