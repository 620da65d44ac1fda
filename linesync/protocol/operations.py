"""The one table of operations: what each request, note and opening is, and who may send it.

The hub, the agents, the clients, the tests and docs/protocol.md (section 8.2) use this table. No other code looks at the
text of a request to find out what it is.
"""

from __future__ import annotations

from ..errors import LinesyncError, LinesyncFailed, TimedOut
from ..frozen_record import Record
from . import sync, work
from .codec import Message, decode

__all__ = [
    "OPERATIONS",
    "Operation",
    "decode_request",
    "effect",
    "grant_goes_back",
    "never_sent",
    "operation",
    "unanswered",
]


class Operation(Record):
    """One operation."""

    message: type[Message]
    waits: bool = False
    """It may wait for others, and has a ``timeout`` of its own."""
    effect: str = ""
    """What may have happened when a request was sent and no reply came, as a clause; empty: it changes nothing."""


OPERATIONS = (
    Operation(message=sync.Barrier, waits=True, effect="the barrier may have been released with this arrival"),
    Operation(message=sync.Semaphore, waits=True, effect="the units may have been given"),
    Operation(message=sync.Lock, waits=True),
    Operation(message=sync.Commit, effect="what was granted may have been taken"),
    Operation(message=sync.Unlock, effect="the lock may have been given back"),
    Operation(message=sync.GiveBack, effect="what was held may have been given back"),
    Operation(message=sync.EventSet, effect="the events may have been changed"),
    Operation(message=sync.EventWait, waits=True),
    Operation(message=sync.Send, effect="the message may have been sent"),
    Operation(message=sync.Receive, waits=True),
    Operation(message=sync.ReceiveAll, waits=True),
    Operation(message=sync.Reset, effect="the names may have been reset"),
    Operation(message=work.Hosts),
    Operation(message=work.Status),
    Operation(message=work.Links),
)
"""The requests of scripts."""

_OF = {operation.message: operation for operation in OPERATIONS}
_REQUESTS = tuple(_OF)


def operation(message: Message) -> Operation:
    """The row of a request."""
    return _OF[type(message)]


def decode_request(text: str) -> Message | None:
    """Read a script's request; None when it is malformed or unknown, which the hub refuses in its own words."""
    try:
        return decode(text, *_REQUESTS)
    except LinesyncError:
        return None


def grant_goes_back(message: Message | None) -> bool:
    """What this request is granted goes back with its client until the client has committed it."""
    return isinstance(message, sync.Lock) or (isinstance(message, sync.Semaphore) and message.delta < 0)


def effect(message: Message | None) -> str:
    """What may have happened when this request was sent and no reply came, as a clause; empty: nothing that stands."""
    if message is None:
        return "it may have taken effect"
    if isinstance(message, sync.Semaphore) and message.delta <= 0:
        return ""
    return operation(message).effect


def unanswered(text: str, why: str, *, deadline: float | None = None) -> LinesyncError:
    """The error of a request that was sent and whose reply will not come.

    :param text: the request.
    :param why: why no reply comes, as half a sentence.
    :param deadline: the timeout in seconds that its sender gave it and that has passed, or None.
    :returns: TimedOut when its deadline has passed and it certainly changed nothing, else LinesyncFailed.
    """
    message = decode_request(text)
    changed = effect(message)
    if changed:
        return LinesyncFailed(
            f"{_shown(text)} was not answered: {why}; {changed}, so check with 'linesync status' before you repeat it"
        )
    return _nothing_changed(f"{_shown(text)} was not answered: {why}", deadline)


def never_sent(text: str, why: str, *, deadline: float | None = None) -> LinesyncError:
    """The error of a request that never left; the parameters are those of :func:`unanswered`."""
    return _nothing_changed(f"{_shown(text)} was not sent: {why}", deadline)


def _nothing_changed(what: str, deadline: float | None) -> LinesyncError:
    if deadline is None:
        return LinesyncFailed(f"{what}; nothing was changed, so see that the hub and the line work, and repeat it")
    return TimedOut(f"timed out after {deadline:g} s: {what}; nothing was changed")


def _shown(text: str) -> str:
    return f"'{text}'" if len(text) <= 60 else f"'{text[:57]}...'"
