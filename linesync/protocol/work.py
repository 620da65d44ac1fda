"""The operations between hub and agent, those that look, and those that do something on a host."""

from __future__ import annotations

from .codec import Message

__all__ = [
    "Activity",
    "ClientGone",
    "Concurrent",
    "ConsoleOpen",
    "Exited",
    "FileEnd",
    "FileGot",
    "FileHead",
    "FileRead",
    "FileWrite",
    "Hosts",
    "Kill",
    "Links",
    "Note",
    "Register",
    "Run",
    "Started",
    "Status",
    "TraceOpen",
]


class Register(Message):
    """Agent to hub: says which host speaks. Reply: the hub's boot id; option ``lease``: seconds, where they are not 20."""

    VERB = "register"
    name: str
    boot: str
    """The agent's process life, eight digits."""
    capabilities: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    """``key=value`` texts."""


class ClientGone(Message):
    """Note, agent to hub: a script's connection has ended."""

    VERB = "gone"
    client: str


class Concurrent(Message):
    """Note, client to hub or agent: this client does several things at once, so one that waits does not stop it."""

    VERB = "concurrent"


class Activity(Message):
    """Hub to agent: are you there, and who may act on your host? Reply: how many commands run there for others, then the
    number of each script, with a ``*`` after it when it does several things at once."""

    VERB = "activity"


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
    tell: bool = False
    """Say which process it is (Started)."""


class FileRead(Message):
    """Client to a host: send me a file. FileHead, the bytes on stream 0, FileEnd."""

    VERB = "get"
    to: str
    path: str
    Device: bool = False
    """It may be a block device."""


class FileWrite(Message):
    """Client to a host: take a file. The bytes on stream 0, then FileEnd from the client and FileEnd back."""

    VERB = "put"
    to: str
    path: str
    name: str
    """The file's own name, used when ``path`` is a directory."""
    size: int
    mode: int = 0o644
    tell: bool = False
    """Say now and then how much has arrived (FileGot)."""
    Device: int = 0
    """1: ``path`` must be a block device, which is overwritten; 2: it may be one."""


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


class Started(Message):
    """Host to client, inside a run: the command runs, and will do so for a while."""

    VERB = "started"
    pid: int
    """Its process id on the host."""


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
    device: bool = False
    """It is what is on a block device."""


class FileGot(Message):
    """How much of a file has arrived."""

    VERB = "got"
    size: int
    """Bytes."""


class FileEnd(Message):
    """All of the file was sent; the other way, what was sent is in its place."""

    VERB = "done"
    sha256: str
    """64 hex digits."""
