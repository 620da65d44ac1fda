"""A command that runs while something is held: ``lock NAME -- CMD``, ``sem NAME -N --hold -- CMD``."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from ...client.blocking import BlockingClient
from ...client.sync import Held
from ...errors import CannotExecute, CommandNotFound, LinesyncError, LinesyncFailed

__all__ = ["run_holding"]

_PR_SET_PDEATHSIG = 1  # of prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_TO_END = 5.0  # seconds that a command has to end by itself once what it relies on is gone


def run_holding(client: BlockingClient, held: Held, argv: Sequence[str], extra: Mapping[str, str]) -> int:
    """Run a command and give back what is held when it has ended; its exit code.

    Its environment has ``LINESYNC_WITHIN``, by which a deadlock through its own waits is found. Should what is held go
    back before (the hub ended, somebody reset it), the command is ended: it works on what may be another's by now.

    :param extra: further variables for the command.
    :raises CommandNotFound, CannotExecute: it cannot be run.
    :raises LinesyncFailed: what was held went back before the command had ended.
    """
    env = {**os.environ, **extra, "LINESYNC_WITHIN": held.arrival}
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C goes to the command too; it decides
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    try:
        child = _start(argv, env)
        for number in early:
            child.send_signal(number)
        why = _watch(client, held, child)
        if why is not None:
            _end(child)
            raise LinesyncFailed(f"what was held is lost ({why}); the command {argv[0]} was ended")
        client.give_back(held)
        code = child.returncode
        return 128 - code if code < 0 else code
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _start(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what outlives its parent is found below us then

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # killed, we hold nothing any more: then it must end too

    try:
        return subprocess.Popen(argv, env=dict(env), preexec_fn=prepare)
    except FileNotFoundError:
        raise CommandNotFound(f"there is no command {argv[0]}; check its spelling and PATH") from None
    except OSError as error:
        raise CannotExecute(
            f"{argv[0]} cannot be executed: {error.strerror}; check its mode and its first line"
        ) from None


def _watch(client: BlockingClient, held: Held, child: subprocess.Popen[bytes]) -> str | None:
    """Keep the connection going until the command has ended; why what is held was lost before, else None."""
    ended = os.pidfd_open(child.pid)
    client.peer.watch(ended, lambda: None)
    try:
        while child.poll() is None:
            why = client.operations.revoked.get(held.arrival)
            if why is not None:
                return why
            client.peer.turn(None)
        return None
    except LinesyncError as error:
        return error.message
    finally:
        client.peer.watch(ended, None)
        os.close(ended)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the command with all that it started: asked first, killed after five seconds."""
    print("linesync: what was held is lost; ending the command", file=sys.stderr, flush=True)
    patience = time.monotonic() + _TO_END
    asked: set[int] = set()
    others: set[int] = set()  # of another user, after sudo: not ours to end
    while family := _descendants() - others:
        late = time.monotonic() > patience
        for pid in family if late else family - asked:
            try:
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            except ProcessLookupError:
                pass  # it has ended meanwhile
            except PermissionError:
                others.add(pid)
        asked |= family
        time.sleep(0.02)
    if child.pid not in others:
        child.wait()


def _descendants() -> set[int]:
    """The processes that descend from this one and still run."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                state, parent, *_ = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in b"ZX":
            children.setdefault(int(parent), []).append(int(name))
    found: set[int] = set()
    todo = [os.getpid()]
    while todo:
        found.update(below := children.get(todo.pop(), []))
        todo += below
    return found
