"""Commands as an agent or a hub handles them: each below a supervisor (:mod:`linesync.jobs.supervisor`) that ends it with
all that it has started when we are gone."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from ..errors import CannotExecute, CommandNotFound, LinesyncFailed
from .handover import MARK, PACKET, PATIENCE, SIGNALS, mark_of, pack_command

if TYPE_CHECKING:
    T = TypeVar("T")

__all__ = ["Input", "Output", "Process", "Runner"]

_PROGRAM = (
    "import sys; sys.path.append(sys.argv[3]);"
    " from linesync.jobs.forkserver import main; main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[4])"
)
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_CHUNK = 1 << 15
_AGAIN = 0.5  # seconds until a search is repeated whose fork server was killed
_CLOSING = 50  # hundredths of a second that the fork server has to end when nothing keeps it


class Runner:
    """Starts commands for one agent or hub, and owns them.

    :param name: the host, for messages and marks.
    :param report: takes sentences for the log.
    :ivar extra: variables for every command, under those of the request.
    """

    def __init__(self, name: str, report: Callable[[str], None]) -> None:
        self.name = name
        self.extra: dict[str, str] = {"LINESYNC_HOST": name}
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

    def open(self) -> None:
        """Start the fork server, unless it runs. Commands that a dead predecessor has left are ended then.

        :raises CannotExecute: there is no memory, or the interpreter is gone.
        """
        if self._control is not None:
            return
        if self._closed:
            raise CannotExecute(f"the agent on {self.name} is being stopped; start it again")
        self._reap()
        control, its_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        work, its_work = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        numbers = its_control.fileno(), its_work.fileno()
        argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, *map(str, numbers), _ROOT, self.name]
        try:
            self._server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, pass_fds=numbers)
        except OSError as error:
            control.close()
            work.close()
            raise CannotExecute(
                f"{self.name} cannot start {sys.executable}: {error.strerror}; free some memory"
            ) from None
        finally:
            its_control.close()
            its_work.close()
        for sock in (control, work):
            sock.setblocking(False)
        self._control, self._work = control, work
        self._loop.add_reader(control, self._heard)

    def _heard(self) -> None:
        """The fork server has searched for a mark, or is gone."""
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
                self._report(f"ended what an earlier command on {self.name} had left without an owner {found}")
        else:
            self._drop()
            for mark in self._searching:
                self._loop.call_later(_AGAIN, self.search, mark)

    def _drop(self) -> None:
        if self._control is not None:
            self._loop.remove_reader(self._control)
            self._control.close()
            self._control = None
        if self._work is not None:
            self._work.close()
            self._work = None

    def _reap(self) -> None:
        """The fork server stays until its last command has ended; nothing waits for that but a thread."""
        server, self._server = self._server, None
        if server is not None and server.poll() is None:
            threading.Thread(target=server.wait, daemon=True).start()

    async def aclose(self) -> None:
        """End with all commands. The fork server ends when these have, and is not waited for any longer than it needs
        without one."""
        self._closed = True
        self._drop()
        for _ in range(_CLOSING):
            if self._server is None or self._server.poll() is not None:
                break
            await asyncio.sleep(0.01)
        self._reap()

    async def start(
        self, argv: Sequence[str], *, cwd: str = "", env: Mapping[str, str] | None = None, stdin: bool = False
    ) -> Process:
        """Start a command. Cancelled, it ends what it has started before it returns.

        :raises CommandNotFound, CannotExecute: it was not started.
        """
        mark = f"{self._mark}{next(self._numbers)}"
        variables = {**self.extra, **(env or {}), MARK: mark}
        texts = [*argv, *variables.values(), cwd]
        if any("\0" in text for text in texts) or any(not key or set(key) & {"=", "\0"} for key in variables):
            raise CannotExecute(
                f"{argv[0]} cannot be executed on {self.name}: an argument or a variable holds a NUL byte"
            )
        spec = pack_command(
            [os.fsencode(word) for word in argv],
            {os.fsencode(key): os.fsencode(value) for key, value in variables.items()},
            os.fsencode(cwd),
        )
        process = Process(self, argv[0], mark)
        try:
            await process.launch(self._hand_over, spec, stdin=stdin)
            await process.started(cwd)
        except BaseException:
            try:
                await process.ended()
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
                    except BlockingIOError:  # many commands at once
                        await asyncio.sleep(0.01)
            except OSError as error:
                self._drop()  # it was killed just now
                if last:
                    raise CannotExecute(f"{self.name} cannot start commands: {error.strerror}") from None

    def search(self, mark: str) -> None:
        """End the processes with this mark: their supervisor was killed, and the fork server too perhaps."""
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

    :ivar pid: of the command itself.
    :ivar stdin: None where it reads nothing.
    :ivar outputs: its stdout (1) and stderr (2).
    """

    def __init__(self, runner: Runner, what: str, mark: str) -> None:
        self.pid = 0
        self.stdin: Input | None = None
        self.outputs: dict[int, Output] = {}
        self._runner = runner
        self._what = what
        self._mark = mark
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = None
        self._start: asyncio.Future[tuple[bytes, int]] = self._loop.create_future()
        self._status: asyncio.Future[int | None] = self._loop.create_future()
        """How the command ended; None when nobody knows, for its supervisor was killed."""
        self._gone: asyncio.Future[bool] = self._loop.create_future()
        """The supervisor has ended; whether nothing of the command was left then."""
        self._unread = b""

    async def launch(self, hand_over: Callable[[Sequence[int]], Awaitable[None]], spec: bytes, *, stdin: bool) -> None:
        """Give a supervisor what it is to run."""
        self._sock, theirs = socket.socketpair()
        descriptors = [theirs.detach()]
        try:
            self._sock.setblocking(False)
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
            descriptors.append(os.memfd_create("linesync"))
            os.write(descriptors[-1], spec)
            await hand_over(descriptors)
        except OSError as error:
            raise CannotExecute(f"{self._runner.name} cannot start {self._what}: {error.strerror}") from None
        finally:
            for number in descriptors:
                os.close(number)
        self._loop.add_reader(self._sock, self._heard)

    async def started(self, cwd: str) -> None:
        """Wait until the command has been executed.

        :raises CommandNotFound, CannotExecute: it could not be.
        """
        letter, number = await self._start
        what, host = self._what, self._runner.name
        if letter == b"p":
            self.pid = number
        elif letter == b"d" and number in (2, 20):  # ENOENT, ENOTDIR
            raise CannotExecute(f"there is no directory {cwd} on {host}; choose another with -C")
        elif letter == b"d":
            why = os.strerror(number)
            raise CannotExecute(f"the directory {cwd} on {host} cannot be entered: {why}; choose another with -C")
        elif letter == b"f" and number == 2:
            raise CommandNotFound(f"{what} was not found on {host}; check the name and the PATH of its agent")
        elif letter == b"f":
            raise CannotExecute(f"{what} cannot be executed on {host}: {os.strerror(number)}; check the file")
        else:
            raise CannotExecute(f"{what} was not started on {host}: its supervisor was killed; try again")

    def _heard(self) -> None:
        """Take what the supervisor reports."""
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
        """Wait for the command's end; its exit status, or -N for signal N. What it has started may go on.

        :raises LinesyncFailed: its supervisor was killed.
        """
        status = await asyncio.shield(self._status)
        if status is None:
            raise LinesyncFailed(
                f"the supervisor of {self._what} (pid {self.pid}) on {self._runner.name} was killed; the command and what"
                " it has started are being ended"
            )
        return status

    @property
    def gone(self) -> bool:
        """Nothing of the command is left."""
        return self._gone.done() and self._gone.result()

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group."""
        if number in SIGNALS:
            self._ask(b"s", number)

    def end(self) -> None:
        """Begin to end the command and all that it has started: SIGTERM, and 3 s later SIGKILL."""
        self._ask(b"e", 0)

    def kill(self) -> None:
        """The same, without delay."""
        self._ask(b"k", 0)

    def _ask(self, letter: bytes, number: int) -> None:
        if self._sock is not None:
            with suppress(OSError):
                self._sock.send(PACKET.pack(letter, number), socket.MSG_NOSIGNAL)

    async def ended(self) -> None:
        """End the command and all that it has started, and wait for that, but not longer than it takes to kill them;
        cancelled meanwhile, it kills at once."""
        if self._sock is None:
            return
        if not self._gone.done():
            self.end()
        try:
            await asyncio.wait({self._gone}, timeout=PATIENCE + 1)
        except asyncio.CancelledError:
            self.kill()
            await asyncio.wait({self._gone}, timeout=PATIENCE)
            raise

    def close(self) -> None:
        """Let go of everything that belongs to it here; what still runs is ended."""
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._sock = None
        for end in (self.stdin, *self.outputs.values()):
            if end is not None:
                end.close()


def _settle(future: asyncio.Future[T], value: T) -> bool:
    """Give a future its result, unless it has one; whether it had none."""
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
        """Close it; nobody may wait for it any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Output(_Pipe):
    """What a command writes."""

    async def read(self) -> bytes:
        """The next bytes; none at the end."""
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
    """What a command reads."""

    async def write(self, data: bytes) -> None:
        """Hand over all of it.

        :raises BrokenPipeError: the command reads no more.
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
