"""The polls of one end: each asks the peer to acknowledge what has arrived, and measures the round trip."""

from __future__ import annotations

from .selective_repeat import SentPayload

__all__ = ["Polls"]

_NEVER = float("-inf")
_POLLS = 31  # the number of different poll numbers


class Polls:
    """Our polls of a session. At most one waits for its answer."""

    __slots__ = ("_acknowledged", "_began", "_count", "_number", "_sending", "_sent_at", "wanted")

    def __init__(self) -> None:
        self.wanted = False
        """A poll is sent as soon as the line accepts it."""
        self._sending = False  # the last poll was sent only in part
        self._number = 0  # of the last poll
        self._count = -1  # its transmission count; negative if it does not wait for an answer
        self._sent_at = 0.0  # when it left the line
        # When each of our polls on this line began, by number.
        self._began: dict[int, float] = {}  # bound: polls._POLLS
        self._acknowledged = 0  # the number of the last poll that the peer has acknowledged

    def begin(self, now: float) -> int:
        """A poll is handed over now. Returns its number."""
        self.wanted, self._sending = False, True
        number = self._number % _POLLS + 1
        if number == self._acknowledged:  # the peer repeats it, and that must not acknowledge a newer poll
            number = number % _POLLS + 1
        self._began[number] = now
        return number

    def transmitted(self, number: int, count: int, leaves_at: float) -> None:
        """The last byte of a poll leaves the line at this time, as transmission ``count`` of the session."""
        self._sending = False
        self._number, self._count, self._sent_at = number, count, leaves_at

    def acknowledged(self, number: int) -> float:
        """The peer repeats this number in an acknowledgement. Returns when the poll with this number began; minus infinity if
        there is none."""
        began = self._began.get(number)
        if began is None:
            return _NEVER
        self._acknowledged = number
        return began

    def answered(self, number: int) -> SentPayload | None:
        """If this is the poll that waits for its answer, it has it now. Returns it as a payload that has arrived."""
        if number != self._number or self._count < 0:
            return None
        poll = SentPayload(-1, b"")
        poll.count, poll.sent_at, poll.times = self._count, self._sent_at, 1
        self._count = -1
        return poll

    @property
    def starting(self) -> bool:
        """A poll waits to be sent, or was sent only in part."""
        return self.wanted or self._sending

    @property
    def unanswered_at(self) -> float | None:
        """When the poll that waits for its answer left the line; None if there is none."""
        return self._sent_at if self._count >= 0 else None

    def line_gone(self) -> None:
        """The line was lost, and with it the polls and their answers."""
        self._count = -1
        self._began.clear()
        self._sending = False
