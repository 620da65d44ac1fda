"""The operations for detached processes, which belong to their host."""

from __future__ import annotations

from .codec import Message

__all__ = ["At", "Attach", "Detached", "Processes", "SignalProcess"]


class Detached(Message):
    """Host to client, inside a run with ``Detach``: the process was started. It belongs to the host from now on."""

    VERB = "detached"
    number: int
    """Its number on the host. HOST/NUMBER is the handle of the process."""
    pid: int
    """The process id of the command on the host."""


class Processes(Message):
    """Client to a host: list the detached processes. The host sends a line of JSON for each of them on stream 1."""

    VERB = "processes"
    to: str


class Attach(Message):
    """Client to a host: read the output of a detached process, and wait for its end. Streams: 0 stdin; 1 stdout, 2 stderr."""

    VERB = "attach"
    to: str
    number: int
    output: bool = False
    """Whether the host sends the output."""
    follow: bool = False
    """Whether the host waits for the end of the process, and then sends Exited or an error."""
    since: int = 0
    """The position of the first byte of output that the client wants."""
    tail: int | None = None
    """Begin with this number of lines at the end of the kept output, instead of ``since``."""
    stdin: bool = False
    """Whether stream 0 goes to the stdin of the process."""


class At(Message):
    """Host to client, inside attach: the position of the next byte of output. It is sent before the first output, and after
    dropped output."""

    VERB = "at"
    position: int
    """The number of bytes that the process wrote before, to stdout and stderr together."""
    dropped: int = 0
    """The number of bytes before this position that the client wants and that the host has dropped."""


class SignalProcess(Message):
    """Client to a host: send a signal to all processes of a detached process. The host answers ``ok``."""

    VERB = "signal"
    to: str
    number: int
    signal: int = 0
    """0: end the processes (SIGTERM, then SIGKILL after 3 s), and answer after their end."""
