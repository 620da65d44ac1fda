"""Flow control of one channel, with one object for each direction (section 6.3 of docs/protocol.md).

1. Each side starts with the credit that the hello of the other side gives to each channel.
2. A record costs the length of its body plus :data:`RECORD_COST`. A sender never exceeds its credit.
3. The receiver counts what its user consumes. When that reaches half of the window, it gives the credit back in one
   grant. So grants cost little, and the sender never runs out of credit on a line whose round trip is shorter than half
   a window.
4. A receiver whose user consumes nothing grants nothing, and only that channel stops.
"""

from __future__ import annotations

__all__ = ["RECORD_COST", "ReceiveCredit", "SendCredit"]

RECORD_COST = 4  # bytes of credit for a record, besides those for its body


class SendCredit:
    """The credit that we may still spend, bytes."""

    __slots__ = ("left",)

    def __init__(self, initial: int) -> None:
        self.left = initial

    def granted(self, amount: int) -> None:
        self.left += amount

    def spend(self, cost: int) -> None:
        self.left -= cost


class ReceiveCredit:
    """The credit that the peer may still spend, and the credit that we owe it, bytes."""

    __slots__ = ("_taken", "left", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.left = window
        self._taken = 0

    @property
    def unread(self) -> int:
        """The credit of all records that have arrived and that the user has not consumed."""
        return self.window - self.left - self._taken

    def received(self, cost: int) -> bool:
        """Account for a record; False if the peer exceeded its credit."""
        self.left -= cost
        return self.left >= 0

    def given_early(self, cost: int) -> None:
        """Account for credit that was granted before the user consumes the data: that of the pieces of a message."""
        self._taken -= cost

    def taken(self, cost: int) -> int:
        """The user consumed a record: the credit to grant now, 0 for none yet."""
        self._taken += cost
        if self._taken * 2 < self.window:
            return 0
        amount, self._taken = self._taken, 0
        self.left += amount
        return amount
