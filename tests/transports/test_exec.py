"""A command as a line: its exit status is reported, and all its processes end."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from pathlib import Path

import pytest

from linesync.errors import BrokenError, LinesyncFailed
from linesync.testing.recorder import Recorder
from linesync.transports import connect
from tests.real import free_port, require


def run(command: str) -> Recorder:
    """Run a command as a line until it has ended."""

    async def scenario() -> Recorder:
        line = Recorder("command's")
        await connect(f"exec:{command}", lambda: line)
        await line.until_lost()
        line.verify()
        return line

    return asyncio.run(scenario())


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("sh -c 'exit 3'", "ended with exit status 3: see its message on stderr, or run it by hand"),
        ("sh -c 'exit 127'", "it did not find a program, here or on the other machine"),
        ("sh -c 'exit 126'", "it could not execute a program"),
        ("sh -c 'kill -9 $$'", "was killed by SIGKILL; start the line again"),
        ("sh -c 'kill -50 $$'", "was killed by"),
    ],
)
def test_a_failed_command_is_reported_with_its_exit_status(command: str, sentence: str) -> None:
    line = run(command)
    assert isinstance(line.error, BrokenError)
    assert sentence in str(line.error) and "sh -c" in str(line.error)


def test_ssh_that_cannot_connect_is_explained() -> None:
    require("ssh")
    line = run(f"ssh -F /dev/null -o BatchMode=yes -o LogLevel=QUIET -p {free_port()} root@127.0.0.1 true")
    assert isinstance(line.error, BrokenError)
    assert "ssh could not connect or lost its connection; see its message on stderr" in str(line.error)


def test_a_successful_command_ends_the_line_cleanly_after_all_its_output() -> None:
    line = run("sh -c 'head -c 100000 /dev/zero'")
    assert line.error is None
    assert bytes(line.data) == bytes(100000)
    assert line.calls[-2:] == ["eof", "lost"]


def test_the_last_output_arrives_although_a_child_keeps_the_pipe_open() -> None:
    started = time.monotonic()
    line = run("sh -c 'setsid sleep 3 & echo last words'")
    assert bytes(line.data) == b"last words\n"
    assert line.error is None
    assert time.monotonic() - started < 2.5


def test_a_command_that_closes_its_stdout_ends_the_line() -> None:
    line = run("sh -c 'echo word; exec >&-; sleep 20'")
    assert bytes(line.data) == b"word\n" and line.error is None


def test_a_command_that_closes_its_stdin_breaks_the_line() -> None:
    async def scenario() -> Recorder:
        line = Recorder("command's")
        await connect("exec:sh -c 'exec <&-; echo closed; sleep 20'", lambda: line)
        await line.until(lambda: line.data, "the command should have closed its stdin")
        line.write(b"nobody reads this")
        line.write(b"nor this")
        await line.until_lost()
        line.verify()
        return line

    error = asyncio.run(scenario()).error
    assert isinstance(error, BrokenError) and "closed its stdin" in str(error)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("/no/such/program", "there is no program '/no/such/program' on this machine"),
        ("/etc/passwd", "'/etc/passwd' is not executable; check its permissions"),
    ],
)
def test_a_command_that_cannot_start_fails_immediately(command: str, sentence: str) -> None:
    async def scenario() -> None:
        with pytest.raises(LinesyncFailed, match=sentence):
            await connect(f"exec:{command}", lambda: Recorder("never"))

    asyncio.run(scenario())


@pytest.mark.parametrize("ending", [Recorder.close, Recorder.abort])
def test_a_command_that_ignores_sigterm_is_killed_with_its_children(ending: object) -> None:
    script = "trap '' TERM HUP; sleep 100 & echo $$ $!; while true; do sleep 100; done"

    async def scenario() -> list[int]:
        line = Recorder("command's")
        await connect(f"exec:sh -c {shlex.quote(script)}", lambda: line)
        await line.until(lambda: b"\n" in line.data, "the command should print its process ids")
        pids = [int(word) for word in line.data.split()]
        assert os.getsid(pids[0]) == pids[0] != os.getsid(0), "the command should run in its own session"
        ending(line)  # type: ignore[operator]
        await line.until_lost()
        line.verify()
        return pids

    started = time.monotonic()
    pids = asyncio.run(scenario())
    assert time.monotonic() - started < 3
    time.sleep(0.05)
    assert not [pid for pid in pids if alive(pid)]


def test_an_event_loop_that_ends_before_its_line_kills_the_command() -> None:
    async def scenario() -> int:
        line = Recorder("command's")
        await connect("exec:sh -c 'echo $$; exec sleep 100'", lambda: line)
        await line.until(lambda: b"\n" in line.data, "the command should print its process id")
        return int(line.data)

    pid = asyncio.run(scenario())
    time.sleep(0.1)
    assert not alive(pid)
