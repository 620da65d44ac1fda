"""The operations of ``test_ledger.py``. Each operation knows the state at the hub after a round, and the results that its
commands may report."""

from .counting import Give, Hold, Receive, Send, Take
from .locking import Keep, Lock, Unlock
from .meeting import CountBarrier, Exchange, MemberBarrier
from .names import ClearEvents, Reset, SetEvents
from .operation import MANY, Lost, Operation, Report

__all__ = ["MANY", "OPERATIONS", "Lost", "Operation", "Report"]

OPERATIONS: tuple[type[Operation], ...] = (
    Take,
    CountBarrier,
    Exchange,
    Hold,
    Lock,
    Give,
    MemberBarrier,
    Send,
    SetEvents,
    Receive,
    Keep,
    Unlock,
    ClearEvents,
    Reset,
)
