"""The messages between an agent or a hub and its helper processes (:mod:`linesync.jobs.forkserver`,
:mod:`linesync.jobs.supervisor`), and the mark in the environment of their commands."""

from __future__ import annotations

import marshal
import os
import struct
import time

__all__ = ["MARK", "PACKET", "PATIENCE", "SIGNALS", "begin_of", "boottime", "mark_of", "pack_command", "stat_of"]

PATIENCE = 3.0
"""The default time between SIGTERM and SIGKILL, in seconds."""
PACKET = struct.Struct("=cq")
"""The format of a message between a supervisor and the owner of its command: a letter and a number.

From the supervisor:

- ``p``: the command has started; the number is its pid.
- ``d``: the working directory cannot be entered; the number is the errno.
- ``f``: the command cannot be executed; the number is the errno.
- ``a``: the command cannot run as this user; the number is the errno, or 0 if there is no such user.
- ``r``: the record of a detached process cannot be written; the number is the errno.
- ``x``: the command has ended; the number is its exit status, or -N for signal N.
- ``l``: the supervisor ends the command, because its time limit is reached.
- ``g``: no process of the command is left.

From the owner:

- ``s``: send a signal; the number is the signal.
- ``e``: end the command.
- ``k``: kill the command.
- ``u``: all processes of the command must have ended at a time; the number is that time of :func:`boottime` in
  milliseconds.
"""
SIGNALS = range(1, 65)
"""The numbers of the signals that a client may send to a command."""
MARK = "LINESYNC_RUN"
"""The environment variable that identifies the processes of a command when their supervisor is gone."""


def pack_command(
    argv: list[bytes],
    env: dict[bytes, bytes],
    cwd: bytes,
    *,
    user: str = "",
    clear: bool = False,
    terminal: bool = False,
) -> bytes:
    """Encode a command for a supervisor.

    :param env: variables that are added to the environment.
    :param user: the user of the command; empty for the owner's user.
    :param clear: the command inherits only HOME, USER, LOGNAME, SHELL and PATH of the owner's environment.
    :param terminal: whether stdin, stdout and stderr are a terminal, which becomes the controlling terminal of the command.
    """
    return marshal.dumps((argv, env, cwd, user, clear, terminal))


def mark_of(pid: int, name: str) -> str:
    """The prefix of the marks of an owner's commands. It contains the pid namespace, because a pid is valid only there."""
    return f"{os.stat('/proc/self/ns/pid').st_ino}.{pid}.{begin_of(pid)}.{name}."


def begin_of(pid: int | str) -> str:
    """The start time of a process in clock ticks since boot, or "" if it does not run. Pid and start time together
    identify one process."""
    try:
        fields = stat_of(pid)[1]
    except OSError:
        return ""
    return "" if fields[0] in b"ZX" else fields[19].decode()


def boottime() -> float:
    """The time of CLOCK_BOOTTIME in seconds. All processes of a machine see the same clock, which also runs while the
    machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def stat_of(pid: int | str) -> tuple[str, list[bytes]]:
    """A process's name, and the fields of its ``stat`` file from the state on.

    :raises OSError: there is no such process.
    """
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        head, _, rest = file.read(4096).rpartition(b")")
    return head.partition(b"(")[2].decode("utf-8", "replace"), rest.split()
