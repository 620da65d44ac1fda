"""The exceptions.

The class of a stream error says *who caused it*: we closed the stream, the peer ended it, something outside broke it, or
another process holds it. The class of an error of an operation says *how the operation ended*, and decides the exit code.
Every message is one sentence that says what happened, to whom, and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = [
    "Aborted",
    "BrokenError",
    "BusyError",
    "CannotExecute",
    "ClosedError",
    "CommandFailed",
    "CommandNotFound",
    "DeadlockError",
    "EndOfStream",
    "LinesyncError",
    "LinesyncFailed",
    "MemberLost",
    "Mismatch",
    "NotAllowed",
    "TimedOut",
    "Unanswered",
    "UsageError",
    "error_for",
]


_NOT_UTF_8 = re.compile(r"\\udc([89a-f][0-9a-f])|[\udc80-\udcff]")
"""A byte that is not UTF-8, as a surrogate escape or as the repr of one."""


def _readable(message: str) -> str:
    """Write each byte that is not UTF-8 as ``\\xff``."""
    return _NOT_UTF_8.sub(lambda found: f"\\x{found[1] or format(ord(found[0]) - 0xDC00, '02x')}", message)


class LinesyncError(Exception):
    """The base class of all errors that linesync raises.

    :ivar exit_code: the exit code of a command that ends with this error.
    :ivar code: a short word for programs; it is sent over the line and is the value of ``error`` in ``--json``.
    :ivar message: one sentence for people.
    :ivar details: further facts for programs (who arrived, who is missing ...); it can be written as JSON.
    :ivar stdout: the bytes that a remote command wrote to stdout before this error ended the wait for it; empty for other
        operations, and if a callback got them. The same holds for ``stderr``.
    """

    exit_code: int = 125
    code: str = "failed"
    stdout: bytes = b""
    stderr: bytes = b""

    def __init__(self, message: str, *, details: Mapping[str, object] | None = None) -> None:
        self.message = _readable(message)
        super().__init__(self.message)
        self.details: dict[str, object] = dict(details or {})

    def __str__(self) -> str:
        return self.message


# -- errors of streams and lines, by cause ----------------------------------------------------------------------------


class ClosedError(LinesyncError):
    """The caller used something that it had already closed."""

    code = "closed"


class EndOfStream(LinesyncError):
    """The peer ended the stream cleanly; there is nothing more to read."""

    code = "end"


class BrokenError(LinesyncError):
    """The connection broke: the line was lost, the device vanished, the peer died or restarted."""

    code = "broken"


class BusyError(LinesyncError):
    """Another process or reader uses it: a locked serial device, a socket in use, a second reader on one stream."""

    code = "busy"


# -- operations: by their outcome (docs/reference/exit-codes.md) ---------------------------------------------------


class UsageError(LinesyncError, ValueError):
    """The request itself is wrong; nothing was changed."""

    exit_code = 2
    code = "usage"


class Aborted(LinesyncError):
    """A member aborted the wait for all and gave a reason."""

    exit_code = 3
    code = "aborted"


class MemberLost(LinesyncError):
    """A member that the wait needs is lost: it never registered, its line is lost, or it restarted."""

    exit_code = 4
    code = "lost"


class Mismatch(LinesyncError):
    """The request does not match earlier ones: another count, other members, a member that is already waiting."""

    exit_code = 5
    code = "mismatch"


class DeadlockError(LinesyncError):
    """The wait is part of a deadlock: a cycle of waits that none of its clients can end."""

    exit_code = 6
    code = "deadlock"


class NotAllowed(LinesyncError):
    """The peer may not do this: the name is taken, a secret is missing, or the peer has no permission for the operation."""

    exit_code = 7
    code = "denied"


class TimedOut(LinesyncError):
    """The timeout passed before the operation was complete."""

    exit_code = 124
    code = "timeout"


class LinesyncFailed(LinesyncError):
    """linesync itself failed: no hub, no such host, a line that is down, an incompatible version."""

    exit_code = 125
    code = "failed"


class Unanswered(LinesyncFailed):
    """The session ended before a request was answered.

    Only the caller knows what the request may have changed. :func:`linesync.protocol.operations.unanswered` makes the
    error for a person or a script.

    :ivar why: why the session ended, as a clause without a full stop.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"the request was not answered: {why}")
        self.why = why


class NotSent(LinesyncFailed):
    """The session ended before a request was sent, so it changed nothing.

    :ivar why: why the session ended, as a clause without a full stop.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"the request was not sent: {why}")
        self.why = why


OTHERS_MAY_HAVE_IT = "the other members may have got the data, so check with them before you"
"""The clause of every error of an exchange after this member has given its data. What the user may do then follows it."""


class Hung(OSError):
    """A call on a path could not begin, because earlier calls have not returned. ``strerror`` names the oldest."""


class CannotExecute(LinesyncError):
    """The remote command exists but cannot be executed."""

    exit_code = 126
    code = "noexec"


class CommandNotFound(LinesyncError):
    """The remote command was not found."""

    exit_code = 127
    code = "notfound"


class CommandFailed(LinesyncError):
    """A remote command did not end with exit status 0.

    :ivar status: its exit status, or None if a signal ended it.
    :ivar signal: the number of the signal that ended it, or None.
    :ivar stdout: the bytes that it wrote to stdout, if they were captured.
    :ivar stderr: the bytes that it wrote to stderr, if they were captured.
    """

    code = "command"

    def __init__(
        self,
        message: str,
        *,
        status: int | None,
        signal: int | None = None,
        stdout: bytes = b"",
        stderr: bytes = b"",
    ) -> None:
        super().__init__(message, details={"status": status, "signal": signal})
        self.status = status
        self.signal = signal
        self.stdout = stdout
        self.stderr = stderr
        self.exit_code = 128 + signal if signal is not None else (status or 0)


_BY_CODE: dict[str, type[LinesyncError]] = {
    cls.code: cls
    for cls in (
        ClosedError,
        EndOfStream,
        BrokenError,
        BusyError,
        UsageError,
        Aborted,
        MemberLost,
        Mismatch,
        DeadlockError,
        NotAllowed,
        TimedOut,
        CannotExecute,
        CommandNotFound,
        LinesyncFailed,
    )
}


def error_for(code: str, message: str, details: Mapping[str, object] | None = None) -> LinesyncError:
    """Make the error whose ``code`` a peer sent. An unknown code gives a :class:`LinesyncFailed`."""
    return _BY_CODE.get(code, LinesyncFailed)(message, details=details)
