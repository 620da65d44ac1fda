"""The exceptions of linesync.

The class of a stream error shows the cause: this process closed the stream, the peer ended it, the connection broke, or
another process uses it. The class of an error of an operation shows the outcome of the operation, and decides the exit code.
Every message is one sentence. It says what happened and to whom, and what the user should do.
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
    "Unsupported",
    "UsageError",
    "error_for",
]


_NOT_UTF_8 = re.compile(r"\\udc([89a-f][0-9a-f])|[\udc80-\udcff]")
"""A surrogate escape, which stands for a byte that is not UTF-8; or the repr of such an escape."""


def _readable(message: str) -> str:
    """Write each byte that is not UTF-8 as ``\\xff``."""
    return _NOT_UTF_8.sub(lambda found: f"\\x{found[1] or format(ord(found[0]) - 0xDC00, '02x')}", message)


class LinesyncError(Exception):
    """The base class of all errors that linesync raises.

    :ivar exit_code: the exit code of a command that ends with this error.
    :ivar code: a short code for programs. It is sent over the line, and is the value of ``error`` in ``--json``.
    :ivar message: one sentence for people.
    :ivar details: further facts for programs, such as the missing members. They can be written as JSON.
    :ivar stdout: the bytes that a remote command wrote to stdout before this error ended the wait for the command. Empty for
        other operations, or if a callback got the bytes.
    :ivar stderr: the same for stderr.
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
    """The caller used a connection, stream or other object that it had already closed."""

    code = "closed"


class EndOfStream(LinesyncError):
    """The peer ended the stream cleanly, and all bytes were read."""

    code = "end"


class BrokenError(LinesyncError):
    """The connection broke: the line was lost, the device vanished, the peer died or restarted."""

    code = "broken"


class BusyError(LinesyncError):
    """The resource is in use: another process has the serial device or the socket, or the stream already has a reader."""

    code = "busy"


# -- operations: by their outcome (docs/reference/exit-codes.md) ---------------------------------------------------


class UsageError(LinesyncError, ValueError):
    """The request itself is invalid. Nothing was changed."""

    exit_code = 2
    code = "usage"


class Aborted(LinesyncError):
    """A member aborted the wait of all members and gave a reason."""

    exit_code = 3
    code = "aborted"


class MemberLost(LinesyncError):
    """A member that the wait needs is lost: it never registered, its line is lost, or it restarted."""

    exit_code = 4
    code = "lost"


class Mismatch(LinesyncError):
    """The request does not match earlier requests: another count, other members, or a member that already waits."""

    exit_code = 5
    code = "mismatch"


class DeadlockError(LinesyncError):
    """The wait is part of a deadlock: a cycle of waits that none of its clients can end."""

    exit_code = 6
    code = "deadlock"


class NotAllowed(LinesyncError):
    """The operation is not allowed: the name belongs to another agent, a secret is missing, or the policy denies it."""

    exit_code = 7
    code = "denied"


class TimedOut(LinesyncError):
    """The timeout passed before the operation was complete."""

    exit_code = 124
    code = "timeout"


class LinesyncFailed(LinesyncError):
    """linesync itself failed: the hub or the host cannot be reached, a line is down, or the versions are incompatible."""

    exit_code = 125
    code = "failed"


class Unsupported(LinesyncFailed):
    """The other side does not support an option of the request. Nothing was changed."""

    code = "unsupported"


class Unanswered(LinesyncFailed):
    """The session ended before a request was answered.

    The message does not name the possible effect of the request, because only the caller knows the request.
    :func:`linesync.protocol.operations.unanswered` makes the error for the user.

    :ivar why: the reason for the end of the session, as a clause without a full stop.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"the request was not answered: {why}")
        self.why = why


class NotSent(LinesyncFailed):
    """The session ended before a request was sent. The request changed nothing.

    :ivar why: the reason for the end of the session, as a clause without a full stop.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"the request was not sent: {why}")
        self.why = why


OTHERS_MAY_HAVE_IT = "the other members may have got the data, so check with them before you"
"""A clause for each error of an exchange after this member has given its data. The verb of the next step follows it."""


class Hung(OSError):
    """A call on a path could not begin, because earlier calls have not returned. ``strerror`` names the oldest call."""


class CannotExecute(LinesyncError):
    """The remote command exists but cannot be executed."""

    exit_code = 126
    code = "noexec"


class CommandNotFound(LinesyncError):
    """The remote command was not found."""

    exit_code = 127
    code = "notfound"


class CommandFailed(LinesyncError):
    """A remote command ended with an exit status other than 0, or by a signal.

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
        Unsupported,
    )
}


def error_for(code: str, message: str, details: Mapping[str, object] | None = None) -> LinesyncError:
    """Make the error for a ``code`` from a peer. An unknown code gives a :class:`LinesyncFailed`."""
    return _BY_CODE.get(code, LinesyncFailed)(message, details=details)
