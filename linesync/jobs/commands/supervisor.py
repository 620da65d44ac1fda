"""The supervisor: the process between an owner (an agent, a hub or a client) and one command.

When the owner is gone for any reason, the supervisor ends the command and all processes that the command has started. The
supervisor is a subreaper. Every process that the command leaves behind therefore becomes its child, even a daemon that
forked twice and called setsid(). The supervisor ignores the signals that end a process group. It waits for messages from
its owner and for the end of its children.

The command can have a time limit at which all of its processes must have ended. The owner regularly postpones that time. If
the owner does not do this, for example because it is stopped by SIGSTOP, the supervisor ends the command before that time.

The owner and the supervisor exchange messages on a socket (``handover.PACKET``). The last message of the supervisor says
that no process is left (``g``). If the socket closes without this message, the supervisor itself was killed.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from .handover import PACKET, PATIENCE, boottime
from .login import StartError, path_of, spawn_as
from .tree import SUPERVISOR, Ending, become_subreaper, below, set_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["NO_LIMIT", "Spec", "fork_supervisor", "ignore_signals", "spawn", "supervise", "wakeup"]

NO_LIMIT = float("inf")
_CHECK_INTERVAL = 0.02  # seconds between checks of the processes that are being ended, at first
_CHECK_INTERVAL_MAX = 1.0  # the longest such time, for processes that do not end, such as a process on a dead disk
_CLOCK_INTERVAL = 1.0  # seconds between two readings of the clock at most; it also runs while the machine is suspended
_IGNORED = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGPIPE}
_defaults: set[int] = {signal.SIGXFSZ, *_IGNORED}
"""The signals that get their default action in a command. Under nohup, SIGHUP is not in this set."""


class Spec:
    """The description of a command.

    :param argv: the program and its arguments.
    :param env: the complete environment.
    :param cwd: the working directory; empty for the supervisor's, or for the home directory of ``user``.
    :param user: the user of the command, whose environment ``env`` is added to; empty for the supervisor's.
    :param streams: the descriptors for its stdin, stdout and stderr; empty for the supervisor's.
    :param terminal: whether ``streams`` are a terminal, which becomes the controlling terminal of the command.
    :param group: the process group of the command; 0 for a new session.
    :param until: the time of :func:`boottime`, in seconds, at which all of its processes must have ended; infinity for no
        time limit.
    :param patience: seconds from SIGTERM to SIGKILL at the time limit.
    """

    def __init__(
        self,
        argv: list[bytes],
        env: Mapping[bytes, bytes],
        *,
        cwd: bytes = b"",
        user: str = "",
        streams: Sequence[int] = (),
        terminal: bool = False,
        group: int = 0,
        until: float = NO_LIMIT,
        patience: float = PATIENCE,
    ) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.user = user
        self.streams = streams
        self.terminal = terminal
        self.group = group
        self.until = until
        self.patience = patience


def ignore_signals() -> None:
    """Ignore the signals of a terminal, a process group or a service manager that would end this process."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        _defaults.discard(signal.SIGHUP)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)


def wakeup() -> int:
    """Return a new descriptor that becomes readable whenever a child process ends."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return reader


def fork_supervisor(
    argv: list[bytes],
    env: Mapping[bytes, bytes],
    *,
    until: float = NO_LIMIT,
    patience: float = PATIENCE,
    keep: Collection[int],
) -> tuple[int, socket.socket]:
    """Fork a supervisor for a command. The command gets the process group, stdin, stdout and stderr of the caller.

    The calling process must have only one thread. The other parameters are those of :class:`Spec`.

    :param keep: descriptors that the supervisor keeps open until the command and all its processes have ended.
    :returns: the supervisor's pid, and the caller's end of its socket.
    """
    owner_end, supervisor_end = socket.socketpair()
    group = os.getpgrp()
    pid = os.fork()
    if pid:
        supervisor_end.close()
        return pid, owner_end
    try:
        os.setpgid(0, 0)  # signals to the foreground process group then reach only the command
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > 2 and number != supervisor_end.fileno() and number not in keep:
                try:
                    os.close(number)
                except OSError:
                    pass  # the descriptor of listdir itself
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        ignore_signals()
        supervise(lambda: (supervisor_end, Spec(argv, env, group=group, until=until, patience=patience)))
    finally:
        os._exit(1)


def supervise(work: Callable[[], tuple[socket.socket, Spec] | None]) -> NoReturn:
    """Run a command and wait until none of its processes is left; then exit. Never returns.

    :param work: waits for a job and returns the owner's socket and the command, or None if no job will come.
    """
    code = 1
    try:
        gc.disable()
        set_name(SUPERVISOR)
        become_subreaper()
        children = wakeup()
        job = work()
        if job is not None:
            _Supervisor(*job, children).run()
        code = 0
    finally:
        os._exit(code)


class _Supervisor:
    """Supervises one command.

    :param children: a descriptor that is readable when a child has ended.
    """

    def __init__(self, sock: socket.socket, spec: Spec, children: int) -> None:
        self._sock = sock
        self._spec = spec
        self._children = children
        self._pid = 0
        """The pid of the command itself; 0 when it does not run."""
        self._has_children = False
        """Whether this process has children, and so possibly descendants."""
        self._ending: Ending | None = None
        self._until = spec.until
        self._unread = b""
        sock.setblocking(False)

    def run(self) -> None:
        """Start the command, and wait until no descendant is left."""
        self._start()
        pause = _CHECK_INTERVAL
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._children, select.POLLIN)
        while self._has_children:
            readable = {number for number, _ in poll.poll(self._poll_timeout(pause))}
            if self._children in readable:
                os.read(self._children, 4096)
            self._reap()
            if self._sock.fileno() in readable and not self._read_requests():
                poll.unregister(self._sock)
                self._end()
            self._check_time_limit()
            if self._ending is not None:
                ended = self._ending.check(time.monotonic())
                self._reap()
                if ended:
                    break
                pause = min(pause * 1.1, _CHECK_INTERVAL_MAX)
        self._report(b"g", 0)

    def _poll_timeout(self, pause: float) -> float | None:
        """The longest wait for a descriptor in milliseconds, or None for no limit.

        :param pause: seconds between checks of the processes that are being ended.
        """
        if self._ending is not None:
            return pause * 1000
        if self._until == NO_LIMIT:
            return None
        return min(max(self._until - self._spec.patience - boottime(), 0.0), _CLOCK_INTERVAL) * 1000 + 0.5

    def _check_time_limit(self) -> None:
        """End the command before its time limit, and kill it at the time limit."""
        left = self._until - boottime()
        if self._ending is not None:
            if left <= 0:
                self._ending.hurry()
        elif left <= self._spec.patience:
            self._report(b"l", 0)
            self._end(max(left, 0.0))

    def _start(self) -> None:
        spec, letter = self._spec, b"f"
        try:
            if spec.cwd and not spec.user:
                letter = b"d"
                os.chdir(os.path.expanduser(spec.cwd))  # may block for long on a dead file server
                letter = b"f"
            owned = self._read_requests()
            self._check_time_limit()
            if owned and self._ending is None:
                self._pid = spawn(spec)
                self._has_children = True
                self._report(b"p", self._pid)
        except StartError as error:
            self._report(error.letter, error.number)
        except OSError as error:
            self._report(letter, error.errno or 0)
        for number in spec.streams:
            os.close(number)
        null = os.open(os.devnull, os.O_RDWR)
        # A reader of the command's output must see the end of file when the command ends, not when the supervisor ends.
        for number in range(3):
            os.dup2(null, number)
        os.close(null)

    def _reap(self) -> None:
        while self._has_children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_children = False
                return
            if not pid:
                return
            if pid == self._pid:
                self._pid = 0
                self._report(b"x", os.waitstatus_to_exitcode(status))

    def _read_requests(self) -> bool:
        """Read the owner's requests. Return False when the owner is gone."""
        try:
            data = self._sock.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._unread += data
        while len(self._unread) >= PACKET.size:
            letter, number = PACKET.unpack(self._unread[: PACKET.size])
            self._unread = self._unread[PACKET.size :]
            if letter == b"s":
                self._signal(number)
            elif letter == b"u":
                self._until = max(self._until, number / 1000)
            else:
                self._end()
                if letter == b"k" and self._ending is not None:
                    self._ending.hurry()
        return bool(data)

    def _signal(self, number: int) -> None:
        if not self._pid:
            return  # another process may already have this pid
        try:
            if self._spec.group:
                os.kill(self._pid, number)
            else:
                os.killpg(self._pid, number)
        except OSError:
            pass  # the command has ended or changed its user, or this system does not know the signal

    def _end(self, patience: float = PATIENCE) -> None:
        if self._ending is None:
            own_pid = os.getpid()
            self._ending = Ending(lambda: below(own_pid) if self._has_children else set(), time.monotonic(), patience)

    def _report(self, letter: bytes, number: int) -> None:
        try:
            self._sock.send(PACKET.pack(letter, number), socket.MSG_NOSIGNAL)
        except OSError:
            pass  # the owner is gone; the next read of the socket shows that


def spawn(spec: Spec) -> int:
    """Start the command and return its pid.

    posix_spawn takes a third of the time of a fork, and its time does not depend on the memory of this process.

    :raises OSError: the command cannot be executed.
    :raises StartError: the same, for a command with another user.
    """
    if spec.user:
        return spawn_as(
            spec.user,
            spec.argv,
            spec.env,
            cwd=spec.cwd,
            streams=spec.streams,
            terminal=spec.terminal,
            defaults=_defaults,
        )
    group_options: dict[str, bool | int] = {"setpgroup": spec.group} if spec.group else {"setsid": True}
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(spec.streams)
    ]
    if spec.terminal:  # the first terminal that the leader of a new session opens becomes its controlling terminal
        actions.insert(0, (os.POSIX_SPAWN_OPEN, 0, path_of(spec.streams[0]), os.O_RDWR, 0))
    name = spec.argv[0]
    folders = [b""] if b"/" in name else map(os.fsencode, os.get_exec_path(dict(spec.env)))  # type: ignore[arg-type]
    failed: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for folder in folders:
        try:
            return os.posix_spawn(
                os.path.join(folder, name),
                spec.argv,
                spec.env,
                file_actions=actions,
                setsigmask=(),
                setsigdef=_defaults,
                **group_options,  # type: ignore[arg-type]
            )
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # not executable, for example; the next directory may have another file of that name
            failed = error
    raise failed
