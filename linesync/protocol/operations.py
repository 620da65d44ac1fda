"""The table of all operations: each request, note, opening and message, with its senders and receivers.

The hub, the agents, the clients, the tests and docs/protocol.md (section 8.2) use this table. No other code decides from the
text of a message which operation it is.
"""

from __future__ import annotations

from ..errors import LinesyncError, LinesyncFailed, NotAllowed, TimedOut, UsageError
from ..frozen_record import Record
from . import detached, groups, hosts, jobs, look, sockets, sync
from .codec import Message, decode

__all__ = [
    "ADMIN",
    "AGENT",
    "BULK",
    "CONSOLE",
    "FILES",
    "FORWARD",
    "HOST",
    "HUB",
    "INSIDE",
    "NOTE",
    "OPENING",
    "OPERATIONS",
    "PERMISSIONS",
    "PROMPT",
    "REQUEST",
    "RUN",
    "SCRIPT",
    "Operation",
    "changes",
    "check_permission",
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
"""The kinds of messages (section 8.1): with a reply on channel 0, without a reply on channel 0, the opening of a channel, and
a message inside a channel."""
SCRIPT, AGENT, HUB, HOST = "script", "agent", "hub", "host"
"""The kinds of senders and receivers. A host is an agent, or the hub in its role as the host ``hub``."""
PROMPT, BULK = "prompt", "bulk"
"""The lanes (section 5). Channel 0 is in the prompt lane."""
SYNC, LOOK, RUN, FILES, FORWARD, CONSOLE, ADMIN = "sync", "look", "run", "files", "forward", "console", "admin"
PERMISSIONS = (SYNC, LOOK, RUN, FILES, FORWARD, CONSOLE, ADMIN)
"""The permissions that a policy allows or denies."""


class Operation(Record):
    """One operation, with the rules for its use."""

    message: type[Message]
    kind: str
    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    answer: str = ""
    """The description of its reply in section 8.2."""
    permission: str = ""
    """The permission that the sender needs; empty for an operation that concerns only the sender's own session."""
    lane: str = PROMPT
    inside: tuple[type[Message], ...] = ()
    """For a message inside a channel: the openings of such channels."""
    waits: bool = False
    """Whether it may wait for other clients; then it has its own ``timeout``, or waits without a limit."""
    holds: bool = False
    """Whether its grant may be a hold, which lasts until it is given back."""
    numbered: bool = False
    """Whether the note may also have an id. It is then a request with the reply ``ok``."""
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


_CONNECTION = (sockets.Connect, sockets.Accept, sockets.Wide)
"""The openings of the channels of a forwarded connection."""

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
    _request(sync.GiveBack, "ok", SYNC, "the hold may have been given back"),
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
    _request(sync.Commit, "ok", SYNC, "the grant may have been taken"),
    _request(groups.GroupJoin, "ok: number member after", SYNC, "the member may have joined", work=True),
    _request(groups.GroupLeave, "ok", SYNC, "the member may have left"),
    _request(groups.GroupAnnounce, "ok", SYNC, "the services may have been replaced"),
    _request(groups.GroupNext, "ok: number events ...", SYNC, "a report may have counted", waits=True),
    _request(groups.GroupCast, "ok: number", SYNC, "the message may have been delivered", waits=True),
    _request(groups.GroupPost, "ok: number", SYNC, "the message may have been delivered", work=True),
    _request(groups.GroupMembers, "ok: members ...", SYNC, waits=True, work=True),
    _request(groups.GroupRerun, "ok", SYNC, "another round may have begun", work=True),
    _request(groups.GroupStop, "ok", SYNC, "the group may have been stopped"),
    _request(groups.GroupShow, "ok: JSON, an object", LOOK),
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
    _request(look.PolicyCheck, "ok: JSON, an object", LOOK),
    _request(look.Links, "ok: JSON, an array", LOOK, receivers=(HUB, AGENT)),
    _opening(jobs.Run, "`started` if requested, `exit` or `detached`; or err", RUN, HOST, work=True),
    _opening(detached.Processes, "lines of JSON; or err", LOOK, HOST),
    _opening(detached.Attach, "`at`, data, `exit` if requested; or err", RUN, HOST),
    _opening(detached.SignalProcess, "`ok`; or err", RUN, HOST),
    _opening(jobs.FileRead, "`file`, data, `done`; or err", FILES, HOST, work=True),
    _opening(jobs.FileWrite, "`got` if requested, `done`; or err", FILES, HOST, work=True),
    _opening(sockets.Connect, "`connected`, data, `eof`; or err", FORWARD, HOST, PROMPT),
    _opening(sockets.Listen, "`listening`, `accepted` for each connection; or err", FORWARD, HOST, PROMPT),
    _opening(sockets.Accept, "data, `eof`; or err", "", HOST, PROMPT),
    _opening(sockets.Wide, "data, `eof`; or err", "", HOST),
    _opening(jobs.FilesRead, "records; or err", FILES, HOST, work=True),
    _opening(jobs.FilesWrite, "records; or err", FILES, HOST, work=True),
    _opening(look.ConsoleOpen, "text; or err", CONSOLE, HUB, PROMPT),
    _opening(look.TraceOpen, "text; or err", CONSOLE, HUB),
    _opening(look.ChangesOpen, "`ok number`, then lines of JSON; or err", LOOK, HUB),
    _inside(jobs.Started, (HOST,), (SCRIPT,), jobs.Run),
    _inside(jobs.Exited, (HOST,), (SCRIPT,), jobs.Run, detached.Attach),
    _inside(detached.Detached, (HOST,), (SCRIPT,), jobs.Run),
    _inside(detached.At, (HOST,), (SCRIPT,), detached.Attach),
    _inside(jobs.Kill, (SCRIPT,), (HOST,), jobs.Run, detached.Attach),
    _inside(jobs.Resize, (SCRIPT,), (HOST,), jobs.Run),
    _inside(jobs.DataEnd, (SCRIPT, HOST), (SCRIPT, HOST), jobs.Run, detached.Attach, *_CONNECTION),
    _inside(jobs.Received, (SCRIPT, HOST), (SCRIPT, HOST), jobs.Run, sockets.Connect, sockets.Accept),
    _inside(sockets.Widen, (SCRIPT, HOST), (SCRIPT, HOST), sockets.Connect, sockets.Accept),
    _inside(sockets.Turn, (SCRIPT, HOST), (SCRIPT, HOST), *_CONNECTION),
    _inside(jobs.FileHead, (HOST,), (SCRIPT,), jobs.FileRead),
    _inside(jobs.FileGot, (HOST,), (SCRIPT,), jobs.FileWrite),
    _inside(jobs.FileEnd, (SCRIPT, HOST, HUB), (SCRIPT, HOST, HUB), jobs.FileRead, jobs.FileWrite, sync.ExchangeOpen),
    _inside(sockets.Connected, (HOST,), (SCRIPT,), sockets.Connect),
    _inside(sockets.Listening, (HOST,), (SCRIPT,), sockets.Listen),
    _inside(sockets.Accepted, (HOST,), (SCRIPT,), sockets.Listen),
    _inside(sockets.RefuseConnection, (SCRIPT,), (HOST,), sockets.Listen),
    _inside(sync.ExchangePart, (HUB,), (SCRIPT,), sync.ExchangeOpen),
)
"""All operations, in the order of section 8.2."""

_OF = {operation.message: operation for operation in OPERATIONS}


def _messages(receiver: str, *, note: bool) -> tuple[type[Message], ...]:
    """The messages that a receiver accepts: notes, or requests and notes with an id."""
    kind = NOTE if note else REQUEST
    return tuple(
        [
            entry.message
            for entry in OPERATIONS
            if receiver in entry.receivers and (entry.kind == kind or (entry.numbered and not note))
        ]
    )


_REQUESTS = {receiver: _messages(receiver, note=False) for receiver in (HUB, AGENT, SCRIPT)}
_NOTES = {receiver: _messages(receiver, note=True) for receiver in (HUB, AGENT, SCRIPT)}
_OPENINGS = tuple([entry.message for entry in OPERATIONS if entry.kind == OPENING])


def check_permission(name: str) -> None:
    """Refuse a name that is not the name of a permission.

    :raises UsageError: there is no such permission.
    """
    if name not in PERMISSIONS:
        from ..suggestions import near

        raise UsageError(f"unknown permission {name!r}; {near(name, PERMISSIONS, 'the permissions are')}")


def operation(message: Message) -> Operation:
    """The operation of a message."""
    return _OF[type(message)]


def read(text: str, receiver: str, *, note: bool) -> Message:
    """Read a request or a note for ``receiver``. The exceptions are those of :func:`decode`."""
    return decode(text, *(_NOTES if note else _REQUESTS)[receiver])


def read_opening(text: str) -> Message:
    """Read the opening of a channel. The exceptions are those of :func:`decode`."""
    return decode(text, *_OPENINGS)


def changes(message: Message) -> bool:
    """Whether a request may change the state of the hub, so that it must not be handled twice."""
    return operation(message).permission != LOOK and not isinstance(message, hosts.Continue)


def known_opening(text: str) -> Message | None:
    """Read the opening of a channel; None if it is malformed or unknown on this side. A newer peer may know it."""
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
    """Whether the hub takes back the grant of this request if the client ends before it has committed the grant."""
    return isinstance(message, sync.Lock) or (isinstance(message, sync.Semaphore) and message.delta < 0)


def is_hold(message: Message | None) -> bool:
    """Whether this request gives its client a hold if it succeeds."""
    return message is not None and operation(message).holds and getattr(message, "Hold", True)


def effect(message: Message | None) -> str:
    """The possible effect of a request that got no reply, as a clause; empty if there is no lasting effect."""
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
    return given_up(f"{_in_words(text)} was not answered: {why}", effect(decode_request(text)), deadline=deadline)


def given_up(
    event: str, changed: str, *, deadline: float | None = None, check: str = "check with 'linesync status'"
) -> LinesyncError:
    """The error of an operation whose outcome stays unknown.

    :param event: the event that ended the operation, as a clause.
    :param changed: its possible effect (:func:`effect`), as a clause; empty if it certainly changed nothing.
    :param deadline: the timeout of the operation in seconds if it has passed, else None.
    :param check: an instruction to find out the effect, as a clause.
    :returns: TimedOut if the timeout has passed and nothing was changed, else LinesyncFailed.
    """
    if changed:
        return LinesyncFailed(f"{event}; {changed}, so {check} before you repeat it")
    return _nothing_changed(event, deadline)


def never_sent(text: str, why: str, *, deadline: float | None = None) -> LinesyncError:
    """The error of a request that was never sent. The parameters are those of :func:`unanswered`."""
    return _nothing_changed(f"{_in_words(text)} was not sent: {why}", deadline)


def _nothing_changed(event: str, deadline: float | None) -> LinesyncError:
    if deadline is None:
        return LinesyncFailed(f"{event}; nothing was changed, so check that the hub and the line work, and repeat it")
    return TimedOut(f"timed out after {deadline:g} s: {event}; nothing was changed")


def _in_words(text: str) -> str:
    """A request as a noun phrase with its object, for an error."""
    message = decode_request(text)
    if message is None:
        return "the request"
    if isinstance(message, sync.Semaphore):
        purpose = "read" if not message.delta else f"{'give' if message.delta > 0 else 'take'} {abs(message.delta)} of"
        return f"the request to {purpose} semaphore {message.name!r}"
    if isinstance(message, sync.EventSet | sync.EventWait):
        purpose = "wait for" if isinstance(message, sync.EventWait) else "clear" if message.Clear else "set"
        events = ", ".join(map(repr, message.names))
        return _short(f"the request to {purpose} event{'s' if len(message.names) > 1 else ''} {events}")
    phrase = _PHRASES.get(type(message), f"the request {message.VERB!r}")
    named = getattr(message, "name", getattr(message, "topic", ""))
    return _short(f"{phrase} {named!r}" if named else phrase)


_PHRASES: dict[type[Message], str] = {
    sync.Barrier: "the arrival at barrier",
    sync.Lock: "the request for lock",
    sync.Unlock: "the release of lock",
    sync.GiveBack: "the request to give back a hold",
    sync.Send: "the message to topic",
    sync.Receive: "the wait for a message of topic",
    sync.ReceiveAll: "the wait for the messages of topic",
    sync.Reset: "the request to reset names",
    sync.NamespaceBegin: "the request to begin namespace",
    sync.NamespaceEnd: "the request to end namespace",
    sync.Commit: "the confirmation of a grant",
    hosts.Drain: "the request to drain the hub",
    look.Hosts: "the request for the list of hosts",
    look.Status: "the request for the status",
    look.Namespaces: "the request for the list of namespaces",
    look.Links: "the request for the list of links",
}
"""The requests whose noun phrase is their name or topic after a fixed text."""


def _short(phrase: str) -> str:
    return phrase if len(phrase) <= 100 else f"{phrase[:97]}..."
