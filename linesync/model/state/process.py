"""The state of a detached process."""

from __future__ import annotations

from .record import State

__all__ = ["ProcessState"]


class ProcessState(State):
    """A detached process, which belongs to its host."""

    process: str
    """its handle: the host, a slash and a number"""
    host: str
    """its host"""
    state: str
    """``running`` or ``ended``"""
    status: int | None
    """its exit status; ``null`` while it runs, or if it did not exit by itself"""
    signal: int | None
    """the number of the signal that ended it, or ``null``"""
    cause: str
    """the reason for its end, if it did not end by itself: ``the host restarted``, ``its time limit was reached`` or ``its
    supervisor was killed``; else empty"""
    pid: int
    """the process id of the command on the host"""
    user: str
    """its user; empty for the user of the agent"""
    cwd: str
    """its working directory; empty for that of the agent"""
    argv: tuple[str, ...]
    """the command and its arguments"""
    stdin: bool
    """whether it has a stdin (``run --detach -i``)"""
    since: float
    """seconds since its start"""
    seconds: float | None
    """the seconds for which it has run until now or until its end; ``null`` if the time of its end is not known"""
    output: int
    """the number of bytes that it has written to stdout and stderr"""
    dropped: int
    """the number of these bytes that the host has dropped"""

    @property
    def exit_code(self) -> int | None:
        """The exit code as in a shell: the status, or 128 + the signal's number; None if there is neither."""
        return 128 + self.signal if self.signal is not None else self.status
