"""The line over a process's own stdin and stdout, run in child processes on every kind of descriptor."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import termios
import textwrap
import threading
from pathlib import Path
from typing import Any

from tests.real import wait_for

# A child that echoes its stdio line in upper case until the line ends, then reports on stderr how it ended.
ECHO = textwrap.dedent(
    """
    import asyncio, os, subprocess, sys
    from linesync.testing.recorder import Recorder
    from linesync.transports import connect

    async def main():
        print("printed before", end="")
        line = Recorder("stdio", on_data=lambda line: answer(line))
        await connect("stdio:", lambda: line)
        print("a stray print")
        os.write(1, b"a stray write\\n")
        subprocess.run(["sh", "-c", "cat; echo a stray child"])
        try:
            await connect("stdio:", lambda: line)
        except Exception as error:
            print(type(error).__name__, error)
        line.write(b"ready:" + (b"shared" if line.line.info.shared else b"private") + b";")
        await line.until_lost()
        line.verify()
        print("ended", line.calls.count("eof"), line.error)

    def answer(line):
        if line.data.endswith(b"abort"):
            line.abort()
        else:
            line.write(bytes(line.data).upper())
            del line.data[:]

    asyncio.run(main())
    """
)


BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
"""The environment without PYTHONUNBUFFERED. Text that is printed before the line opens is then still in a buffer."""


def start(**descriptors: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ECHO], stderr=subprocess.PIPE, env=BUFFERED, **descriptors)


def check_output_on_stderr(shown: bytes) -> None:
    """Check that all output of the process outside the line was printed on stderr."""
    for word in (b"printed before", b"a stray print", b"a stray write", b"a stray child", b"BusyError"):
        assert word in shown, shown.decode()
    assert b"ended 1 None" in shown, shown.decode()


def test_pipes_carry_the_line_and_nothing_else() -> None:
    child = start(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, shown = child.communicate(b"hello")
    assert out == b"ready:private;HELLO"
    check_output_on_stderr(shown)


def test_the_flags_of_shared_descriptors_do_not_change() -> None:
    their_input, our_output = os.pipe()
    our_input, their_output = os.pipe()
    child = start(stdin=their_input, stdout=their_output)
    assert os.read(our_input, 100) == b"ready:private;"
    assert os.get_blocking(their_input) and os.get_blocking(their_output)
    child.kill()
    child.communicate()
    for descriptor in (their_input, their_output, our_input, our_output):
        os.close(descriptor)


def test_one_socket_carries_both_directions_and_stays_blocking_for_others() -> None:
    socket_, other_end = socket.socketpair()
    with socket_, other_end:
        child = start(stdin=other_end, stdout=other_end)
        assert socket_.recv(100) == b"ready:private;"
        assert os.get_blocking(other_end.fileno())
        big = b"x" * 1_000_000
        writer = threading.Thread(target=_send_all, args=(socket_, big))
        writer.start()
        other_end.close()
        got = b""
        while piece := socket_.recv(1 << 16):
            got += piece
        writer.join()
        _out, shown = child.communicate()
    assert got == b"X" * 1_000_000
    check_output_on_stderr(shown)


def _send_all(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def test_input_and_output_may_be_regular_files(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"from a file")
    with open(tmp_path / "in", "rb") as source, open(tmp_path / "out", "wb") as sink:
        child = start(stdin=source, stdout=sink)
        _out, shown = child.communicate()
    assert (tmp_path / "out").read_bytes() == b"ready:private;FROM A FILE"
    assert b"Error" not in shown.replace(b"BusyError", b""), shown.decode()


def test_an_empty_stdin_ends_the_line_immediately() -> None:
    child = start(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    _out, shown = child.communicate()
    assert b"ended 1 None" in shown, shown.decode()


def test_a_closed_stdin_is_an_error() -> None:
    script = f'exec <&-; exec {sys.executable} -c "$1"'
    child = subprocess.run(["sh", "-c", script, "sh", ECHO], capture_output=True, check=False)
    assert b"needs stdin and stdout, but one of them is closed" in child.stderr
    assert child.returncode == 1


def test_a_terminal_is_raw_while_the_line_is_open_and_restored_afterwards() -> None:
    for ending in (b"abort", None):
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        child = start(stdin=slave, stdout=slave)
        assert os.read(master, 100) == b"ready:shared;"
        assert not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
        assert os.get_blocking(slave)
        os.write(master, b"a\x03\r\n")
        assert os.read(master, 100) == b"A\x03\r\n"
        if ending:
            os.write(master, ending)
        else:
            child.terminate()
        _out, shown = child.communicate()
        if ending:
            assert termios.tcgetattr(slave) == before, shown.decode()
        os.close(master)
        os.close(slave)


def test_a_terminal_is_restored_even_if_the_line_was_never_closed() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    script = ECHO.replace("await line.until_lost()", "raise SystemExit(5)")
    child = subprocess.Popen([sys.executable, "-c", script], stdin=slave, stdout=slave, stderr=subprocess.DEVNULL)
    assert child.wait() == 5
    wait_for(lambda: termios.tcgetattr(slave) == before, "the terminal to be restored")
    os.close(master)
    os.close(slave)
