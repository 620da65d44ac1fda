"""How much work the repair of damaged frames may cost (section 3.2 of docs/protocol.md).

A repair tries many places at which a frame may be damaged, so it costs far more than reading the frame. Normally noise is
rare, and the cost does not matter. But a peer that sends only damaged frames must not keep this end busy. So each received
byte adds a certain amount of work to a budget. If the budget is too small for a repair, the frame is dropped, and the peer
sends it again.

On a line that may damage bytes, the budget has no limit: the rate of the line limits the work, and a kernel that prints
much text may cause more repairs than the budget allows.
"""

from __future__ import annotations

from ... import limits

__all__ = ["RepairBudget"]


class RepairBudget:
    """The work that is left, in bytes that a check reads.

    :param limited: the line is a clean pipe.
    :ivar spent: the work so far.
    """

    __slots__ = ("_left", "_limited", "spent")

    def __init__(self, *, limited: bool = True) -> None:
        self._limited = limited
        self._left = limits.REPAIR_MOST
        self.spent = 0

    def earn(self, received: int) -> None:
        """This many bytes were received."""
        self._left = min(self._left + limits.REPAIR_SHARE * received, limits.REPAIR_MOST)

    def spend(self, work: int) -> bool:
        """Take work from the budget; False, without a change, if too little is left."""
        if work > self._left and self._limited:
            return False
        self._left -= work
        self.spent += work
        return True
