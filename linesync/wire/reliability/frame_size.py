"""The length of bulk frames: the longest that the line carries, and the best one for its errors (section 7).

1. A session starts with 127 bytes. The sender then sends probe frames of increasing length. A length whose probe is
   answered is agreed; a length that fails three times is not tried again in this session.
2. Let a frame have n bytes of which h are overhead, and let p be the probability that an error hits a byte. Goodput is
   greatest if n is about the square root of h/p. p is measured as frames lost per byte sent; old values fade.
3. If the receiver repairs one wrong bit in a frame, two errors are needed to lose it. That has a probability of c times
   n squared, and the best n is the cube root of h/2c. c is measured as frames lost per sum of the squared lengths.

On a clean pipe the length that the receiver announced is used immediately.
"""

from __future__ import annotations

from math import sqrt

from ... import limits

__all__ = ["FrameSizer"]

_OVERHEAD = 16  # bytes around a payload
_OVERHEAD_REPAIRABLE = 19  # the same in frames with a second check
_FADE = 200_000  # bytes after which earlier losses count half
_LEAST = 96  # bytes


class FrameSizer:
    """Chooses the length of bulk frames in one direction.

    :param most: the longest frame that the receiver accepts, bytes.
    :param probe: find out by probes what the line carries.
    """

    def __init__(self, *, most: int, probe: bool) -> None:
        self.agreed = min(limits.BASIC_FRAME, most) if probe else most
        """The longest frame that may be sent at present, bytes."""
        self._steps = [size for size in limits.PROBE_SIZES if size <= most] if probe else []
        self._tries = 0
        self._pending = False
        self.retry_at: float | None = None
        """When the present probe counts as unanswered, seconds; None if there is none."""
        self.repaired = False
        """The receiver repairs one wrong bit in a frame."""
        self._lost = 0.0
        self._sent = 1.0
        self._squares = 1.0

    # -- probing ------------------------------------------------------------------------------------------------------

    def next_probe(self) -> int:
        """The length of the probe to send now, bytes; 0 for none."""
        return self._steps[0] if self._steps and not self._pending else 0

    def probe_sent(self, patience: float, now: float) -> None:
        """A probe was sent.

        :param patience: seconds after which it counts as unanswered.
        """
        self._pending = True
        self.retry_at = now + patience

    def probe_answered(self, size: int) -> None:
        """The peer received a probe of this length. A length that was not probed is ignored."""
        if size not in self._steps:
            return
        self.agreed = max(self.agreed, size)
        self._steps = [step for step in self._steps if step > size]
        self._pending, self._tries, self.retry_at = False, 0, None

    def handle_timer(self, now: float) -> None:
        """Give up a probe whose time is over."""
        if self.retry_at is not None and now >= self.retry_at:
            self._pending, self.retry_at = False, None
            self._tries += 1
            if self._tries >= limits.PROBE_TRIES:
                self._steps = []

    # -- errors -------------------------------------------------------------------------------------------------------

    def sent(self, size: int) -> None:
        """A bulk frame of this size was sent."""
        self._sent += size
        self._squares += size * size
        if self._sent > _FADE:
            self._sent /= 2
            self._squares /= 2
            self._lost /= 2

    def lost(self) -> None:
        """One bulk frame was lost."""
        self._lost += 1

    @property
    def length(self) -> int:
        """The frame length to use now, bytes."""
        if self._lost < 2:
            return self.agreed
        if self.repaired:
            best = (_OVERHEAD_REPAIRABLE * self._squares / (2 * self._lost)) ** (1 / 3)
        else:
            best = sqrt(_OVERHEAD * self._sent / self._lost)
        return max(_LEAST, min(self.agreed, int(best)))
