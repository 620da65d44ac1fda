"""How long a bulk frame should be: what the line carries, and what its errors leave worth sending.

1. A session starts at 127 bytes. The sender then sends probe frames of growing length; a length whose probe is answered
   is agreed, a length that fails three times is not tried again in this session.
2. A frame of n bytes with h bytes around it, on a line that loses a byte's worth of frame with probability p, carries
   most when n is about the square root of h/p. p is measured: frames lost over bytes sent, with old ones fading.
3. Where one wrong bit in a frame is put right by the receiver, a frame is lost when it has two: with a probability of
   c times n squared, and n is best at the cube root of h/2c. c is measured likewise, over the squares.

On a line that both ends know to be a clean pipe the receiver's announced length holds at once.
"""

from __future__ import annotations

from math import sqrt

from ... import limits

__all__ = ["FrameSizer"]

_OVERHEAD = 16  # bytes around a payload
_OVERHEAD_MENDED = 19  # in frames with a second check
_FADE = 200_000  # bytes after which old losses count half
_LEAST = 96


class FrameSizer:
    """Chooses the length of bulk frames in one direction."""

    def __init__(self, *, most: int, probe: bool) -> None:
        self.agreed = min(limits.BASIC_FRAME, most) if probe else most
        """Longest frame that may be sent now."""
        self._steps = [size for size in limits.PROBE_SIZES if size <= most] if probe else []
        self._tries = 0
        self._pending = False
        self.retry_at: float | None = None
        """When a probe counts as unanswered, seconds; None while none is under way."""
        self.repaired = False
        """The receiver puts one wrong bit in a frame right."""
        self._lost = 0.0
        self._sent = 1.0
        self._squares = 1.0

    # -- probing ------------------------------------------------------------------------------------------------------

    def next_probe(self) -> int:
        """Length of the probe to send now, 0 for none."""
        return self._steps[0] if self._steps and not self._pending else 0

    def probe_sent(self, patience: float, now: float) -> None:
        self._pending = True
        self.retry_at = now + patience

    def probe_answered(self, size: int) -> None:
        """The peer got a probe of this length; a length that was not asked about says nothing."""
        if size not in self._steps:
            return
        self.agreed = max(self.agreed, size)
        self._steps = [step for step in self._steps if step > size]
        self._pending, self._tries, self.retry_at = False, 0, None

    def handle_timer(self, now: float) -> None:
        if self.retry_at is not None and now >= self.retry_at:
            self._pending, self.retry_at = False, None
            self._tries += 1
            if self._tries >= limits.PROBE_TRIES:
                self._steps = []

    # -- errors -------------------------------------------------------------------------------------------------------

    def sent(self, size: int) -> None:
        """So many bytes of bulk frames went out."""
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
        """Frame length to use now, bytes."""
        if self._lost < 2:
            return self.agreed
        if self.repaired:
            best = (_OVERHEAD_MENDED * self._squares / (2 * self._lost)) ** (1 / 3)
        else:
            best = sqrt(_OVERHEAD * self._sent / self._lost)
        return max(_LEAST, min(self.agreed, int(best)))
