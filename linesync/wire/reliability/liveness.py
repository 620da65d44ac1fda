"""Liveness: the times of the last frames, and the deadlines that follow from them (sections 4.3, 4.6 and 4.7 of
docs/protocol.md).

Both ends of a session regularly send a frame, and detect the silence of the other end. On a shared line, a listener may send
only for a short time after a valid frame. The caller therefore does most of this work: it sends keepalives more often than
the listener, and only the caller polls a silent peer.
"""

from __future__ import annotations

from ... import limits
from ..events import LineQuiet
from ..line import LineState

__all__ = ["Liveness"]


class Liveness:
    """The state of one end. It continues over lines and sessions. Times are monotonic seconds.

    :param caller: whether this end is the caller.
    """

    __slots__ = ("_caller", "heard_at", "quiet", "spoke_at", "valid_at")

    def __init__(self, *, caller: bool) -> None:
        self._caller = caller
        self.quiet = False
        """Whether there is a session whose peer is not heard on any line."""
        self.heard_at = float("-inf")
        """The arrival time of the last frame of a session; minus infinity before the first frame."""
        self.valid_at = float("-inf")
        """The same for any valid frame, including hellos and frames of other sessions."""
        self.spoke_at = float("-inf")
        """The time at which bytes were last sent."""

    def fall_quiet(self, now: float) -> LineQuiet:
        """Record that the peer is no longer heard, and return the event."""
        self.quiet = True
        return LineQuiet(max(now - self.heard_at, 0.0))

    def alive(self, now: float) -> bool:
        """Whether a frame of the session arrived a short time ago."""
        return now - self.heard_at < limits.SILENCE and not self.quiet

    def may_speak(self, line: LineState, now: float) -> bool:
        """Whether this end may send. A caller may always send; on a shared line, a listener may send only for a short time
        after a valid frame."""
        return self._caller or not line.shared or now - self.valid_at < line.patience(limits.SILENCE)

    def keepalive_at(self, line: LineState) -> float:
        """The time of the next keepalive, if nothing else is sent before."""
        if not line.shared:
            return self.spoke_at + limits.KEEPALIVE_PIPE
        return self.spoke_at + (limits.KEEPALIVE_CALLER if self._caller else limits.KEEPALIVE_LISTENER)

    def ask_at(self, line: LineState, unanswered_since: float | None) -> float | None:
        """The time at which this end polls a silent peer; None if it has already polled or only listens.

        :param unanswered_since: the time of the first unanswered poll, or None.
        """
        if unanswered_since is not None or (line.shared and not self._caller):
            return None
        return self.heard_at + (limits.POLL_IDLE if line.shared else 2 * limits.KEEPALIVE_PIPE)

    def quiet_at(self, line: LineState, unanswered_since: float | None) -> float | None:
        """The time at which the line becomes quiet; None if it is not known yet. The parameters are those of
        :meth:`ask_at`."""
        if line.shared and not self._caller:
            return self.heard_at + line.patience(limits.QUIET_LISTENER)
        if unanswered_since is None:
            return None
        return unanswered_since + line.patience(limits.QUIET_AFTER if line.shared else limits.QUIET_AFTER_PIPE)
