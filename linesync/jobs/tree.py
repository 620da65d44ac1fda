"""Processes that belong together: those below one, those that carry a mark; and how they are ended.

Only the standard library's small modules: this runs in helpers that start in some milliseconds.
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
"""The name of a supervisor's process, as ``ps`` shows it: at most 15 characters."""
_PR_SET_NAME = 15  # of prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

Snapshot = dict[int, tuple[str, int]]
"""The processes that run now, zombies left out: pid to (name, parent's pid)."""


def become_subreaper() -> None:
    """Become the parent of every process below whose own parent ends."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_name(name: str) -> None:
    """Be called so in ``ps``."""
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def snapshot() -> Snapshot:
    """What runs now."""
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
    """The processes that descend from ``root``.

    :param but: children that do not count, nor do those below them.
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
    """The processes whose mark is wanted and that no supervisor looks after; our own ancestors are left out."""
    everything = snapshot()
    ours = set(_ancestors(os.getpid(), everything))
    found, key = set(), f"\0{MARK}=".encode()
    for pid in everything.keys() - ours:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                _, there, value = (b"\0" + file.read()).partition(key)
        except OSError:  # of another user, or it has just ended
            continue
        if there and wanted(value.partition(b"\0")[0].decode("utf-8", "replace")):
            found.add(pid)
    return {pid for pid in found if not any(everything[up][0] == SUPERVISOR for up in _ancestors(pid, everything))}


def _ancestors(pid: int, everything: Snapshot) -> list[int]:
    """A process, its parent, its parent's parent ..., as far as they run."""
    line: list[int] = []
    while pid in everything and pid not in line:
        line.append(pid)
        pid = everything[pid][1]
    return line


class Ending:
    """The end of some processes: SIGTERM at first, SIGKILL for all that are left after a while.

    :param find: gives those that are left.
    :param now: monotonic seconds.
    """

    def __init__(self, find: Callable[[], set[int]], now: float, patience: float = PATIENCE) -> None:
        self._find = find
        self._deadline = now + patience
        self._foreign: set[int] = set()
        """Of another user, as after sudo: not ours to end."""
        for pid in find():
            if self._signal(pid, signal.SIGTERM):
                self._signal(pid, signal.SIGCONT)  # one that is stopped hears nothing else

    def hurry(self) -> None:
        """Do not wait any longer."""
        self._deadline = float("-inf")

    def look(self, now: float) -> bool:
        """Go on; True when nothing is left that we can end."""
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
