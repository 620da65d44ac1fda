"""Commands on a terminal of a host."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from linesync.errors import CannotExecute, UsageError
from linesync.jobs.commands.process import Process, Runner
from linesync.jobs.commands.terminal import read_size

from .test_process import _with_runner


class _Screen:
    """A command on a terminal, with everything that it has written."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.text = b""

    async def until(self, wanted: bytes) -> None:
        """Wait until the command has written this text after the text of the last call."""
        while wanted not in self.text:
            try:
                piece = await asyncio.wait_for(self.process.outputs[1].read(), 10)
            except TimeoutError:
                piece = b""
            assert piece, (wanted, self.text)
            self.text += piece
        self.text = self.text.partition(wanted)[2]

    async def type(self, text: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.write(text)


def _on_terminal(
    argv: Sequence[str],
    work: Callable[[_Screen], Awaitable[None]],
    *,
    user: str = "",
    env: Mapping[str, str] | None = None,
) -> None:
    async def run(runner: Runner) -> None:
        process = await runner.start(argv, user=user, env=env, terminal=(100, 30))
        try:
            await work(_Screen(process))
            await process.end_and_wait()
            assert process.gone
        finally:
            process.close()

    _with_runner(run)


SHELL = ("bash", "--norc", "--noprofile", "--noediting", "-i")
PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGWINCH, lambda number, frame: print(os.get_terminal_size(), flush=True))
signal.signal(signal.SIGCONT, lambda number, frame: print("continues", flush=True))
signal.signal(signal.SIGINT, lambda number, frame: sys.exit(5))
print("runs", flush=True)
while True:
    signal.pause()
"""
PROMPT = {"PS1": "> ", "TERM": "dumb"}


def test_a_command_has_a_controlling_terminal_with_the_size_and_with_one_stream_of_output() -> None:
    async def work(screen: _Screen) -> None:
        await screen.until(b"30 100\r\nerror\r\n")
        await screen.type(b"typed\n")
        await screen.until(b"got typed /dev/pts/")
        assert await screen.process.wait() == 3
        assert list(screen.process.outputs) == [1]

    _on_terminal(["sh", "-c", "stty size; echo error >&2; read x </dev/tty; echo got $x $(tty); exit 3"], work)


def test_job_control_works_and_a_resize_reaches_the_foreground_program() -> None:
    async def work(screen: _Screen) -> None:
        await screen.until(b"> ")
        await screen.type(b'python3 -c "$PROGRAM"\n')
        await screen.until(b"runs")
        await screen.type(b"\x1a")
        await screen.until(b"Stopped")
        await screen.type(b"fg\n")
        await screen.until(b"continues")
        terminal = screen.process.terminal
        assert terminal is not None
        for columns, rows in ((0, 40), (120, 10_000), (120, 40)):  # impossible sizes are ignored
            terminal.resize(columns, rows)
        await screen.until(b"columns=120, lines=40")
        await screen.type(b"\x03")
        await screen.until(b"> ")
        await screen.type(b"echo $?; exit 7\n")
        await screen.until(b"5\r\n")
        assert await screen.process.wait() == 7

    _on_terminal(SHELL, work, env=PROMPT | {"PROGRAM": PROGRAM})


def test_a_shell_gets_sighup_before_sigterm_when_its_client_is_gone(tmp_path: Path) -> None:
    """An interactive shell ignores SIGTERM. After SIGHUP it also ends its jobs, and writes its history."""
    history = tmp_path / "history"

    async def work(screen: _Screen) -> None:
        await screen.until(b"> ")
        await screen.type(b"set -o history; sleep 300 &\n")
        await screen.until(b"] ")
        screen.process.end()
        assert await asyncio.wait_for(screen.process.wait(), 2.5) == -1  # sooner than SIGKILL would come

    _on_terminal(SHELL, work, env=PROMPT | {"HISTFILE": str(history)})
    assert "sleep 300 &" in history.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a command of another user")
def test_the_terminal_belongs_to_the_user_of_the_command() -> None:
    uid = pwd.getpwnam("nobody").pw_uid

    async def work(screen: _Screen) -> None:
        await screen.until(f"{uid} {uid}\r\nopened".encode())
        assert await screen.process.wait() == 0

    _on_terminal(["sh", "-c", "echo $(id -u) $(stat -c %u $(tty)); : </dev/tty && echo opened"], work, user="nobody")


def test_a_host_without_a_free_terminal_refuses_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_terminal() -> tuple[int, int]:
        raise FileNotFoundError(2, "No such file or directory")

    async def work(runner: Runner) -> None:
        monkeypatch.setattr(os, "openpty", no_terminal)
        with pytest.raises(CannotExecute, match="no terminal is available on here: No such file or directory"):
            await runner.start(["true"], terminal=(80, 24))

    _with_runner(work)


def test_only_possible_sizes_are_accepted() -> None:
    assert read_size("80x24") == (80, 24) and read_size("9999x1") == (9999, 1)
    for text in ("80", "80x", "x24", "0x24", "80x0", "80x10000", "-80x24", "80x24x1", "8０x24", "80x24 ", "1" * 5000):
        with pytest.raises(UsageError, match="expected COLUMNSxROWS"):
            read_size(text)
