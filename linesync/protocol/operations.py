"""The one table of operations: each request, note, opening and message, and who may send it to whom.

The hub, the agents, the clients, the tests and docs/protocol.md (section 8.2) use this table. No other code looks at the
text of a message to find out what it is.
"""

from __future__ import annotations

from ..errors import LinesyncError, LinesyncFailed, NotAllowed, TimedOut
from ..frozen_record import Record
from . import sync, work
from .codec import Message, decode

__all__ = [
    "AGENT",
    "BULK",
    "HOST",
    "HUB",
    "INSIDE",
    "NOTE",
    "OPENING",
    "OPERATIONS",
    "PERMISSIONS",
    "PROMPT",
    "REQUEST",
    "SCRIPT",
    "Operation",
    "check_sender",
    "decode_request",
    "effect",
    "grant_goes_back",
    "known_opening",
    "never_sent",
    "operation",
    "read",
    "read_opening",
    "unanswered",
]

REQUEST, NOTE, OPENING, INSIDE = "request", "note", "opening", "in"
"""The kinds of messages (section 8.1): answered on channel 0, unanswered there, opening a channel, inside a channel."""
SCRIPT, AGENT, HUB, HOST = "script", "agent", "hub", "host"
"""Who sends and receives. A host is an agent, or the hub as the host of that name."""
PROMPT, BULK = "prompt", "bulk"
"""The lanes (section 5). Channel 0 is in the prompt lane."""
SYNC, LOOK, RUN, FILES, FORWARD, CONSOLE, ADMIN = "sync", "look", "run", "files", "forward", "console", "admin"
PERMISSIONS = (SYNC, LOOK, RUN, FILES, FORWARD, CONSOLE, ADMIN)
"""What a policy allows or denies."""


class Operation(Record):
    """One operation."""

    message: type[Message]
    kind: str
    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    answer: str = ""
    """Its answer, as section 8.2 shows it."""
    permission: str = ""
    """The permission that the sender needs; empty if it needs none, because it concerns only the sender's own session."""
    lane: str = PROMPT
    inside: tuple[type[Message], ...] = ()
    """For a message inside a channel: the openings of such channels."""
    waits: bool = False
    """Whether it may wait for others; then it has its own ``timeout``."""
    holds: bool = False
    """Whether its grant may be held until it is given back."""
    effect: str = ""
    """The possible effect of a request that was sent and got no reply, as a clause; empty if it changes nothing."""


def _request(
    message: type[Message],
    answer: str,
    permission: str,
    effect: str = "",
    *,
    waits: bool = False,
    holds: bool = False,
    receivers: tuple[str, ...] = (HUB,),
) -> Operation:
    return Operation(
        message=message,
        kind=REQUEST,
        senders=(SCRIPT, AGENT),
        receivers=receivers,
        answer=answer,
        permission=permission,
        waits=waits,
        holds=holds,
        effect=effect,
    )


def _note(message: type[Message], senders: tuple[str, ...], receivers: tuple[str, ...], answer: str = "") -> Operation:
    return Operation(message=message, kind=NOTE, senders=senders, receivers=receivers, answer=answer)


def _opening(message: type[Message], answer: str, permission: str, receiver: str, lane: str = BULK) -> Operation:
    return Operation(
        message=message,
        kind=OPENING,
        senders=(SCRIPT, AGENT),
        receivers=(receiver,),
        answer=answer,
        permission=permission,
        lane=lane,
    )


def _inside(
    message: type[Message], senders: tuple[str, ...], receivers: tuple[str, ...], *inside: type[Message]
) -> Operation:
    return Operation(message=message, kind=INSIDE, senders=senders, receivers=receivers, inside=inside)


OPERATIONS = (
    Operation(
        message=work.Register,
        kind=REQUEST,
        senders=(AGENT,),
        receivers=(HUB,),
        answer="ok: the hub's boot id lease=20",
    ),
    _request(
        sync.Barrier,
        f"ok: {' '.join(sync.BARRIER_REPLY)}",
        SYNC,
        "the barrier may have been released with this arrival",
        waits=True,
    ),
    _request(sync.Semaphore, "ok: value", SYNC, "the units may have been given", waits=True, holds=True),
    _request(sync.Lock, "ok: token", SYNC, waits=True, holds=True),
    _request(sync.Unlock, "ok", SYNC, "the lock may have been given back"),
    _request(sync.GiveBack, "ok", SYNC, "what was held may have been given back"),
    _request(sync.EventSet, "ok", SYNC, "the events may have been changed"),
    _request(sync.EventWait, "ok: names ...", SYNC, waits=True),
    _request(sync.Send, "ok: number", SYNC, "the message may have been sent"),
    _request(sync.Receive, "ok: JSON, an array", SYNC, waits=True),
    _request(sync.ReceiveAll, "ok: JSON, an array", SYNC, waits=True),
    _request(sync.Reset, "ok: forgotten failed", SYNC, "the names may have been reset"),
    _request(sync.NamespaceBegin, "ok", SYNC, "the namespace may have begun"),
    _request(sync.NamespaceEnd, "ok: forgotten failed", SYNC, "the namespace may have ended"),
    _opening(sync.ExchangeOpen, "`ok give` or `ok had`; then `part`, data, `done`; or err", SYNC, HUB),
    _request(sync.Commit, "ok", SYNC, "what was granted may have been taken"),
    _note(sync.Confirm, (SCRIPT, AGENT), (HUB,)),
    _note(sync.Withdraw, (SCRIPT, AGENT), (HUB,), "the request's own reply"),
    _note(sync.Revoked, (HUB, AGENT), (SCRIPT, AGENT)),
    _note(sync.OwnerGone, (AGENT,), (HUB,)),
    _note(work.Concurrent, (SCRIPT,), (HUB, AGENT)),
    _note(work.ClientGone, (AGENT,), (HUB,)),
    _note(work.Note, (AGENT,), (SCRIPT,)),
    Operation(
        message=work.Activity, kind=REQUEST, senders=(HUB,), receivers=(AGENT,), answer="ok: commands clients ..."
    ),
    Operation(message=work.Lease, kind=REQUEST, senders=(SCRIPT,), receivers=(HUB, AGENT), answer="ok: age lease=20"),
    _request(work.Hosts, "ok: JSON, an array", LOOK),
    _request(work.Status, "ok: JSON, an object", LOOK),
    _request(work.Namespaces, "ok: JSON, an array", LOOK),
    _request(work.Links, "ok: JSON, an array", LOOK, receivers=(HUB, AGENT)),
    _opening(work.Run, "`started` at times, `exit`; or err", RUN, HOST),
    _opening(work.FileRead, "`file`, data, `done`; or err", FILES, HOST),
    _opening(work.FileWrite, "`got` now and then, `done`; or err", FILES, HOST),
    _opening(work.ConsoleOpen, "text; or err", CONSOLE, HUB, PROMPT),
    _opening(work.TraceOpen, "text; or err", CONSOLE, HUB),
    _opening(work.ChangesOpen, "`ok number`, then lines of JSON; or err", LOOK, HUB),
    _inside(work.Started, (HOST,), (SCRIPT,), work.Run),
    _inside(work.Exited, (HOST,), (SCRIPT,), work.Run),
    _inside(work.Kill, (SCRIPT,), (HOST,), work.Run),
    _inside(work.FileHead, (HOST,), (SCRIPT,), work.FileRead),
    _inside(work.FileGot, (HOST,), (SCRIPT,), work.FileWrite),
    _inside(work.FileEnd, (SCRIPT, HOST, HUB), (SCRIPT, HOST, HUB), work.FileRead, work.FileWrite, sync.ExchangeOpen),
    _inside(sync.ExchangePart, (HUB,), (SCRIPT,), sync.ExchangeOpen),
)
"""All operations, in the order of section 8.2."""

_OF = {operation.message: operation for operation in OPERATIONS}


def _messages(kinds: tuple[str, ...], receiver: str) -> tuple[type[Message], ...]:
    return tuple([one.message for one in OPERATIONS if one.kind in kinds and receiver in one.receivers])


_REQUESTS = {receiver: _messages((REQUEST,), receiver) for receiver in (HUB, AGENT, SCRIPT)}
_NOTES = {receiver: _messages((NOTE,), receiver) for receiver in (HUB, AGENT, SCRIPT)}
_OPENINGS = tuple([one.message for one in OPERATIONS if one.kind == OPENING])


def operation(message: Message) -> Operation:
    """The operation of a message."""
    return _OF[type(message)]


def read(text: str, receiver: str, *, note: bool) -> Message:
    """Read a request or a note that has come to ``receiver``; raises as :func:`decode` does."""
    return decode(text, *(_NOTES if note else _REQUESTS)[receiver])


def read_opening(text: str) -> Message:
    """Read the opening of a channel; raises as :func:`decode` does."""
    return decode(text, *_OPENINGS)


def known_opening(text: str) -> Message | None:
    """The opening of a channel; None if it is malformed or unknown on this side. A newer peer may know it."""
    try:
        return read_opening(text)
    except LinesyncError:
        return None


def check_sender(message: Message, sender: str) -> None:
    """Refuse a message from a sender that may not send it.

    :raises NotAllowed: this kind of sender may not send it.
    """
    senders = operation(message).senders
    if sender not in senders:
        raise NotAllowed(
            f"'{message.VERB}' is not allowed for the sender, a {sender}: it comes from the {' or the '.join(senders)} only"
        )


def decode_request(text: str) -> Message | None:
    """Read a script's request; None if it is malformed or unknown, which the hub refuses with an error."""
    try:
        return read(text, HUB, note=False)
    except LinesyncError:
        return None


def grant_goes_back(message: Message | None) -> bool:
    """Whether the grant of this request goes back if its client ends before it has committed the grant."""
    return isinstance(message, sync.Lock) or (isinstance(message, sync.Semaphore) and message.delta < 0)


def effect(message: Message | None) -> str:
    """The possible effect if this request was sent and no reply came, as a clause; empty if there is no lasting effect."""
    if message is None:
        return "it may have taken effect"
    if isinstance(message, sync.Semaphore) and message.delta <= 0:
        return ""
    return operation(message).effect


def unanswered(text: str, why: str, *, deadline: float | None = None) -> LinesyncError:
    """The error of a request that was sent and whose reply will not come.

    :param text: the request.
    :param why: the reason why no reply comes, as a clause.
    :param deadline: the timeout of the request in seconds if it has passed, else None.
    :returns: TimedOut if the timeout has passed and the request certainly changed nothing, else LinesyncFailed.
    """
    message = decode_request(text)
    changed = effect(message)
    if changed:
        return LinesyncFailed(
            f"{_shown(text)} was not answered: {why}; {changed}, so check with 'linesync status' before you repeat it"
        )
    return _nothing_changed(f"{_shown(text)} was not answered: {why}", deadline)


def never_sent(text: str, why: str, *, deadline: float | None = None) -> LinesyncError:
    """The error of a request that was never sent; the parameters are those of :func:`unanswered`."""
    return _nothing_changed(f"{_shown(text)} was not sent: {why}", deadline)


def _nothing_changed(what: str, deadline: float | None) -> LinesyncError:
    if deadline is None:
        return LinesyncFailed(f"{what}; nothing was changed, so check that the hub and the line work, and repeat it")
    return TimedOut(f"timed out after {deadline:g} s: {what}; nothing was changed")


def _shown(text: str) -> str:
    return f"'{text}'" if len(text) <= 60 else f"'{text[:57]}...'"
