"""Executes the table of docs/commands.md: the causes that end a command of ``run``, a command of ``run -t``, and a
detached process.

Each cause has its own host, so the scenes of all causes run at the same time on one site. The hub is killed at the end, because
that concerns all hosts.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from linesync.testing.nullmodem import NullModem
from tests.e2e.kit import Command, Daemon, Site, alive, site
from tests.real import wait_for

LEASE = 4.0
OPERATIONS = ("run", "run -t", "detached")
_PAGE = Path(__file__).resolve().parents[3] / "docs" / "commands.md"
_CELL = re.compile(r'(ends|continues); (?:(\d+)|goes on)(?: "(.*)")?')
_REBOOTED = (
    "from linesync.runtime import identity; identity.system_boot = lambda: 'a later boot';"
    " from linesync.agent import agent; agent._TWIN_WAIT /= 10;"
    " from linesync.cli.main import main; raise SystemExit(main())"
)
_numbers = count(os.getpid() * 1000)


@dataclass(frozen=True)
class Cell:
    """A cell of the table.

    :ivar code: the exit code of the client; None if the client continues.
    :ivar error: a part of its error.
    """

    ends: bool
    code: int | None
    error: str


def _table() -> dict[str, dict[str, Cell]]:
    """The cells by cause and operation."""
    text = _PAGE.read_text(encoding="utf-8").split("<!-- ends -->\n")[1].split("<!-- end -->")[0]
    head, _, *rows = [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert head == ["cause", *OPERATIONS]
    found = {}
    for cause, *cells in rows:
        matches = [_CELL.fullmatch(cell) for cell in cells]
        assert all(matches), cells
        found[cause] = {
            operation: Cell(match[1] == "ends", int(match[2]) if match[2] else None, match[3] or "")
            for operation, match in zip(OPERATIONS, matches, strict=True)
            if match is not None
        }
    return found


TABLE = _table()


class Job:
    """A command of one operation on a host, and its client."""

    def __init__(self, place: Site, operation: str, host: str, terminal: int) -> None:
        self.operation, self.host = operation, host
        sleep = f"sleep 300.{next(_numbers)}"
        words = ["sh", "-c", f"echo ready; exec {sleep}"]
        if operation == "detached":
            process = place.type("hub", "run", host, "--detach", "--", *words).text.strip()
            self.client: Command = place.start("hub", "proc", "attach", process)
        elif operation == "run -t":
            self.client = place.start("hub", "run", host, "-t", "--", *words, stdin=terminal)
        else:
            self.client = place.start("hub", "run", host, "--", *words)
        assert self.client.process.stdout is not None
        assert os.read(self.client.process.stdout.fileno(), 100).strip() == b"ready"
        self._words = sleep.replace(" ", "\0").encode() + b"\0"
        wait_for(lambda: self._find() > 0, f"the command of {operation} on {host}", 20)
        self.pid = self._find()

    def _find(self) -> int:
        for entry in os.listdir("/proc"):
            try:
                if entry.isdecimal() and Path(f"/proc/{entry}/cmdline").read_bytes() == self._words:
                    return int(entry)
            except OSError:
                continue
        return 0

    def check(self, cell: Cell) -> None:
        """Check the state of the command and of its client after the cause."""
        if cell.ends:
            wait_for(lambda: not alive(self.pid), "the end of the command", 15)
        if cell.code is not None:
            done = self.client.wait(20)
            code = done.code if done.code >= 0 else 128 - done.code  # as a shell reports it
            assert (code, cell.error.replace("HOST", self.host) in done.err) == (cell.code, True), done
        if not cell.ends:
            assert alive(self.pid)
            os.kill(self.pid, signal.SIGTERM)
        if cell.code is None:
            done = self.client.wait(20)
            assert done.code == 128 + signal.SIGTERM, f"the client goes on until the end of the command: {done}"


class Ends:
    """The site of all causes. A host has the name of its scene."""

    def __init__(self, place: Site, stack: ExitStack) -> None:
        self.place = place
        place.env["LINESYNC_STATE"] = str(place.folder / "hub.db")
        self._cable = stack.enter_context(NullModem())
        self._terminal = os.openpty()
        stack.callback(lambda: [os.close(end) for end in self._terminal])
        self._hub = self._start_hub()
        wait_for(lambda: (place.folder / "lines").exists(), "the hub")
        self._agents = {name: self._start_agent(name) for name in ("client", "term", "kill", "hubkill", "line", "boot")}
        for name in self._agents:
            place.await_host(name)

    def _start_hub(self) -> Daemon:
        ports = ("--listen", f"unix:{self.place.folder}/lines", "--port", self._cable.a)
        return self.place.hub(*ports, "--lease", f"{LEASE:g}")

    def _start_agent(self, name: str) -> Daemon:
        port = self._cable.b if name == "line" else f"unix:{self.place.folder}/lines"
        return self.place.agent("--port", port, name=name, impatient=True)

    def jobs(self, host: str) -> dict[str, Job]:
        """A command of each operation on a host."""
        return {operation: Job(self.place, operation, host, self._terminal[1]) for operation in OPERATIONS}

    # -- scenes: each does what the cause says, and returns the commands ------------------------------------------------

    def client_gets(self, number: int) -> dict[str, Job]:
        jobs = self.jobs("client")
        for job in jobs.values():
            job.client.process.send_signal(number)
        return jobs

    def agent_gets(self, name: str, number: int) -> dict[str, Job]:
        jobs = self.jobs(name)
        self._agents[name].stop(number)
        self._start_agent(name)
        return jobs

    def hub_is_killed(self) -> dict[str, Job]:
        jobs = self.jobs("hubkill")
        self._hub.kill()
        self._start_hub()
        self.place.await_host("hubkill")
        return jobs

    def line_is_lost(self) -> dict[str, Job]:
        jobs = self.jobs("line")
        self._cable.pull()
        wait_for(lambda: not jobs["run"].client.running, "the loss of the host", LEASE + 15)
        self._cable.plug()
        return jobs

    def host_restarts(self) -> dict[str, Job]:
        jobs = self.jobs("boot")
        self._agents["boot"].kill()
        self.place.kill_detached("boot")
        words = ["agent", "--name", "boot", *self.place.socket_option("boot")]
        line = f"unix:{self.place.folder}/lines"
        self.place.daemon("boot", [*words, "--port", line], [sys.executable, "-c", _REBOOTED])
        return jobs


SCENES: dict[str, Callable[[Ends], dict[str, Job]]] = {
    "the client gets INT": lambda ends: ends.client_gets(signal.SIGINT),
    "the client gets TERM": lambda ends: ends.client_gets(signal.SIGTERM),
    "the client gets HUP": lambda ends: ends.client_gets(signal.SIGHUP),
    "the client gets KILL": lambda ends: ends.client_gets(signal.SIGKILL),
    "the agent gets TERM, and starts again": lambda ends: ends.agent_gets("term", signal.SIGTERM),
    "the agent gets KILL, and starts again": lambda ends: ends.agent_gets("kill", signal.SIGKILL),
    "the line is lost for longer than the lease": Ends.line_is_lost,
    "the host restarts": Ends.host_restarts,
    "the hub gets KILL, and starts again within the lease": Ends.hub_is_killed,
}
_LAST = "the hub gets KILL, and starts again within the lease"

Outcomes = dict[tuple[str, str], Future[None]]


def _play(ends: Ends, cause: str, outcomes: Outcomes) -> None:
    jobs = SCENES[cause](ends)
    for operation, job in jobs.items():
        try:
            job.check(TABLE[cause][operation])
        except BaseException as error:
            outcomes[cause, operation].set_exception(error)
        else:
            outcomes[cause, operation].set_result(None)


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Outcomes]:
    """The outcome of each cell."""
    found: Outcomes = {(cause, operation): Future() for cause in TABLE for operation in OPERATIONS}
    with ExitStack() as stack:
        ends = Ends(stack.enter_context(site()), stack)
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(lambda cause: _play(ends, cause, found), [cause for cause in SCENES if cause != _LAST]):
                pass
        _play(ends, _LAST, found)
        yield found


def test_the_table_has_a_row_for_each_cause() -> None:
    assert TABLE.keys() == SCENES.keys()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("cause", TABLE)
def test_a_command_ends_or_continues_as_the_table_says(outcomes: Outcomes, cause: str, operation: str) -> None:
    outcomes[cause, operation].result(0)
