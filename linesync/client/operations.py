"""The operations of clients, as coroutines. They run under asyncio and under the blocking driver."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from .. import protocol
from ..errors import BrokenError, CommandFailed, EndOfStream, LinesyncError, LinesyncFailed
from ..protocol import Message
from ..protocol.operations import given_up
from ..runtime.channels.streams import MESSAGE, Stream
from ..runtime.identity import token
from ..wire.framing.frames import Lane
from .arguments import an_instance, checked, flag, name_of, optional_bytes, text
from .deadlines import limit, silence
from .exchange.operations import ExchangeOperations
from .groups.operations import GroupOperations
from .jobs.detached import DetachedOperations
from .jobs.sockets import SocketOperations
from .jobs.trees import TreeOperations
from .results import CommandResult, OutputCallback
from .states import read_each, read_json, read_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.state.decision import Decision
    from ..model.state.hosts import HostState
    from ..model.state.namespace import NamespaceState
    from ..model.state.status import Status
    from ..runtime.lines.link_state import LinkState
    from .changes import Following
    from .jobs.process import Process

__all__ = ["REBOOT", "CommandResult", "Operations", "OutputCallback", "Running", "command_line"]

_COMMAND_CHARS = 100
REBOOT = ("sh", "-c", "if [ -d /run/systemd/system ]; then exec systemctl reboot; fi; exec reboot")
"""The command that reboots a host with a regular shutdown."""

_TO_END = 5.0
"""Seconds after the timeout of a command within which the host must report its end. The host kills the command after 3 s."""


def command_line(words: Sequence[str]) -> str:
    """A command and its arguments as one line of at most 100 characters, for display."""
    line = " ".join(" ".join(words).split())
    shown = "".join(char if char.isprintable() else "?" for char in line[:_COMMAND_CHARS])
    return f"{shown[:-1]}…" if len(line) > _COMMAND_CHARS else shown


class Running:
    """The client's side of a command that runs on a host.

    :ivar host: the host on which the command runs.
    :ivar stream: the channel of the command.
    :ivar pid: the process id of the command on the host; 0 if the host has not reported it.
    :ivar timeout: the seconds after which the host ends the command, or None.
    :ivar give_up_at: the time, on the clock of the stream, at which the client gives up if the host has not reported
        the end of the command; None for never.
    """

    def __init__(self, stream: Stream) -> None:
        request = protocol.decode(stream.words, protocol.Run)
        assert isinstance(request, protocol.Run)
        self.host = request.to
        self.stream = stream
        self.pid = 0
        self.timeout = request.timeout
        self.give_up_at = None if request.timeout is None else stream.now() + request.timeout + _TO_END

    def handle_message(self, text: str) -> CommandResult | None:
        """Handle a message from the host.

        :return: the result of the command, if the message reports its end; else None. With the result, the channel ends.
        :raises LinesyncError: the message is an error.
        """
        error = protocol.read_error(text)
        message = None if error is not None else protocol.decode(text, protocol.Started, protocol.Exited)
        if isinstance(message, protocol.Started):
            self.pid = message.pid
            return None
        self.stream.finish()
        if error is not None:
            raise error
        assert isinstance(message, protocol.Exited)
        if message.status < 0:
            return CommandResult(status=None, signal=-message.status)
        return CommandResult(status=message.status, signal=None)

    def give_up(self) -> LinesyncFailed:
        """Give up the command, and return the error for it."""
        self.stream.reset("the client gave up")
        return self.lost(silence((self.timeout or 0.0) + _TO_END))

    def lost(self, why: str) -> LinesyncFailed:
        """The error for a command that may still run."""
        state = f"may still be running on {self.host}"
        state = f"{state} (pid {self.pid})" if self.pid else f"may have been started and {state}"
        return LinesyncFailed(
            f"the command on {self.host} was lost: {why}; it {state}, so look there before you run it again"
        )


class Operations(ExchangeOperations, TreeOperations, SocketOperations, GroupOperations, DetachedOperations):
    """All operations on one session."""

    # -- the state of the hub -----------------------------------------------------------------------------------------

    @checked()
    async def hosts(self, *, timeout: float | None = None) -> list[HostState]:
        """The hosts that the hub knows, sorted by name."""
        from ..model.state.hosts import HostState

        return read_each(HostState, await self._json(protocol.Hosts(), timeout))

    @checked()
    async def status(self, *, timeout: float | None = None) -> Status:
        """The state of all hosts, barriers, semaphores and so on, with the arrivals, the missing members and the lost
        hosts."""
        from ..model.state.status import Status

        return read_state(Status, await self._json(protocol.Status(), timeout))

    @checked()
    async def namespaces(self, *, timeout: float | None = None) -> list[NamespaceState]:
        """The namespaces that have an owner, in the order in which they began, and then the others that are in use."""
        from ..model.state.namespace import NamespaceState

        return read_each(NamespaceState, await self._json(protocol.Namespaces(), timeout))

    @checked()
    async def check_policy(
        self,
        from_host: str,
        to_host: str,
        permission: str,
        *,
        uid: int | None = None,
        connect: str = "",
        listen: str = "",
        timeout: float | None = None,
    ) -> Decision:
        """Ask whether the policy of the hub allows an operation.

        :param from_host: the host of the script; ``hub`` for a script on the controller.
        :param to_host: the host on which the operation works.
        :param permission: ``sync``, ``look``, ``run``, ``files``, ``forward``, ``console`` or ``admin``.
        :param uid: the user id of a script on the controller; None if it would connect over a network.
        :param connect: for ``forward``: the address to which ``to_host`` connects, such as ``localhost:22``.
        :param listen: for ``forward``: the address on which ``to_host`` listens.
        :raises UsageError: there is no such permission.
        """
        from ..model.state.decision import Decision

        message = protocol.PolicyCheck(from_host, to_host, permission, -1 if uid is None else uid, connect, listen)
        return read_state(Decision, await self._json(message, timeout))

    @checked()
    async def links(self, *, timeout: float | None = None) -> list[LinkState]:
        """The lines of the hub, and on a host also the line of its agent, with their counters."""
        from ..runtime.lines.link_state import LinkState

        return read_each(LinkState, await self._json(protocol.Links(), timeout))

    @checked()
    async def changes(self, *, timeout: float | None = None) -> Following:
        """Follow the changes of the state: hosts, arrivals, releases, locks, messages and so on.

        :param timeout: seconds within which the hub must answer; the changes may then arrive at any time.
        :returns: an asynchronous iterator of all changes that happen after this call.
        """
        from .changes import Following

        async with limit(self.peer, timeout, lambda after: _not_followed(after, timeout)):
            return await Following.begin(self.peer.open(protocol.encode(protocol.ChangesOpen())))

    @checked()
    async def drain(self, *, timeout: float | None = None) -> None:
        """Drain the hub for an upgrade: the hub begins no new work, waits for the end of the running commands, copies and
        exchanges, and stops. The next hub on the same state file continues all waits and holds. A hub without a state file
        also waits for the end of all waits and holds.

        The drain belongs to this call. If the call ends early, the hub accepts work again.

        :param timeout: seconds within which all this work must have ended; with 0, the hub stops only if there is no such
            work.
        :raises TimedOut: there is still such work, and the hub accepts new work again. ``details["waits_for"]`` is a list of
            this work.
        """
        await self._wait(protocol.Drain(timeout=timeout), "", timeout)

    async def _json(self, message: Message, timeout: float | None) -> object:
        (text,) = await self._ask(message, timeout)
        return read_json(text)

    # -- namespaces ---------------------------------------------------------------------------------------------------

    @checked(name=name_of("namespace", optional=True))
    async def begin_namespace(
        self, name: str = "", *, pid: int = 0, begin: str = "", command: str = "", timeout: float | None = None
    ) -> str:
        """Begin a namespace that ends with its owner. At its end, all its contents are deleted, and requests that wait in it
        fail with Aborted.

        :param name: the name of the namespace; empty for a new name, which is never used again.
        :param pid: the owner, a process on this machine; 0 for this connection.
        :param begin: the start time of that process, in clock ticks since the machine booted (proc(5), ``starttime``).
        :param command: the command of the owner, for display; by default, this program and its arguments.
        :returns: the name of the namespace.
        :raises NotAllowed: the name is in use.
        """
        name = name or f"@{token()}"
        shown = command or command_line(sys.argv)
        await self._ask(protocol.NamespaceBegin(name=name, pid=pid, begin=begin, command=shown), timeout)
        return name

    @checked(name=name_of("namespace"))
    async def end_namespace(self, name: str, *, timeout: float | None = None) -> tuple[int, int]:
        """End a namespace that has an owner. Returns the same as :meth:`reset`.

        :raises LinesyncFailed: there is no such namespace.
        """
        forgotten, failed = await self._ask(protocol.NamespaceEnd(name=name), timeout)
        return int(forgotten), int(failed)

    @checked(name=name_of("namespace", optional=True))
    @asynccontextmanager
    async def namespace(self, name: str = "", *, timeout: float | None = None) -> AsyncIterator[str]:
        """Use a new namespace during a block. The block gets the name of the namespace. At the end of the block, or of
        this connection, everything in the namespace is deleted. ``timeout`` limits the beginning, and then the end.
        Raises the errors of :meth:`begin_namespace`.

        ::

            async with client.namespace() as own:
                result = await client.barrier("up", 1, namespace=own)
                print(result.parties)  # ('hub',)
        """
        name = await self.begin_namespace(name, timeout=timeout)
        try:
            yield name
        finally:
            with suppress(LinesyncError):  # the namespace has ended already, or ends with the connection
                await self.end_namespace(name, timeout=timeout)

    # -- commands on a host -------------------------------------------------------------------------------------------

    @checked(stdin=flag)
    def start(
        self,
        host: str,
        argv: list[str] | tuple[str, ...],
        *,
        cwd: str | os.PathLike[str] = "",
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        timeout: float | None = None,
        tell: bool = False,
        user: str = "",
        clear_env: bool = False,
        terminal: tuple[int, int] | None = None,
    ) -> Stream:
        """Start a command on a host, and return its channel without waiting: stream 0 is the stdin of the command, and
        streams 1 and 2 are its stdout and stderr.

        ::

            stream = client.start("sut", ["cat"], stdin=True)
            stream.send_nowait(0, b"text")
            stream.end()
            result = await client.finish(stream)
            print(result.stdout)  # b'text'

        :param cwd: the working directory on the host; empty for the directory of the agent.
        :param env: environment variables in addition to the agent's variables.
        :param stdin: whether the command reads stream 0; otherwise its stdin is empty.
        :param timeout: seconds after which the host ends the command, or None.
        :param tell: whether the host reports the command's pid in a separate message after 0.05 s.
        :param user: the user of the command, with the groups, the environment and the home directory of that user; empty for
            the user of the agent.
        :param clear_env: of the agent's environment, the command inherits only HOME, USER, LOGNAME, SHELL and PATH.
        :param terminal: the columns and rows of a terminal for the command. Stream 0 is then typed on the terminal, and
            stream 1 is the whole output. TERM is a variable of ``env``.
        """
        import json

        request = protocol.Run(
            to=host,
            argv=tuple(argv),
            cwd=os.fspath(cwd),
            env=json.dumps(dict(env)) if env else "",
            stdin=stdin,
            timeout=timeout,
            tell=True,  # an older host does not keep the command, and its message shows that
            User=user,
            Clear=clear_env,
            Terminal="" if terminal is None else "x".join(map(str, terminal)),
        )
        lane = Lane.BULK if terminal is None else Lane.PROMPT  # a keystroke must not wait behind a copy
        return self._open_run(request, None if tell else f"{protocol.Started.VERB} ".encode(), lane)

    @checked(stdin=flag)
    def create_process(
        self,
        host: str,
        argv: list[str] | tuple[str, ...],
        *,
        cwd: str | os.PathLike[str] = "",
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        timeout: float | None = None,
        user: str = "",
        clear_env: bool = False,
        terminal: tuple[int, int] | None = None,
    ) -> Process:
        """Start a command on a host, and return it as an object without waiting. The parameters are those of :meth:`start`.

        ::

            async with client.create_process("sut", ["sh", "-c", "echo one; echo two; cat"], stdin=True) as process:
                print(await process.stdout.readline())  # b'one\\n'
                result = await process.communicate(b"three")
                print(result.stdout, result.status)  # b'two\\nthree' 0
        """
        from .jobs.process import Process

        stream = self.start(
            host,
            argv,
            cwd=cwd,
            env=env,
            stdin=stdin,
            timeout=timeout,
            tell=True,
            user=user,
            clear_env=clear_env,
            terminal=terminal,
        )
        return Process(self.peer, Running(stream), argv, stdin=stdin, terminal=terminal is not None)

    @checked(stream=an_instance(Stream, "the result of start()"))
    async def finish(self, stream: Stream, on_output: OutputCallback | None = None) -> CommandResult:
        """Wait until a command that :meth:`start` started has ended, and return its result.

        :param on_output: called with the output as it arrives; without it, the output is in the result.
        :raises CommandNotFound, CannotExecute, TimedOut: the host could not run the command, or ended it at its
            deadline.
        :raises LinesyncFailed: the host, its line or its agent was lost, or did not answer within 5 s after the
            deadline. The message says whether the command may still run.

        All these errors have the output that arrived before them as ``stdout`` and ``stderr``, unless ``on_output`` got
        the output.
        """
        running = Running(stream)
        output = {1: bytearray(), 2: bytearray()}
        try:
            async with limit(self.peer, running.timeout, lambda _: running.give_up(), _TO_END):
                result = await self._until_ended(running, output, on_output)
        except (BrokenError, EndOfStream) as error:
            raise _with_output(running.lost(error.message), output) from None
        except LinesyncError as error:
            raise _with_output(error, output)  # noqa: B904 - the same error
        except BaseException:
            stream.reset("the client gave up")
            raise
        return result.but(stdout=bytes(output[1]), stderr=bytes(output[2]))

    async def _until_ended(
        self, running: Running, output: dict[int, bytearray], on_output: OutputCallback | None
    ) -> CommandResult:
        while True:
            item = await running.stream.receive()
            if item.stream == MESSAGE:
                result = running.handle_message(item.data.decode("utf-8", "replace"))
                if result is not None:
                    return result
            elif on_output is not None:
                on_output(item.stream, item.data)
            elif item.stream in output:
                output[item.stream] += item.data

    @checked(stdin=optional_bytes)
    async def run(
        self,
        host: str,
        argv: list[str] | tuple[str, ...],
        *,
        stdin: bytes | None = None,
        cwd: str | os.PathLike[str] = "",
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        check: bool = False,
        on_output: OutputCallback | None = None,
        user: str = "",
        clear_env: bool = False,
    ) -> CommandResult:
        """Run a command on a host and wait for its end. A nonzero exit status is not an error unless ``check`` is true.
        Raises the errors of :meth:`finish`.

        ::

            result = await client.run("sut", ["echo", "two words"], check=True, timeout=10)
            print(result.stdout)  # b'two words\\n'
            try:
                await client.run("sut", ["sh", "-c", "echo some; exec sleep 99"], timeout=0.5)
            except linesync.errors.TimedOut as error:
                print(error.stdout)  # b'some\\n'

        :param argv: the command and its arguments. They do not pass through a shell; for a shell, run
            ``["sh", "-c", text]``.
        :param stdin: the bytes that the command reads from stdin, or None for an empty stdin.
        :param cwd: the working directory on the host; empty for the directory of the agent.
        :param env: environment variables in addition to the agent's variables.
        :param timeout: seconds after which the host ends the command, or None.
        :param check: raise CommandFailed if the command does not end with exit status 0.
        :param on_output: as in :meth:`finish`.
        :param user: as in :meth:`start`. The same applies to ``clear_env``.
        :raises CommandFailed: with ``check``: the command did not end with exit status 0. The error has the exit status
            and the output.
        """
        stream = self.start(
            host,
            argv,
            cwd=cwd,
            env=env,
            stdin=stdin is not None,
            timeout=timeout,
            tell=True,
            user=user,
            clear_env=clear_env,
        )
        if stdin is not None:
            if stdin:
                stream.send_nowait(0, stdin)
            stream.end()
        result = await self.finish(stream, on_output)
        if check and result.exit_code:
            raise _command_failed(host, argv[0], result)
        return result

    # -- waiting for a host -------------------------------------------------------------------------------------------

    @checked(boot_after=text)
    async def wait_host(self, host: str, *, boot_after: str = "", timeout: float | None = None) -> HostState:
        """Wait until a host is up.

        :param boot_after: the beginning of the ``boot`` or ``system`` id of an earlier life of the host. The host must have
            registered with other ids.
        :returns: the state of the host.
        :raises TimedOut: the host is not up after the timeout. The message has its last state.
        """
        from .hosts import wait_host

        return await wait_host(self, host, boot_after, timeout)

    @checked()
    async def reboot_host(
        self, host: str, argv: list[str] | tuple[str, ...] = REBOOT, *, timeout: float | None = None
    ) -> HostState:
        """Reboot a host, and wait until it is up in a new boot of its system.

        :param argv: the command that reboots the host; by default, the way of its system.
        :param timeout: seconds within which the host must be up again.
        :returns: the state of the host after the reboot.
        :raises CommandFailed: the command failed, so the host does not reboot.
        :raises LinesyncFailed: the host is not up.
        :raises TimedOut: the host is not up in time.
        """
        from .hosts import reboot_host

        return await reboot_host(self, host, argv, timeout)

    # -- the bytes of a line ------------------------------------------------------------------------------------------

    @checked(host=text)
    def console(self, host: str, *, follow: bool = False, type_into: bool = False) -> Stream:
        """Open a host's console log. The text arrives on stream 1.

        :param follow: whether the channel continues with new text; otherwise it ends after the existing text.
        :param type_into: whether bytes on stream 0 are sent to the line; this implies ``follow``.
        """
        return self.peer.open(
            protocol.encode(protocol.ConsoleOpen(host=host, follow=follow, type=type_into)), Lane.PROMPT
        )

    @checked(host=text)
    def trace(self, host: str) -> Stream:
        """Open a trace of the frames on a host's line. The trace arrives as text lines on stream 1."""
        return self.peer.open(protocol.encode(protocol.TraceOpen(host=host)))


def _with_output(error: LinesyncError, output: dict[int, bytearray]) -> LinesyncError:
    error.stdout, error.stderr = bytes(output[1]), bytes(output[2])
    return error


def _command_failed(host: str, program: str, result: CommandResult) -> CommandFailed:
    end = f"exit status {result.status}" if result.signal is None else f"signal {result.signal}"
    return CommandFailed(
        f"the command {program} on {host} ended with {end}; look at its output",
        status=result.status,
        signal=result.signal,
        stdout=result.stdout,
        stderr=result.stderr,
    )


def _not_followed(after: float, timeout: float | None) -> LinesyncError:
    return given_up(f"the changes cannot be followed: {silence(after)}", "", deadline=timeout)
