"""The one table of operations: each request, note, opening and message, and who may send it to whom.

The hub, the agents, the clients, the tests and docs/protocol.md (section 8.2) use this table. No other code looks at the
text of a message to find out what it is.
"""

from __future__ import annotations

from ..errors import LinesyncError, LinesyncFailed, NotAllowed, TimedOut
from ..frozen_record import Record
from . import hosts, jobs, look, sync
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
    "changes",
    "check_sender",
    "decode_request",
    "effect",
    "given_up",
    "grant_goes_back",
    "is_hold",
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
"""The kinds of senders and receivers. A host is an agent, or the hub as the host with that name."""
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
    numbered: bool = False
    """Whether a note may also come with an id, as a request that is answered with ``ok``."""
    work: bool = False
    """Whether it begins new work, which a hub refuses while it is being drained."""
    effect: str = ""
    """The possible effect of a request or a channel that got no final answer, as a clause; empty if it changes nothing."""


def _request(
    message: type[Message],
    answer: str,
    permission: str,
    effect: str = "",
    *,
    waits: bool = False,
    holds: bool = False,
    work: bool = False,
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
        work=work,
        effect=effect,
    )


def _note(
    message: type[Message],
    senders: tuple[str, ...],
    receivers: tuple[str, ...],
    answer: str = "",
    *,
    numbered: bool = False,
) -> Operation:
    return Operation(message=message, kind=NOTE, senders=senders, receivers=receivers, answer=answer, numbered=numbered)


def _opening(
    message: type[Message],
    answer: str,
    permission: str,
    receiver: str,
    lane: str = BULK,
    effect: str = "",
    *,
    work: bool = False,
) -> Operation:
    return Operation(
        message=message,
        kind=OPENING,
        senders=(SCRIPT, AGENT),
        receivers=(receiver,),
        answer=answer,
        permission=permission,
        lane=lane,
        work=work,
        effect=effect,
    )


def _inside(
    message: type[Message], senders: tuple[str, ...], receivers: tuple[str, ...], *inside: type[Message]
) -> Operation:
    return Operation(message=message, kind=INSIDE, senders=senders, receivers=receivers, inside=inside)


OPERATIONS = (
    Operation(
        message=hosts.Register,
        kind=REQUEST,
        senders=(AGENT,),
        receivers=(HUB,),
        answer="ok: the hub's boot id lease=20",
    ),
    _request(hosts.Continue, "ok: session ids ... lease=20", ""),
    Operation(message=hosts.GoingDown, kind=REQUEST, senders=(AGENT,), receivers=(HUB,), answer="ok"),
    _request(
        sync.Barrier,
        f"ok: {' '.join(sync.BARRIER_REPLY)}",
        SYNC,
        "the barrier may have been released with this arrival",
        waits=True,
        work=True,
    ),
    _request(sync.Semaphore, "ok: value", SYNC, "the units may have been given", waits=True, holds=True, work=True),
    _request(sync.Lock, "ok: token", SYNC, waits=True, holds=True, work=True),
    _request(sync.Unlock, "ok", SYNC, "the lock may have been given back"),
    _request(sync.GiveBack, "ok", SYNC, "what was held may have been given back"),
    _request(sync.EventSet, "ok", SYNC, "the events may have been changed", work=True),
    _request(sync.EventWait, "ok: names ...", SYNC, waits=True, work=True),
    _request(sync.Send, "ok: number", SYNC, "the message may have been sent", work=True),
    _request(sync.Receive, "ok: JSON, an array", SYNC, waits=True, work=True),
    _request(sync.ReceiveAll, "ok: JSON, an array", SYNC, waits=True, work=True),
    _request(sync.Reset, "ok: forgotten failed", SYNC, "the names may have been reset"),
    _request(sync.NamespaceBegin, "ok", SYNC, "the namespace may have begun", work=True),
    _request(sync.NamespaceEnd, "ok: forgotten failed", SYNC, "the namespace may have ended"),
    _opening(
        sync.ExchangeOpen,
        "`ok give` or `ok had`; then `part`, data, `done`; or err",
        SYNC,
        HUB,
        effect="the other members may have got the data",
        work=True,
    ),
    _request(sync.Commit, "ok", SYNC, "what was granted may have been taken"),
    _note(sync.Confirm, (SCRIPT, AGENT), (HUB,)),
    _note(sync.Withdraw, (SCRIPT, AGENT), (HUB,), "the request's own reply", numbered=True),
    _note(sync.Revoked, (HUB, AGENT), (SCRIPT, AGENT)),
    _note(sync.OwnerGone, (AGENT,), (HUB,), numbered=True),
    _note(hosts.Concurrent, (SCRIPT,), (HUB, AGENT)),
    _note(hosts.ClientGone, (AGENT,), (HUB,), numbered=True),
    _note(hosts.Note, (AGENT,), (SCRIPT,)),
    Operation(
        message=hosts.Activity, kind=REQUEST, senders=(HUB,), receivers=(AGENT,), answer="ok: commands clients ..."
    ),
    _request(hosts.Drain, "ok", ADMIN, "the hub may have stopped", waits=True),
    Operation(message=look.Lease, kind=REQUEST, senders=(SCRIPT,), receivers=(HUB, AGENT), answer="ok: age lease=20"),
    _request(look.Hosts, "ok: JSON, an array", LOOK),
    _request(look.Status, "ok: JSON, an object", LOOK),
    _request(look.Namespaces, "ok: JSON, an array", LOOK),
    _request(look.Links, "ok: JSON, an array", LOOK, receivers=(HUB, AGENT)),
    _opening(jobs.Run, "`started` if requested, `exit`; or err", RUN, HOST, work=True),
    _opening(jobs.FileRead, "`file`, data, `done`; or err", FILES, HOST, work=True),
    _opening(jobs.FileWrite, "`got` if requested, `done`; or err", FILES, HOST, work=True),
    _opening(look.ConsoleOpen, "text; or err", CONSOLE, HUB, PROMPT),
    _opening(look.TraceOpen, "text; or err", CONSOLE, HUB),
    _opening(look.ChangesOpen, "`ok number`, then lines of JSON; or err", LOOK, HUB),
    _inside(jobs.Started, (HOST,), (SCRIPT,), jobs.Run),
    _inside(jobs.Exited, (HOST,), (SCRIPT,), jobs.Run),
    _inside(jobs.Kill, (SCRIPT,), (HOST,), jobs.Run),
    _inside(jobs.DataEnd, (SCRIPT,), (HOST,), jobs.Run),
    _inside(jobs.Received, (SCRIPT, HOST), (SCRIPT, HOST), jobs.Run),
    _inside(jobs.FileHead, (HOST,), (SCRIPT,), jobs.FileRead),
    _inside(jobs.FileGot, (HOST,), (SCRIPT,), jobs.FileWrite),
    _inside(jobs.FileEnd, (SCRIPT, HOST, HUB), (SCRIPT, HOST, HUB), jobs.FileRead, jobs.FileWrite, sync.ExchangeOpen),
    _inside(sync.ExchangePart, (HUB,), (SCRIPT,), sync.ExchangeOpen),
)
"""All operations, in the order of section 8.2."""

_OF = {operation.message: operation for operation in OPERATIONS}


def _messages(receiver: str, *, note: bool) -> tuple[type[Message], ...]:
    """The messages that a receiver takes without an id, or with one."""
    kinds = (NOTE,) if note else (REQUEST,)
    mine = [one for one in OPERATIONS if receiver in one.receivers]
    return tuple([one.message for one in mine if one.kind in kinds or (one.numbered and not note)])


_REQUESTS = {receiver: _messages(receiver, note=False) for receiver in (HUB, AGENT, SCRIPT)}
_NOTES = {receiver: _messages(receiver, note=True) for receiver in (HUB, AGENT, SCRIPT)}
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


def changes(message: Message) -> bool:
    """Whether a request may change something at the hub, so that it must not be handled twice."""
    return operation(message).permission != LOOK and not isinstance(message, hosts.Continue)


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


def is_hold(message: Message | None) -> bool:
    """Whether this request, if it succeeds, gives its client a hold."""
    return message is not None and operation(message).holds and getattr(message, "Hold", True)


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
    return given_up(f"{_shown(text)} was not answered: {why}", effect(decode_request(text)), deadline=deadline)


def given_up(
    what: str, changed: str, *, deadline: float | None = None, check: str = "check with 'linesync status'"
) -> LinesyncError:
    """The error of an operation whose outcome will stay unknown.

    :param what: what happened, as a clause.
    :param changed: its possible effect (:func:`effect`), as a clause; empty if it certainly changed nothing.
    :param deadline: the timeout of the operation in seconds if it has passed, else None.
    :param check: how to find out what was changed.
    :returns: TimedOut if the timeout has passed and nothing was changed, else LinesyncFailed.
    """
    if changed:
        return LinesyncFailed(f"{what}; {changed}, so {check} before you repeat it")
    return _nothing_changed(what, deadline)


def never_sent(text: str, why: str, *, deadline: float | None = None) -> LinesyncError:
    """The error of a request that was never sent; the parameters are those of :func:`unanswered`."""
    return _nothing_changed(f"{_shown(text)} was not sent: {why}", deadline)


def _nothing_changed(what: str, deadline: float | None) -> LinesyncError:
    if deadline is None:
        return LinesyncFailed(f"{what}; nothing was changed, so check that the hub and the line work, and repeat it")
    return TimedOut(f"timed out after {deadline:g} s: {what}; nothing was changed")


def _shown(text: str) -> str:
    return f"'{text}'" if len(text) <= 60 else f"'{text[:57]}...'"
