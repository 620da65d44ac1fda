"""The check whether both ends have the same rate, and whether the line carries this rate."""

from __future__ import annotations

from ... import limits

__all__ = ["RateMonitor"]

_WINDOW = 1.0  # seconds over which damage is counted
_WINDOWS = 2  # the number of consecutive bad windows that are too much damage
_DAMAGED_LEAST = 8  # the smallest number of damaged frames in a bad window
_DAMAGED_SHARE = 0.4  # the share of damaged frames above which a window is bad


class RateMonitor:
    """Detects that the peer has another rate, or that too many frames are damaged. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._strange = 0  # the number of bytes since the last frame that are not text
        self._doubt: float | None = None  # the time since which the rate is in doubt; None if it is not
        self._asked = False  # whether a poll was sent because of the doubt
        self._since = 0.0  # the time at which the window began
        self._frames = self._damaged = 0
        self._bad = 0  # consecutive bad windows

    def begin(self, now: float) -> None:
        """Start the check of a new rate."""
        self.same_rate()
        self._since = now
        self._frames = self._damaged = self._bad = 0

    def same_rate(self) -> None:
        """Remove a doubt, because a frame has arrived and both ends have the same rate."""
        self._strange, self._doubt, self._asked = 0, None, False

    def bytes_outside_frames(self, strange: int, now: float) -> None:
        """Handle received bytes that completed no frame.

        :param strange: the number of bytes among them that are not text.
        """
        self._strange += strange
        if self._doubt is None and self._strange >= limits.RATE_STRANGE:
            self._doubt = now

    def next_timer(self, round_trip: float) -> float | None:
        """The next deadline, or None."""
        ask, give_up = self._times(round_trip)
        return ask if not self._asked else give_up

    def _times(self, round_trip: float) -> tuple[float | None, float | None]:
        """The times of the poll and of the return to the first rate because of a doubt; None without a doubt."""
        if self._doubt is None:
            return None, None
        return self._doubt + limits.RATE_DOUBT_ASK, self._doubt + limits.RATE_DOUBT + round_trip

    def handle_timer(self, round_trip: float, now: float) -> tuple[bool, bool]:
        """Handle due timers. Return whether the link must poll, and whether the peer is lost at this rate."""
        ask, give_up = self._times(round_trip)
        if give_up is not None and now >= give_up:
            self.same_rate()
            return False, True
        if ask is not None and now >= ask and not self._asked:
            self._asked = True
            return True, False
        return False, False

    def count_damage(self, frames: int, damaged: int, now: float) -> bool:
        """Count undamaged and damaged frames. Return whether there is too much damage."""
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
