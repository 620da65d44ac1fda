"""A command on a host as an object. The design of its methods follows ``asyncssh.SSHClientProcess`` and pexpect."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ... import protocol
from ...errors import BrokenError, EndOfStream, LinesyncError, LinesyncFailed, TimedOut, UsageError
from ...frozen_record import Record
from ...runtime.channels.streams import MESSAGE, Stream
from ...signals import signal_number
from ..arguments import RULES, checked, optional_bytes
from ..deadlines import limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self, TypeAlias

    from ...runtime.conversation import Conversation
    from ..operations import CommandResult, Running

    Pattern: TypeAlias = str | bytes | re.Pattern[str] | re.Pattern[bytes]

__all__ = ["Expected", "Process", "ProcessOutput"]

_UNREAD_MAX = 1 << 24  # bytes of output that wait for a reader
_SHOWN = 200  # the last bytes of the output in an error


class Expected(Record):
    """The part of the output that :meth:`Process.expect` has found."""

    index: int
    """The index of the pattern in the list; 0 for a single pattern."""
    before: bytes
    """The output before the match, from the end of the previous match."""
    text: bytes
    """The output that the pattern matched."""
    groups: tuple[bytes | None, ...]
    """The groups of the pattern, without group 0; None for a group that took no part in the match."""


def _pattern(parameter: str, value: Any) -> re.Pattern[bytes]:
    if isinstance(value, re.Pattern):
        if isinstance(value.pattern, bytes):
            return value
        return re.compile(value.pattern.encode(), value.flags & ~re.UNICODE)
    if not isinstance(value, str | bytes):
        raise TypeError(f"invalid {parameter} {value!r}: expected a regular expression, as str, bytes or re.Pattern")
    try:
        return re.compile(value.encode() if isinstance(value, str) else value)
    except re.error as error:
        raise UsageError(f"invalid {parameter} {value!r}: it is not a regular expression: {error}") from None


def _patterns(parameter: str, value: Any) -> list[re.Pattern[bytes]]:
    if not isinstance(value, list | tuple):
        return [_pattern(parameter, value)]
    if not value:
        raise UsageError(f"invalid {parameter} {value!r}: expected at least one regular expression")
    return [_pattern(f"{parameter}[{n}]", one) for n, one in enumerate(value)]


class ProcessOutput:
    """The stdout or stderr of a command. ``async for line in process.stdout`` gets its lines, with their newlines."""

    def __init__(self, process: Process, name: str) -> None:
        self._process = process
        self._name = name
        self._unread = bytearray()

    async def read(self, size: int = -1) -> bytes:
        """Read output.

        :param size: wait for any output, and return at most this number of bytes; by default, wait for the end of the
            command, and return all output.
        :returns: the bytes; b"" at the end.
        """
        if size < 0:
            await self._process._until(lambda: False, None, all_output=True)
            return self._take(len(self._unread))
        await self._process._until(lambda: bool(self._unread), None)
        return self._take(size)

    async def readline(self) -> bytes:
        """Read one line with its newline. The last line may have no newline; b"" at the end."""
        searched = 0

        def found() -> bool:
            nonlocal searched
            at, searched = self._unread.find(b"\n", searched), len(self._unread)
            return at >= 0

        await self._process._until(found, None)
        at = self._unread.find(b"\n")
        return self._take(at + 1 if at >= 0 else len(self._unread))

    def _take(self, size: int) -> bytes:
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line


class Process:
    """A command that runs on a host; made by ``create_process()``.

    With ``async with``, the command ends at the end of the block. Several tasks may use a process at the same time. All methods
    that wait raise the errors of :meth:`Operations.finish`, except that a command that has ended is not an error.

    :ivar host: the host.
    :ivar argv: the command and its arguments.
    :ivar stdout: the stdout of the command; with a terminal, all output.
    :ivar stderr: the stderr of the command.
    :ivar result: the result of the command without its output; None while it runs.
    """

    def __init__(
        self, peer: Conversation, running: Running, argv: Sequence[str], *, stdin: bool, terminal: bool
    ) -> None:
        self.host: str = running.host
        self.argv: tuple[str, ...] = tuple(argv)
        self.result: CommandResult | None = None
        self.stdout: ProcessOutput = ProcessOutput(self, "stdout")
        self.stderr: ProcessOutput = ProcessOutput(self, "stderr")
        self._outputs = {1: self.stdout, 2: self.stderr}
        self._peer = peer
        self._running = running
        self._stream: Stream = running.stream
        self._stdin = stdin or terminal
        self._terminal = terminal
        self._error: LinesyncError | None = None

    @property
    def pid(self) -> int:
        """The process id on the host; 0 if the host has not reported it yet, which it does after 0.05 s."""
        return self._running.pid

    # -- input and signals --------------------------------------------------------------------------------------------

    @checked(data=optional_bytes)
    async def write(self, data: bytes) -> None:
        """Write to the stdin of the command, or type on its terminal; wait if the command does not read.

        :raises UsageError: the command has no stdin.
        """
        self._check_stdin()
        if self._over or not data:
            return
        self._stream.send_nowait(0, data)
        await self._until(lambda: not self._stream.full, None, all_output=True)

    def write_eof(self) -> None:
        """End the stdin of the command. On a terminal, type Ctrl-D."""
        self._check_stdin()
        if not self._over:
            self._stream.send_nowait(0, b"\x04") if self._terminal else self._stream.end()

    def _check_stdin(self) -> None:
        if not self._stdin:
            raise UsageError(f"{self.argv[0]} on {self.host} has no stdin; create the process with stdin=True")

    def send_signal(self, signal: str | int) -> None:
        """Send a signal to the process group of the command. This does nothing if the command has ended.

        :param signal: its name (``"INT"``) or its number.
        :raises UsageError: there is no such signal.
        """
        number = signal_number(signal)
        if not self._over:
            self._stream.send_urgent(protocol.encode(protocol.Kill(signal=number)))

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal("TERM")

    def kill(self) -> None:
        """Send SIGKILL to the process group. To end all processes that the command has started, use :meth:`close`."""
        self.send_signal("KILL")

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the terminal.

        :raises UsageError: the command has no terminal, or the size is impossible.
        """
        if not self._terminal:
            raise UsageError(
                f"{self.argv[0]} on {self.host} has no terminal; create the process with terminal=(80, 24)"
            )
        columns, rows = RULES["terminal"]("size", (columns, rows))
        if not self._over:
            self._stream.send_urgent(protocol.encode(protocol.Resize(columns=columns, rows=rows)))

    # -- output and the end -------------------------------------------------------------------------------------------

    @checked()
    async def wait(self, *, timeout: float | None = None) -> CommandResult:
        """Wait until the command and all processes that it has started have ended.

        :param timeout: seconds after which this call raises TimedOut; the command continues.
        :returns: the result, with all output that was not read.
        """
        await self._until(lambda: False, timeout, all_output=True)
        out, err = (output._take(len(output._unread)) for output in self._outputs.values())
        if self._error is not None:
            self._error.stdout, self._error.stderr = out, err
            raise self._error
        assert self.result is not None
        return self.result.but(stdout=out, stderr=err)

    @checked(data=optional_bytes)
    async def communicate(self, data: bytes | None = None, *, timeout: float | None = None) -> CommandResult:
        """Write to the stdin of the command, end its stdin, and wait as :meth:`wait` does."""
        if data is not None:
            self._check_stdin()
        if self._stdin and not self._over:
            if data:
                self._stream.send_nowait(0, data)
            self.write_eof()
        return await self.wait(timeout=timeout)

    @checked(patterns=_patterns)
    async def expect(self, patterns: Pattern | Sequence[Pattern], *, timeout: float | None = None) -> Expected:
        """Wait until the output matches a regular expression. The match and all output before it are then consumed.

        If several patterns match, the match that begins first counts. If these begin at the same byte, the first pattern in the
        list counts. A terminal ends its lines with CR LF.

        ::

            async with client.create_process("sut", ["sh"], terminal=(80, 24)) as shell:
                await shell.write(b"echo $((6 * 7))\\n")
                found = await shell.expect([r"error", r"\\n(\\d+)\\r"], timeout=10)
                print(found.index, found.groups)  # 1 (b'42',)

        :param patterns: a regular expression, or a list of them. A str is matched as UTF-8.
        :param timeout: seconds.
        :raises TimedOut: the output did not match in time. It stays unread.
        :raises LinesyncFailed: the command ended first. Its output stays unread.
        """
        compiled: Any = patterns
        found: list[tuple[int, int, re.Match[bytes]]] = []
        searched = -1

        def matches() -> bool:
            nonlocal searched
            if len(self.stdout._unread) != searched:
                searched = len(self.stdout._unread)
                data = bytes(self.stdout._unread)
                all_found = [(n, pattern.search(data)) for n, pattern in enumerate(compiled)]
                found[:] = [(match.start(), n, match) for n, match in all_found if match is not None]
            return bool(found)

        await self._until(matches, timeout, wanted=compiled)
        if not found:
            raise self._error or LinesyncFailed(
                f"{self._named} ended before its output matched {_shown(compiled)}; its last output: {self._last_output}"
            )
        start, index, match = min(found, key=lambda one: one[:2])
        taken = self.stdout._take(match.end())
        return Expected(index=index, before=taken[:start], text=match[0], groups=match.groups())

    def close(self) -> None:
        """End the command and all processes that it has started, if they still run. Do not wait for their end."""
        if not self._over:
            self._error = LinesyncFailed(f"{self._named} was ended by close() of this process")
            self._stream.reset("the script closed the process")

    # -- the channel --------------------------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        return self.result is not None or self._error is not None

    @property
    def _named(self) -> str:
        return f"{self.argv[0]} on {self.host}"

    @property
    def _last_output(self) -> str:
        return repr(bytes(self.stdout._unread[-_SHOWN:]))[1:]

    async def _until(
        self,
        done: Callable[[], bool],
        timeout: float | None,
        *,
        all_output: bool = False,
        wanted: Sequence[re.Pattern[bytes]] = (),
    ) -> None:
        """Receive until a condition is true or the command has ended.

        :param all_output: the caller wants all output, however much it is.
        :param wanted: the patterns that the caller waits for, for the error.
        :raises LinesyncError: the command failed, and there is no unread output.
        """

        def late(after: float) -> LinesyncError:
            if wanted:
                return TimedOut(
                    f"the output of {self._named} did not match {_shown(wanted)} within {timeout:g} s; its last output:"
                    f" {self._last_output}"
                )
            return TimedOut(f"{self._named} was still running after {timeout:g} s, and continues")

        async with limit(self._peer, timeout, late, 0.0):
            while not done() and not self._over:
                await self._advance(all_output=all_output)
        if self._error is not None and not any(output._unread for output in self._outputs.values()):
            raise self._error

    async def _advance(self, *, all_output: bool) -> None:
        """Handle what has arrived, or wait until something may have arrived."""
        try:
            item = self._stream.receive_nowait()
            if item is None:
                self._check_silence()
                await self._wait()
            elif item.stream == MESSAGE:
                self.result = self._running.handle_message(item.data.decode("utf-8", "replace"))
            elif item.stream in self._outputs:
                self._outputs[item.stream]._unread += item.data
        except (BrokenError, EndOfStream) as error:
            self._error = self._running.lost(error.message)
        except LinesyncError as error:
            self._error = error
        for output in self._outputs.values():
            if len(output._unread) > _UNREAD_MAX and not all_output:
                raise LinesyncFailed(
                    f"the {output._name} of {self._named} has more than {_UNREAD_MAX:,} unread bytes; read it, or use wait()"
                )

    def _check_silence(self) -> None:
        """Give up the command if its host has not reported its end some seconds after its timeout."""
        until = self._running.give_up_at
        if until is not None and self._peer.now() >= until:
            raise self._running.give_up()

    async def _wait(self) -> None:
        until = self._running.give_up_at
        scope = self._peer.timeout(None if until is None else max(until - self._peer.now(), 0.0))
        try:
            async with scope:
                await self._stream.until_changed()
        except TimeoutError:
            if not scope.expired():
                raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _shown(patterns: Sequence[re.Pattern[bytes]]) -> str:
    return " or ".join(repr(pattern.pattern)[1:] for pattern in patterns)
