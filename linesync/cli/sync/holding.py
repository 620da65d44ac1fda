"""A command that runs while something is held: ``lock NAME -- CMD``, ``sem NAME -N --hold -- CMD``.

It runs below a supervisor, as the commands of ``run`` do: when we are gone in whatever way, it ends with all that it has
started. It stays in our process group, so that it has the terminal.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

from ...client.blocking import BlockingClient
from ...client.sync import Held
from ...errors import CannotExecute, CommandNotFound, LinesyncError, LinesyncFailed
from ...jobs.handover import PACKET, PATIENCE
from ...jobs.supervisor import fork_supervisor
from ...jobs.tree import Ending, become_subreaper, below

__all__ = ["run_holding"]

_SI_KERNEL = 0x80  # of sigaction(2): a terminal's Ctrl-C, which the command gets as well
_INFO_SIZE = 128  # bytes of a signalfd_siginfo, which begins with the signal, errno and si_code
_LOOK = 0.02  # seconds between looks at what is being ended


def run_holding(client: BlockingClient, held: Held, argv: Sequence[str], extra: Mapping[str, str]) -> int:
    """Run a command and give back what is held when it has ended with all that it has started; its exit code.

    Its environment has ``LINESYNC_WITHIN``, by which a deadlock through its own waits is found. Should what is held go
    back before (the hub ended, somebody reset it), the command is ended: it works on what may be another's by now.
    SIGTERM and SIGHUP end it. A SIGINT that does not come from the terminal is passed on, and ends it if it still runs 3 s
    later; one from the terminal, Ctrl-C, the command gets as well as we, and it decides.

    :param extra: further variables for the command.
    :raises CommandNotFound, CannotExecute: it cannot be run.
    :raises LinesyncFailed: what was held went back before the command had ended.
    """
    env = {**os.environb, **{os.fsencode(key): os.fsencode(value) for key, value in extra.items()}}
    env[b"LINESYNC_WITHIN"] = os.fsencode(held.arrival)
    numbers: set[int] = {signal.SIGINT, signal.SIGTERM}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.add(signal.SIGHUP)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    signals = _signal_descriptor(numbers)
    command = _Command(argv, env)
    try:
        why = _watch(client, held, command, signals)
        if why is not None:
            print("linesync: what was held is lost; ending the command", file=sys.stderr, flush=True)
            command.end_now()
            raise LinesyncFailed(f"what was held is lost ({why}); the command {argv[0]} was ended")
        client.give_back(held)
        return command.exit_code()
    finally:
        command.end_now()
        os.close(signals)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _signal_descriptor(numbers: Iterable[int]) -> int:
    """A descriptor that tells of these signals, and unlike a handler, who sent them: signalfd(2)."""
    bits = ctypes.sizeof(ctypes.c_ulong) * 8
    mask = (ctypes.c_ulong * (1024 // bits))()
    for number in numbers:
        mask[(number - 1) // bits] |= 1 << ((number - 1) % bits)
    descriptor: int = ctypes.CDLL(None, use_errno=True).signalfd(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    return descriptor


def _watch(client: BlockingClient, held: Held, command: _Command, signals: int) -> str | None:
    """Keep the connection going until nothing of the command is left; why what is held was lost before, else None."""

    def signalled() -> None:
        info = os.read(signals, _INFO_SIZE)
        number, code = int.from_bytes(info[:4], sys.byteorder), int.from_bytes(info[8:12], sys.byteorder, signed=True)
        if number != signal.SIGINT:
            command.ask(b"s", number)
            command.ask(b"e")
        elif code != _SI_KERNEL:
            command.ask(b"s", number)
            command.end_at = command.end_at or time.monotonic() + PATIENCE

    client.peer.watch(signals, signalled)
    client.peer.watch(command.sock.fileno(), command.heard)
    try:
        while not command.over:
            why = client.operations.revoked.get(held.arrival)
            if why is not None:
                return why
            left = None if command.end_at is None else command.end_at - time.monotonic()
            if left is not None and left <= 0:
                command.ask(b"e")
                left = None
            client.peer.turn(left)
        return None
    except LinesyncError as error:
        return error.message
    finally:
        client.peer.watch(signals, None)
        client.peer.watch(command.sock.fileno(), None)


class _Command:
    """The command and its supervisor.

    :ivar over: the supervisor has ended, and nothing of the command is left.
    :ivar end_at: monotonic seconds when it is ended if it still runs, or None.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[bytes, bytes]) -> None:
        self.over = False
        self.end_at: float | None = None
        self._what = argv[0]
        self._status: int | None = None
        self._failed: int | None = None
        self._unread = b""
        self._clean = False
        self._others = below(
            os.getpid()
        )  # that are none of the command's: whoever runs us in a program of theirs has some
        become_subreaper()  # should the supervisor be killed, all below it is ours
        self._supervisor, self.sock = fork_supervisor([os.fsencode(word) for word in argv], env)

    def ask(self, letter: bytes, number: int = 0) -> None:
        """Ask the supervisor for something (:mod:`linesync.jobs.supervisor`)."""
        try:
            self.sock.send(PACKET.pack(letter, number), socket.MSG_NOSIGNAL)
        except OSError:
            pass  # it has ended

    def heard(self) -> None:
        """Take what the supervisor reports."""
        try:
            data = self.sock.recv(4096)
        except ConnectionResetError:  # it ended over something that we had asked
            data = b""
        self._unread += data
        while len(self._unread) >= PACKET.size:
            letter, number = PACKET.unpack(self._unread[: PACKET.size])
            self._unread = self._unread[PACKET.size :]
            if letter == b"f":
                self._failed = number
            elif letter == b"g":
                self._clean = True
            elif letter == b"x":
                self._status = number
                self.ask(b"e")  # what it has started and left
        if not data and not self.over:
            self.over = True
            self._collect()

    def _collect(self) -> None:
        """The supervisor has ended. Was it killed, what was below it is below us now."""
        os.waitpid(self._supervisor, 0)
        if self._clean:
            return
        me = os.getpid()
        ending = Ending(lambda: below(me, self._others), time.monotonic())
        while not ending.look(time.monotonic()):
            time.sleep(_LOOK)

    def end_now(self) -> None:
        """End what is left, and wait for that."""
        self.ask(b"e")
        while not self.over:
            select.select([self.sock], [], [])
            self.heard()
        self.sock.close()

    def exit_code(self) -> int:
        """As a shell tells it.

        :raises CommandNotFound, CannotExecute: it was not run.
        """
        if self._failed == 2:  # ENOENT
            raise CommandNotFound(f"there is no command {self._what}; check its spelling and PATH")
        if self._failed is not None:
            why = os.strerror(self._failed)
            raise CannotExecute(f"{self._what} cannot be executed: {why}; check its mode and its first line")
        if self._status is None:
            raise LinesyncFailed(f"the supervisor of {self._what} was killed; the command was ended")
        return 128 - self._status if self._status < 0 else self._status
