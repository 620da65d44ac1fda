"""Commands and their supervisors: a command starts, or fails with a reason. At its end, all its processes have ended."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from linesync.errors import CannotExecute, CommandNotFound, LinesyncFailed
from linesync.jobs.commands.process import Process, Runner
from linesync.jobs.commands.tree import below
from tests.real import wait_for


def _with_runner(work: Callable[[Runner], Awaitable[None]]) -> None:
    async def main() -> None:
        runner = Runner("here", print)
        runner.open()
        try:
            await work(runner)
        finally:
            await runner.aclose()
        assert below(os.getpid()) - before == set(), "a helper process is left"

    before = below(os.getpid())
    files = len(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == files


async def _output(process: Process, number: int = 1) -> bytes:
    data = b""
    while piece := await process.outputs[number].read():
        data += piece
    return data


async def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_a_command_has_its_own_streams_variables_directory_and_session(tmp_path: Path) -> None:
    async def work(runner: Runner) -> None:
        script = (
            "for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && printf $n; done; "
            'read line; echo "$line $A $LINESYNC_HOST $PWD"; echo oops >&2; kill -9 $$'
        )
        process = await runner.start(["sh", "-c", script], cwd=str(tmp_path), env={"A": "b"}, stdin=True)
        assert process.stdin is not None
        assert os.getsid(process.pid) == process.pid
        await process.stdin.write(b"hello\n")
        assert await _output(process) == f"012hello b here {tmp_path}\n".encode()
        assert await _output(process, 2) == b"oops\n"
        assert await process.wait() == -9
        await process.end_and_wait()
        assert process.gone
        process.close()

    _with_runner(work)


@pytest.mark.parametrize(
    ("argv", "cwd", "error", "sentence"),
    [
        (["no-such-program"], "", CommandNotFound, "no-such-program was not found on here"),
        (["/no/such/program"], "", CommandNotFound, "was not found on here"),
        (["/etc/passwd"], "", CannotExecute, "Permission denied"),
        (["true"], "/no/such/folder", CannotExecute, "there is no directory /no/such/folder on here"),
        (["true"], "/etc/hostname", CannotExecute, "there is no directory /etc/hostname on here"),
        (["true", "\0"], "", CannotExecute, "NUL"),
        (["true", "x" * 300_000], "", CannotExecute, "Argument list too long"),
    ],
)
def test_a_command_that_cannot_start_fails_with_the_reason(
    argv: list[str], cwd: str, error: type[Exception], sentence: str
) -> None:
    async def work(runner: Runner) -> None:
        with pytest.raises(error, match=sentence):
            await runner.start(argv, cwd=cwd)

    _with_runner(work)


def test_a_program_is_searched_for_in_the_path_of_the_request(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("#!/bin/sh\necho output\n")
    (tmp_path / "program").chmod(0o755)

    async def work(runner: Runner) -> None:
        process = await runner.start(["program"], env={"PATH": f"/no/such:{tmp_path}:/bin"})
        assert await _output(process) == b"output\n"
        await process.end_and_wait()
        process.close()

    _with_runner(work)


def test_a_command_gets_the_variables_of_its_user_although_the_environment_of_the_agent_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    user = pwd.getpwuid(os.geteuid())

    async def work(runner: Runner) -> None:
        variables = "$HOME $USER $LOGNAME $SHELL"
        process = await runner.start(["sh", "-c", f'echo "{variables}"'], cwd="~", env={"USER": "other"})
        assert await _output(process) == f"{user.pw_dir} other {user.pw_name} {user.pw_shell}\n".encode()
        await process.end_and_wait()
        process.close()

    _with_runner(work)


def test_daemons_and_processes_started_by_a_finished_thread_are_ended_too() -> None:
    """A parent-death signal would not be enough, because the kernel sends it when the thread that forked ends."""
    program = (
        "import subprocess, threading, time\n"
        "def work():\n"
        "    subprocess.Popen(['sh', '-c', 'trap \"\" TERM HUP; sleep 300 & sleep 300'], start_new_session=True)\n"
        "    subprocess.Popen(['env', '-i', '/bin/sh', '-c', '(sleep 300 &)'], start_new_session=True).wait()\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
        "time.sleep(300)\n"
    )

    async def work(runner: Runner) -> None:
        process = await runner.start([sys.executable, "-c", program])
        supervisor = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
        await _until(lambda: len(below(supervisor)) >= 5)
        descendants = below(supervisor)
        process.end()
        await process.end_and_wait()
        assert process.gone
        process.close()
        assert not any(os.path.exists(f"/proc/{pid}") for pid in descendants)

    _with_runner(work)


def test_the_running_and_the_next_command_work_although_the_fork_server_is_killed() -> None:
    async def work(runner: Runner) -> None:
        first = await runner.start(["sh", "-c", "sleep 0.5; echo first"])
        assert runner._server is not None
        os.kill(runner._server.pid, signal.SIGKILL)
        second = await runner.start(["echo", "second"])
        assert await _output(second) == b"second\n"
        assert await _output(first) == b"first\n" and await first.wait() == 0
        for process in (first, second):
            await process.end_and_wait()
            process.close()

    _with_runner(work)


def test_a_command_whose_supervisor_and_fork_server_are_killed_is_found_by_its_mark() -> None:
    async def work(runner: Runner) -> None:
        process = await runner.start(["sh", "-c", "setsid sleep 300 & wait"])
        assert runner._server is not None
        supervisor = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
        await _until(lambda: len(below(supervisor)) == 2)
        descendants = below(supervisor)
        os.kill(runner._server.pid, signal.SIGKILL)
        os.kill(supervisor, signal.SIGKILL)
        with pytest.raises(LinesyncFailed, match=rf"the supervisor of sh \(pid {process.pid}\) on here was killed"):
            await process.wait()
        await _until(lambda: not any(_runs(pid) for pid in descendants))
        process.close()

    _with_runner(work)


def test_a_signal_goes_to_the_process_group_only_while_the_command_runs() -> None:
    async def work(runner: Runner) -> None:
        process = await runner.start(
            ["sh", "-c", "trap 'echo caught; exit 4' USR1; echo ready; while :; do sleep 0.02; done"]
        )
        assert await process.outputs[1].read() == b"ready\n"
        for number in (0, -9, 65, 1 << 40):
            process.signal(number)  # an invalid signal number is ignored
        process.signal(signal.SIGUSR1)
        assert await process.wait() == 4
        process.signal(signal.SIGKILL)
        await process.end_and_wait()
        process.close()

    _with_runner(work)


def test_many_concurrent_commands_all_run() -> None:
    async def work(runner: Runner) -> None:
        async def run(number: int) -> bytes:
            process = await runner.start(["echo", str(number)])
            output = await _output(process)
            await process.end_and_wait()
            process.close()
            return output

        assert await asyncio.gather(*map(run, range(40))) == [f"{number}\n".encode() for number in range(40)]

    _with_runner(work)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_supervisor_ends_its_command_when_the_owner_is_killed() -> None:
    program = (
        "import asyncio, sys\nfrom linesync.jobs.commands.process import Runner\n"
        "async def main():\n"
        "    process = await Runner('here', print).start(['sh', '-c', 'setsid sleep 300 & wait'])\n"
        "    print(process.pid, flush=True)\n    await asyncio.sleep(300)\n"
        "asyncio.run(main())\n"
    )
    import subprocess

    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        wait_for(lambda: len(below(pid)) == 1, "its child")
        descendants = {pid, *below(pid)}
        owner.kill()
        wait_for(lambda: not any(map(_runs, descendants)), "their end")
