"""The limit for the work of repairing damaged frames (section 3.2 of docs/protocol.md).

A repair tries many positions at which a frame may be damaged, so it costs far more than reading the frame. Normally damage is
rare, and the cost does not matter. But a peer that sends only damaged frames must not keep this end busy. Each received byte
therefore adds some work to a budget. If the budget is too small for a repair, the frame is dropped, and the peer sends it
again.

On a line that may damage bytes, the budget has no limit. The rate of such a line limits the work, and a kernel that prints
much text may cause more repairs than a budget would allow.
"""

from __future__ import annotations

from ... import limits

__all__ = ["RepairBudget"]


class RepairBudget:
    """The budget of one line. The unit of work is one byte that a check reads.

    :param limited: whether the budget has a limit, because the line is a clean pipe.
    :ivar spent: the work so far.
    """

    __slots__ = ("_left", "_limited", "spent")

    def __init__(self, *, limited: bool = True) -> None:
        self._limited = limited
        self._left = limits.REPAIR_MOST
        self.spent = 0

    def earn(self, received: int) -> None:
        """Add the work for a number of received bytes."""
        self._left = min(self._left + limits.REPAIR_SHARE * received, limits.REPAIR_MOST)

    def spend(self, work: int) -> bool:
        """Subtract work from the budget. If too little is left, change nothing and return False."""
        if work > self._left and self._limited:
            return False
        self._left -= work
        self.spent += work
        return True
