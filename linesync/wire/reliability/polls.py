"""The polls of one end. A poll asks the peer for an acknowledgement, and measures the round trip."""

from __future__ import annotations

from .selective_repeat import SentPayload

__all__ = ["Polls"]

_NEVER = float("-inf")
_POLLS = 31  # the number of different poll numbers


class Polls:
    """The polls that this end sends in a session. At most one poll waits for its answer."""

    __slots__ = ("_acknowledged", "_began", "_count", "_number", "_sending", "_sent_at", "wanted")

    def __init__(self) -> None:
        self.wanted = False
        """Whether a poll must be sent as soon as the line accepts it."""
        self._sending = False  # whether the last poll was sent only in part
        self._number = 0  # the number of the last poll
        self._count = -1  # the transmission count of the last poll; negative if it does not wait for an answer
        self._sent_at = 0.0  # the time when the last poll was sent completely, in seconds
        # The times when the polls on this line began, by poll number.
        self._began: dict[int, float] = {}  # bound: polls._POLLS
        self._acknowledged = 0  # the number of the last poll that the peer has acknowledged

    def begin(self, now: float) -> int:
        """Begin to send a poll, and return its number (1 to 31)."""
        self.wanted, self._sending = False, True
        number = self._number % _POLLS + 1
        if number == self._acknowledged:  # the peer still repeats this number: it must not acknowledge the new poll
            number = number % _POLLS + 1
        self._began[number] = now
        return number

    def transmitted(self, number: int, count: int, leaves_at: float) -> None:
        """Register a poll whose last byte was handed over.

        :param number: the number of the poll (1 to 31).
        :param count: the transmission count of the session.
        :param leaves_at: the time when the last byte is sent, in seconds.
        """
        self._sending = False
        self._number, self._count, self._sent_at = number, count, leaves_at

    def acknowledged(self, number: int) -> float:
        """Register the poll number of an acknowledgement.

        :returns: the time when the poll with this number began, in seconds; minus infinity if there is no such poll.
        """
        began = self._began.get(number)
        if began is None:
            return _NEVER
        self._acknowledged = number
        return began

    def answered(self, number: int) -> SentPayload | None:
        """Return the poll with this number as an acknowledged payload if it waits for its answer, or None."""
        if number != self._number or self._count < 0:
            return None
        poll = SentPayload(-1, b"")
        poll.count, poll.sent_at, poll.times = self._count, self._sent_at, 1
        self._count = -1
        return poll

    @property
    def starting(self) -> bool:
        """Whether a poll waits to be sent, or was sent only in part."""
        return self.wanted or self._sending

    @property
    def unanswered_at(self) -> float | None:
        """The time when the poll that waits for its answer was sent, in seconds; None if no poll waits."""
        return self._sent_at if self._count >= 0 else None

    def line_gone(self) -> None:
        """Forget all polls, because they or their answers were lost with the line."""
        self._count = -1
        self._began.clear()
        self._sending = False
