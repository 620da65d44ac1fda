"""The supervisor of one detached process.

An agent starts the supervisor, but does not own it: the supervisor has its own session, its parent is the init process, and it
ignores the signals that end a process group. It runs the command, keeps its output in files, and writes the exit status to a
file when no process of the command is left.

Agents connect to the socket in the directory of the process. A message is a letter and its data. From an agent:

- ``s``: send a signal to the process group of the command; the data is the signal as one byte.
- ``a``: send a signal to all processes of the command.
- ``e``: end all processes of the command: SIGTERM, then SIGKILL after 3 s.
- ``i``: bytes for stdin.
- ``z``: the end of stdin.

From the supervisor:

- ``o``: there is more output in the files.

The supervisor closes the connection at the end of the process.
"""

from __future__ import annotations

import gc
import marshal
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from contextlib import suppress

from ...frozen_record import Record
from ..commands.handover import MARK, PACKET, PATIENCE, begin_of, boottime, mark_of
from ..commands.login import StartError
from ..commands.supervisor import NO_LIMIT, Spec, ignore_signals, spawn, wakeup
from ..commands.tree import SUPERVISOR, Ending, become_subreaper, below, set_name
from ..commands.user import BASIC, fill_environment
from .output import OutputWriter
from .records import MESSAGE_DATA, SOCKET, TIMED_OUT, Ended, Started, path_of, remove, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["Job", "main"]

_CHUNK = 1 << 15  # the maximum size of one read of the output
_QUIET = 0.5  # seconds that a grandchild may keep the output open without output after the command has ended
_CHECK = 0.02  # seconds between checks of the processes that are being ended, at first
_CHECK_MOST = 1.0  # the longest such time
_GONE = 15.0  # seconds after the end of the command after which its exit status is written, even if a process is left
_STORE_AGAIN = 1.0  # seconds between attempts to write the end of the process while the disk is full
_CLOCK = 1.0  # the longest time between two readings of the clock, if the command has a time limit
_CONNECTIONS = 256  # the maximum number of connections
_INPUT = 1 << 16  # the number of waiting bytes for stdin at which no further message of the sender is read


class Job(Record):
    """A process to start."""

    folder: str
    """the directory of the processes of the host"""
    number: int
    """the number of the process, whose directory exists"""
    host: str
    """the name of the host"""
    boot: str
    """the boot id of the system"""
    argv: list[bytes]
    """the command and its arguments"""
    env: dict[bytes, bytes]
    """the variables that are set for it"""
    cwd: bytes
    """its working directory; empty for that of the agent"""
    user: str
    """the user that runs it; empty for that of the agent"""
    clear: bool
    """whether it inherits only the basic variables of the agent"""
    stdin: bool
    """whether clients may send bytes to its stdin"""
    seconds: float | None
    """its time limit, or None"""
    limit: int
    """the maximum size of the kept output in bytes"""

    def pack(self) -> bytes:
        """Encode the job for the stdin of :func:`main`."""
        return marshal.dumps(tuple(self.as_dict().values()))


def main(open_files: str) -> NoReturn:
    """Run the process that stdin describes, and report its start on stdout as a ``handover.PACKET``.

    This process ends after the start of the process. A child of it becomes the supervisor.

    :param open_files: the soft and the hard limit of open files for the command, as "SOFT HARD"; empty if this process has
        inherited them.
    """
    if open_files:
        import resource

        soft, hard = map(int, open_files.split(" "))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    job = Job(*marshal.loads(sys.stdin.buffer.read()))
    if os.fork():
        os._exit(0)
    code = 1
    try:
        _supervise(job)
        code = 0
    finally:
        os._exit(code)


def _supervise(job: Job) -> None:
    set_name(SUPERVISOR)
    ignore_signals()
    become_subreaper()
    fill_environment()
    gc.disable()
    mark = f"{mark_of(os.getpid(), job.host)}d{job.number}"
    own = {} if job.user else {name: value for name, value in os.environb.items() if not job.clear or name in BASIC}
    variables = {**own, **job.env, os.fsencode(MARK): os.fsencode(mark)}
    until = NO_LIMIT if job.seconds is None else boottime() + job.seconds
    began = time.time()
    path = path_of(job.folder, job.number)
    process = _Process(path, job.limit, Spec(job.argv, variables, cwd=job.cwd, user=job.user, until=until))
    letter, errno = process.start(stdin=job.stdin)
    if letter == b"p":
        started = Started(
            number=job.number,
            argv=tuple([os.fsdecode(argument) for argument in job.argv]),
            user=job.user,
            cwd=os.fsdecode(job.cwd),
            stdin=job.stdin,
            pid=errno,
            began=began,
            boot=job.boot,
            supervisor=os.getpid(),
            supervisor_began=begin_of(os.getpid()),
            mark=mark,
            limit=job.limit,
        )
        try:
            write(path, "record", started)
        except OSError as error:  # the disk is full; a process without a record would have no owner
            process.kill()
            letter, errno = b"r", error.errno or 0
    if letter != b"p":
        remove(job.folder, job.number)
    _report(letter, errno)
    os.chdir("/")
    if letter == b"p":
        process.run()


def _report(letter: bytes, number: int) -> None:
    """Report the start to the agent, and close the standard streams. The agent may be gone."""
    try:
        os.write(1, PACKET.pack(letter, number))
    except OSError:
        pass
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.close(null)


class _Process:
    """One command with its output and its connections.

    :param path: the directory of the process.
    :param limit: the maximum size of the kept output in bytes.
    """

    def __init__(self, path: str, limit: int, spec: Spec) -> None:
        self._path = path
        self._spec = spec
        self._output = OutputWriter(path, limit)
        self._children = wakeup()
        self._listener = _listen(path)
        self._connections: dict[int, socket.socket] = {}
        self._feeders: set[int] = set()
        """The connections that have sent bytes for stdin."""
        self._pipes: dict[int, int] = {}
        """The stream (1 or 2) of each pipe from the command."""
        self._stdin = -1
        self._input: deque[bytes] = deque()
        self._input_ends = False
        self._pid = 0
        """The pid of the command; 0 after its end."""
        self._status: int | None = None
        self._cause = ""
        self._exited = 0.0
        """The time of the end of the command, in monotonic seconds."""
        self._heard = 0.0
        """The time of the last output, in monotonic seconds."""
        self._ending: Ending | None = None
        self._written = False

    # -- the start ----------------------------------------------------------------------------------------------------

    def start(self, *, stdin: bool) -> tuple[bytes, int]:
        """Start the command. Returns the report of ``handover.PACKET``: ``p`` and the pid, or the failed step and the errno."""
        if stdin:
            reader, self._stdin = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._stdin, False)
        else:
            reader = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        streams = [reader]
        for stream in (1, 2):
            pipe, writer = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(pipe, False)
            self._pipes[pipe] = stream
            streams.append(writer)
        self._spec.streams = streams
        letter = b"f"
        try:
            if self._spec.cwd and not self._spec.user:
                letter = b"d"
                os.chdir(os.path.expanduser(self._spec.cwd))
                letter = b"f"
            self._pid = spawn(self._spec)
        except StartError as error:
            return error.letter, error.number
        except OSError as error:
            return letter, error.errno or 0
        finally:
            for descriptor in streams:
                os.close(descriptor)
        return b"p", self._pid

    # -- the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until no process of the command is left."""
        pause, has_children = _CHECK, True
        while has_children:
            self._serve(self._poll().poll(self._poll_timeout(pause)))
            has_children = self._reap()
            now = time.monotonic()
            self._check_time(now)
            if self._ending is not None:
                ended = self._ending.check(now)
                has_children = self._reap()  # the ended processes
                if ended:
                    break
                pause = min(pause * 1.1, _CHECK_MOST)
        for pipe in list(self._pipes):
            while self._read_output(pipe):
                pass
        self._write_end()

    def _poll(self) -> select.poll:
        poll = select.poll()
        for number in (self._children, self._listener.fileno(), *self._pipes):
            poll.register(number, select.POLLIN)
        full = sum(map(len, self._input)) >= _INPUT
        for number in self._connections:
            if not (full and number in self._feeders):
                poll.register(number, select.POLLIN)
        if self._input and self._stdin >= 0:
            poll.register(self._stdin, select.POLLOUT)
        return poll

    def _poll_timeout(self, pause: float) -> float | None:
        """The longest wait in milliseconds, or None."""
        if self._ending is not None or not self._pid:
            return pause * 1000
        if self._spec.until == NO_LIMIT:
            return None
        return min(max(self._spec.until - PATIENCE - boottime(), 0.0), _CLOCK) * 1000 + 0.5

    def _serve(self, ready: list[tuple[int, int]]) -> None:
        for number, _ in ready:
            if number == self._children:
                os.read(number, 4096)
            elif number == self._listener.fileno():
                self._accept()
            elif number in self._pipes:
                if self._read_output(number):
                    self._notify()
            elif number == self._stdin:
                self._write_input()
            elif number in self._connections and not self._handle(self._connections[number]):
                self._feeders.discard(number)
                self._connections.pop(number).close()

    def _reap(self) -> bool:
        """Collect the exit status of ended children. Return whether any children are left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self._pid:
                self._pid = 0
                self._status = os.waitstatus_to_exitcode(status)
                self._exited = self._heard = time.monotonic()

    def _check_time(self, now: float) -> None:
        """End the processes that the command has left behind, and the command at its time limit."""
        if self._pid:
            left = self._spec.until - boottime()
            if left <= PATIENCE and self._ending is None:
                self._cause = TIMED_OUT
                self._end(max(left, 0.0))
            return
        if self._ending is None and (not self._pipes or now - self._heard > _QUIET):
            self._end()
        if now - self._exited > _GONE:
            self._write_end()

    def _end(self, patience: float = PATIENCE) -> None:
        if self._ending is None:
            self._ending = Ending(lambda: below(os.getpid()), time.monotonic(), patience)

    def _write_end(self) -> None:
        if not self._written:
            self._written = True
            self._store(Ended(status=self._status, cause=self._cause, ended=time.time()))
            with suppress(OSError):
                os.unlink(os.path.join(self._path, SOCKET))
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()

    def _store(self, end: Ended) -> None:
        """Write the record of the end. While the disk is full, drop output, and try again."""
        while True:
            try:
                write(self._path, "end", end)
                return
            except FileNotFoundError:  # the directory was removed
                return
            except OSError:
                self._output.make_room()
                time.sleep(_STORE_AGAIN)

    def kill(self) -> None:
        """Kill all processes of the command."""
        for pid in below(os.getpid()):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    # -- output and input ---------------------------------------------------------------------------------------------

    def _read_output(self, pipe: int) -> bool:
        """Read output from a pipe, and keep it. Return whether there was any."""
        try:
            data = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            del self._pipes[pipe]
            os.close(pipe)
            return False
        self._heard = time.monotonic()
        self._output.add(self._pipes[pipe], data)
        return True

    def _notify(self) -> None:
        for connection in self._connections.values():
            try:
                connection.send(b"o", socket.MSG_NOSIGNAL)
            except OSError:
                pass  # the agent is gone, or has earlier notices to read

    def _write_input(self) -> None:
        try:
            while self._input:
                data = self._input[0]
                rest = data[os.write(self._stdin, data) :]
                self._input.popleft()
                if rest:
                    self._input.appendleft(rest)
        except BlockingIOError:
            return
        except OSError:  # the command has closed its stdin
            self._input_ends = True
            self._input.clear()
        if self._input_ends:
            os.close(self._stdin)
            self._stdin = -1

    # -- connections --------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._connections) >= _CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        self._connections[connection.fileno()] = connection
        self._notify()  # output may have come between the agent's last read of the files and this moment

    def _handle(self, connection: socket.socket) -> bool:
        """Handle a message of an agent. Return False if its connection is closed."""
        try:
            message = connection.recv(MESSAGE_DATA + 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        letter, data = message[:1], message[1:]
        if letter == b"e":
            self._end()
        elif letter in (b"s", b"a") and data:
            self._signal(data[0], everywhere=letter == b"a")
        elif self._stdin >= 0 and letter in (b"i", b"z") and not self._input_ends:
            self._feeders.add(connection.fileno())
            if data:
                self._input.append(data)
            self._input_ends = letter == b"z"
            self._write_input()
        return bool(message)

    def _signal(self, number: int, *, everywhere: bool) -> None:
        for pid in below(os.getpid()) if everywhere else ({-self._pid} if self._pid else ()):
            try:
                os.kill(pid, number)
            except OSError:
                pass  # it has ended, or this system does not know the signal


def _listen(path: str) -> socket.socket:
    """Open the socket for agents."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{descriptor}/{SOCKET}")  # the path itself may be too long for a socket
    finally:
        os.close(descriptor)
    listener.setblocking(False)
    listener.listen(_CONNECTIONS)
    return listener
