"""How much work the repair of damaged frames may cost (section 3.2 of docs/protocol.md).

A repair tries many places at which a frame may be damaged, so it costs far more than to read the frame. Noise is rare, and
then that does not matter. But whoever sends nothing but damaged frames must not keep this end busy. So each received byte
pays for a certain amount of work, and a frame for which too little is left is given up: it is sent again.

On a line that may damage bytes, the budget has no limit: its rate limits the work, and a kernel that prints much may need more.
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
        """So many bytes were received."""
        self._left = min(self._left + limits.REPAIR_SHARE * received, limits.REPAIR_MOST)

    def spend(self, work: int) -> bool:
        """Take work from the budget; False, without a change, if too little is left."""
        if work > self._left and self._limited:
            return False
        self._left -= work
        self.spent += work
        return True
