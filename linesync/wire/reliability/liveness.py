"""Liveness: when each end was heard last, and what follows from it (sections 4.3, 4.6 and 4.7 of docs/protocol.md).

Both ends of a session send a frame from time to time, and notice the silence of the other end. On a shared line the caller does
most of this work, because a listener may speak there only for a short time after a valid frame: a listener receives
keepalives more often than it sends them, and only a caller that hears nothing polls.
"""

from __future__ import annotations

from ... import limits
from ..events import LineQuiet
from ..line import LineState

__all__ = ["Liveness"]


class Liveness:
    """The state of one end, in monotonic seconds. It outlives lines and sessions.

    :param caller: this end calls.
    """

    __slots__ = ("_caller", "heard_at", "quiet", "spoke_at", "valid_at")

    def __init__(self, *, caller: bool) -> None:
        self._caller = caller
        self.quiet = False
        """There is a session, but its peer is not heard on any line."""
        self.heard_at = float("-inf")
        """When the last frame of a session arrived; minus infinity before the first."""
        self.valid_at = float("-inf")
        """The same for any valid frame, including hellos and frames of other sessions."""
        self.spoke_at = float("-inf")
        """When bytes were last handed to the line."""

    def fall_quiet(self, now: float) -> LineQuiet:
        """The peer is no longer heard."""
        self.quiet = True
        return LineQuiet(max(now - self.heard_at, 0.0))

    def alive(self, now: float) -> bool:
        """The peer was heard a short time ago."""
        return now - self.heard_at < limits.SILENCE and not self.quiet

    def may_speak(self, line: LineState, now: float) -> bool:
        """A caller may always speak; a listener on a shared line only for a short time after a valid frame."""
        return self._caller or not line.shared or now - self.valid_at < line.patience(limits.SILENCE)

    def keepalive_at(self, line: LineState) -> float:
        """When to send a keepalive, if nothing else is sent before."""
        if not line.shared:
            return self.spoke_at + limits.KEEPALIVE_PIPE
        return self.spoke_at + (limits.KEEPALIVE_CALLER if self._caller else limits.KEEPALIVE_LISTENER)

    def ask_at(self, line: LineState, unanswered_since: float | None) -> float | None:
        """When an end that hears nothing polls; None if it has polled already or only listens.

        :param unanswered_since: when the first unanswered poll was sent, or None.
        """
        if unanswered_since is not None or (line.shared and not self._caller):
            return None
        return self.heard_at + (limits.POLL_IDLE if line.shared else 2 * limits.KEEPALIVE_PIPE)

    def quiet_at(self, line: LineState, unanswered_since: float | None) -> float | None:
        """When the line becomes quiet; None if that is not known yet. The parameter is that of :meth:`ask_at`."""
        if line.shared and not self._caller:
            return self.heard_at + line.patience(limits.QUIET_LISTENER)
        if unanswered_since is None:
            return None
        return unanswered_since + line.patience(limits.QUIET_AFTER if line.shared else limits.QUIET_AFTER_PIPE)
