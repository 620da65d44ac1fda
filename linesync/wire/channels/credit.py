"""Flow control of one channel, with one object for each direction (section 6.3 of docs/protocol.md).

1. Each side starts with the credit that the hello of the other side gives to each channel. Credit is counted in bytes.
2. A record costs the length of its body plus :data:`RECORD_COST`. A sender never exceeds its credit.
3. The receiver counts the records that its user consumes. When their cost reaches half of the window, the receiver gives
   this credit back in one grant. So grants cost little, and the sender never runs out of credit if half a window takes
   longer to send than one round trip.
4. A receiver whose user consumes nothing grants nothing, and only that channel stops.
"""

from __future__ import annotations

__all__ = ["RECORD_COST", "ReceiveCredit", "SendCredit"]

RECORD_COST = 4  # bytes of credit for a record, besides those for its body


class SendCredit:
    """The credit that we may still spend, in bytes."""

    __slots__ = ("left",)

    def __init__(self, initial: int) -> None:
        self.left = initial

    def granted(self, amount: int) -> None:
        self.left += amount

    def spend(self, cost: int) -> None:
        self.left -= cost


class ReceiveCredit:
    """The credit that the peer may still spend, and the consumed credit that we have not granted again, in bytes."""

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
        """Account for a record that arrived. Return False if the peer exceeded its credit."""
        self.left -= cost
        return self.left >= 0

    def given_early(self, cost: int) -> None:
        """Account for the pieces of a complete message: their credit was already granted when they arrived, so it is not granted
        again when the user consumes the message."""
        self._taken -= cost

    def taken(self, cost: int) -> int:
        """Account for a record that the user consumed. Return the credit to grant now, or 0."""
        self._taken += cost
        if self._taken * 2 < self.window:
            return 0
        amount, self._taken = self._taken, 0
        self.left += amount
        return amount
