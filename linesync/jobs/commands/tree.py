"""Finds the processes with a common ancestor or a common mark, and ends them.

This module imports only small modules of the standard library, because helper processes use it that must start in
milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Collection

from .handover import MARK, PATIENCE, stat_of

__all__ = [
    "SUPERVISOR",
    "Ending",
    "Snapshot",
    "become_subreaper",
    "below",
    "marked",
    "set_name",
    "snapshot",
]

SUPERVISOR = "linesync-run"
"""The name of a supervisor process in ``ps``; the kernel allows at most 15 characters."""
_PR_SET_NAME = 15  # of prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

Snapshot = dict[int, tuple[str, int]]
"""The running processes without zombies: for each pid, the name and the parent's pid."""


def become_subreaper() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_name(name: str) -> None:
    """Set the name of this process in ``ps``."""
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def snapshot() -> Snapshot:
    """Return the processes that run now, without zombies."""
    found: Snapshot = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                name, fields = stat_of(entry)
            except OSError:  # it has just ended
                continue
            if fields[0] not in b"ZX":
                found[int(entry)] = name, int(fields[1])
    return found


def below(root: int, but: Collection[int] = ()) -> set[int]:
    """The pids of the descendants of the process ``root``.

    :param but: children of ``root`` that are omitted, with their descendants.
    """
    children: dict[int, list[int]] = {}
    for pid, (_, parent) in snapshot().items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = [pid for pid in children.get(root, ()) if pid not in but]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, ())
    return found


def marked(wanted: Callable[[str], bool]) -> set[int]:
    """The pids of the processes with a wanted mark that have no supervisor. This process and its ancestors are omitted.

    :param wanted: called with each mark; returns whether the mark is wanted.
    """
    processes = snapshot()
    own = set(_ancestors(os.getpid(), processes))
    found, key = set(), f"\0{MARK}=".encode()
    for pid in processes.keys() - own:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                _, separator, value = (b"\0" + file.read()).partition(key)
        except OSError:  # it belongs to another user, or has just ended
            continue
        if separator and wanted(value.partition(b"\0")[0].decode("utf-8", "replace")):
            found.add(pid)
    return {
        pid for pid in found if not any(processes[ancestor][0] == SUPERVISOR for ancestor in _ancestors(pid, processes))
    }


def _ancestors(pid: int, processes: Snapshot) -> list[int]:
    """The pids of a process, its parent, its parent's parent and so on, as long as they run."""
    chain: list[int] = []
    while pid in processes and pid not in chain:
        chain.append(pid)
        pid = processes[pid][1]
    return chain


class Ending:
    """Ends a set of processes: first with SIGTERM, later with SIGKILL.

    :param find: returns the pids of the processes that still run.
    :param now: monotonic seconds.
    :param patience: seconds from SIGTERM to SIGKILL.
    """

    def __init__(self, find: Callable[[], set[int]], now: float, patience: float = PATIENCE) -> None:
        self._find = find
        self._deadline = now + patience
        self._foreign: set[int] = set()
        """Processes of another user (after sudo, for example), which this process may not end."""
        for pid in find():
            if self._signal(pid, signal.SIGTERM):
                self._signal(pid, signal.SIGCONT)  # a stopped process handles no other signal

    def hurry(self) -> None:
        """Send SIGKILL at the next :meth:`check`."""
        self._deadline = float("-inf")

    def check(self, now: float) -> bool:
        """Kill the processes that still run after the deadline. Return True if no process remains that this process may end.

        :param now: monotonic seconds.
        """
        left = self._find() - self._foreign
        if now >= self._deadline:
            for pid in left:
                self._signal(pid, signal.SIGKILL)
        return not left

    def _signal(self, pid: int, number: int) -> bool:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            self._foreign.add(pid)
            return False
        return True
