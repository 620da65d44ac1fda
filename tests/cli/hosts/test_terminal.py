"""However a command ends, it restores the terminal and removes its temporary files and processes."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from linesync.cli.progress import fitted
from tests.e2e.kit import LINESYNC, Site, alive
from tests.real import wait_for

pytestmark = pytest.mark.live


class Terminal:
    """A terminal with a program on it.

    :ivar before: the attributes of the terminal before the program started.
    """

    def __init__(self, site: Site, *words: str, columns: int = 80) -> None:
        self.screen, self.tty = pty.openpty()
        fcntl.ioctl(self.tty, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.before = termios.tcgetattr(self.tty)
        self.process = subprocess.Popen(
            [LINESYNC, "--hub", f"unix:{site.socket('hub')}", *words],
            env=site.env,
            cwd=site.folder,
            stdin=self.tty,
            stdout=self.tty,
            stderr=self.tty,
            start_new_session=True,
        )

    @property
    def raw(self) -> bool:
        return termios.tcgetattr(self.tty) != self.before

    def end(self, number: int) -> int:
        """Send a signal. Returns the exit code as Python reports it."""
        self.process.send_signal(number)
        return self.process.wait(10)

    def read_screen(self) -> str:
        """The text that has arrived on the screen since the last call."""
        os.set_blocking(self.screen, False)
        text = b""
        try:
            while data := os.read(self.screen, 65536):
                text += data
        except BlockingIOError:
            pass
        return text.decode()


@contextmanager
def terminal(site: Site, *words: str, columns: int = 80) -> Iterator[Terminal]:
    started = Terminal(site, *words, columns=columns)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()
        os.close(started.screen)
        os.close(started.tty)


SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


def test_a_signal_that_ends_console_i_restores_the_terminal(site: Site) -> None:
    line, end = pty.openpty()
    tty.setraw(end)
    site.hub("--port", os.ttyname(end)).says("waiting for an agent")
    for number in (*SIGNALS, signal.SIGINT):
        with terminal(site, "console", os.ttyname(end), "-i") as command:
            wait_for(lambda command=command: command.raw, "the raw terminal")  # type: ignore[misc]
            code = command.end(number)
            assert not command.raw and code == (130 if number == signal.SIGINT else -number)
    os.close(line)
    os.close(end)


def test_a_signal_that_ends_run_t_restores_the_terminal_and_ends_the_command(site: Site) -> None:
    site.hub().says("scripts on this machine")
    for number in (*SIGNALS, signal.SIGINT, signal.SIGKILL):
        with terminal(site, "run", "-t", "hub", "--", "sh", "-c", "echo pid=$$; exec sleep 300") as command:
            text = ""

            def shown(command: Terminal = command) -> bool:
                nonlocal text
                text += command.read_screen()
                return "\n" in text

            wait_for(shown, "the pid")
            pid = int(text.partition("pid=")[2])
            assert command.raw
            code = command.end(number)
            assert code == (130 if number == signal.SIGINT else -number)
            assert not command.raw or number == signal.SIGKILL  # a killed process cannot restore anything
            wait_for(lambda pid=pid: not alive(pid), "the end of the command")  # type: ignore[misc]


def test_an_agent_that_a_signal_ends_restores_its_terminal_and_removes_its_socket(site: Site) -> None:
    site.hub().says("scripts on this machine")
    for number in SIGNALS:
        with terminal(site, "agent", "--stdio", "--name", "sut", *site.socket_option("sut")) as agent:
            wait_for(lambda agent=agent: agent.raw, "the raw terminal")  # type: ignore[misc]
            agent.end(number)
            assert not agent.raw and not site.socket("sut").exists()


def temporary(site: Site) -> list[Path]:
    return list(site.folder.glob("linesync-*"))


def unnamed(process: subprocess.Popen[bytes]) -> list[str]:
    """The open files of a process that have no name."""
    links = []
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed just now
            links.append(os.readlink(entry))
    return [link for link in links if link.endswith("(deleted)")]


def test_a_signal_that_ends_demo_leaves_no_temporary_file(site: Site) -> None:
    with terminal(site, "demo") as demo:
        wait_for(lambda: temporary(site), "the temporary directory")
        assert demo.end(signal.SIGTERM) == -signal.SIGTERM
        assert not temporary(site)


def test_a_copy_between_two_hosts_that_is_killed_leaves_only_a_part_for_the_next_copy(site: Site) -> None:
    site.hub().says("scripts on this machine")
    with open(site.folder / "big", "wb") as file:
        file.truncate(1 << 32)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with terminal(site, "cp", "hub:big", "hub:copy") as copy:
            wait_for(lambda: list(site.folder.glob(".copy.*.linesync")), "the part")
            assert not unnamed(copy.process), "the data does not pass through a file of the client"
            assert copy.end(number) == -number
            assert not (site.folder / "copy").exists()
    assert len(list(site.folder.glob(".copy.*"))) == 1


def test_progress_fits_in_40_columns_and_ends_its_line_at_ctrl_c(site: Site) -> None:
    site.hub().says("scripts on this machine")
    with open(site.folder / "big", "wb") as file:
        file.truncate(1 << 33)
    for words in (["cp", "big", "hub:copy"], ["cp", f"hub:{site.folder}/big", "copy"]):
        with terminal(site, *words, columns=40) as command:
            text = ""

            def shown(command: Terminal = command) -> bool:
                nonlocal text
                text += command.read_screen()
                return text.count("\r") > 1

            wait_for(shown, "the second update of the progress")
            assert command.end(signal.SIGINT) == 130
            text += command.read_screen()
            *updates, rest = text.replace("\r\n", "\n").split("\r")[1:]
            assert updates and all("%" in update and len(update) < 40 and "\n" not in update for update in updates)
            assert rest.endswith("\n") and len(rest) <= 40


@pytest.mark.parametrize("columns", [1, 5, 20, 40, 200])
def test_progress_never_exceeds_the_columns(columns: int) -> None:
    text = fitted(123_456_789, 1_234_567_890, 12.0, columns)
    assert len(text) <= columns and ("10%" in text) == (columns >= 4)
    assert ("bytes" in text) == (columns == 200)
