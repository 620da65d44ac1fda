"""The operations for scripts, as coroutines that run under asyncio and under the blocking driver."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from .. import protocol
from ..errors import BrokenError, EndOfStream, LinesyncError, LinesyncFailed
from ..frozen_record import Record
from ..protocol import Message
from ..runtime.identity import token
from ..runtime.streams import MESSAGE, Stream
from ..wire.framing.frames import Lane
from .sync import SyncOperations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from ..model.state.hosts import HostState
    from ..model.state.namespace import NamespaceState
    from ..model.state.record import State
    from ..model.state.status import Status
    from ..runtime.link_state import LinkState
    from .changes import Following

    S = TypeVar("S", bound=State)

__all__ = ["CommandResult", "Operations", "Running", "command_line", "read_json", "read_state"]

_COMMAND_CHARS = 100

OutputCallback = Callable[[int, bytes], None]
"""Called with (1 for stdout or 2 for stderr, bytes)."""


def command_line(words: Sequence[str]) -> str:
    """A command on one line of at most 100 characters, for people."""
    line = " ".join(" ".join(words).split())
    shown = "".join(char if char.isprintable() else "?" for char in line[:_COMMAND_CHARS])
    return f"{shown[:-1]}…" if len(line) > _COMMAND_CHARS else shown


class CommandResult(Record):
    """How a remote command ended."""

    status: int | None
    """Its exit status, or None if a signal ended it."""
    signal: int | None
    """The number of the signal that ended it, or None."""
    stdout: bytes = b""
    """Its output; empty if that was streamed to a callback. The same holds for ``stderr``."""
    stderr: bytes = b""

    @property
    def exit_code(self) -> int:
        """The exit code as in a shell: the status, or 128 + the signal's number."""
        return 128 + self.signal if self.signal is not None else self.status or 0


class Running:
    """The client's side of a command that runs on a host.

    :ivar host: the host on which it runs.
    :ivar stream: its channel.
    :ivar pid: its process id there; 0 if the host has not reported it.
    """

    def __init__(self, stream: Stream) -> None:
        request = protocol.decode(stream.words, protocol.Run)
        assert isinstance(request, protocol.Run)
        self.host = request.to
        self.stream = stream
        self.pid = 0

    def heard(self, text: str) -> CommandResult | None:
        """Handle a message from the host. Return how the command ended (its channel then ends too), or None.

        :raises LinesyncError: the message is an error.
        """
        error = protocol.read_error(text)
        message = None if error is not None else protocol.decode(text, protocol.Started, protocol.Exited)
        if isinstance(message, protocol.Started):
            self.pid = message.pid
            return None
        self.stream.end()
        if error is not None:
            raise error
        assert isinstance(message, protocol.Exited)
        if message.status < 0:
            return CommandResult(status=None, signal=-message.status)
        return CommandResult(status=message.status, signal=None)

    def lost(self, error: LinesyncError) -> LinesyncFailed:
        """The error for a broken channel, when the client cannot know whether the command still runs."""
        where = f"{self.host} (pid {self.pid})" if self.pid else self.host
        return LinesyncFailed(
            f"the command on {self.host} was lost: {error.message}; it may still be running on {where}, so look there"
            " before you run it again"
        )


class Operations(SyncOperations):
    """All operations on one session that need no files."""

    # -- looking ------------------------------------------------------------------------------------------------------

    async def hosts(self) -> list[HostState]:
        """The hosts that the hub knows, sorted by name."""
        from ..model.state.hosts import HostState

        return _read_each(HostState, await self._json(protocol.Hosts()))

    async def status(self) -> Status:
        """The state of hosts, barriers, semaphores and so on: who has arrived, who is missing, who is dead and why."""
        from ..model.state.status import Status

        return read_state(Status, await self._json(protocol.Status()))

    async def namespaces(self) -> list[NamespaceState]:
        """The namespaces that have an owner, in the order in which they began, and then the others that are in use."""
        from ..model.state.namespace import NamespaceState

        return _read_each(NamespaceState, await self._json(protocol.Namespaces()))

    async def links(self) -> list[LinkState]:
        """The lines of the hub and of the agent in between, with their counters."""
        from ..runtime.link_state import LinkState

        return _read_each(LinkState, await self._json(protocol.Links()))

    async def changes(self) -> Following:
        """Follow the changes of the state: hosts that come and go, arrivals, releases, locks, messages and so on.

        :returns: an asynchronous iterator of changes; all that happen after this call are in it.
        """
        from .changes import Following

        return await Following.begin(self.peer.open(protocol.encode(protocol.ChangesOpen())))

    async def _json(self, message: Message) -> object:
        (text,) = await self._ask(message)
        return read_json(text)

    # -- namespaces ---------------------------------------------------------------------------------------------------

    async def begin_namespace(self, name: str = "", *, pid: int = 0, begin: str = "", command: str = "") -> str:
        """Begin a namespace that ends with its owner. Everything in it is then deleted, and requests that wait there fail
        with Aborted.

        :param name: its name; empty for a new one, which is never used again.
        :param pid: the owner, a process on this machine; 0 for this connection.
        :param begin: the start time of that process, in clock ticks since the machine booted (proc(5), ``starttime``).
        :param command: what the owner runs, for people; by default, this program and its arguments.
        :returns: its name.
        :raises NotAllowed: the name is in use.
        """
        name = name or f"@{token()}"
        shown = command or command_line(sys.argv)
        await self._ask(protocol.NamespaceBegin(name=name, pid=pid, begin=begin, command=shown))
        return name

    async def end_namespace(self, name: str) -> tuple[int, int]:
        """End a namespace that has an owner. Returns the same as :meth:`reset`.

        :raises LinesyncFailed: there is no such namespace.
        """
        forgotten, failed = await self._ask(protocol.NamespaceEnd(name=name))
        return int(forgotten), int(failed)

    # -- doing things on a host ---------------------------------------------------------------------------------------

    def start(
        self,
        host: str,
        argv: Sequence[str],
        *,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        timeout: float | None = None,
        tell: bool = False,
    ) -> Stream:
        """Start a command on a host, and return its channel without waiting: stream 0 is the stdin of the command, 1 and 2
        are its stdout and stderr.

        :param cwd: the working directory there; empty for that of the agent.
        :param env: environment variables in addition to those of the agent.
        :param stdin: whether the command reads stream 0; otherwise it reads nothing.
        :param timeout: seconds after which the host ends the command, or None.
        :param tell: whether the host reports the command's pid in a separate message after 0.05 s.
        """
        import json

        request = protocol.Run(
            to=host,
            argv=tuple(argv),
            cwd=cwd,
            env=json.dumps(dict(env)) if env else "",
            stdin=stdin,
            timeout=timeout,
            tell=tell,
        )
        return self.peer.open(protocol.encode(request))

    async def finish(self, stream: Stream, on_output: OutputCallback | None = None) -> CommandResult:
        """Read a started command's output until it ends.

        :param on_output: called with the output as it arrives; without it, the output is in the result.
        :raises CommandNotFound, CannotExecute, TimedOut: the host could not run it, or ended it at its deadline.
        :raises LinesyncFailed: the host, its line or its agent is gone. The message says whether the command may still run.
        """
        running = Running(stream)
        output = {1: bytearray(), 2: bytearray()}
        try:
            while True:
                item = await stream.receive()
                if item.stream == MESSAGE:
                    result = running.heard(item.data.decode("utf-8", "replace"))
                    if result is not None:
                        return result.but(stdout=bytes(output[1]), stderr=bytes(output[2]))
                elif on_output is not None:
                    on_output(item.stream, item.data)
                elif item.stream in output:
                    output[item.stream] += item.data
        except (BrokenError, EndOfStream) as error:
            raise running.lost(error) from None
        except BaseException:
            stream.reset("the client gave up")
            raise

    async def run(
        self,
        host: str,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        on_output: OutputCallback | None = None,
    ) -> CommandResult:
        """Run a command on a host and wait for its end. A nonzero exit status is not an error. Raises the errors of
        :meth:`finish`.

        :param stdin: the bytes that it reads, or None for no stdin.
        :param cwd: the working directory there; empty for that of the agent.
        :param env: environment variables in addition to those of the agent.
        :param timeout: seconds after which the host ends the command, or None.
        :param on_output: as in :meth:`finish`.
        """
        stream = self.start(host, argv, cwd=cwd, env=env, stdin=stdin is not None, timeout=timeout, tell=True)
        if stdin is not None:
            if stdin:
                stream.send_nowait(0, stdin)
            stream.end()
        return await self.finish(stream, on_output)

    # -- the bytes of a line ------------------------------------------------------------------------------------------

    def console(self, host: str, *, follow: bool = False, type_into: bool = False) -> Stream:
        """Open a host's console log. The text arrives on stream 1.

        :param follow: whether new text follows when it arrives; otherwise the channel ends after the existing text.
        :param type_into: whether bytes on stream 0 are typed into the line; this implies ``follow``.
        """
        return self.peer.open(
            protocol.encode(protocol.ConsoleOpen(host=host, follow=follow, type=type_into)), Lane.PROMPT
        )

    def trace(self, host: str) -> Stream:
        """Open a trace of the frames on a host's line. The trace arrives as text lines on stream 1."""
        return self.peer.open(protocol.encode(protocol.TraceOpen(host=host)))


def read_json(text: str | bytes) -> object:
    """Read JSON from the hub.

    :raises LinesyncFailed: it is not JSON.
    """
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(error) from None


def read_state(kind: type[S], value: object) -> S:
    """Read a state from JSON.

    :raises LinesyncFailed: it is not one.
    """
    try:
        return kind.from_json(value)
    except ValueError as error:
        raise _unreadable(error) from None


def _read_each(kind: type[S], values: object) -> list[S]:
    """Read a list of states from JSON; raises as :func:`read_state` does."""
    if not isinstance(values, list):
        raise _unreadable(ValueError("it is not a list"))
    return [read_state(kind, value) for value in values]


def _unreadable(error: Exception) -> LinesyncFailed:
    return LinesyncFailed(
        f"the hub sent a state that cannot be read ({error}); update linesync on one of the two sides"
    )
