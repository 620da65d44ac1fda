"""Real ``linesync`` processes for tests: a hub, agents, and commands."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linesync import connect_blocking
from linesync.errors import LinesyncError
from linesync.jobs.commands.tree import below
from linesync.testing.faults import Faults
from linesync.testing.nullmodem import NullModem
from tests.real import wait_for

__all__ = [
    "AS_USER",
    "LINESYNC",
    "Command",
    "Daemon",
    "Done",
    "Scenes",
    "SerialSite",
    "Site",
    "alive",
    "children_of",
    "commands_of",
    "serial_site",
    "site",
    "text_when_written",
]

LINESYNC = str(Path(sys.executable).parent / "linesync")
"""The program that is installed in the same folder as this interpreter."""
AS_USER = (
    sys.executable,
    "-c",
    "import os; os.geteuid = lambda: 1000; from linesync.cli.main import main; raise SystemExit(main())",
)
"""The program with the default paths of a user other than root: its sockets are in XDG_RUNTIME_DIR."""
_REQUEST_INTERVAL = 0.03
"""Seconds between two requests while a test waits. Each request costs the hub some milliseconds."""
_IMPATIENT = (
    "from linesync.agent import agent; from linesync.cli.main import main;"
    " agent._TWIN_WAIT /= 10; raise SystemExit(main())"
)


@dataclass(frozen=True)
class Done:
    """The exit code and the output of a command."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


class Command:
    """A command that runs in the background."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, stdin: Any = subprocess.DEVNULL) -> None:
        self.process = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # see Daemon
        )

    def wait(self, seconds: float = 30.0, data: bytes | None = None) -> Done:
        """Wait for the end of the command.

        :param data: the bytes for its stdin, if its stdin is a pipe.
        :raises AssertionError: the command did not end in time.
        """
        try:
            out, err = self.process.communicate(data, timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(
                f"{self.process.args} did not end within {seconds:g} s; it wrote {out[-500:]!r} {err.decode()[-1500:]}"
            ) from None
        return Done(self.process.returncode, out, err.decode("utf-8", "replace"))

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        if self.running:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class Daemon:
    """A hub or an agent, with its log in a file."""

    def __init__(self, argv: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.argv = argv
        self.log_file = log
        self._begin = log.stat().st_size if log.exists() else 0
        with open(log, "ab") as file:
            # A separate process group: if a command under 'lock' ends while a process of its group is stopped, and no shell
            # controls the jobs of the group, as in CI, the kernel sends SIGHUP to the whole group.
            self.process = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                process_group=0,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """The lines that the process has logged since its start."""
        return self.log_file.read_bytes()[self._begin :].decode("utf-8", "replace")

    def says(self, text: str, seconds: float = 15.0) -> str:
        """Wait until the log contains ``text``. Returns the line with the text."""
        try:
            wait_for(lambda: text in self.log or self.process.poll() is not None, f"{text!r} in the log", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the log says:\n{self.log}") from None
        assert text in self.log, f"{self.argv} ended ({self.process.returncode}) without {text!r}:\n{self.log}"
        return next(line for line in self.log.splitlines() if text in line)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        """Send a signal and wait for the end. Returns the exit code."""
        self.process.send_signal(number)
        return self.ended(seconds)

    def ended(self, seconds: float = 10.0) -> int:
        """Wait for the end. Returns the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv} did not end within {seconds:g} s:\n{self.log}") from None

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


class Site:
    """One hub, its agents and their scripts, in a new directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("LINESYNC")}
        self.env |= dict.fromkeys(("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "TMPDIR", "HOME"), str(folder))
        self.env["STATE_DIRECTORY"] = str(folder / "kept")
        self.env["LINESYNC_STATE"] = ":memory:"  # each sync of a disk would take milliseconds
        self.policy = folder / "policy.toml"
        """The rules of a hub that starts later. They allow everything."""
        self.policy.write_text('allow = [{do = ["*"]}]')
        self.env["LINESYNC_POLICY"] = str(self.policy)
        self.daemons: list[Daemon] = []
        self._commands: list[Command] = []

    def socket(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    def hub(self, *args: str) -> Daemon:
        """Start a hub."""
        return self.daemon("hub", ["hub", "--socket", str(self.socket("hub")), *args])

    def agent(self, *args: str, name: str = "sut", socket: str = "", impatient: bool = False) -> Daemon:
        """Start an agent.

        :param socket: the name of its socket and log; by default, the agent's name.
        :param impatient: whether the agent tries ten times as often to register while the hub refuses its name.
        """
        words = ["agent", "--name", name, *self.socket_option(socket or name), *args]
        program = [sys.executable, "-c", _IMPATIENT] if impatient else [LINESYNC]
        return self.daemon(socket or name, words, program)

    def socket_option(self, name: str) -> list[str]:
        return ["--socket", str(self.socket(name))]

    def daemon(self, name: str, args: list[str], program: Sequence[str] = (LINESYNC,)) -> Daemon:
        daemon = Daemon([*program, *args], self.folder / f"{name}.log", self.env, self.folder)
        self.daemons.append(daemon)
        return daemon

    def start(self, side: str, *args: str, stdin: Any = subprocess.DEVNULL) -> Command:
        """Start a command on a side (``hub`` or an agent's name) and do not wait for it."""
        command = Command([LINESYNC, "--hub", f"unix:{self.socket(side)}", *args], self.env, self.folder, stdin)
        self._commands.append(command)
        return command

    def type(self, side: str, *args: str, stdin: bytes | None = None, seconds: float = 30.0) -> Done:
        """Run a command on a side and wait for its end."""
        command = self.start(side, *args, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
        return command.wait(seconds, stdin)

    def script(self, side: str, text: str, *args: str) -> Command:
        """Run a bash script on a side and do not wait for it. Its command ``linesync`` is the tested program."""
        text = f'linesync() {{ {shlex.quote(LINESYNC)} "$@"; }}\n{text}'
        env = {**self.env, "LINESYNC_HUB": f"unix:{self.socket(side)}", "LINESYNC": LINESYNC}
        command = Command(["bash", "-c", text, "script", *args], env, self.folder)
        self._commands.append(command)
        return command

    def json(self, side: str, command: str) -> Any:
        """The output of ``hosts``, ``status`` or ``links`` with ``--json`` on a side. This starts no process, so it is fast."""
        with connect_blocking(f"unix:{self.socket(side)}") as client:
            if command == "status":
                return client.status().as_json()
            return [state.as_json() for state in {"hosts": client.hosts, "links": client.links}[command]()]

    def states(self) -> dict[str, str]:
        """The state of each host that the hub knows; empty while there is no hub."""
        try:
            return {row["name"]: row["state"] for row in self.json("hub", "hosts")}
        except LinesyncError:
            return {}

    def await_line(self, side: str, state: str) -> None:
        """Wait until any line of a hub or an agent is in this state."""

        def has_state() -> bool:
            try:
                return any(row["state"] == state for row in self.json(side, "links"))
            except LinesyncError:
                return False

        wait_for(has_state, f"a line of {side} that is {state}")

    def await_host(self, name: str = "sut", state: str = "up", seconds: float = 20.0) -> None:
        """Wait until a host is up (or in another state)."""
        wait_for(lambda: self.socket("hub").exists(), "the hub's socket", seconds)
        try:
            self.until(lambda: self.states().get(name) == state, f"{name} {state}", seconds)
        except AssertionError as error:
            logs = "\n".join(f"--- {daemon.argv}\n{daemon.log}" for daemon in self.daemons)
            raise AssertionError(f"{error}\n{logs}") from None

    def row(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any] | None:
        """The row of a barrier, a semaphore ... in the hub's ``status``, or None if there is no such name."""
        rows = self.json("hub", "status")[kind]
        return next((row for row in rows if (row["name"], row["namespace"]) == (name, namespace)), None)

    def waiting(self, kind: str, name: str) -> int:
        """The number of requests that wait for a barrier, a semaphore ... at the hub."""
        waits = {"barriers": "arrived", "exchanges": "arrived", "semaphores": "queue", "locks": "queue"}
        row = self.row(kind, name)
        return 0 if row is None else len(row[waits.get(kind, "waiting")])

    def until(self, condition: Callable[[], object], name: str, seconds: float = 30.0) -> None:
        """Wait until a condition is true. The condition may send requests to the hub."""
        wait_for(condition, name, seconds, every=_REQUEST_INTERVAL)

    def await_waiting(self, kind: str, name: str, count: int, seconds: float = 30.0) -> None:
        self.until(lambda: self.waiting(kind, name) == count, f"{count} at {name}", seconds)

    def kill_detached(self, host: str = "*") -> None:
        """Kill the detached processes of one host or of all hosts, as the end of a system does."""
        killed: list[int] = []
        for record in self.folder.glob(f"{host}.sock.processes/*/record"):
            supervisor = json.loads(record.read_text())["supervisor"]
            if not (record.parent / "end").exists() and alive(supervisor):
                os.kill(supervisor, signal.SIGSTOP)  # otherwise it would record the end of its processes
                killed += [supervisor, *below(supervisor)]
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        for command in self._commands:
            command.close()
        for daemon in self.daemons:
            daemon.kill()
        self.kill_detached()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def site() -> Iterator[Site]:
    """A site. All its processes are killed at the end of the block."""
    place = Site(Path(tempfile.mkdtemp(prefix="linesync-")))
    try:
        yield place
    finally:
        place.close()


class SerialSite(Site):
    """A hub with hosts on serial lines of 115200 baud, one line for each host.

    :ivar cables: the cable of each host.
    :ivar agents: the current agent of each host.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.cables: dict[str, NullModem] = {}
        self.agents: dict[str, Daemon] = {}
        self._options: dict[str, Sequence[str]] = {}

    def join(self, cables: Mapping[str, NullModem], hub: Sequence[str], agents: Mapping[str, Sequence[str]]) -> None:
        """Start the hub and the agents with these options, and wait until all hosts are up."""
        self.cables.update(cables)
        self._options.update(agents)
        self.start_hub(*hub)
        for name in cables:
            self.start_agent(name)
        for name in cables:
            self.await_host(name)

    def start_hub(self, *options: str) -> Daemon:
        ports = [word for cable in self.cables.values() for word in ("--port", cable.a)]
        return self.hub(*ports, *options)

    def start_agent(self, name: str) -> None:
        """Start the agent of a host."""
        self.agents[name] = self.agent("--port", self.cables[name].b, *self._options.get(name, ()), name=name)


@contextmanager
def serial_site(
    *hub: str,
    hosts: Sequence[str] = ("c1", "c2"),
    agents: Mapping[str, Sequence[str]] | None = None,
    faults: Faults | None = None,
) -> Iterator[SerialSite]:
    """A hub and hosts that are up. All processes are killed at the end of the block.

    :param hub: the options of the hub.
    :param agents: the options of the agents, by host.
    :param faults: the faults of all lines.
    """
    place = SerialSite(Path(tempfile.mkdtemp(prefix="linesync-")))
    with ExitStack() as stack:
        stack.callback(place.close)
        cables = {name: stack.enter_context(NullModem(faults=faults, seed=n)) for n, name in enumerate(hosts)}
        place.join(cables, hub, agents or {})
        yield place


class Scenes:
    """Runs *scenes* at the same time, each on its own site.

    A scene is a test that mostly waits, for the end of a lease or for a deadlock. This object decorates the functions that are
    scenes. The first call of :meth:`play` runs all scenes.
    """

    def __init__(self) -> None:
        self.names: dict[str, Callable[[], None]] = {}
        self._ends: dict[str, Future[None]] = {}

    def __call__(self, scene: Callable[[], None]) -> Callable[[], None]:
        self.names[scene.__name__] = scene
        return scene

    def play(self, name: str) -> None:
        """Wait for the end of a scene, and raise its error, if any."""
        if not self._ends:
            with ThreadPoolExecutor(len(self.names)) as pool:
                self._ends = {title: pool.submit(scene) for title, scene in self.names.items()}
        self._ends[name].result()


def alive(pid: int) -> bool:
    """Whether a process runs. A zombie does not run."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def children_of(pid: int) -> list[int]:
    """The child processes that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found


def commands_of(pid: int) -> list[int]:
    """The remote commands that an agent or a hub runs. Each is the child of its supervisor."""
    supervisors = [child for server in children_of(pid) for child in children_of(server)]
    return [command for supervisor in supervisors for command in children_of(supervisor)]


def text_when_written(path: Path, seconds: float = 15.0) -> str:
    """Wait until a file that a command writes ends with a newline. Returns its text."""
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"), f"{path}", seconds)
    return path.read_text()
