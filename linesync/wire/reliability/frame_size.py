"""The length of bulk frames: the longest frame that the line carries, and the best length for its error rate (section 7).

1. A session starts with 127 bytes. The sender then sends probe frames of increasing length. A length is used after the
   answer to its probe. A length that fails three times is not tried again in this session.
2. Let n be the length of a frame in bytes, h the overhead of the frame in bytes, and p the probability that an error hits a
   byte. The goodput is greatest if n is about the square root of h/p. p is measured as lost frames per sent byte. Older
   measurements count less.
3. If the receiver repairs one wrong bit in a frame, two errors are needed to lose the frame. The probability of this is c
   times n squared, and the best n is the cube root of h/2c. c is measured as lost frames per sum of the squared lengths.

On a clean pipe, the length that the receiver announced is used immediately.
"""

from __future__ import annotations

from math import sqrt

from ... import limits

__all__ = ["FrameSizer"]

_OVERHEAD = 16  # the number of bytes of a frame in addition to the payload
_OVERHEAD_REPAIRABLE = 19  # the same in frames with a second check
_FADE = 200_000  # the number of sent bytes after which earlier losses count half
_LEAST = 96  # the shortest length in bytes


class FrameSizer:
    """Chooses the length of bulk frames in one direction.

    :param most: the longest frame that the receiver accepts, in bytes.
    :param probe: whether probes are needed to find the longest frame that the line carries.
    """

    def __init__(self, *, most: int, probe: bool) -> None:
        self.agreed = min(limits.BASIC_FRAME, most) if probe else most
        """The longest frame that may be sent at this time, in bytes."""
        self._steps = [size for size in limits.PROBE_SIZES if size <= most] if probe else []
        self._tries = 0
        self._pending = False
        self.retry_at: float | None = None
        """The time at which the last probe counts as unanswered, in seconds; None if no probe waits for an answer."""
        self.repaired = False
        """Whether the receiver repairs one wrong bit in a frame."""
        self._lost = 0.0
        self._sent = 1.0
        self._squares = 1.0

    # -- probing ------------------------------------------------------------------------------------------------------

    def next_probe(self) -> int:
        """The length of the probe to send now, in bytes; 0 for none."""
        return self._steps[0] if self._steps and not self._pending else 0

    def probe_sent(self, patience: float, now: float) -> None:
        """Record that a probe was sent.

        :param patience: seconds after which it counts as unanswered.
        """
        self._pending = True
        self.retry_at = now + patience

    def probe_answered(self, size: int) -> None:
        """Record that the peer received a probe of this length. A length without a probe is ignored."""
        if size not in self._steps:
            return
        self.agreed = max(self.agreed, size)
        self._steps = [step for step in self._steps if step > size]
        self._pending, self._tries, self.retry_at = False, 0, None

    def handle_timer(self, now: float) -> None:
        """Handle a probe without an answer: it is sent again, or longer frames are not tried any more."""
        if self.retry_at is not None and now >= self.retry_at:
            self._pending, self.retry_at = False, None
            self._tries += 1
            if self._tries >= limits.PROBE_TRIES:
                self._steps = []

    # -- errors -------------------------------------------------------------------------------------------------------

    def sent(self, size: int) -> None:
        """Count a sent bulk frame of this size in bytes."""
        self._sent += size
        self._squares += size * size
        if self._sent > _FADE:
            self._sent /= 2
            self._squares /= 2
            self._lost /= 2

    def lost(self) -> None:
        """Count a lost bulk frame."""
        self._lost += 1

    @property
    def length(self) -> int:
        """The length of the next bulk frame, in bytes."""
        if self._lost < 2:
            return self.agreed
        if self.repaired:
            best = (_OVERHEAD_REPAIRABLE * self._squares / (2 * self._lost)) ** (1 / 3)
        else:
            best = sqrt(_OVERHEAD * self._sent / self._lost)
        return max(_LEAST, min(self.agreed, int(best)))
