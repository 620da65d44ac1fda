"""What an agent or a hub and its helper processes (:mod:`linesync.jobs.forkserver`, :mod:`linesync.jobs.supervisor`) say to
each other, and the mark that their commands carry."""

from __future__ import annotations

import marshal
import os
import struct

__all__ = ["MARK", "PACKET", "PATIENCE", "SIGNALS", "begin_of", "mark_of", "pack_command", "stat_of"]

PATIENCE = 3.0
"""Seconds between SIGTERM and SIGKILL."""
PACKET = struct.Struct("=ci")
"""Between a supervisor and the owner of its command, a letter and a number. Up: ``p`` pid of the command, which has been
started; ``d`` errno, no such directory; ``f`` errno, not executed; ``x`` its exit status or -N for signal N; ``g`` nothing is
left. Down: ``s`` signal, ``e`` end it, ``k`` kill it."""
SIGNALS = range(1, 65)
MARK = "LINESYNC_RUN"
"""The variable by which the processes of a command are found when nothing else is left that knows them."""


def pack_command(argv: list[bytes], env: dict[bytes, bytes], cwd: bytes) -> bytes:
    """What to run, as its process reads it; ``env`` is added to the owner's environment."""
    return marshal.dumps((argv, env, cwd))


def mark_of(pid: int, name: str) -> str:
    """The beginning of the marks of an owner's commands. The namespace is in it: pids mean nothing in another one."""
    return f"{os.stat('/proc/self/ns/pid').st_ino}.{pid}.{begin_of(pid)}.{name}."


def begin_of(pid: int | str) -> str:
    """When a process began, in ticks since the machine started: with its pid, it names one life. Empty: it does not run."""
    try:
        fields = stat_of(pid)[1]
    except OSError:
        return ""
    return "" if fields[0] in b"ZX" else fields[19].decode()


def stat_of(pid: int | str) -> tuple[str, list[bytes]]:
    """A process's name, and the fields of its ``stat`` from its state on. Raises OSError when there is no such process."""
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        head, _, rest = file.read(4096).rpartition(b")")
    return head.partition(b"(")[2].decode("utf-8", "replace"), rest.split()
