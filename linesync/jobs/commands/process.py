"""Runs commands for an agent or a hub.

Each command has a supervisor (:mod:`linesync.jobs.commands.supervisor`). The supervisor ends the command and all processes that
the command has started when the agent or hub is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from ... import open_files
from ...errors import CannotExecute, CommandNotFound, LinesyncFailed, NotAllowed
from .handover import MARK, PACKET, PATIENCE, SIGNALS, mark_of, pack_command

if TYPE_CHECKING:
    from ...errors import LinesyncError
    from ..detached.processes import DetachedProcesses
    from .terminal import Terminal

    T = TypeVar("T")

__all__ = ["OUTPUT_LIMIT", "Input", "Output", "Process", "Runner", "check_texts", "start_error"]

_PROGRAM = (
    "import sys; sys.path.append(sys.argv[3]);"
    " from linesync.jobs.commands.forkserver import main; main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[4:])"
)
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(open_files.__file__)))
OUTPUT_LIMIT = 4 << 20  # the default of the maximum size of the kept output of a detached process, in bytes
_CHUNK = 1 << 15  # bytes of one read from a pipe
_SEARCH_AGAIN_AFTER = 0.5  # seconds until a search is repeated if its fork server was killed
_KILL_SECONDS = 12.0  # the time for processes to end after SIGKILL; on a busy machine, this takes more than a second
_CLOSE_CHECKS = 50  # checks, each after 10 ms, whether an idle fork server has ended


class Runner:
    """Starts the commands of one agent or hub, and owns them.

    :param name: the host's name, for messages and marks.
    :param report: called with a sentence for the log.
    :ivar refusal: the reason why it refuses the commands of other hosts, as a sentence; empty if it accepts them.
    :ivar user: the name of this process's user, which commands have by default; it is needed only with ``users``.
    :ivar users: the users that its commands may have; None for all.
    :ivar extra: environment variables for every command; those of a request take precedence.
    :ivar processes_folder: the directory of the detached processes; empty for the default.
    :ivar output_limit: the maximum size of the kept output of a detached process in bytes.
    :ivar detached: the detached processes of this host; None before they are first needed.
    """

    def __init__(self, name: str, report: Callable[[str], None]) -> None:
        self.name = name
        self.refusal = ""
        self.user = ""
        self.users: frozenset[str] | None = None
        self.extra: dict[str, str] = {"LINESYNC_HOST": name}
        self.processes_folder = ""
        self.output_limit = OUTPUT_LIMIT
        self.detached: DetachedProcesses | None = None
        self._report = report
        self._control: socket.socket | None = None
        self._work: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._mark = mark_of(os.getpid(), name)
        self._searching: set[str] = set()
        """The marks that are being searched for."""
        self._closed = False
        self._numbers = count(1)
        self._loop = asyncio.get_running_loop()

    def check_user(self, user: str) -> None:
        """Refuse a user that commands may not have.

        :param user: the name of the user; empty for the user of this process.
        :raises NotAllowed: the user is not in :attr:`users`.
        """
        if self.users is None:
            return
        name = user or self.user
        if name not in self.users:
            raise NotAllowed(
                f"not allowed: the agent on {self.name} runs commands only as {', '.join(sorted(self.users))}, not as {name};"
                " choose one of them with -u"
            )

    def open(self) -> None:
        """Start the fork server, unless it already runs. The new fork server ends the commands of an earlier agent or hub
        that was killed.

        :raises CannotExecute: there is no memory, the interpreter is gone, or the runner is closed.
        """
        if self._control is not None:
            return
        if self._closed:
            raise CannotExecute(f"the agent on {self.name} is being stopped; start it again")
        self._reap()
        control, server_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        work, server_work = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        numbers = server_control.fileno(), server_work.fileno()
        limit = " ".join(map(str, open_files.for_children() or ()))
        argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, *map(str, numbers), _ROOT, self.name, limit]
        try:
            self._server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, pass_fds=numbers)
        except OSError as error:
            control.close()
            work.close()
            raise CannotExecute(
                f"{self.name} cannot start {sys.executable}: {error.strerror}; free some memory"
            ) from None
        finally:
            server_control.close()
            server_work.close()
        for sock in (control, work):
            sock.setblocking(False)
        self._control, self._work = control, work
        self._loop.add_reader(control, self._read_socket)

    def _read_socket(self) -> None:
        """Read a report of the fork server: the result of a search, or the end of the fork server."""
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            mark, *pids = data.decode().split(" ")
            self._searching.discard(mark)
            if any(pids):
                found = f"(pid {', '.join(pids)})"
                self._report(f"ended processes without an owner of an earlier command on {self.name} {found}")
        else:
            self._drop()
            for mark in self._searching:
                self._loop.call_later(_SEARCH_AGAIN_AFTER, self.search, mark)

    def _drop(self) -> None:
        if self._control is not None:
            self._loop.remove_reader(self._control)
            self._control.close()
            self._control = None
        if self._work is not None:
            self._work.close()
            self._work = None

    def _reap(self) -> None:
        """Wait for the end of the fork server in a thread, because it ends only after its last command."""
        server, self._server = self._server, None
        if server is not None and server.poll() is None:
            threading.Thread(target=server.wait, daemon=True).start()

    async def aclose(self) -> None:
        """End all commands and then the fork server. Wait at most half a second, which is enough for an idle fork server."""
        self._closed = True
        self._drop()
        for _ in range(_CLOSE_CHECKS):
            if self._server is None or self._server.poll() is not None:
                break
            await asyncio.sleep(0.01)
        self._reap()

    async def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        user: str = "",
        clear: bool = False,
        terminal: tuple[int, int] | None = None,
    ) -> Process:
        """Start a command. A cancelled call first ends the processes that it has started.

        :param cwd: the working directory; empty for the working directory of the agent, or for the home directory of
            ``user``.
        :param env: environment variables that are added to those of the agent.
        :param stdin: whether stdin of the command is a pipe; otherwise it is /dev/null.
        :param user: the user of the command, who gets the usual environment of that user; empty for the user of the agent.
        :param clear: the command gets only HOME, USER, LOGNAME, SHELL and PATH of the agent's environment.
        :param terminal: run the command on a terminal with these columns and rows; then ``stdin`` has no effect.
        :raises CommandNotFound, CannotExecute: the command was not started.
        """
        mark = f"{self._mark}{next(self._numbers)}"
        variables = {**self.extra, **(env or {}), MARK: mark}
        check_texts(self.name, argv, variables, cwd)
        spec = pack_command(
            [os.fsencode(argument) for argument in argv],
            {os.fsencode(key): os.fsencode(value) for key, value in variables.items()},
            os.fsencode(cwd),
            user=user,
            clear=clear,
            terminal=terminal is not None,
        )
        process = Process(self, argv[0], mark)
        try:
            await process.launch(self._hand_over, spec, stdin=stdin, terminal=terminal)
            await process.started(cwd, user)
        except BaseException:
            try:
                await process.end_and_wait()
            finally:
                process.close()
            raise
        return process

    async def _hand_over(self, descriptors: Sequence[int]) -> None:
        for last in (False, True):
            self.open()
            assert self._work is not None
            try:
                while True:
                    try:
                        socket.send_fds(self._work, [b"w"], descriptors, socket.MSG_NOSIGNAL)
                        return
                    except BlockingIOError:  # many commands are being started
                        await asyncio.sleep(0.01)
            except OSError as error:
                self._drop()  # the fork server was killed just now
                if last:
                    raise CannotExecute(f"{self.name} cannot start commands: {error.strerror}; try again") from None

    def search(self, mark: str) -> None:
        """End the processes with this mark. Their supervisor was killed, and possibly the fork server too."""
        self._searching.add(mark)
        for _ in range(2):
            with suppress(CannotExecute):
                self.open()
            try:
                if self._control is not None:
                    self._control.send(mark.encode(), socket.MSG_NOSIGNAL)
                return
            except OSError:
                self._drop()  # the fork server was killed as well


class Process:
    """One running command.

    :ivar pid: the process id of the command itself.
    :ivar stdin: the pipe to its stdin, or None if its stdin is /dev/null.
    :ivar outputs: the pipes from its stdout (1) and stderr (2); with a terminal, only the output of the terminal (1).
    :ivar terminal: its terminal, or None.
    """

    def __init__(self, runner: Runner, program: str, mark: str) -> None:
        self.pid = 0
        self.stdin: Input | None = None
        self.outputs: dict[int, Output] = {}
        self.terminal: Terminal | None = None
        self._runner = runner
        self._program = program
        self._mark = mark
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = None
        self._start: asyncio.Future[tuple[bytes, int]] = self._loop.create_future()
        self._status: asyncio.Future[int | None] = self._loop.create_future()
        """The exit status, or -N for signal N; None if it is unknown because the supervisor was killed."""
        self._gone: asyncio.Future[bool] = self._loop.create_future()
        """Done when the supervisor has ended. The result is True if no process of the command was left at that time."""
        self._unread = b""

    async def launch(
        self,
        hand_over: Callable[[Sequence[int]], Awaitable[None]],
        spec: bytes,
        *,
        stdin: bool,
        terminal: tuple[int, int] | None = None,
    ) -> None:
        """Give the command to a supervisor.

        :param hand_over: sends the descriptors of a job to a supervisor.
        :param spec: the result of :func:`pack_command`.
        :raises CannotExecute: this process has no descriptors or memory left.
        """
        self._sock, supervisor_end = socket.socketpair()
        descriptors = [supervisor_end.detach()]
        try:
            self._sock.setblocking(False)
            if terminal is not None:
                self._open_terminal(descriptors, terminal)
            else:
                self._open_pipes(descriptors, stdin=stdin)
            descriptors.append(os.memfd_create("linesync"))
            os.write(descriptors[-1], spec)
            await hand_over(descriptors)
        except OSError as error:
            reason = error.strerror
            raise CannotExecute(
                f"{self._runner.name} cannot start {self._program}: {reason}; try again later"
            ) from None
        finally:
            for number in descriptors:
                os.close(number)
        self._loop.add_reader(self._sock, self._read_socket)

    def _open_terminal(self, descriptors: list[int], size: tuple[int, int]) -> None:
        from .terminal import open_terminal

        self.terminal, slave = open_terminal(self._loop, size, self._runner.name)
        descriptors += [slave, os.dup(slave), os.dup(slave)]
        self.stdin, self.outputs[1] = self.terminal.stdin, self.terminal.output

    def _open_pipes(self, descriptors: list[int], *, stdin: bool) -> None:
        if stdin:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            descriptors.append(reader)
            self.stdin = Input(self._loop, writer)
        else:
            descriptors.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        for number in (1, 2):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            descriptors.append(writer)
            self.outputs[number] = Output(self._loop, reader)

    async def started(self, cwd: str, user: str = "") -> None:
        """Wait until the command runs.

        :param cwd: the requested working directory, for errors.
        :param user: the requested user, for errors.
        :raises CommandNotFound, CannotExecute: the command cannot be executed.
        """
        letter, number = await self._start
        if letter != b"p":
            raise start_error(letter, number, self._program, self._runner.name, cwd, user)
        self.pid = number

    def _read_socket(self) -> None:
        """Read the reports of the supervisor."""
        assert self._sock is not None
        try:
            data = self._sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._unread += data
        while len(self._unread) >= PACKET.size:
            letter, number = PACKET.unpack(self._unread[: PACKET.size])
            self._unread = self._unread[PACKET.size :]
            if letter == b"x":
                _settle(self._status, number)
            elif letter == b"g":
                _settle(self._gone, True)
            else:
                _settle(self._start, (letter, number))
        if not data:
            self._loop.remove_reader(self._sock)
            if _settle(self._gone, False):
                self._runner.search(self._mark)
            _settle(self._status, None)
            _settle(self._start, (b"", 0))

    async def wait(self) -> int:
        """Wait until the command itself has ended. Processes that it has started may still run.

        :returns: the exit status, or -N for signal N.
        :raises LinesyncFailed: the supervisor was killed.
        """
        status = await asyncio.shield(self._status)
        if status is None:
            raise LinesyncFailed(
                f"the supervisor of {self._program} (pid {self.pid}) on {self._runner.name} was killed; the command and all"
                " processes that it has started are being ended, so run it again"
            )
        return status

    @property
    def gone(self) -> bool:
        """Whether no process of the command is left."""
        return self._gone.done() and self._gone.result()

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group."""
        if number in SIGNALS:
            self._send_request(b"s", number)

    def end(self) -> None:
        """Ask the supervisor to end the command and all its processes: SIGTERM, then SIGKILL after 3 s. Do not wait.

        A command on a terminal gets SIGHUP first, as if the terminal was closed, because shells ignore SIGTERM.
        """
        if self.terminal is not None:
            self.signal(signal.SIGHUP)
        self._send_request(b"e", 0)

    def kill(self) -> None:
        """Ask the supervisor to kill the command and all its processes immediately. Do not wait."""
        self._send_request(b"k", 0)

    def _send_request(self, letter: bytes, number: int) -> None:
        if self._sock is not None:
            with suppress(OSError):
                self._sock.send(PACKET.pack(letter, number), socket.MSG_NOSIGNAL)

    async def end_and_wait(self) -> None:
        """End the command and all its processes, and wait for their end for at most 15 s. A cancelled call kills them
        immediately."""
        if self._sock is None:
            return
        if not self._gone.done():
            self.end()
        try:
            await asyncio.wait({self._gone}, timeout=PATIENCE + _KILL_SECONDS)
        except asyncio.CancelledError:
            self.kill()
            await asyncio.wait({self._gone}, timeout=PATIENCE)
            raise

    def close(self) -> None:
        """Close the pipes and the socket. The supervisor then ends the processes that still run."""
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._sock = None
        for end in (self.stdin, *self.outputs.values()):
            if end is not None:
                end.close()


def check_texts(host: str, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> None:
    """Refuse a command that the operating system cannot execute.

    :raises CannotExecute: a text has a NUL byte, or the name of a variable is invalid.
    """
    texts = [*argv, *env.values(), cwd]
    if any("\0" in text for text in texts) or any(not key or set(key) & {"=", "\0"} for key in env):
        raise CannotExecute(
            f"{argv[0]} cannot be executed on {host}: an argument, the directory or a variable has a NUL byte, or the name of"
            " a variable is invalid; correct the request"
        )


def start_error(letter: bytes, number: int, program: str, host: str, cwd: str, user: str) -> LinesyncError:
    """The error of a command that was not started.

    :param letter: the failed step, as in ``handover.PACKET``; empty if the supervisor was killed.
    :param number: the errno.
    :param cwd: the requested working directory.
    :param user: the requested user.
    """
    if letter == b"d" and number in (2, 20):  # ENOENT, ENOTDIR
        return CannotExecute(f"there is no directory {cwd} on {host}; choose another with -C")
    if letter == b"d":
        reason = os.strerror(number)
        return CannotExecute(f"the directory {cwd} on {host} cannot be entered: {reason}; choose another with -C")
    if letter == b"a" and number == 0:
        return CannotExecute(f"there is no user {user} on {host}; choose another with -u")
    if letter == b"a":
        return CannotExecute(
            f"{program} cannot run as {user} on {host}: {os.strerror(number)}; run the agent there as root"
        )
    if letter == b"f" and number == 2:
        return CommandNotFound(f"{program} was not found on {host}; check the name and the PATH of its agent")
    if letter == b"f":
        return CannotExecute(f"{program} cannot be executed on {host}: {os.strerror(number)}; check the file")
    if letter == b"r":
        return CannotExecute(
            f"{program} was not started on {host}: its record cannot be written: {os.strerror(number)}; correct that there"
        )
    return CannotExecute(f"{program} was not started on {host}: its supervisor was killed; try again")


def _settle(future: asyncio.Future[T], value: T) -> bool:
    """Set a future's result, unless it is done. Return whether it was set."""
    if future.done():
        return False
    future.set_result(value)
    return True


class _Pipe:
    """One end of a pipe to a command."""

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._loop = loop
        self._descriptor = descriptor

    def close(self) -> None:
        """Close this end. No read or write may be waiting."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Output(_Pipe):
    """The pipe from the stdout or stderr of a command."""

    async def read(self) -> bytes:
        """Wait for the next bytes and return them, at most 32 KiB; b"" at the end."""
        while True:
            try:
                return os.read(self._descriptor, _CHUNK)
            except BlockingIOError:
                ready = self._loop.create_future()
                self._loop.add_reader(self._descriptor, _settle, ready, None)
                try:
                    await ready
                finally:
                    self._loop.remove_reader(self._descriptor)


class Input(_Pipe):
    """The pipe to a command's stdin."""

    async def write(self, data: bytes) -> None:
        """Write all bytes; wait as long as the pipe is full.

        :raises BrokenPipeError: the command has closed its stdin.
        """
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                ready = self._loop.create_future()
                self._loop.add_writer(self._descriptor, _settle, ready, None)
                try:
                    await ready
                finally:
                    self._loop.remove_writer(self._descriptor)
