"""The messages between an agent or a hub and its helper processes (:mod:`linesync.jobs.forkserver`,
:mod:`linesync.jobs.supervisor`), and the mark in the environment of their commands."""

from __future__ import annotations

import marshal
import os
import struct
import time

__all__ = ["MARK", "PACKET", "PATIENCE", "SIGNALS", "begin_of", "boottime", "mark_of", "pack_command", "stat_of"]

PATIENCE = 3.0
"""Seconds between SIGTERM and SIGKILL."""
PACKET = struct.Struct("=cq")
"""A message between a supervisor and the owner of its command: a letter and a number.

From the supervisor: ``p`` the pid of the command, which has started; ``d`` errno, the directory cannot be entered; ``f``
errno, the command cannot be executed; ``x`` the exit status, or -N for signal N; ``l`` it ends the command, because its time
is up; ``g`` no process of the command is left.
From the owner: ``s`` a signal to send; ``e`` end the command; ``k`` kill it; ``u`` the time of :func:`boottime` in
milliseconds at which all processes of the command must have ended."""
SIGNALS = range(1, 65)
MARK = "LINESYNC_RUN"
"""The environment variable that identifies the processes of a command when their supervisor is gone."""


def pack_command(argv: list[bytes], env: dict[bytes, bytes], cwd: bytes) -> bytes:
    """The job in the form that a supervisor reads; ``env`` is added to the owner's environment."""
    return marshal.dumps((argv, env, cwd))


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
    """Seconds of CLOCK_BOOTTIME, which is the same in all processes of a machine and goes on while it is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def stat_of(pid: int | str) -> tuple[str, list[bytes]]:
    """A process's name, and the fields of its ``stat`` file from the state on.

    :raises OSError: there is no such process.
    """
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        head, _, rest = file.read(4096).rpartition(b")")
    return head.partition(b"(")[2].decode("utf-8", "replace"), rest.split()
