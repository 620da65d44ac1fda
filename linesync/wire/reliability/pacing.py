"""How much may be handed to the line now, so that control never waits behind bytes that were already given away.

1. The line is busy until what was handed over has left it at its byte rate; hand over only as much as keeps that moment
   within ``AHEAD`` of now.
2. The reckoning may be wrong: a slower line, a stuck XOFF, a busy adapter. Each acknowledgement tells when a frame
   really arrived. The least delay of the last seconds between the reckoned departure and that is what the way costs.
   The least one of a short span, which no waiting of the acknowledgement itself can shorten, tells how far the line is
   behind the reckoning by now; when that is worth it, it is added to the busy time once.
3. A line that falls behind in several spans on end runs slower than its name: we slow down by the least share that it
   lost in one of them, and feel our way back. A single lag is a machine that was busy, or a kernel that printed, and
   costs no more than its correction.

Lines without a rate (sockets, pipes) are not paced; their back-pressure does it.
"""

from __future__ import annotations

from math import inf

from ... import limits

__all__ = ["SLICE", "Pacer"]

SLICE = 1 << 17  # bytes handed to a line without a rate at once
_SLACK = 1e-6  # of a byte: float noise must not cost a whole one
_BASE_LIFE = 10.0  # seconds after which the least delay is measured anew
_SPAN = 0.4  # seconds that a judgement on the line's lag takes
_SAMPLES = 2  # and acknowledgements: each may have waited for something else
_WAIT = 6  # bytes that the start of an acknowledgement may be off
_STALL = 0.08  # a lag beyond this within a span is a stop, not a slower line
_LEAST_PACE = 0.8  # of the nominal rate
_STEADY = 2  # spans on end with a lag that make a slower line
_REGAIN = 0.001  # of the rate, the first span without lag; twice as much each further one on end
_REGAIN_MOST = 0.002


class Pacer:
    """The reckoning of one line's outgoing direction."""

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
        """Bytes a second by the line's name, None where it is not paced."""
        self.busy_until = 0.0
        """When everything handed over will have left, by the reckoning; seconds."""
        self._pace = 1.0  # what the line makes of its rate
        self._base = inf  # least delay of the last 10 to 20 seconds
        self._base_next = inf
        self._base_since = 0.0
        self._least = inf  # least delay of this span
        self._since = 0.0
        self._samples = 0
        self._lagging = 0  # spans on end with a lag
        self._least_share = 1.0  # of its time that the line lost in one of these
        self._regain = _REGAIN
        self._valid_from = -inf  # what was sent before this is on the far side of a correction

    def budget(self, now: float) -> int:
        """Bytes that may be handed over now."""
        if self.rate is None:
            return SLICE
        if self.busy_until <= now:
            return max(int(limits.AHEAD * self.rate), 1)
        return max(int((now + limits.AHEAD - self.busy_until) * self.rate + _SLACK), 0)

    def sent(self, size: int, now: float) -> None:
        """So many bytes were handed over."""
        if self.rate is None:
            self.busy_until = now
        else:
            self.busy_until = max(self.busy_until, now) + size / (self.rate * self._pace)

    def next_time(self, now: float) -> float:
        """When the next bytes should be handed over: with half of the lead used up, so that wake-ups are few, and not
        before a whole byte fits."""
        if self.rate is None:
            return now
        return max(now, self.busy_until - min(limits.AHEAD / 2, max(limits.AHEAD - 1 / self.rate, 0.0)))

    def arrived(self, sent_at: float, delay: float, now: float) -> None:
        """A frame reckoned to have left at ``sent_at`` was acknowledged after ``delay`` seconds, the time that the
        acknowledgement took off."""
        if self.rate is None or sent_at <= self._valid_from:
            return
        if now - self._base_since > _BASE_LIFE:
            self._base, self._base_next, self._base_since = self._base_next, inf, now
        self._base = min(self._base, delay)
        self._base_next = min(self._base_next, delay)
        self._least = min(self._least, delay)
        self._samples += 1
        if now - self._since >= _SPAN and self._samples >= _SAMPLES:
            self._judge(self._least - self._base, now)
            self._least, self._since, self._samples = inf, now, 0

    def _judge(self, behind: float, now: float) -> None:
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
