"""The fork server of an agent or a hub: a small process with one thread that always keeps one supervisor ready.

A command then starts without delay. A supervisor waits on the *work* socket for one job. A job consists of five
descriptors: the socket of the supervisor, the command's stdin, stdout and stderr, and a memory file with the command. The
fork server then forks the next supervisor. The fork server is also a subreaper: when a supervisor is killed, its
descendants become children of the fork server, which ends them. When the owner (the agent or hub) is gone, the fork server
ends as soon as its children have ended.

The fork server also searches for processes of commands without an owner. It recognises them by their mark
(``handover.MARK``). When it starts, it searches for processes of a dead owner with the same name. Later the owner can
request, on the *control* socket, a search for the processes of a command whose supervisor was killed.
"""

from __future__ import annotations

import array
import gc
import marshal
import os
import select
import signal
import socket
import time

from .handover import begin_of, mark_of
from .supervisor import Spec, ignore_signals, supervise, wakeup
from .tree import Ending, become_subreaper, below, marked, set_name
from .user import BASIC, fill_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]

_NAME = "linesync-forks"
_REQUEST_MAX = 4096  # bytes of the longest request on the control socket
_CHECK_INTERVAL = 0.05  # seconds between checks of the processes that are being ended
_RETRY_AFTER = 0.5  # seconds until the next attempt to fork after there was no memory for it
_SEARCH_LIMIT = 30.0  # seconds after which a search for marks stops


def main(control: int, work: int, name: str, open_files: str) -> NoReturn:
    """Run the fork server until the owner and all children are gone.

    :param control: the descriptor of the control socket.
    :param work: the descriptor of the work socket.
    :param name: the name of the owner's host.
    :param open_files: the soft and the hard limit of open files for all commands, as "SOFT HARD"; empty if this process
        has inherited them.
    """
    if open_files:
        import resource

        soft, hard = map(int, open_files.split(" "))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    set_name(_NAME)
    ignore_signals()
    become_subreaper()
    fill_environment()  # the commands inherit it
    gc.disable()
    gc.freeze()
    _ForkServer(socket.socket(fileno=control), socket.socket(fileno=work), name).run()
    os._exit(0)


class _ForkServer:
    """One fork server."""

    def __init__(self, control: socket.socket, work: socket.socket, name: str) -> None:
        self._control = control
        self._work = work
        self._name = name
        self._owner = os.getppid()
        self._children = wakeup()
        self._supervisors: set[int] = set()
        self._searching: set[int] = set()
        self._ready = -1
        """A descriptor that becomes readable when the ready supervisor has taken a job or was killed."""
        self._ending: Ending | None = None
        """Ends the processes that a killed supervisor left behind."""

    def run(self) -> None:
        """Serve until the owner and all children are gone."""
        self._prepare()
        self._search_for("")
        owned, children_left = True, True
        while owned or children_left:
            poll = select.poll()
            for number in (self._children, *((self._control.fileno(), self._ready) if owned else ())):
                if number >= 0:
                    poll.register(number, select.POLLIN)
            pause = _CHECK_INTERVAL if self._ending is not None else _RETRY_AFTER if owned and self._ready < 0 else None
            readable = {number for number, _ in poll.poll(None if pause is None else pause * 1000)}
            if owned and self._control.fileno() in readable:
                owned = self._handle_request()
            if owned and self._ready in readable and not os.read(self._ready, 1):
                time.sleep(_CHECK_INTERVAL)  # the supervisor was killed; if this repeats, it must not use the whole CPU
            if owned and (self._ready < 0 or self._ready in readable):
                self._prepare()
            if self._children in readable:
                os.read(self._children, 4096)
            children_left = self._reap()
            if self._ending is not None and self._ending.check(time.monotonic()):
                self._ending = None
                children_left = self._reap()

    def _reap(self) -> bool:
        """Collect the exit status of ended children. Return whether any children are left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            self._searching.discard(pid)
            if pid in self._supervisors:
                self._supervisors.discard(pid)
                if status:
                    self._ending = Ending(self._orphans, time.monotonic())

    def _orphans(self) -> set[int]:
        """The processes that killed supervisors left behind."""
        return below(os.getpid(), self._supervisors | self._searching)

    def _handle_request(self) -> bool:
        """Read one request, a mark to search for. Return False when the owner is gone."""
        try:
            mark = self._control.recv(_REQUEST_MAX).decode()
        except OSError:
            mark = ""
        if mark:
            self._search_for(mark)
            return True
        self._work.close()
        for pid in self._searching:
            os.kill(pid, signal.SIGKILL)
        return False

    def _prepare(self) -> None:
        """Start a supervisor that waits for a job."""
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
        ready, taken = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
        except OSError:  # run() tries again
            os.close(ready)
        else:
            if not pid:
                os.close(ready)
                self._supervise(taken)
            self._supervisors.add(pid)
            self._ready = ready
        os.close(taken)

    def _supervise(self, taken: int) -> NoReturn:
        """Wait for a job and supervise it. This runs in the child process.

        :param taken: the descriptor of the pipe that reports the start of the job to the fork server.
        """
        try:
            self._control.close()
            os.close(self._children)
            os.close(signal.set_wakeup_fd(-1))
            supervise(lambda: _take(self._work, taken))
        finally:
            os._exit(1)

    def _search_for(self, mark: str) -> None:
        """Find processes with a mark and end them, in a separate process, because reading ``/proc`` may block.

        :param mark: the mark of one command; empty for the commands of all dead owners with the same name.
        """
        owner = self._owner
        try:
            pid = os.fork()
        except OSError:
            return
        if pid:
            self._searching.add(pid)
            return
        try:
            self._work.close()
            os.close(self._ready)
            _search(self._control, mark, self._name, owner)
        finally:
            os._exit(0)


def _take(work: socket.socket, taken: int) -> tuple[socket.socket, Spec] | None:
    """Wait for a job and return its socket and its command, or None if the owner is gone.

    :param taken: the descriptor that gets one byte when the job has arrived.
    """
    # Not socket.recv_fds: before Python 3.12 it ignores the flag, and the command would inherit all descriptors.
    numbers = array.array("i")
    _, more, _, _ = work.recvmsg(1, socket.CMSG_SPACE(5 * numbers.itemsize), socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in more:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(data)
    work.close()
    if len(numbers) != 5:
        return None
    try:
        os.write(taken, b"w")
    except OSError:
        pass  # the fork server was killed, but this job can run without it
    os.close(taken)
    sock, *streams, file = numbers
    argv, env, cwd, user, clear, terminal = marshal.loads(os.pread(file, os.fstat(file).st_size, 0))
    os.close(file)
    inherited = {} if user else {name: value for name, value in os.environb.items() if not clear or name in BASIC}
    spec = Spec(argv, {**inherited, **env}, cwd=cwd, user=user, streams=streams, terminal=terminal)
    return socket.socket(fileno=sock), spec


def _search(control: socket.socket, mark: str, name: str, owner: int) -> None:
    """Find the processes with a mark, end them, and send the mark and their pids to the owner."""
    namespace = mark_of(owner, name).partition(".")[0]

    def wanted(found: str) -> bool:
        if mark:
            return found == mark
        pid_namespace, pid, begin, rest = [*found.split(".", 3), "", "", ""][:4]
        return pid_namespace == namespace and rest.rpartition(".")[0] == name and begin_of(pid) != begin

    pids = marked(wanted)
    if pids:
        began = time.monotonic()
        ending = Ending(lambda: marked(wanted), began)
        while not ending.check(time.monotonic()) and time.monotonic() < began + _SEARCH_LIMIT:
            time.sleep(_CHECK_INTERVAL)
    control.send(f"{mark} {' '.join(map(str, sorted(pids)))}".encode(), socket.MSG_NOSIGNAL)
