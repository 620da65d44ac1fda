"""Flow control of one channel, with one object for each direction (section 6.3 of docs/protocol.md).

1. Each end starts with the credit that the hello of the other end gives to each channel. Credit is counted in bytes.
2. A record costs the length of its body plus :data:`RECORD_COST`. A sender never exceeds its credit.
3. The receiver counts the records that its user consumes. When their cost reaches half of the window, the receiver grants
   this credit again in one record. Grants are therefore few. The sender never runs out of credit if the transfer of half a
   window takes longer than one round trip.
4. A receiver whose user consumes nothing grants nothing. Only that channel then stops.
"""

from __future__ import annotations

__all__ = ["RECORD_COST", "ReceiveCredit", "SendCredit"]

RECORD_COST = 4  # the cost of a record in bytes of credit, in addition to its body


class SendCredit:
    """The credit that this end may still spend, in bytes."""

    __slots__ = ("left",)

    def __init__(self, initial: int) -> None:
        self.left = initial

    def granted(self, amount: int) -> None:
        self.left += amount

    def spend(self, cost: int) -> None:
        self.left -= cost


class ReceiveCredit:
    """The credit that the peer may still spend, and the consumed credit that was not granted again, in bytes."""

    __slots__ = ("_taken", "left", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.left = window
        self._taken = 0

    @property
    def unread(self) -> int:
        """The cost of all received records that the user has not consumed, in bytes of credit."""
        return self.window - self.left - self._taken

    def received(self, cost: int) -> bool:
        """Subtract the cost of a received record. Return False if the peer has exceeded its credit."""
        self.left -= cost
        return self.left >= 0

    def given_early(self, cost: int) -> None:
        """Exclude the cost of the pieces of a message from the next grant. Their credit was already granted when they
        arrived."""
        self._taken -= cost

    def taken(self, cost: int) -> int:
        """Add the cost of a consumed record. Return the credit to grant now, or 0."""
        self._taken += cost
        if self._taken * 2 < self.window:
            return 0
        amount, self._taken = self._taken, 0
        self.left += amount
        return amount
