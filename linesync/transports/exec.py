"""A line over a command's stdin and stdout: ``exec:ssh sut linesync agent --stdio``.

The command runs in its own session. Ctrl-C at the terminal therefore does not reach it. A command that needs a password fails
immediately with its own message on stderr, instead of stopping in the background. When the command ends, the line ends with
an error about the exit status. When the line is closed, it closes the command's stdin, terminates the command after a second,
and then kills it. The command has ended before ``line_lost`` is called.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shlex
import signal
from contextlib import suppress

from .. import open_files
from ..errors import BrokenError, LinesyncError, LinesyncFailed
from .base_line import CLOSE_SECONDS, reason
from .endpoint import ExecEndpoint
from .fd_line import FdEnd, FdLine, widen_pipe
from .interface import LineInfo, LineReceiver, ReceiverFactory

__all__ = ["ExecLine", "connect_exec"]

_TERMINATE_SECONDS = 0.5
"""Seconds between SIGTERM and SIGKILL."""


async def connect_exec(endpoint: ExecEndpoint, factory: ReceiverFactory) -> ExecLine:
    """Start the command. A started command may still fail to reach its target, like ssh, which then ends with an error.

    :raises LinesyncFailed: the command cannot be started.
    """
    command_input, line_output = os.pipe()
    line_input, command_output = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *endpoint.argv, stdin=command_input, stdout=command_output, start_new_session=True
        )
        _restore_limit(process.pid)
    except BaseException as error:
        os.close(line_output)
        os.close(line_input)
        if isinstance(error, OSError):
            raise _not_started(endpoint, error) from error
        raise
    finally:
        os.close(command_input)
        os.close(command_output)
    for descriptor in (line_input, line_output):
        os.set_blocking(descriptor, False)
        widen_pipe(descriptor)
    info = LineInfo(endpoint=endpoint.text, kind="exec", peer=shlex.join(endpoint.argv), eight_bit=True)
    line = ExecLine(asyncio.get_running_loop(), info, factory(), FdEnd(line_input), FdEnd(line_output), process)
    line.start()
    return line


def _restore_limit(pid: int) -> None:
    """Give a new command the limit of open files that this process had at its start."""
    limit = open_files.for_children()
    if limit is not None:
        with suppress(OSError):  # the command has already ended
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)


class ExecLine(FdLine):
    """A running command as a line."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        info: LineInfo,
        receiver: LineReceiver,
        source: FdEnd,
        sink: FdEnd,
        process: asyncio.subprocess.Process,
    ) -> None:
        super().__init__(loop, info, receiver, source, sink)
        self._process = process
        self._ended_itself = False
        self._kill_timer: asyncio.TimerHandle | None = None
        self._watcher = loop.create_task(self._watch())

    async def _watch(self) -> None:
        try:
            status = await self._process.wait()
        except asyncio.CancelledError:  # the event loop ends before the line
            self._signal(signal.SIGKILL)
            self._close_ends()
            raise
        self._exited(status)

    def _exited(self, status: int) -> None:
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._signal(signal.SIGTERM)  # ends the processes that the command has left in its session
        if not self._closing:
            self._read_rest()
        if not self._closing:
            self._ended_itself = True
            self._call(self._receiver.eof_received)
        if self._ended_itself and not self._dropped:
            self._closing = True
            self._error = _ended(self._info, status)
        self._close_ends()
        self._lost()

    def _read_rest(self) -> None:
        """Deliver the bytes that the command wrote before its end. A child of the command may keep the pipe open forever, so
        this does not wait for the end of the pipe."""
        for _ in range(64):
            try:
                data = self._source.read(65536) if self._source.descriptor >= 0 else b""
            except OSError:
                return
            if not data:
                return
            self._deliver(data)

    def _source_ended(self) -> None:
        """Close the line, because the command closed its stdout. Its exit status follows and decides the error."""
        if self._closing:
            return
        self._call(self._receiver.eof_received)
        if not self._closing:
            self._ended_itself = True
            self.close()

    def _sent(self) -> None:
        self._close_sink()

    def _failed(self, error: OSError) -> None:
        """Handle a broken pipe. If the command has just died, its exit status follows and gives a better error, so wait for
        it."""
        self._buffer.clear()
        self._close_sink()
        self._loop.call_later(
            CLOSE_SECONDS,
            self._break,
            BrokenError(
                f"the command of line {self._info.endpoint} closed its stdin ({reason(error)}); "
                "use a command that reads stdin and writes stdout until it ends"
            ),
        )

    def _drop(self) -> None:
        self._buffer.clear()
        self._close_ends()
        self._signal(signal.SIGTERM)
        self._kill_timer = self._loop.call_later(_TERMINATE_SECONDS, self._signal, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def _ended(info: LineInfo, status: int) -> LinesyncError | None:
    start = f"the command of line {info.endpoint} ended with exit status {status}: "
    command = info.peer.split()[0]
    if status == 0:
        return None
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return BrokenError(f"the command of line {info.endpoint} was killed by {name}; start the line again")
    if status == 255 and os.path.basename(command) == "ssh":
        return BrokenError(
            f"{start}ssh could not connect or lost its connection; see its message on stderr, "
            "and check that the command runs by hand without a question (password, unknown host)"
        )
    if status == 127:
        return BrokenError(f"{start}it did not find a program, here or on the other machine; check the program's name")
    if status == 126:
        return BrokenError(f"{start}it could not execute a program; check the program's permissions")
    return BrokenError(f"{start}see its message on stderr, or run it by hand")


def _not_started(endpoint: ExecEndpoint, error: OSError) -> LinesyncError:
    command = endpoint.argv[0]
    match error:
        case FileNotFoundError():
            problem = f"there is no program {command!r} on this machine; install it or write its full path"
        case PermissionError():
            problem = f"{command!r} is not executable; check its permissions"
        case _:
            problem = f"{reason(error)}; run the command by hand to see more"
    return LinesyncFailed(f"cannot start {endpoint}: {problem}")
