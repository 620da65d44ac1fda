"""The operations between hub and agent, those that show a state, and those that do something on a host."""

from __future__ import annotations

from .codec import Message

__all__ = [
    "Activity",
    "ChangesOpen",
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
    "Lease",
    "Links",
    "Namespaces",
    "Note",
    "Register",
    "Run",
    "Started",
    "Status",
    "TraceOpen",
]


class Register(Message):
    """Agent to hub: register this host. Reply: the hub's boot id; option ``lease``: seconds, if they are not 20."""

    VERB = "register"
    name: str
    boot: str
    """The boot id of the agent, eight characters."""
    capabilities: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    """``key=value`` texts."""


class ClientGone(Message):
    """Note, agent to hub: a script's connection has ended."""

    VERB = "gone"
    client: str


class Concurrent(Message):
    """Note, client to hub or agent: this client does several things at the same time, so a wait does not stop it."""

    VERB = "concurrent"


class Activity(Message):
    """Hub to agent: a question whether the agent is alive and which clients can act on its host. Reply: the number of remote
    commands that run there, then the number of each script, with a ``*`` if it does several things at the same time."""

    VERB = "activity"


class Note(Message):
    """Note, agent to client: a sentence for the person who waits."""

    VERB = "note"
    text: str


class Hosts(Message):
    """Client to hub: the hosts. Reply: JSON in one field."""

    VERB = "hosts"


class Status(Message):
    """Client to hub: hosts, barriers, semaphores ... Reply: JSON in one field."""

    VERB = "status"


class Lease(Message):
    """Client to hub or agent: how long the client's host is still alive for the hub. Reply: the seconds since a time at which
    the hub has heard the host, or later; option ``lease``: the lease in seconds, if it is not 20."""

    VERB = "lease"


class Links(Message):
    """Client to hub or agent: its lines and their counters. Reply: JSON in one field."""

    VERB = "links"


class Namespaces(Message):
    """Client to hub: the namespaces. Reply: JSON in one field."""

    VERB = "namespaces"


# -- channel openings -------------------------------------------------------------------------------------------------


class Run(Message):
    """Client to a host: run a command. Streams: 0 stdin; 1 stdout, 2 stderr. Ends with Exited, or an error."""

    VERB = "run"
    to: str
    argv: tuple[str, ...]
    cwd: str = ""
    env: str = ""
    """A JSON object of variables to set."""
    stdin: bool = False
    """Stream 0 is the command's standard input; otherwise it is empty."""
    timeout: float | None = None
    """Seconds after which the host ends the command."""
    tell: bool = False
    """Report the process id (Started)."""


class FileRead(Message):
    """Client to a host: read a file. The host sends FileHead, the bytes on stream 0, and FileEnd."""

    VERB = "get"
    to: str
    path: str
    Device: bool = False
    """It may be a block device."""


class FileWrite(Message):
    """Client to a host: write a file. The client sends the bytes on stream 0 and FileEnd, and the host answers FileEnd."""

    VERB = "put"
    to: str
    path: str
    name: str
    """The name of the file if ``path`` is a directory."""
    size: int
    mode: int = 0o644
    tell: bool = False
    """Report from time to time how much has arrived (FileGot)."""
    Device: int = 0
    """1: ``path`` must be a block device, which is overwritten; 2: it may be one."""


class ConsoleOpen(Message):
    """Client to hub: the console log of a host's line, on stream 1; with ``follow`` also later text. The hub writes bytes on
    stream 0 to the line, and the message ``break`` sends a BREAK."""

    VERB = "console"
    host: str
    follow: bool = False
    type: bool = False


class TraceOpen(Message):
    """Client to hub: the frames on a host's line while they pass, one text line for each, on stream 1."""

    VERB = "trace"
    host: str


class ChangesOpen(Message):
    """Client to hub: each change of the state from now on, one line of JSON for each, on stream 1."""

    VERB = "changes"


# -- messages inside a channel ----------------------------------------------------------------------------------------


class Started(Message):
    """Host to client, inside a run: the command runs and did not end immediately."""

    VERB = "started"
    pid: int
    """Its process id on the host."""


class Exited(Message):
    """Host to client: the command has ended."""

    VERB = "exit"
    status: int
    """Its exit status, or -N for signal N."""


class Kill(Message):
    """Client to host, inside a run: send the command a signal."""

    VERB = "kill"
    signal: int


class FileHead(Message):
    """The properties of the file that follows."""

    VERB = "file"
    size: int
    mode: int
    device: bool = False
    """It is the contents of a block device."""


class FileGot(Message):
    """The number of bytes of a file that have arrived."""

    VERB = "got"
    size: int
    """Bytes."""


class FileEnd(Message):
    """From the sender of a file: all of it was sent. From the receiver: it is in its place."""

    VERB = "done"
    sha256: str
    """64 hex digits."""
