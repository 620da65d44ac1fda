"""Typed requests, replies and channel openings, as text.

Requests and replies pass on channel 0, one message each::

    <id> <verb> <words ...> [key=value ...]       a request
    <id> ok [<words ...>]                          its reply
    <id> err <code> <sentence> [<details in JSON>]
    - <verb> <words ...>                           a note that nobody answers

An id is the requester's own number; behind an agent it is ``number.client``, where the client is the agent's number for
the script that asks. A channel opens with ``<verb> <words ...>``, without an id.

Each class below is one operation: fields without a default are positional words in their order, the last may be a
tuple that takes all the words left; fields with a default are options and stand only when they differ from it. An
option that the receiver does not know is ignored, unless its key begins with a capital letter: then the operation is
refused. An unknown verb is refused.
"""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, TypeVar

from . import limits, words
from .errors import LinesyncError, LinesyncFailed, UsageError, error_for
from .records import MISSING, Record

__all__ = [
    "BARRIER_REPLY",
    "Barrier",
    "ClientGone",
    "Confirm",
    "ConsoleOpen",
    "Exited",
    "FileEnd",
    "FileHead",
    "FileRead",
    "FileWrite",
    "Hosts",
    "Kill",
    "Links",
    "Message",
    "Note",
    "Register",
    "Run",
    "Semaphore",
    "Status",
    "TraceOpen",
    "Withdraw",
    "decode",
    "encode",
    "encode_error",
    "encode_ok",
    "read_error",
    "read_reply",
]


class Message(Record):
    """Base of every operation; ``VERB`` is its first word."""

    VERB: ClassVar[str]


# -- requests on channel 0 --------------------------------------------------------------------------------------------


class Register(Message):
    """Agent to hub: says which host speaks. Reply: the hub's boot id."""

    VERB = "register"
    name: str
    boot: str
    """The agent's process life, eight digits."""
    capabilities: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    """``key=value`` texts."""


class Barrier(Message):
    """Client to hub: arrive at a count barrier. Reply: generation, own position, the parties in order of arrival."""

    VERB = "barrier"
    name: str
    count: int
    ns: str = "default"
    timeout: float | None = None
    """Seconds; 0 polls, absent waits for ever."""
    member: str = ""
    arrival: str = ""
    """An id of this arrival's own; a retry with the same id joins once. Absent: one for this request."""


BARRIER_REPLY = ("generation", "position", "parties ...")


class Semaphore(Message):
    """Client to hub: give (above 0), take (below 0) or read (0). Reply: the value then."""

    VERB = "sem"
    name: str
    delta: int
    ns: str = "default"
    timeout: float | None = None
    arrival: str = ""


class Confirm(Message):
    """Note, client to hub: the outcome that answered this request has arrived; a grant is final now."""

    VERB = "confirm"
    request: str
    """The id of the request."""
    arrival: str = ""


class Withdraw(Message):
    """Note, client to hub: the request is given up; its error reply follows."""

    VERB = "withdraw"
    request: str
    arrival: str = ""


class ClientGone(Message):
    """Note, agent to hub: a script's connection has ended."""

    VERB = "gone"
    client: str


class Note(Message):
    """Note, agent to client: something a person who waits wants to know."""

    VERB = "note"
    text: str


class Hosts(Message):
    """Client to hub: the hosts. Reply: one word of JSON."""

    VERB = "hosts"


class Status(Message):
    """Client to hub: hosts, barriers, semaphores. Reply: one word of JSON."""

    VERB = "status"


class Links(Message):
    """Client to hub or agent: its lines and their counters. Reply: one word of JSON."""

    VERB = "links"


# -- channel openings -------------------------------------------------------------------------------------------------


class Run(Message):
    """Client to a host: run a command. Streams: 0 stdin; 1 stdout, 2 stderr. Ends with Exited, or an error."""

    VERB = "run"
    to: str
    argv: tuple[str, ...]
    cwd: str = ""
    env: str = ""
    """JSON object of variables to set."""
    stdin: bool = False
    """Stream 0 feeds the command; else it reads nothing."""
    timeout: float | None = None
    """Seconds after which the command is ended."""


class FileRead(Message):
    """Client to a host: send me a file. FileHead, the bytes on stream 0, FileEnd."""

    VERB = "get"
    to: str
    path: str


class FileWrite(Message):
    """Client to a host: take a file. The bytes on stream 0, then FileEnd from the client and FileEnd back."""

    VERB = "put"
    to: str
    path: str
    name: str
    """The file's own name, used when ``path`` is a directory."""
    size: int
    mode: int = 0o644


class ConsoleOpen(Message):
    """Client to hub: what else came down a host's line, on stream 1; with ``follow`` also what is to come. Bytes on
    stream 0 are typed into the line, and the message ``break`` sends a BREAK."""

    VERB = "console"
    host: str
    follow: bool = False
    type: bool = False


class TraceOpen(Message):
    """Client to hub: the frames on a host's line as they pass, one text line each, on stream 1."""

    VERB = "trace"
    host: str


# -- messages inside a channel ----------------------------------------------------------------------------------------


class Exited(Message):
    """Host to client: the command is over."""

    VERB = "exit"
    status: int
    """Its exit status, or -N for signal N."""


class Kill(Message):
    """Client to host, inside a run: send the command a signal."""

    VERB = "kill"
    signal: int


class FileHead(Message):
    """What file is coming."""

    VERB = "file"
    size: int
    mode: int


class FileEnd(Message):
    """All of the file was sent; the other way, what was sent is in its place."""

    VERB = "done"
    sha256: str
    """64 hex digits."""


# -- the codec --------------------------------------------------------------------------------------------------------

M = TypeVar("M", bound=Message)
_NUMBER = re.compile(r"-?[0-9]{1,19}")  # int() itself would take blanks, underscores and the digits of all scripts
_SEPARATOR = "\x1f"  # between the items of an optional tuple


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:.6g}" if value < 1e6 else repr(value)
    if isinstance(value, tuple):
        return _SEPARATOR.join(value)
    return str(value)


def _read(kind: str, text: str) -> Any:
    if kind == "int":
        if not _NUMBER.fullmatch(text):
            raise ValueError(text)
        return int(text)
    if kind == "bool":
        return text == "1"
    if kind == "float | None":
        value = float(text)
        if not 0 <= value < 1e12 or "_" in text:
            raise ValueError(text)
        return value
    if kind.startswith("tuple"):
        return tuple(text.split(_SEPARATOR)) if text else ()
    return text


def encode(message: Message) -> str:
    """Write an operation as text."""
    positional: list[str] = [message.VERB]
    options: dict[str, str] = {}
    for name, (_, default) in message.FIELDS.items():
        value = getattr(message, name)
        if default is not MISSING:
            if value != default:
                options[name] = _write(value)
        elif isinstance(value, tuple):
            positional += value
        else:
            positional.append(_write(value))
    return words.join(positional, options)


def decode(text: str, *classes: type[Message]) -> Message:
    """Read an operation that is one of ``classes``.

    :raises UsageError: it is malformed.
    :raises LinesyncFailed: it is none of these, or insists on something this side does not know.
    """
    try:
        positional, options = words.split(text)
    except ValueError as error:
        raise UsageError(f"a malformed message came: {error}") from None
    verb = positional.pop(0) if positional else ""
    for cls in classes:
        if verb == cls.VERB:
            return _build(cls, positional, options)
    raise LinesyncFailed(
        f"the operation {verb!r} is not known here (protocol version {limits.VERSION}); update linesync on this side"
    )


def _build(cls: type[M], positional: list[str], options: dict[str, str]) -> M:
    values: dict[str, Any] = {}
    try:
        for name, (kind, default) in cls.FIELDS.items():
            if default is not MISSING:
                if name in options:
                    values[name] = _read(kind, options.pop(name))
            elif kind.startswith("tuple"):
                values[name], positional = tuple(positional), []
            else:
                values[name] = _read(kind, positional.pop(0))
    except (ValueError, IndexError):
        raise UsageError(f"a malformed {cls.VERB} message came: a word is missing or is no number") from None
    needed = [key for key in options if key[:1].isupper()]
    if needed:
        raise LinesyncFailed(
            f"{cls.VERB} asks for {', '.join(needed)}, which this side (protocol version {limits.VERSION}) does not"
            " know; update linesync on this side"
        )
    return cls(**values)


def encode_ok(*reply: str) -> str:
    """The text of a good reply, without its id."""
    return words.join(["ok", *reply])


def encode_error(error: LinesyncError) -> str:
    """The text of an error, for a reply (without its id) or as the last message of a channel."""
    parts = ["err", error.code, error.message]
    if error.details:
        parts.append(json.dumps(error.details, separators=(",", ":"), default=str))
    return words.join(parts)


def read_error(text: str) -> LinesyncError | None:
    """The error that a text holds, None when it holds none."""
    if not text.startswith("err "):
        return None
    try:
        positional, _ = words.split(text)
        details = json.loads(positional[3]) if len(positional) > 3 else None
        return error_for(positional[1], positional[2], details if isinstance(details, dict) else None)
    except (ValueError, IndexError, RecursionError):  # the last from JSON that is nested a thousand deep
        return LinesyncFailed("the other side reported an error that cannot be read; update linesync on one of them")


def read_reply(text: str) -> list[str]:
    """The words of a good reply (its id taken off).

    :raises LinesyncError: the error that it holds instead.
    """
    error = read_error(text)
    if error is not None:
        raise error
    try:
        positional, _ = words.split(text)
    except ValueError:
        positional = []
    if not positional or positional[0] != "ok":
        raise LinesyncFailed("the other side sent a reply that cannot be read; update linesync on one of them")
    return positional[1:]
