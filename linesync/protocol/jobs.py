"""The operations that run commands on a host and copy files."""

from __future__ import annotations

from .codec import Message

__all__ = [
    "DataEnd",
    "Exited",
    "FileEnd",
    "FileGot",
    "FileHead",
    "FileRead",
    "FileWrite",
    "FilesRead",
    "FilesWrite",
    "Kill",
    "Received",
    "Resize",
    "Run",
    "Started",
]


class Run(Message):
    """Client to a host: run a command. Streams: 0 stdin; 1 stdout, 2 stderr. Ends with Exited, or an error."""

    VERB = "run"
    to: str
    argv: tuple[str, ...]
    cwd: str = ""
    env: str = ""
    """A JSON object of variables to set."""
    stdin: bool = False
    """Whether stream 0 is the command's standard input; otherwise the standard input is empty."""
    timeout: float | None = None
    """Seconds after which the host ends the command."""
    tell: bool = False
    """Whether the host reports the process id (Started)."""
    User: str = ""
    """Run the command as this user, with the groups, the environment and the home directory of the user."""
    Detach: bool = False
    """Start a detached process, which belongs to the host (section 8.4). The channel ends with Detached, or an error."""
    Clear: bool = False
    """The command inherits only HOME, USER, LOGNAME, SHELL and PATH of the environment of the agent."""
    Terminal: str = ""
    """Run the command on a terminal of this size, COLUMNSxROWS. Its output is stream 1."""
    id: int = 0
    """Identifies the command, so that its channel can continue on another channel (section 8.7); 0 if it cannot."""
    Got: int | None = None
    """The command was opened before. This is the position up to which the client has received its output."""
    age: float | None = None
    """With ``Got``: seconds since the command was first opened."""


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


class Received(Message):
    """Inside a run with an id, or a forwarded connection: the position up to which the sender has taken what came."""

    VERB = "received"
    position: int
    """Each byte of data counts 1. In a run, each message except this one counts 1, too."""


class DataEnd(Message):
    """Inside a run with an id, from the client: the end of stdin. Inside a forwarded connection: the end of the sender's
    bytes."""

    VERB = "eof"


class Kill(Message):
    """Client to host, inside a run: send a signal to the command."""

    VERB = "kill"
    signal: int


class Resize(Message):
    """Client to host, inside a run with a terminal: set the size of the terminal."""

    VERB = "resize"
    columns: int
    rows: int


class FileRead(Message):
    """Client to a host: read a file. The host sends FileHead, the bytes on stream 0, and FileEnd."""

    VERB = "get"
    to: str
    path: str
    Device: bool = False
    """Whether the file may be a block device."""


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
    """Whether the host regularly reports the number of received bytes (FileGot)."""
    Device: int = 0
    """1: ``path`` must be a block device, which is overwritten; 2: it may be a block device; 0: it must not be one."""


class FileHead(Message):
    """The properties of the file that follows."""

    VERB = "file"
    size: int
    mode: int
    device: bool = False
    """Whether the source is a block device."""


class FileGot(Message):
    """The number of received bytes of a file."""

    VERB = "got"
    size: int
    """Bytes."""


class FileEnd(Message):
    """From the sender of a file: all of it was sent. From the receiver: the file is complete at its path."""

    VERB = "done"
    sha256: str
    """64 hex digits."""


class FilesRead(Message):
    """Client to a host: read files and folders. The host is the sender of the records of section 8.4, on stream 0."""

    VERB = "getall"
    to: str
    paths: tuple[str, ...]
    Recursive: bool = False
    """Whether folders are copied, and links as links."""
    Preserve: bool = False
    """Whether the entries have their attributes."""
    User: str = ""
    """Read as this user."""
    Rate: int = 0
    """The maximum number of bytes of files in a second; 0 for no limit."""


class FilesWrite(Message):
    """Client to a host: write files and folders. The host is the receiver of the records of section 8.4."""

    VERB = "putall"
    to: str
    path: str
    names: tuple[str, ...]
    """The name of each source if ``path`` is a directory; a name ``.`` stands for ``path`` itself."""
    Recursive: bool = False
    Preserve: bool = False
    """Whether the entries get the attributes of their sources."""
    User: str = ""
    """Write as this user."""
    Into: bool = False
    """Whether ``path`` must be a directory."""
    tell: bool = False
    """Whether the host reports the number of received bytes about once a second."""
