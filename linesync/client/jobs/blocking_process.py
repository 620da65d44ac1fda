"""A command on a host as an object, for scripts without asyncio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ..blocking import BlockingClient
    from ..operations import CommandResult
    from .process import Expected, Pattern, Process, ProcessOutput

__all__ = ["BlockingOutput", "BlockingProcess"]


class BlockingOutput:
    """The stdout or stderr of a command: ``for line in process.stdout``. Its methods are those of
    :class:`linesync.client.jobs.process.ProcessOutput`."""

    def __init__(self, client: BlockingClient, output: ProcessOutput) -> None:
        self._client = client
        self._output = output

    def read(self, size: int = -1) -> bytes:
        """Read output; see :meth:`linesync.client.jobs.process.ProcessOutput.read`."""
        return self._client.run_coroutine(self._output.read(size))

    def readline(self) -> bytes:
        """Read one line with its newline; b"" at the end."""
        return self._client.run_coroutine(self._output.readline())

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line


class BlockingProcess:
    """A command that runs on a host. Its methods are those of :class:`linesync.client.jobs.process.Process`, and raise the same
    errors. With ``with``, the command ends at the end of the block.

    Between two calls nothing is sent or received, so a command that writes much waits for the next call.
    """

    def __init__(self, client: BlockingClient, process: Process) -> None:
        self._client = client
        self._process = process
        self.stdout = BlockingOutput(client, process.stdout)
        self.stderr = BlockingOutput(client, process.stderr)

    @property
    def host(self) -> str:
        """The host."""
        return self._process.host

    @property
    def argv(self) -> tuple[str, ...]:
        """The command and its arguments."""
        return self._process.argv

    @property
    def pid(self) -> int:
        """The process id on the host; 0 if the host has not reported it yet."""
        return self._process.pid

    @property
    def result(self) -> CommandResult | None:
        """The result of the command without its output; None while it runs."""
        return self._process.result

    def write(self, data: bytes) -> None:
        """Write to the stdin of the command, or type on its terminal."""
        self._client.run_coroutine(self._process.write(data))

    def write_eof(self) -> None:
        """End the stdin of the command. On a terminal, type Ctrl-D."""
        self._now(self._process.write_eof)

    def send_signal(self, signal: str | int) -> None:
        """Send a signal to the process group of the command; see :meth:`linesync.client.jobs.process.Process.send_signal`."""
        self._now(lambda: self._process.send_signal(signal))

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal("TERM")

    def kill(self) -> None:
        """Send SIGKILL to the process group."""
        self.send_signal("KILL")

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the terminal."""
        self._now(lambda: self._process.resize(columns, rows))

    def wait(self, *, timeout: float | None = None) -> CommandResult:
        """Wait until the command has ended; see :meth:`linesync.client.jobs.process.Process.wait`."""
        return self._client.run_coroutine(self._process.wait(timeout=timeout))

    def communicate(self, data: bytes | None = None, *, timeout: float | None = None) -> CommandResult:
        """Write to the stdin of the command, end its stdin, and wait for the end of the command."""
        return self._client.run_coroutine(self._process.communicate(data, timeout=timeout))

    def expect(self, patterns: Pattern | Sequence[Pattern], *, timeout: float | None = None) -> Expected:
        """Wait until the output matches a regular expression; see :meth:`linesync.client.jobs.process.Process.expect`."""
        return self._client.run_coroutine(self._process.expect(patterns, timeout=timeout))

    def close(self) -> None:
        """End the command and all processes that it has started, if they still run. Do not wait for their end."""
        self._now(self._process.close)

    def _now(self, action: Callable[[], None]) -> None:
        """Call a method that does not wait, and send what it has queued."""

        async def act() -> None:
            action()

        self._client.run_coroutine(act())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
