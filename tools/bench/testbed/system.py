"""A hub and an agent as separate processes, connected by a null modem or by TCP, for one measurement.

Each process ends itself after half an hour, because a killed benchmark cannot end it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from linesync import limits
from linesync.client.blocking import connect_blocking
from linesync.errors import LinesyncError
from linesync.runtime.lines.link_state import LinkState
from linesync.testing.faults import Faults
from linesync.testing.nullmodem import NullModem

__all__ = [
    "HOST",
    "BenchError",
    "LineSystem",
    "Processes",
    "System",
    "TcpSystem",
    "cpu_seconds",
    "free_port",
    "linesync_command",
    "resident",
]

HOST = "sut"
_LIFE = 1800  # seconds after which a process ends itself
_UP = 20.0  # seconds within which a system must be up
_PROBED = 12.0  # the most seconds for which the benchmark waits until the ends have probed longer frames
_MAIN = "import signal; signal.alarm({life}); from linesync.cli.main import main; raise SystemExit(main())"


class BenchError(Exception):
    """A measurement failed. The message is a sentence with the reason."""


def linesync_command() -> list[str]:
    """The argv of the installed program, or of this checkout's program if it is not installed."""
    program = Path(sys.executable).parent / "linesync"
    return [str(program)] if program.exists() else [sys.executable, "-m", "linesync"]


def resident(pid: int) -> float:
    """A process's resident memory in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def free_port() -> int:
    """A TCP port that is free on loopback. Another process may take it at any time."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Processes:
    """Processes that run in a temporary directory. Close it, or use it as a context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="linesync-bench-")
        self.folder = Path(self._folder.name)
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, argv: list[str], env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a process. Its output is written to a log.

        :param name: the name of the log.
        :param env: variables that are added to the environment.
        """
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                env=os.environ | (env or {}),
            )
        self._started.append(process)
        return process

    def linesync(self, name: str, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a hub or an agent."""
        return self.start(name, [sys.executable, "-c", _MAIN.format(life=_LIFE), *words], env)

    def log(self, name: str) -> str:
        """The last 600 characters of a log."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace")[-600:] if path.exists() else ""

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End one process: terminate it, and kill it after 3 s."""
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End all processes and remove the directory."""
        for process in self._started:
            if process.poll() is None:
                process.terminate()
        for process in self._started:
            self.end(process)
        self._started.clear()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class System(Processes):
    """A hub and one agent."""

    hub: str
    """The endpoint of the hub's socket for scripts."""
    agent: str
    """The endpoint of the agent's socket for scripts."""
    state = ":memory:"
    """The hub's state file."""
    hub_process: subprocess.Popen[bytes]
    agent_process: subprocess.Popen[bytes]

    def _start(self, hub_words: list[str], agent_words: list[str] | None = None) -> None:
        """Start the hub and the agent, and wait until the host is up.

        :param agent_words: the arguments of the agent; None: the hub itself starts the agent.
        """
        self.hub, self.agent = f"unix:{self.folder}/hub.sock", f"unix:{self.folder}/agent.sock"
        self.hub_process = self.linesync(
            "hub", "hub", "--state", self.state, "--socket", f"{self.folder}/hub.sock", *hub_words
        )
        self._wait(lambda: (self.folder / "hub.sock").exists(), "the hub's socket")
        if agent_words is not None:
            self.agent_process = self.linesync(
                "agent", "agent", "--name", HOST, "--socket", f"{self.folder}/agent.sock", *agent_words
            )
        self._wait(self._registered, f"host {HOST}")

    def _wait(self, condition: Callable[[], object], event: str) -> None:
        deadline = time.monotonic() + _UP
        while not condition():
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._started):
                logs = " / ".join(self.log(name).strip() for name in ("hub", "agent"))
                raise BenchError(f"{event} did not come up within {_UP:g} s: {logs}")
            time.sleep(0.02)

    def _registered(self) -> bool:
        try:
            with connect_blocking(self.hub) as client:
                return any(host.name == HOST and host.state == "up" for host in client.hosts())
        except (LinesyncError, OSError):
            return False


class LineSystem(System):
    """A hub and an agent on a null modem.

    :param baud: the rate of the line.
    :param faults: the faults of the cable; :class:`NullModem` describes this parameter and ``seed``.
    """

    def __init__(self, *, baud: int = 115200, faults: Faults | None = None, seed: int = 0) -> None:
        super().__init__()
        self.baud = baud
        self.byte_rate = baud / 10
        self.cable: NullModem | None = None
        try:
            self.cable = NullModem(baud=baud, faults=faults, seed=seed)
            self._start(["--port", f"{self.cable.a},{baud}"], ["--port", f"{self.cable.b},{baud}"])
            self._probe()
        except BaseException:
            self.close()
            raise

    def _probe(self) -> None:
        """Wait until both ends have agreed on the longest frame length, because shorter frames would lower the results."""
        most = min(limits.SERIAL_FRAME, max(limits.BASIC_FRAME, int(self.byte_rate * limits.BULK_TIME)))
        longest = max([limits.BASIC_FRAME, *(size for size in limits.PROBE_SIZES if size <= most)])
        deadline = time.monotonic() + _PROBED
        while time.monotonic() < deadline:
            frames = self.frames()
            if len(frames) == 2 and min(frames) >= longest:
                break
            time.sleep(0.2)
        time.sleep(0.3)  # in this time, the last frames are acknowledged

    def frames(self) -> list[int]:
        """The agreed frame length at each end."""
        return [link.session.frame if link.session else 0 for link in self.links()]

    def links(self) -> list[LinkState]:
        """The two ends of the line, the hub's end first."""
        found: list[LinkState] = []
        with connect_blocking(self.hub) as client:
            found += [link for link in client.links() if link.kind == "serial"]
        with connect_blocking(self.agent) as client:
            found += [link for link in client.links() if link.kind == "serial" and link.end == HOST]
        return found

    def passed(self) -> dict[str, dict[str, int]]:
        """The cable's counters; ``ab`` is the direction from the hub to the agent."""
        assert self.cable is not None
        return self.cable.counters()

    def close(self) -> None:
        if self.cable is not None:
            self.cable.close()
        super().close()


class TcpSystem(System):
    """A hub that listens on a loopback port, and an agent that connects to it."""

    def __init__(self) -> None:
        super().__init__()
        self.tcp = f"tcp://127.0.0.1:{free_port()}"
        try:
            self._start(["--listen", self.tcp], ["--port", self.tcp])
        except BaseException:
            self.close()
            raise


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
