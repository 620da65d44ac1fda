"""Detached processes with real processes: handles, output, exit codes, signals, limits, and agents that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from linesync import connect_blocking
from linesync.jobs.commands.tree import below
from tests.e2e.kit import Daemon, Site, alive, site
from tests.real import wait_for

_LIMIT = 20_000  # bytes of kept output


class Place:
    """A hub, and the host sut."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.line = f"unix:{site.folder}/line.sock"
        self.hub = site.hub("--listen", self.line)
        wait_for(lambda: (site.folder / "line.sock").exists(), "the hub")
        self.agent = self.start_agent()

    def start_agent(self) -> Daemon:
        limit = f"{_LIMIT / (1 << 20):.6f}"
        agent = self.site.agent("--port", self.line, "--output-limit", limit, impatient=True)
        self.site.await_host()
        return agent

    def detach(self, *argv: str, options: tuple[str, ...] = (), host: str = "sut") -> str:
        """Start a detached process, and return its handle."""
        done = self.site.type("hub", "run", host, "--detach", *options, "--", *argv)
        assert done.code == 0, done
        return done.text.strip()

    def state(self, process: str) -> dict[str, Any]:
        rows = json.loads(self.site.type("hub", "proc", "ls", process.partition("/")[0], "--json").out)
        return next(row for row in rows if row["process"] == process)

    def supervisor(self, process: str, host: str = "sut") -> int:
        record = self.site.folder / f"{host}.sock.processes" / process.partition("/")[2] / "record"
        pid: int = json.loads(record.read_text())["supervisor"]
        return pid


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with site() as one:
        yield Place(one)


def test_a_process_has_a_handle_keeps_its_output_in_order_and_has_its_exit_code(place: Place) -> None:
    files = place.site.folder / "sut.sock.processes/*/output.0"
    stored = f"stored() {{ until grep -qs $1 {files}; do sleep 0.02; done; }}"  # the order of two pipes is not defined
    steps = "echo first; stored first; echo second >&2; stored second; echo $LINESYNC_HOST; exit 3"
    process = place.detach("sh", "-c", f"{stored}; {steps}")
    assert process.startswith("sut/") and process[4:].isdecimal()
    assert place.site.type("hub", "proc", "wait", process).code == 3
    log = place.site.type("hub", "proc", "log", process)
    assert (log.code, log.text, log.err) == (0, "first\nsut\n", "second\n")
    followed = place.site.type("hub", "proc", "log", process, "-f", "--tail", "1")
    assert (followed.code, followed.text, followed.err) == (0, "sut\n", "")
    attached = place.site.type("hub", "proc", "attach", process)
    assert (attached.code, attached.text) == (3, "first\nsut\n")
    with connect_blocking(f"unix:{place.site.socket('hub')}") as client:
        kept = client.process_log(process, since=2)
        assert kept.pieces == ((1, b"rst\n"), (2, b"second\n"), (1, b"sut\n")) and kept.position == 17
        assert client.process_log(process, since=kept.position).pieces == ()
    state = place.state(process)
    assert (state["state"], state["status"], state["output"], state["dropped"]) == ("ended", 3, 17, 0)
    shown = place.site.type("hub", "proc", "ls", "sut").text
    assert process in shown and "ended" in shown and "sh -c" in shown


def test_a_process_starts_with_the_options_of_run(place: Place) -> None:
    place.site.env["GIVEN"] = "here"
    options = ("-C", "/tmp", "-e", "GIVEN", "-e", "K=v", "--clear-env")
    process = place.detach("sh", "-c", "pwd; echo $GIVEN $K $XDG_STATE_HOME", options=options)
    assert place.site.type("hub", "proc", "wait", process).code == 0
    assert place.site.type("hub", "proc", "log", process).text == "/tmp\nhere v\n"
    late = place.detach("sleep", "60", options=("--timeout", "0.1"))
    done = place.site.type("hub", "proc", "wait", late)
    assert done.code == 124 and "its time limit was reached" in done.err
    if os.geteuid() == 0:
        other = place.detach("id", "-un", options=("-u", "nobody"), host="hub")
        assert place.site.type("hub", "proc", "attach", other).text == "nobody\n"


def test_attach_passes_stdin_and_signals_and_leaves_the_process_running(place: Place) -> None:
    script = (
        "trap 'echo usr1' USR1; trap 'echo quit' QUIT; echo ready; while read line; do echo \"got $line\"; done; exit 4"
    )
    process = place.detach("bash", "-c", script, options=("-i",))
    first = place.site.start("hub", "proc", "attach", process, "-i", stdin=subprocess.PIPE)
    _expect(first.process, "ready\n")
    assert first.process.stdin is not None
    first.process.stdin.write(b"one\n")
    first.process.stdin.flush()
    _expect(first.process, "got one\n")
    for number, text in ((signal.SIGUSR1, "usr1\n"), (signal.SIGQUIT, "quit\n")):
        first.process.send_signal(number)
        _expect(first.process, text)
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(10) == 130
    assert place.state(process)["state"] == "running"
    second = place.site.type("hub", "proc", "attach", process, "-i", "--tail", "0", stdin=b"two\n")
    assert (second.code, second.text) == (4, "got two\n")


def _expect(process: subprocess.Popen[bytes], text: str) -> None:
    assert process.stdout is not None
    found = b""
    while len(found) < len(text):
        found += os.read(process.stdout.fileno(), len(text) - len(found))
    assert found.decode() == text


def test_stdin_that_the_process_does_not_read_waits_and_arrives_completely(place: Place) -> None:
    data = b"x" * 300_000
    process = place.detach("sh", "-c", "sleep 0.3; wc -c", options=("-i",))
    done = place.site.type("hub", "proc", "attach", process, "-i", stdin=data)
    assert (done.code, done.text.strip()) == (0, str(len(data)))


def test_kill_ends_all_processes_also_those_with_their_own_session(place: Place) -> None:
    tag = f"300.{os.getpid()}1"
    other = f"setsid sh -c 'trap \"\" TERM; sleep {tag} & sleep {tag}'"
    script = f"trap '' TERM HUP; ({other} &); sleep {tag} & while :; do wait; done"
    process = place.detach("sh", "-c", script)
    supervisor = place.supervisor(process)
    wait_for(lambda: len(below(supervisor)) == 5, "the processes")
    pids = below(supervisor)
    assert place.site.type("hub", "proc", "kill", process, "-s", "URG").code == 0
    assert below(supervisor) == pids, "the signal ends nothing"
    assert place.site.type("hub", "proc", "kill", process).code == 0
    assert not any(map(alive, [*pids, supervisor]))
    assert place.site.type("hub", "proc", "wait", process).code == 128 + signal.SIGKILL
    again = place.site.type("hub", "proc", "kill", process, "-s", "9")
    assert again.code == 2 and "has ended" in again.err
    assert place.site.type("hub", "proc", "kill", process).code == 0, "its processes have ended, as the user wants"


def test_the_remaining_processes_of_a_command_end_with_it(place: Place) -> None:
    process = place.detach("sh", "-c", "(setsid sleep 300 &); exit 5")
    supervisor = place.supervisor(process)
    assert place.site.type("hub", "proc", "wait", process).code == 5
    wait_for(lambda: not alive(supervisor), "the supervisor")


def test_output_beyond_the_limit_is_dropped_and_counted(place: Place) -> None:
    process = place.detach("sh", "-c", "i=0; while [ $i -lt 9000 ]; do echo $i; i=$((i+1)); done")
    assert place.site.type("hub", "proc", "wait", process).code == 0
    state = place.state(process)
    log = place.site.type("hub", "proc", "log", process)
    assert f"the host has dropped {state['dropped']} bytes of the output of {process}" in log.err
    assert state["dropped"] + len(log.out) == state["output"] == sum(len(f"{n}\n") for n in range(9000))
    assert len(log.out) <= _LIMIT and log.text.endswith("8998\n8999\n")
    size = sum(path.stat().st_size for path in _directory(place, process).glob("output.*"))
    assert size <= _LIMIT


def _directory(place: Place, process: str) -> Path:
    return place.site.folder / "sut.sock.processes" / process.partition("/")[2]


def test_a_killed_agent_finds_running_and_ended_processes_again_and_a_wait_continues(place: Place) -> None:
    go = place.site.folder / "go"
    running = place.detach("sh", "-c", f"echo begun; until [ -e {go} ]; do sleep 0.05; done; echo done; exit 6")
    ending = place.detach("sh", "-c", "sleep 0.2; echo ended; exit 7")
    waiting = place.site.start("hub", "proc", "wait", running)
    following = place.site.start("hub", "proc", "log", running, "-f")
    _expect(following.process, "begun\n")
    place.agent.kill()
    supervisor = place.supervisor(ending)
    wait_for(lambda: not alive(supervisor), "the end of a process while no agent runs")
    place.agent = place.start_agent()
    assert place.state(running)["state"] == "running"
    assert place.site.type("hub", "proc", "wait", ending).code == 7
    assert place.site.type("hub", "proc", "log", ending).text == "ended\n"
    go.touch()
    assert waiting.wait().code == 6
    assert following.wait().text == "done\n", "no byte is lost or doubled"


def test_the_processes_of_a_killed_supervisor_are_ended(place: Place) -> None:
    process = place.detach("sh", "-c", "sleep 300 & wait")
    supervisor = place.supervisor(process)
    wait_for(lambda: len(below(supervisor)) == 2, "the processes")
    pids = below(supervisor)
    waiting = place.site.start("hub", "proc", "wait", process)
    place.site.until(lambda: place.state(process)["state"] == "running", "the process")
    os.kill(supervisor, signal.SIGKILL)
    done = waiting.wait()
    assert done.code == 125 and "its supervisor was killed; its exit status is not known" in done.err, done
    wait_for(lambda: not any(map(alive, pids)), "the end of its processes")
    assert place.state(process)["cause"] == "its supervisor was killed"


ERRORS = [
    (["run", "sut", "--detach", "--", "nosuch"], 127, "nosuch was not found on sut"),
    (["run", "sut", "--detach", "-C", "/nosuch", "--", "true"], 126, "there is no directory /nosuch on sut"),
    (["run", "sut", "--detach", "-u", "nosuch", "--", "true"], 126, "there is no user nosuch on sut"),
    (["run", "sut", "--detach", "--", "/etc"], 126, "cannot be executed on sut: Permission denied"),
    (["run", "nosuch", "--detach", "--", "true"], 125, "there is no host nosuch"),
    (["run", "sut", "-t", "--detach", "--", "true"], 2, "-t and --detach exclude each other"),
    (["proc", "ls", "nosuch"], 125, "there is no host nosuch"),
    (["proc", "wait", "nosuch/1"], 125, "there is no host nosuch"),
    (["proc", "wait", "sut/99999"], 2, "there is no process sut/99999"),
    (["proc", "log", "sut/99999"], 2, "there is no process sut/99999"),
    (["proc", "attach", "sut/99999"], 2, "there is no process sut/99999"),
    (["proc", "kill", "sut/99999"], 2, "there is no process sut/99999"),
    (["proc", "kill", "sut"], 2, "invalid process 'sut': expected HOST/NUMBER"),
    (["proc", "log", "sut/../../etc"], 2, "expected HOST/NUMBER"),
    (["proc", "kill", "sut/1", "-s", "NOSUCH"], 2, "unknown signal 'NOSUCH'"),
    (["proc", "kill", "sut/1", "-s", "65"], 2, "unknown signal '65'"),
    (["proc", "attach", "sut/1", "-i"], 2, "process sut/1 has no stdin"),
    (["proc", "wait"], 2, "there is no process; write its handle"),
    (["proc", "ls", "-i"], 2, "-i is only for 'linesync proc attach'"),
]
"""The words of a command, its exit code, and a part of its error."""


def test_an_error_is_one_sentence_with_its_code_and_leaves_nothing(place: Place) -> None:
    folder = place.site.folder / "sut.sock.processes"
    before = sorted(path.name for path in folder.iterdir())
    started = [(place.site.start("hub", *words), code, text) for words, code, text in ERRORS]
    for command, code, text in started:
        done = command.wait()
        assert (done.code, done.out) == (code, b"") and text in done.err, (command.process.args, done)
        assert done.err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == before


_FEW = "processes.RUNNING = 2"
_FULL_DISK = """processes._PROGRAM = processes._PROGRAM.replace(
    "from linesync.jobs.detached.supervisor import main;",
    "from linesync.jobs.detached import supervisor; main = supervisor.main;"
    " supervisor.write = lambda *_: supervisor.os.mkdir('/nosuch/directory');",
)"""


def test_a_host_without_room_refuses_a_process_and_leaves_nothing(site: Site) -> None:
    line = f"unix:{site.folder}/lines"
    site.hub("--listen", line)
    wait_for(lambda: (site.folder / "lines").exists(), "the hub")
    for name, change in (("few", _FEW), ("full", _FULL_DISK)):
        program = f"from linesync.jobs.detached import processes\n{change}\nfrom linesync.cli.main import main; main()"
        words = ["agent", "--name", name, "--port", line, *site.socket_option(name)]
        site.daemon(name, words, [sys.executable, "-c", program])
        site.await_host(name)
    sleep = ["sleep", f"300.{os.getpid()}2"]
    for _ in range(2):
        assert site.type("hub", "run", "few", "--detach", "--", "sleep", "300").code == 0
    done = site.type("hub", "run", "few", "--detach", "--", *sleep)
    assert done.code == 125 and "few already runs 2 detached processes, which is the limit" in done.err
    done = site.type("hub", "run", "full", "--detach", "--", *sleep)
    assert done.code == 126 and "its record cannot be written: No such file or directory" in done.err
    assert not list((site.folder / "full.sock.processes").iterdir())
    wait_for(lambda: not _runs(sleep), "the end of the command without a record")


def _runs(argv: list[str]) -> bool:
    wanted = "\0".join(argv).encode() + b"\0"
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            if Path(f"/proc/{entry}/cmdline").read_bytes() == wanted:
                return True
    return False
