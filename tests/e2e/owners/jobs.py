"""Commands that ignore signals, for the tests that check that every command ends with its owner."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from linesync import connect_blocking
from tests.e2e.kit import Command, Site
from tests.real import wait_for

__all__ = ["OPERATIONS", "PATIENCE", "Job", "processes", "resources"]

PATIENCE = 3.0 + 4.0
"""Seconds within which all processes of a command must end: three from SIGTERM, which they ignore, to SIGKILL; the rest is
for a busy machine."""
_TREE = 5
"""The number of processes of one command: the command, its child, a daemon that forked twice and has its own session, and
the daemon's two children."""
_numbers = count(os.getpid() * 1000)

OPERATIONS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "run": ("hub", ("run", "sut"), ("sut",)),
    "run -i": ("hub", ("run", "sut", "-i"), ("sut",)),
    "run on several": ("hub", ("run", "sut,two"), ("sut", "two")),
    "run on the hub": ("sut", ("run", "hub"), ("hub",)),
    "run through two agents": ("sut", ("run", "two"), ("two",)),
    "lock": ("sut", ("lock", "L{n}"), ("",)),
    "sem --hold": ("sut", ("sem", "S{n}", "-1", "--hold"), ("",)),
}
"""Each operation: (the host on which the user types it, its arguments, the hosts on which the command then runs). "" is for a
command that is a child of the client."""


class Job:
    """A command, started by one of the operations, that ignores all signals that it can ignore.

    :param ends: whether the command exits with status 3 after :meth:`let_end`.
    """

    def __init__(self, site: Site, operation: str, *, ends: bool = False) -> None:
        self.site = site
        side, words, self.hosts = OPERATIONS[operation]
        self.number = next(_numbers)
        self._sleep = f"sleep 300.{self.number}"
        daemon = f'trap "" TERM HUP; {self._sleep} & {self._sleep}'
        self._go = site.folder / f"go{self.number}"
        last = f"until [ -e {self._go} ]; do sleep 0.1; done; exit 3" if ends else "while :; do wait; done"
        script = f"trap '' TERM HUP; {self._sleep} & (setsid sh -c '{daemon}' &) ; {last}"
        if words[0] == "sem":
            with connect_blocking(f"unix:{site.socket('hub')}") as client:
                client.semaphore(f"S{self.number}", 1)
        argv = [word.replace("{n}", str(self.number)) for word in words]
        self.client: Command = site.start(side, *argv, "--", "sh", "-c", script, stdin=subprocess.PIPE)

    def await_tree(self) -> None:
        """Wait until all processes of the command run."""
        wait_for(
            lambda: all(len(self.left(host)) == _TREE for host in self.hosts),
            f"{self.client.process.args}",
            20,
            every=0.2,
        )

    def let_end(self) -> None:
        """Let the command itself exit; the processes that it has started keep running."""
        self._go.touch()

    def left(self, *hosts: str) -> list[int]:
        """The pids of the processes of the command that still run (on these hosts). The command itself is the first."""
        found = []
        for pid, words in _processes():
            belongs = words[0] in (b"sh", b"sleep") and any(str(self.number).encode() in word for word in words)
            if belongs and (not hosts or _variable(pid, "LINESYNC_HOST") in hosts):
                found.append((words[0] != b"sh", pid))
        return [pid for _, pid in sorted(found)]

    def await_end(self, *hosts: str, seconds: float = PATIENCE) -> None:
        """Wait until all processes of the command have ended (on these hosts)."""
        wait_for(lambda: not self.left(*hosts), f"the end of {self.client.process.args} on {hosts}", seconds, every=0.2)

    def supervisors(self) -> list[int]:
        """The pids of the command's supervisors."""
        parents = {int(_stat(pid)[1]) for pid in self.left()}
        return [pid for pid in parents if _name(pid) == "linesync-run"]


def processes(site: Site) -> list[str]:
    """The names of all processes that belong to a site."""
    return sorted(_name(pid) for pid, _ in _processes() if _variable(pid, "XDG_RUNTIME_DIR") == str(site.folder))


def resources(site: Site) -> tuple[object, ...]:
    """The resources of a site: its processes, the open files of each hub and agent, and the files in its directory, which is
    also the directory for temporary files."""
    running = [daemon for daemon in site.daemons if daemon.process.poll() is None]
    files = sorted((daemon.argv[1:4], len(os.listdir(f"/proc/{daemon.pid}/fd"))) for daemon in running)
    return processes(site), files, _left_files(site)


def _left_files(site: Site) -> list[str]:
    """The names of all files except logs and the files that let commands end."""
    names = sorted(path.name for path in site.folder.iterdir())
    return [name for name in names if not name.endswith(".log") and not name.startswith("go")]


def _processes() -> Iterator[tuple[int, list[bytes]]]:
    """The pids of all running processes, with their arguments."""
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0]:  # a zombie has no arguments
                yield int(entry), words


def _variable(pid: int, name: str) -> str:
    try:
        data = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    return (b"\0" + data).partition(f"\0{name}=".encode())[2].partition(b"\0")[0].decode()


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


SIGNALS = {"TERM": signal.SIGTERM, "HUP": signal.SIGHUP, "INT": signal.SIGINT, "KILL": signal.SIGKILL}
"""The signals that end a process."""
