"""Commands on hosts, as the person sees them: their output, their stdin and their end. ``run``, ``shell`` and ``rsh`` use it."""

from __future__ import annotations

import argparse
import sys

from ...client.operations import Running
from ...errors import BrokenError, CannotExecute, EndOfStream, LinesyncError, LinesyncFailed, NotAllowed
from ...program import read_stdin, write_output
from ..common import bytes_as_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...client.blocking import BlockingClient

__all__ = ["NO_PREFIX", "Feeder", "Job", "drive", "exit_code"]

_CHUNK = 1 << 15  # the maximum size of one read of stdin, in bytes
NO_PREFIX = {1: b"", 2: b""}


def exit_code(error: LinesyncError) -> int:
    """The exit code for a failure of linesync: 2 or 124 to 127 (125 for a lost host); all other codes are the command's."""
    code = CannotExecute.exit_code if isinstance(error, NotAllowed) else error.exit_code
    return code if code in (2, 124, 126, 127) else LinesyncFailed.exit_code


def drive(client: BlockingClient, jobs: Sequence[Job], left: Callable[[], float | None] = lambda: None) -> None:
    """Handle everything that arrives until all jobs have ended.

    :param left: called before each wait; returns the longest wait in seconds, or None.
    :raises BrokenError: the connection was lost.
    """
    running = list(jobs)
    while running := [job for job in running if not job.advance()]:
        try:
            waits = [left(), *(job.left for job in running)]
            client.peer.turn(min((wait for wait in waits if wait is not None), default=None))
        except BrokenError:
            if any(job.stream.broken is None for job in running):
                raise


class Job:
    """The command on one host."""

    def __init__(
        self,
        client: BlockingClient,
        host: str,
        argv: list[str],
        args: argparse.Namespace,
        env: dict[str, str],
        *,
        prefixes: Mapping[int, bytes] = NO_PREFIX,
        several: bool = False,
        terminal: tuple[int, int] | None = None,
    ) -> None:
        self.host = host
        self.exit_code = 0
        self.signal: int | None = None
        """The signal that ended the command, or None."""
        self._prefixes = prefixes
        self._several = several
        self._errors_later = args.json or terminal is not None
        self._json = args.json
        self._error: LinesyncError | None = None
        self._partial = {1: b"", 2: b""}
        self._captured = {1: bytearray(), 2: bytearray()}
        self._over = False
        self.left_early = False
        """Whether the user left the terminal, so that this client gave up the command."""
        self.stream = client.operations.start(
            host,
            argv,
            cwd=args.cwd,
            env=env,
            stdin=args.stdin,
            timeout=args.deadline.left,
            tell=True,
            user=args.user,
            clear_env=args.clear_env,
            terminal=terminal,
        )
        self._running = Running(self.stream)

    def advance(self) -> bool:
        """Handle the output and messages that have arrived. Returns True when the command has ended."""
        from ...runtime.channels.streams import MESSAGE

        try:
            while not self._over and (item := self.stream.receive_nowait()) is not None:
                if item.stream == MESSAGE:
                    self._handle_message(item.data.decode("utf-8", "replace"))
                else:
                    self._output(item.stream, item.data)
        except (BrokenError, EndOfStream) as error:
            self._fail(self._running.lost(error.message))
        if not self._over and self.left == 0:
            self._fail(self._running.give_up())
        return self._over

    @property
    def runs(self) -> bool:
        """Whether the command can get more input."""
        return not self._over and self.stream.broken is None

    @property
    def left(self) -> float | None:
        """The seconds until this client gives up the command because its host is silent, or None."""
        until = self._running.give_up_at
        return None if until is None else max(until - self.stream.now(), 0.0)

    def leave(self, exit_code: int) -> None:
        """Give up the command. The host ends it."""
        self.left_early, self.exit_code, self._over = True, exit_code, True
        self.stream.reset("the person left the terminal")

    def _handle_message(self, text: str) -> None:
        try:
            result = self._running.handle_message(text)
            if result is not None:
                self.exit_code = result.exit_code
                self.signal = result.signal
                self._end()
        except LinesyncError as error:
            self._fail(error)

    def _fail(self, error: LinesyncError) -> None:
        self._error = error
        self.exit_code = exit_code(error)
        self._end()

    def _end(self) -> None:
        for number, rest in self._partial.items():
            if rest:
                write_output(number, self._prefixes[number] + rest + b"\n")
        self._over = True
        if not self._errors_later:
            self.print_error()  # now, because the commands on other hosts may run for long

    def _output(self, number: int, data: bytes) -> None:
        if self._json:
            self._captured[number] += data
        elif not self._prefixes[number]:
            write_output(number, data)
        else:
            *lines, self._partial[number] = (self._partial[number] + data).split(b"\n")
            write_output(number, b"".join(self._prefixes[number] + line + b"\n" for line in lines))

    def as_json(self) -> dict[str, object]:
        """The result, for ``--json``."""
        return {
            "host": self.host,
            "exit_code": self.exit_code,
            "stdout": bytes_as_json(self._captured[1]),
            "stderr": bytes_as_json(self._captured[2]),
            **({"error": self._error.code, "message": self._error.message} if self._error else {}),
        }

    def print_error(self) -> None:
        """Report the error of linesync on stderr; with several hosts, also the exit code of the command if it is not 0."""
        if self._error is not None:
            prefix = f"{self.host}: " if self._several else ""
            print(f"linesync: {prefix}{self._error.message}", file=sys.stderr)
        elif self._several and self.exit_code:
            how = f"exited with code {self.exit_code}" if self.signal is None else f"was killed by signal {self.signal}"
            print(f"linesync: {self.host}: the command {how}", file=sys.stderr)


class Feeder:
    """Sends our stdin to the commands, at the speed of the slowest one.

    :param change: returns the bytes to send for the bytes that were read.
    :param at_end: called at the end of stdin; by default, the stdin of the commands then ends.
    """

    def __init__(
        self,
        client: BlockingClient,
        jobs: Sequence[Job],
        change: Callable[[bytes], bytes] | None = None,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self._peer = client.peer
        self._jobs = jobs
        self._change = change
        self._at_end = at_end
        self._watch()

    def _watch(self) -> None:
        self._peer.watch(0, self._readable)

    def _readable(self) -> None:
        if any(job.stream.full for job in self._jobs if job.stream.broken is None):
            self._peer.watch(0, None)
            self._peer.on_turn(self._resume)
            return
        data = read_stdin(_CHUNK)
        if data is None:
            return
        if not data:
            self._peer.watch(0, None)
            if self._at_end is not None:
                self._at_end()
        elif self._change is not None and not (data := self._change(data)):
            return
        for stream in [job.stream for job in self._jobs if job.runs]:
            if data:
                stream.send_nowait(0, data)
            else:
                stream.end()

    def _resume(self) -> bool:
        """Called after each turn: read stdin again if no stream is full. Returns True if it does."""
        if any(job.stream.full for job in self._jobs):
            return False
        self._watch()
        return True
