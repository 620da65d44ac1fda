"""The measured round-trip time and the probe timeout (section 5.5 of docs/protocol.md).

The estimator is that of RFC 6298. The probe timeout is for the last sent frames, because no later frame can arrive and show
their loss. When it expires, a poll asks for an acknowledgement, which shows the lost frames. No frame is repeated because of
a timer alone. A slow line therefore does not fill with copies.
"""

from __future__ import annotations

from ... import limits

__all__ = ["RoundTrip"]


class RoundTrip:
    """The time from the departure of a frame's last byte to its acknowledgement, without the delay at the peer."""

    __slots__ = ("backoff", "least", "smoothed", "variation")

    def __init__(self) -> None:
        self.smoothed: float | None = None
        """The smoothed round-trip time in seconds; None before the first measurement."""
        self.variation = 0.0
        self.least = limits.FIRST_RTT
        self.backoff = 0
        """The number of consecutive polls without an answer."""

    def measured(self, sample: float) -> None:
        """Add one measurement in seconds."""
        sample = max(sample, 0.0)
        if self.smoothed is None:
            self.smoothed, self.variation, self.least = sample, sample / 2, sample
            return
        self.least = min(self.least, sample)
        self.variation += (abs(sample - self.smoothed) - self.variation) / 4
        self.smoothed += (sample - self.smoothed) / 8

    @property
    def value(self) -> float:
        """The smoothed round-trip time in seconds, or an assumed time before the first measurement."""
        return limits.FIRST_RTT if self.smoothed is None else self.smoothed

    def probe_timeout(self, ack_delay: float) -> float:
        """The time after which an unacknowledged frame causes a poll, in seconds.

        :param ack_delay: the longest time for which the peer may delay an acknowledgement, in seconds.
        """
        if self.smoothed is None:
            base = 2 * limits.FIRST_RTT
        else:
            base = self.smoothed + max(4 * self.variation, limits.PROBE_FLOOR) + ack_delay
        return min(base * 2.0**self.backoff, max(limits.POLL_MAX, base))
