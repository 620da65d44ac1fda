"""How long to wait: the measured round trip and the probe timeout.

The estimator is Jacobson's (RFC 6298). The probe timeout is for the tail of what was sent, where no later arrival can
tell of a loss: when it runs out a poll asks what has arrived, and its answer, by order, tells what is lost. Nothing is
ever sent again on a timer alone, so a slow line does not fill with copies.
"""

from __future__ import annotations

from ... import limits

__all__ = ["RoundTrip"]


class RoundTrip:
    """Round-trip times from the moment a frame's last byte leaves to its acknowledgement, the peer's own delay off."""

    __slots__ = ("backoff", "least", "smoothed", "variation")

    def __init__(self) -> None:
        self.smoothed: float | None = None
        """Seconds, None before the first measurement."""
        self.variation = 0.0
        self.least = limits.FIRST_RTT
        self.backoff = 0
        """Polls in a row that were not answered."""

    def measured(self, sample: float) -> None:
        """Take one measurement, seconds."""
        sample = max(sample, 0.0)
        if self.smoothed is None:
            self.smoothed, self.variation, self.least = sample, sample / 2, sample
            return
        self.least = min(self.least, sample)
        self.variation += (abs(sample - self.smoothed) - self.variation) / 4
        self.smoothed += (sample - self.smoothed) / 8

    @property
    def value(self) -> float:
        """The smoothed round trip, or what is assumed before it is measured; seconds."""
        return limits.FIRST_RTT if self.smoothed is None else self.smoothed

    def probe_timeout(self, ack_delay: float) -> float:
        """How long after its departure an unacknowledged frame calls for a poll, seconds."""
        if self.smoothed is None:
            base = 2 * limits.FIRST_RTT
        else:
            base = self.smoothed + max(4 * self.variation, limits.PROBE_FLOOR) + ack_delay
        return min(base * 2.0**self.backoff, max(limits.POLL_MAX, base))
