"""A command that runs while a lock or units of a semaphore are held: ``lock NAME -- CMD``, ``sem NAME -N --hold -- CMD``.

It runs below a supervisor, as the commands of ``run`` do. If this process ends in any way, the supervisor ends the command
and all processes that it started. It also keeps our connection open until then, so that the hub does not give the hold to
another client earlier. The command stays in our session and process group, so that it can use the terminal.

The hub gives the hold to another client when it has not heard this host for one lease. So the supervisor ends the command
before that time. We postpone this time whenever an answer shows that the hub still hears us
(:mod:`linesync.client.validity`). If this process, the agent, the line or the hub is stopped or cut off, no answer comes, and
the time is not postponed.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from ...client.blocking import BlockingClient
from ...client.sync import Held
from ...client.validity import Validity
from ...errors import CannotExecute, CommandNotFound, LinesyncError, LinesyncFailed
from ...jobs.commands.handover import PACKET, PATIENCE
from ...jobs.commands.supervisor import NO_LIMIT, fork_supervisor
from ...jobs.commands.tree import Ending, become_subreaper, below
from ...runtime.pending import Pending
from ...transports.endpoint import absolute
from ..common import print_notice

__all__ = ["run_holding"]

_SI_KERNEL = 0x80  # si_code of a SIGINT that the terminal sent (sigaction(2)); the command receives that signal too
_INFO_SIZE = 128  # bytes of a signalfd_siginfo, which begins with the signal, errno and si_code
_ASK_EVERY = 1 / 16  # part of the lease between two questions whether the hub hears us
_PATIENCE = 0.15  # part of the lease between SIGTERM and SIGKILL, if it is less than the usual time
_CHECK_INTERVAL = 0.02  # seconds between checks whether the processes have ended


def run_holding(
    client: BlockingClient,
    held: Held,
    argv: Sequence[str],
    extra: Mapping[str, str],
    *,
    timeout: float | None,
    as_json: bool = False,
) -> int:
    """Run a command, and give back the hold when the command and all processes that it started have ended.

    The command's environment has ``LINESYNC_WITHIN``, with which the hub finds a deadlock through the command's own waits.
    If the hold is lost earlier (the hub ended, or the name was reset), the command is ended, because another host may
    already own the lock or the units. If the hub may not hear this host, the command is ended before another host can own
    them. SIGTERM and SIGHUP end the command. A SIGINT that does not come from the terminal is forwarded, and the command is
    ended if it still runs 3 s later. A Ctrl-C on the terminal reaches the command directly, and the command decides what to
    do.

    :param extra: further environment variables for the command.
    :param timeout: seconds within which the hub must confirm the return of the hold, or None.
    :param as_json: whether the notice of a lost hold is JSON.
    :return: the command's exit code, as a shell reports it.
    :raises CommandNotFound: there is no such command.
    :raises CannotExecute: the command cannot be executed.
    :raises LinesyncFailed: the hold was lost before the command had ended.
    """
    validity = _first_validity(client, held)
    env = {**os.environb, **{os.fsencode(key): os.fsencode(value) for key, value in extra.items()}}
    env[b"LINESYNC_HUB"] = os.fsencode(absolute(client.peer.endpoint))  # the command may change its directory
    env[b"LINESYNC_WITHIN"] = os.fsencode(held.arrival)
    numbers: set[int] = {signal.SIGINT, signal.SIGTERM}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.add(signal.SIGHUP)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    signals = _signal_descriptor(numbers)
    command = _Command(argv, env, validity, client.peer.descriptors)
    try:
        why = _watch(client, held, command, signals)
        if why is not None:
            print_notice(f"the hold was lost; ending the command {argv[0]}", as_json=as_json)
            command.end_now()
            raise LinesyncFailed(f"the hold was lost ({why}) and the command {argv[0]} was ended; run it again")
        client.give_back(held, timeout=timeout)
        return command.exit_code()
    finally:
        command.end_now()
        os.close(signals)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _first_validity(client: BlockingClient, held: Held) -> Validity:
    """Find out until when the hold is certainly ours, before the command starts.

    :raises LinesyncFailed: it was lost already.
    """
    validity = client.operations.validities[held.arrival]
    try:
        client.check(held)
    except LinesyncFailed:
        if validity.lease or held.arrival in client.operations.revoked or not client.peer.up:
            raise
        # The agent or the hub is too old to answer. It notifies us when the hold is lost, after the lease.
    return validity


def _signal_descriptor(numbers: Iterable[int]) -> int:
    """A signalfd(2) for these signals. Unlike a handler, it also reports the sender of a signal."""
    bits = ctypes.sizeof(ctypes.c_ulong) * 8
    mask = (ctypes.c_ulong * (1024 // bits))()
    for number in numbers:
        mask[(number - 1) // bits] |= 1 << ((number - 1) % bits)
    descriptor: int = ctypes.CDLL(None, use_errno=True).signalfd(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    return descriptor


def _watch(client: BlockingClient, held: Held, command: _Command, signals: int) -> str | None:
    """Serve the connection until the command and all its processes have ended.

    :return: the reason why the hold was lost before that, or None.
    """

    def signalled() -> None:
        info = os.read(signals, _INFO_SIZE)
        number, code = int.from_bytes(info[:4], sys.byteorder), int.from_bytes(info[8:12], sys.byteorder, signed=True)
        if number != signal.SIGINT:
            command.ask(b"s", number)
            command.ask(b"e")
        elif code != _SI_KERNEL:
            command.ask(b"s", number)
            command.end_at = command.end_at or time.monotonic() + PATIENCE

    why: str | None = None
    asking: Pending | None = None
    ask_at = 0.0
    client.peer.watch(signals, signalled)
    client.peer.watch(command.sock.fileno(), command.receive)
    try:
        while not command.over:
            why = client.operations.revoked.get(held.arrival)
            if why is not None or command.late:
                break
            now = time.monotonic()
            waits = []
            if command.end_at is not None and command.end_at <= now:
                command.ask(b"e")
                command.end_at = None
            elif command.end_at is not None:
                waits.append(command.end_at - now)
            if command.validity.lease and (asking is None or asking.reply is not None):
                command.postpone()
                if ask_at <= now:
                    asking, ask_at = command.validity.ask(client.peer), now + command.validity.lease * _ASK_EVERY
                else:
                    waits.append(ask_at - now)
            client.peer.turn(min(waits, default=None))
        return command.validity.why_over if command.late else why
    except LinesyncError as error:
        return error.message
    finally:
        client.peer.watch(signals, None)
        client.peer.watch(command.sock.fileno(), None)


class _Command:
    """The command and its supervisor.

    :param validity: the time at which all its processes must have ended; if its lease is not known, there is no such time.
    :param keep: descriptors that the supervisor keeps open until these processes have ended.
    :ivar over: the supervisor, the command and all its processes have ended.
    :ivar late: the supervisor ends the command, because the hold may be lost soon.
    :ivar end_at: the time, in monotonic seconds, when the command is ended if it still runs, or None.
    """

    def __init__(
        self, argv: Sequence[str], env: Mapping[bytes, bytes], validity: Validity, keep: Collection[int]
    ) -> None:
        self.validity = validity
        self.over = False
        self.late = False
        self.end_at: float | None = None
        self._program = argv[0]
        self._status: int | None = None
        self._failed: int | None = None
        self._unread = b""
        self._clean = False
        # Child processes that do not belong to the command: a program that calls this function may have some.
        self._others = below(os.getpid())
        become_subreaper()  # if the supervisor is killed, we become the parent of its processes
        self._until = validity.until if validity.lease else NO_LIMIT
        patience = min(PATIENCE, validity.lease * _PATIENCE)
        words = [os.fsencode(word) for word in argv]
        self._supervisor, self.sock = fork_supervisor(words, env, until=self._until, patience=patience, keep=keep)

    def postpone(self) -> None:
        """Report to the supervisor until when the command may run."""
        if self.validity.until > self._until:
            self._until = self.validity.until
            self.ask(b"u", int(self._until * 1000))

    def ask(self, letter: bytes, number: int = 0) -> None:
        """Send the supervisor a request (:mod:`linesync.jobs.commands.supervisor`)."""
        try:
            self.sock.send(PACKET.pack(letter, number), socket.MSG_NOSIGNAL)
        except OSError:
            pass  # it has ended

    def receive(self) -> None:
        """Handle the supervisor's reports."""
        try:
            data = self.sock.recv(4096)
        except ConnectionResetError:  # it ended before it had read all our requests
            data = b""
        self._unread += data
        while len(self._unread) >= PACKET.size:
            letter, number = PACKET.unpack(self._unread[: PACKET.size])
            self._unread = self._unread[PACKET.size :]
            if letter == b"f":
                self._failed = number
            elif letter == b"g":
                self._clean = True
            elif letter == b"l":
                self.late = True
            elif letter == b"x":
                self._status = number
                self.ask(b"e")  # end the processes that the command left behind
        if not data and not self.over:
            self.over = True
            self._collect()

    def _collect(self) -> None:
        """The supervisor has ended. If it was killed, its processes are below us now: end them."""
        os.waitpid(self._supervisor, 0)
        if self._clean:
            return
        me = os.getpid()
        ending = Ending(lambda: below(me, self._others), time.monotonic())
        while not ending.check(time.monotonic()):
            time.sleep(_CHECK_INTERVAL)

    def end_now(self) -> None:
        """End all processes that still run, and wait until they have ended."""
        self.ask(b"e")
        while not self.over:
            select.select([self.sock], [], [])
            self.receive()
        self.sock.close()

    def exit_code(self) -> int:
        """The exit code of the command, as a shell reports it.

        :raises CommandNotFound: there is no such command.
        :raises CannotExecute: the command cannot be executed.
        :raises LinesyncFailed: the supervisor was killed.
        """
        if self._failed == 2:  # ENOENT
            raise CommandNotFound(f"there is no command {self._program}; check its spelling and PATH")
        if self._failed is not None:
            why = os.strerror(self._failed)
            raise CannotExecute(f"cannot execute {self._program}: {why}; check its mode and its first line")
        if self._status is None:
            raise LinesyncFailed(
                f"the supervisor of the command {self._program} was killed and the command was ended; run it again"
            )
        return 128 - self._status if self._status < 0 else self._status
