"""The process that has supervisors ready for an agent or a hub, so that a command starts at once: small and of one thread,
which the agent is not.

A supervisor waits on the *work* socket. It takes a piece of work: its own socket, the command's stdin, stdout and stderr,
and a file in memory that says what to run; the fork server has the next one ready then. It is a subreaper too: what a
supervisor leaves behind that was killed becomes its child, and is ended. When its owner is gone it ends as soon as its
children have.

It also looks for processes that carry the mark of a command without an owner (``handover.MARK``): at its start those of a
dead owner of the same name, later, when the *control* socket asks for it, those of a command whose supervisor was killed.
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]

_NAME = "linesync-forks"
_ASK = 4096  # bytes of a request on the control socket, at most
_LOOK = 0.05  # seconds between looks at what is being ended
_AGAIN = 0.5  # seconds until the next try where there was no memory for another process
_TOO_LONG = 30.0  # seconds after which a search for marks leaves it at that


def main(control: int, work: int, name: str) -> NoReturn:
    """Serve until the owner is gone.

    :param name: the owner's host.
    """
    set_name(_NAME)
    ignore_signals()
    become_subreaper()
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
        """Can be read when the supervisor that was ready has got work, or has been killed."""
        self._ending: Ending | None = None
        """The end of what a killed supervisor has left."""

    def run(self) -> None:
        """Serve."""
        self._prepare()
        self._look_for("")
        owned, some = True, True
        while owned or some:
            poll = select.poll()
            for number in (self._children, *((self._control.fileno(), self._ready) if owned else ())):
                if number >= 0:
                    poll.register(number, select.POLLIN)
            pause = _LOOK if self._ending is not None else _AGAIN if owned and self._ready < 0 else None
            found = {number for number, _ in poll.poll(None if pause is None else pause * 1000)}
            if owned and self._control.fileno() in found:
                owned = self._asked()
            if owned and self._ready in found and not os.read(self._ready, 1):
                time.sleep(_LOOK)  # it was killed: should that go on, it costs little
            if owned and (self._ready < 0 or self._ready in found):
                self._prepare()
            if self._children in found:
                os.read(self._children, 4096)
            some = self._reap()
            if self._ending is not None and self._ending.look(time.monotonic()):
                self._ending = None
                some = self._reap()

    def _reap(self) -> bool:
        """Take the end of children; whether there are others."""
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
        """What a supervisor that was killed has left."""
        return below(os.getpid(), self._supervisors | self._searching)

    def _asked(self) -> bool:
        """Take one request, a mark to search for. False when the owner is gone."""
        try:
            mark = self._control.recv(_ASK).decode()
        except OSError:
            mark = ""
        if mark:
            self._look_for(mark)
            return True
        self._work.close()
        for pid in self._searching:
            os.kill(pid, signal.SIGKILL)
        return False

    def _prepare(self) -> None:
        """Have a supervisor ready that waits for work."""
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
        ready, taken = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
        except OSError:  # we try again
            os.close(ready)
        else:
            if not pid:
                os.close(ready)
                self._supervise(taken)
            self._supervisors.add(pid)
            self._ready = ready
        os.close(taken)

    def _supervise(self, taken: int) -> NoReturn:
        """In the child: be a supervisor, once there is work."""
        try:
            self._control.close()
            os.close(self._children)
            os.close(signal.set_wakeup_fd(-1))
            supervise(lambda: _take(self._work, taken))
        finally:
            os._exit(1)

    def _look_for(self, mark: str) -> None:
        """Find processes with a mark and end them, in a process of its own: ``/proc`` may keep one waiting.

        :param mark: of one command; empty: of the commands of all dead owners of our name.
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
    """Wait for work; None if the owner is gone."""
    numbers = array.array(
        "i"
    )  # socket.recv_fds has no regard for the flag until Python 3.12: the command would get them all
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
        pass  # the fork server was killed: nobody has the next one ready, but we are
    os.close(taken)
    sock, *streams, file = numbers
    argv, env, cwd = marshal.loads(os.pread(file, os.fstat(file).st_size, 0))
    os.close(file)
    return socket.socket(fileno=sock), Spec(argv, {**os.environb, **env}, cwd=cwd, streams=streams)


def _search(control: socket.socket, mark: str, name: str, owner: int) -> None:
    """End what is found; then answer with the mark and the pids."""
    space = mark_of(owner, name).partition(".")[0]

    def wanted(found: str) -> bool:
        if mark:
            return found == mark
        place, pid, begin, rest = [*found.split(".", 3), "", "", ""][:4]
        return place == space and rest.rpartition(".")[0] == name and begin_of(pid) != begin

    first = marked(wanted)
    if first:
        began = time.monotonic()
        ending = Ending(lambda: marked(wanted), began)
        while not ending.look(time.monotonic()) and time.monotonic() < began + _TOO_LONG:
            time.sleep(_LOOK)
    control.send(f"{mark} {' '.join(map(str, sorted(first)))}".encode(), socket.MSG_NOSIGNAL)
