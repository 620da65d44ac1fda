"""Whether somebody is there: what was heard and said last, and what follows from it.

Both ends of a session see to it that the other hears of them now and then, and that silence is noticed. Who calls on a
shared line does more of it, because a listener may speak there only while somebody else does: it hears keepalives more
often than it sends them, and a caller that hears nothing asks.
"""

from __future__ import annotations

from ... import limits
from ..events import LineQuiet
from ..line import LineState

__all__ = ["Liveness"]


class Liveness:
    """One end's reckoning, in monotonic seconds. It outlives lines and sessions.

    :param caller: this end calls.
    """

    __slots__ = ("_caller", "heard_at", "quiet", "spoke_at", "valid_at")

    def __init__(self, *, caller: bool) -> None:
        self._caller = caller
        self.quiet = False
        """The session that stands has no line on which its peer is heard."""
        self.heard_at = float("-inf")
        """When the last frame of a session came; minus infinity before the first."""
        self.valid_at = float("-inf")
        """The same, hellos and frames of other sessions included."""
        self.spoke_at = float("-inf")
        """When bytes were handed to the line last."""

    def fall_quiet(self, now: float) -> LineQuiet:
        """Nothing is heard any more."""
        self.quiet = True
        return LineQuiet(max(now - self.heard_at, 0.0))

    def alive(self, now: float) -> bool:
        """The peer was heard a short while ago."""
        return now - self.heard_at < limits.SILENCE and not self.quiet

    def may_speak(self, line: LineState, now: float) -> bool:
        """A caller always may; a listener on a shared line only while somebody there speaks the protocol."""
        return self._caller or not line.shared or now - self.valid_at < line.patience(limits.SILENCE)

    def keepalive_at(self, line: LineState) -> float:
        """When to say something, if there is nothing else to say."""
        if not line.shared:
            return self.spoke_at + limits.KEEPALIVE_PIPE
        return self.spoke_at + (limits.KEEPALIVE_CALLER if self._caller else limits.KEEPALIVE_LISTENER)

    def ask_at(self, line: LineState, unanswered_since: float | None) -> float | None:
        """When an end that heard nothing asks; None where it has asked already, or only listens.

        :param unanswered_since: when the first poll that has no answer yet was sent.
        """
        if unanswered_since is not None or (line.shared and not self._caller):
            return None
        return self.heard_at + (limits.POLL_IDLE if line.shared else 2 * limits.KEEPALIVE_PIPE)

    def quiet_at(self, line: LineState, unanswered_since: float | None) -> float | None:
        """When the line counts as quiet, None while that cannot be said; the parameter is that of :meth:`ask_at`."""
        if line.shared and not self._caller:
            return self.heard_at + line.patience(limits.QUIET_LISTENER)
        if unanswered_since is None:
            return None
        return unanswered_since + line.patience(limits.QUIET_AFTER if line.shared else limits.QUIET_AFTER_PIPE)
