"""Whether the rate that stands is right: do both ends have the same rate, and how well does the line carry it?"""

from __future__ import annotations

from ... import limits

__all__ = ["RateMonitor"]

_WINDOW = 1.0  # seconds that a judgement on damage takes
_WINDOWS = 2  # so many bad ones on end
_DAMAGED_LEAST = 8  # damaged frames in a window
_DAMAGED_SHARE = 0.4  # of all


class RateMonitor:
    """Whether the two ends still have the same rate, and how well the line carries it."""

    def __init__(self) -> None:
        self._strange = 0  # bytes since the last frame that are no text
        self._doubt: float | None = None  # since when
        self._asked = False
        self._since = 0.0  # of the window
        self._frames = self._damaged = 0
        self._bad = 0  # windows on end

    def begin(self, now: float) -> None:
        """Another rate stands."""
        self.sure()
        self._since = now
        self._frames = self._damaged = self._bad = 0

    def sure(self) -> None:
        """A frame came: the rates are the same."""
        self._strange, self._doubt, self._asked = 0, None, False

    def bytes_outside_frames(self, strange: int, now: float) -> None:
        """Bytes came that end no frame; so many of them are no text."""
        self._strange += strange
        if self._doubt is None and self._strange >= limits.RATE_STRANGE:
            self._doubt = now

    def next_timer(self, round_trip: float) -> float | None:
        ask, give_up = self._times(round_trip)
        return ask if not self._asked else give_up

    def _times(self, round_trip: float) -> tuple[float | None, float | None]:
        """When to poll because of a doubt, and when to give up."""
        if self._doubt is None:
            return None, None
        return self._doubt + limits.RATE_DOUBT_ASK, self._doubt + limits.RATE_DOUBT + round_trip

    def handle_timer(self, round_trip: float, now: float) -> tuple[bool, bool]:
        """Whether to poll, and whether the peer is lost at this rate."""
        ask, give_up = self._times(round_trip)
        if give_up is not None and now >= give_up:
            self.sure()
            return False, True
        if ask is not None and now >= ask and not self._asked:
            self._asked = True
            return True, False
        return False, False

    def count_damage(self, frames: int, damaged: int, now: float) -> bool:
        """So many frames came, and so many pieces that should have been some; True when it is too much damage."""
        self._frames += frames
        self._damaged += damaged
        if now - self._since < _WINDOW:
            return False
        bad = self._damaged >= _DAMAGED_LEAST and self._damaged > _DAMAGED_SHARE * (self._frames + self._damaged)
        self._since, self._frames, self._damaged = now, 0, 0
        self._bad = self._bad + 1 if bad else 0
        if self._bad < _WINDOWS:
            return False
        self._bad = 0
        return True
