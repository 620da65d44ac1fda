"""Flow control of one channel, each direction an object of its own.

1. Each side starts a channel with the credit that the other side's hello gave.
2. A record costs its body's length and :data:`RECORD_COST` more; a sender never sends beyond its credit.
3. The receiver counts what its user has taken. When that reaches half of the window it is given back in one grant, so
   that a grant costs little and the sender never runs dry on a line whose round trip is below half a window.
4. A receiver whose user takes nothing gives nothing, and only that channel stops.
"""

from __future__ import annotations

__all__ = ["RECORD_COST", "ReceiveCredit", "SendCredit"]

RECORD_COST = 4


class SendCredit:
    """What we may still send."""

    __slots__ = ("left",)

    def __init__(self, initial: int) -> None:
        self.left = initial

    def granted(self, amount: int) -> None:
        self.left += amount

    def spend(self, cost: int) -> None:
        self.left -= cost


class ReceiveCredit:
    """What the peer may still send, and what it is owed."""

    __slots__ = ("_taken", "left", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.left = window
        self._taken = 0

    def received(self, cost: int) -> bool:
        """Account a record; False when the peer went beyond its credit."""
        self.left -= cost
        return self.left >= 0

    def given_early(self, cost: int) -> None:
        """Part of what the user will take has had its credit back already: the pieces of a message."""
        self._taken -= cost

    def taken(self, cost: int) -> int:
        """The user took a record: how much to grant now, 0 for nothing yet."""
        self._taken += cost
        if self._taken * 2 < self.window:
            return 0
        amount, self._taken = self._taken, 0
        self.left += amount
        return amount
