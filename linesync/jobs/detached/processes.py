"""The detached processes of one host, as its agent or hub sees them.

The agent starts the supervisors, reads the files of the processes, and sends messages to the supervisors. All calls on files
run in threads.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ... import open_files
from ...errors import LinesyncFailed, UsageError
from ...runtime import identity
from ...workers import run_blocking
from ..commands.handover import PACKET, PATIENCE, SIGNALS
from .output import bounds
from .records import KILLED, RUNNING, SOCKET, Known, allocate, known, path_of, prune, read_known, remove

if TYPE_CHECKING:
    from typing import TypeVar

    from ..commands.process import Runner

    T = TypeVar("T")

__all__ = ["Connection", "DetachedProcesses"]

_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from linesync.jobs.detached.supervisor import main; main(sys.argv[2])"
)
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(open_files.__file__)))
_START = 20.0  # seconds within which a supervisor must have started its command
_CONNECT = 5.0  # the longest time to connect to a supervisor, in seconds
_TO_END = PATIENCE + 12.0  # seconds within which all processes of a command must end; on a busy machine it takes long


class DetachedProcesses:
    """Starts and finds the detached processes of a host.

    :param runner: the runner of the agent or hub.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._host = runner.name
        self._folder = os.path.abspath(
            runner.processes_folder or os.path.join(identity.state_folder(), "processes", runner.name)
        )
        self._boot = identity.system_boot()
        self._searched: set[str] = set()  # bound: records.KEPT
        """The marks of the processes whose supervisor was killed and whose other processes were searched for."""
        self._starting = asyncio.Lock()

    async def _call(self, job: Callable[[], T]) -> T:
        """Run a call on the files in a thread.

        :raises LinesyncFailed: the files cannot be used.
        """
        try:
            return await run_blocking(job, self._folder)
        except OSError as error:
            raise LinesyncFailed(
                f"{self._host} cannot use the directory of its processes, {self._folder}: {error.strerror}; correct that"
            ) from None

    # -- starting -----------------------------------------------------------------------------------------------------

    async def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        stdin: bool,
        user: str,
        clear: bool,
        seconds: float | None,
    ) -> tuple[int, int]:
        """Start a process. If the call is cancelled, the process may have started; then it continues.

        :param seconds: the time limit of the process, or None. The other parameters are those of :meth:`Runner.start`.
        :returns: its number and its pid.
        :raises CommandNotFound, CannotExecute: the process was not started.
        :raises LinesyncFailed: too many detached processes run, or the files cannot be used.
        """
        from ..commands.process import check_texts, start_error
        from .supervisor import Job

        variables = {**self._runner.extra, **env}
        check_texts(self._host, argv, variables, cwd)
        words = [os.fsencode(word) for word in argv]
        encoded = {os.fsencode(key): os.fsencode(value) for key, value in variables.items()}

        def begin() -> tuple[bytes, int, int]:
            prune(self._folder, self._boot)
            running = sum(one.end is None for one in known(self._folder, self._boot))
            if running >= RUNNING:
                raise LinesyncFailed(
                    f"{self._host} already runs {running} detached processes, which is the limit; end some with 'linesync proc"
                    " kill'"
                )
            number = allocate(self._folder)
            job = Job(
                folder=self._folder,
                number=number,
                host=self._host,
                boot=self._boot,
                argv=words,
                env=encoded,
                cwd=os.fsencode(cwd),
                user=user,
                clear=clear,
                stdin=stdin,
                seconds=seconds,
                limit=self._runner.output_limit,
            )
            letter, value = b"", 0
            try:
                letter, value = _launch(job.pack())
            finally:
                if letter != b"p":
                    remove(self._folder, number)
            return letter, value, number

        async with self._starting:  # so that the limit of running processes is exact
            letter, value, number = await self._call(begin)
        if letter != b"p":
            raise start_error(letter, value, argv[0], self._host, cwd, user)
        return number, value

    # -- finding ------------------------------------------------------------------------------------------------------

    async def list(self) -> list[dict[str, Any]]:
        """All processes, as the fields of :class:`linesync.model.state.process.ProcessState`."""

        def read() -> list[tuple[Known, tuple[int, int]]]:
            prune(self._folder, self._boot)
            found = known(self._folder, self._boot)
            return [(one, bounds(path_of(self._folder, one.started.number))) for one in found]

        rows = []
        for one, (dropped, position) in await self._call(read):
            self._search(one)
            rows.append(_as_json(self._host, one, dropped, position))
        return rows

    async def find(self, number: int) -> Known:
        """The state of a process.

        :raises UsageError: there is no process with this number.
        :raises NotAllowed: this host does not run commands as the user of the process.
        """
        one = await self._call(lambda: read_known(self._folder, number, self._boot))
        if one is None:
            raise UsageError(
                f"there is no process {self._host}/{number}; 'linesync proc ls {self._host}' lists the processes"
            )
        self._runner.check_user(one.started.user)
        self._search(one)
        return one

    def path(self, number: int) -> str:
        """The directory of a process."""
        return path_of(self._folder, number)

    def _search(self, one: Known) -> None:
        """End the processes that are left after their supervisor was killed."""
        if one.end is not None and one.end.cause == KILLED and one.started.mark not in self._searched:
            self._searched.add(one.started.mark)
            self._runner.search(one.started.mark)

    # -- messages to supervisors --------------------------------------------------------------------------------------

    async def connect(self, number: int) -> Connection | None:
        """Connect to the supervisor of a process; None if it has ended."""

        def open_socket() -> socket.socket | None:
            try:
                return _connect(self.path(number))
            except (FileNotFoundError, ConnectionRefusedError):
                return None

        sock = await self._call(open_socket)
        return Connection(sock) if sock is not None else None

    async def signal(self, number: int, value: int) -> None:
        """Send a signal to all processes of a detached process.

        :param value: the number of the signal; 0 to end the processes (SIGTERM, then SIGKILL after 3 s) and to wait for that.
        :raises UsageError: there is no such process or signal, or the process has ended.
        :raises LinesyncFailed: the processes did not end.
        """
        if value and value not in SIGNALS:
            raise UsageError(f"unknown signal {value}; expected 1 to {SIGNALS[-1]}")
        one = await self.find(number)
        connection = await self.connect(number) if one.end is None else None
        if connection is None:
            if value:
                raise UsageError(
                    f"process {self._host}/{number} has ended, so it cannot get a signal; 'linesync proc ls' shows its end"
                )
            return
        try:
            await connection.send(b"a" + bytes([value]) if value else b"e")
            if not value:
                async with asyncio.timeout(_TO_END):
                    while await connection.notice():
                        pass
        except TimeoutError:
            raise LinesyncFailed(
                f"process {self._host}/{number} has not ended after {_TO_END:g} s; look at it on the host with ps"
            ) from None
        except OSError:
            pass  # it has ended just now
        finally:
            connection.close()


def _launch(job: bytes) -> tuple[bytes, int]:
    """Start a supervisor, and return its report."""
    limit = " ".join(map(str, open_files.for_children() or ()))
    argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, _ROOT, limit]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        report, _ = process.communicate(job, timeout=_START)
    except subprocess.TimeoutExpired:  # its directory or the user database hangs
        os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.communicate()
        report = b""
    if len(report) < PACKET.size:
        return b"", 0
    letter, value = PACKET.unpack(report[: PACKET.size])
    return letter, value


def _connect(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.settimeout(_CONNECT)
            sock.connect(f"/proc/self/fd/{descriptor}/{SOCKET}")
        finally:
            os.close(descriptor)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _as_json(host: str, one: Known, dropped: int, position: int) -> dict[str, Any]:
    started, end = one.started, one.end
    status = end.status if end is not None else None
    now = time.time()
    until = now if end is None else end.ended
    return {
        "process": f"{host}/{started.number}",
        "host": host,
        "state": "running" if end is None else "ended",
        "status": status if status is not None and status >= 0 else None,
        "signal": -status if status is not None and status < 0 else None,
        "cause": end.cause if end is not None else "",
        "pid": started.pid,
        "user": started.user,
        "cwd": started.cwd,
        "argv": started.argv,
        "stdin": started.stdin,
        "since": max(now - started.began, 0.0),
        "seconds": None if until is None else max(until - started.began, 0.0),
        "output": position,
        "dropped": dropped,
    }


class Connection:
    """A connection to a supervisor."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, message: bytes) -> None:
        """Send a message; wait while the supervisor does not read.

        :raises OSError: the process has ended.
        """
        while True:
            try:
                self._sock.send(message, socket.MSG_NOSIGNAL)
                return
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)

    async def notice(self) -> bool:
        """Wait for a notice of output. Returns False at the end of the process."""
        noticed = False
        while True:
            try:
                data = self._sock.recv(64)
            except BlockingIOError:
                if noticed:  # several notices have the same effect as one
                    return True
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
            except OSError:
                return False
            else:
                if not data:
                    return False
                noticed = True

    async def _ready(self, add: Callable[..., object], remove: Callable[..., object]) -> None:
        ready = self._loop.create_future()
        add(self._sock, _settle, ready)
        try:
            await ready
        finally:
            remove(self._sock)

    def close(self) -> None:
        """Close the connection. No call may be waiting."""
        with suppress(OSError):
            self._sock.close()


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
