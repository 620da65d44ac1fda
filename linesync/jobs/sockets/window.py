"""The window of a forwarded connection: the maximum number of unconfirmed bytes of its sender.

The credit of a channel ends at the next hub or agent, so each of them could store a whole credit of bytes. The window counts
from end to end: it limits the bytes that are anywhere between the two sockets.

1. The receiver confirms bytes when its socket has accepted them.
2. The window begins small. The sender measures the time from sending a byte to its confirmation. If that time is short and the
   window was full, the window doubles. If it is long, most of it is the time in queues, and the window is halved. So a slow line
   has about half a second of bytes in its queues, and a fast line is never idle.
3. A connection that moves few bytes is never near its window, and does not change it.

This is a simple form of congestion control by delay, as in TCP Vegas (Brakmo and Peterson, 1995).
"""

from __future__ import annotations

from collections import deque

from ... import limits

__all__ = ["CONFIRM_AFTER", "SendWindow"]

CONFIRM_AFTER = limits.FORWARD_LEAST // 2
"""The number of bytes that a receiver may have taken without confirming them."""
_SHORT = 0.2  # seconds until a confirmation, below which the window may grow
_LONG = 0.6  # seconds until a confirmation, above which the window shrinks
_FIRST = 1 << 14


class SendWindow:
    """The window of one direction.

    :ivar size: the window in bytes.
    """

    def __init__(self) -> None:
        self.size = _FIRST
        self._sent = 0
        self._confirmed = 0
        self._marks: deque[tuple[int, float]] = deque()  # bound: window._MARKS
        """Positions after sent bytes, each with the time at which it was sent."""
        self._full_until = 0
        """The bytes before this position were sent when the window was at least half full."""
        self._changed_at = 0
        """The position up to which bytes were sent when the window was last changed."""

    @property
    def unconfirmed(self) -> int:
        """The number of bytes that were sent and not confirmed."""
        return self._sent - self._confirmed

    @property
    def room(self) -> int:
        """The number of bytes that may be sent now."""
        return max(self.size - self.unconfirmed, 0)

    def sent(self, size: int, now: float) -> None:
        """Count bytes that are being sent."""
        self._sent += size
        if self.unconfirmed * 2 >= self.size:
            self._full_until = self._sent
        if len(self._marks) < _MARKS:
            self._marks.append((self._sent, now))

    def confirmed(self, position: int, now: float) -> None:
        """Handle a confirmation: the receiver has taken all bytes before this position. An impossible position is ignored."""
        if not self._confirmed < position <= self._sent:
            return
        self._confirmed = position
        took = None
        while self._marks and self._marks[0][0] <= position:
            took = now - self._marks.popleft()[1]
        if took is None or position <= self._changed_at:
            return  # these bytes were sent before the last change, whose effect they do not show
        if took > _LONG:
            self._set(self.size // 2)
        elif took < _SHORT and position <= self._full_until:
            self._set(self.size * 2)

    def _set(self, size: int) -> None:
        self.size = min(max(size, limits.FORWARD_LEAST), limits.FORWARD_MOST)
        self._changed_at = self._sent


_MARKS = 256  # the maximum number of marks; at this number, some bytes are not measured
