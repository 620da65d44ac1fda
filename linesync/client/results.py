"""The result of a remote command."""

from __future__ import annotations

from collections.abc import Callable

from ..frozen_record import Record

__all__ = ["CommandResult", "OutputCallback"]

OutputCallback = Callable[[int, bytes], None]
"""A function that is called with the number of the stream (1: stdout, 2: stderr) and with bytes of the output."""


class CommandResult(Record):
    """The result of a remote command that has ended."""

    status: int | None
    """The exit status of the command, or None if a signal ended it."""
    signal: int | None
    """The number of the signal that ended the command, or None."""
    stdout: bytes = b""
    """The output of the command; empty if a callback got the output. The same applies to ``stderr``."""
    stderr: bytes = b""

    @property
    def exit_code(self) -> int:
        """The exit code as in a shell: the status, or 128 + the signal's number."""
        return 128 + self.signal if self.signal is not None else self.status or 0
