"""``linesync forward`` over a serial line, with real sockets and processes."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.kit import Command, SerialSite, serial_site
from tests.real import require, wait_for

from .servers import LINGER, echo, everything, server


@pytest.fixture(scope="module")
def place() -> Iterator[SerialSite]:
    with serial_site(hosts=("sut",)) as site:
        yield site


class Forward:
    """A running ``linesync forward``.

    :ivar listens: the addresses on which it listens, in the order of its output.
    """

    def __init__(self, place: SerialSite, *args: str, side: str = "hub", count: int = 1) -> None:
        self.command: Command = place.start(side, "forward", "--json", *args)
        assert self.command.process.stdout is not None
        lines = [self.command.process.stdout.readline() for _ in range(count)]
        assert all(lines), self.command.wait()
        self.listens = [json.loads(line)["listen"] for line in lines]

    def connect(self, number: int = 0) -> socket.socket:
        address = self.listens[number]
        if address.startswith("unix:"):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            connection = socket.create_connection((host, int(port)))
        connection.settimeout(30.0)
        return connection

    def stop(self, number: int = signal.SIGINT) -> str:
        """End it with a signal. Returns its log."""
        self.command.process.send_signal(number)
        return self.command.wait().err


def is_over(connection: socket.socket) -> bool:
    """Wait for the end or the reset of a connection. False if bytes arrive."""
    try:
        return not connection.recv(10)
    except ConnectionResetError:
        return True


@contextmanager
def forward(place: SerialSite, *args: str, side: str = "hub", count: int = 1) -> Iterator[Forward]:
    running = Forward(place, *args, side=side, count=count)
    try:
        yield running
    finally:
        running.command.close()


def test_tcp_and_unix_sockets_are_forwarded_in_both_directions(place: SerialSite) -> None:
    here, there = place.folder / "here.sock", place.folder / "there.sock"
    with server(echo) as tcp, server(echo, place.folder / "echo.sock") as unix, ExitStack() as stack:
        options = ("-L", f"0={tcp}", "-L", f"{here}={unix}", "-R", f"127.0.0.1:0={unix}", "-R", f"{there}={tcp}")
        running = stack.enter_context(forward(place, *options, "sut", count=4))
        sockets = [stack.enter_context(running.connect(number)) for number in range(4)]
        for number, connection in enumerate(sockets):
            connection.sendall(bytes([number]) * 1000)
            connection.shutdown(socket.SHUT_WR)
        for number, connection in enumerate(sockets):
            assert everything(connection) == bytes([number]) * 1000
        assert here.exists() and there.exists()
        assert not running.stop()
        wait_for(lambda: not here.exists() and not there.exists(), "the socket files are removed")


def test_a_reset_passes_through_and_a_refused_target_has_a_reason(place: SerialSite) -> None:
    reset_seen = threading.Event()

    def until_reset(connection: socket.socket) -> None:
        try:
            everything(connection)
        except ConnectionResetError:
            reset_seen.set()

    with (
        server(until_reset) as target,
        forward(place, "-L", f"0={target}", "-L", "0=127.0.0.1:1", "sut", count=2) as it,
    ):
        with it.connect() as connection:
            connection.sendall(b"x")
            time.sleep(0.2)  # the connection reaches its target
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        assert reset_seen.wait(10.0)
        with it.connect(1) as refused:
            assert is_over(refused)
        assert "sut cannot connect to 127.0.0.1:1: the connection was refused" in it.stop()


@pytest.mark.parametrize("end", ["client INT", "client KILL", "agent KILL", "line"])
def test_connections_and_listening_sockets_end_with_their_owner(end: str) -> None:
    with serial_site("--lease", "3", hosts=("sut",)) as place, server(echo) as target:
        here, there = place.folder / "here.sock", place.folder / "there.sock"
        with forward(place, "-L", f"{here}={target}", "-R", f"{there}={target}", "sut", count=2) as it:
            with it.connect(0) as near, it.connect(1) as far:
                for connection in (near, far):
                    connection.sendall(b"hello")
                    assert connection.recv(10) == b"hello"
                if end == "agent KILL":
                    place.agents["sut"].kill()
                elif end == "line":
                    place.cables["sut"].pull()
                else:
                    it.command.process.send_signal(signal.SIGKILL if "KILL" in end else signal.SIGINT)
                for connection in (near, far):
                    assert is_over(connection)
                wait_for(lambda: not here.exists() and not there.exists(), "the socket files are removed", 20.0)
                done = it.command.wait()
                assert "client" in end or (done.code == 125 and "does not listen on unix:" in done.err), done


def test_forward_fails_if_it_cannot_listen_and_leaves_nothing(place: SerialSite) -> None:
    for side, options in (("hub", ("-L", "{}=localhost:1")), ("sut", ("-R", "{}=localhost:1"))):
        used = place.folder / f"{side}.sock"
        options = (options[0], options[1].format(used))
        done = place.type("hub", "forward", "-L", f"{place.folder}/other.sock=localhost:1", *options, "sut")
        name = "this machine" if side == "hub" else "sut"
        assert (done.code, done.out) == (
            125,
            b"",
        ) and f"{name} cannot listen on unix:{used}: another process" in done.err
        assert not (place.folder / "other.sock").exists()


def test_stdio_carries_bytes_of_a_file_and_of_pipes_and_returns_the_reason_of_a_failure(place: SerialSite) -> None:
    data = random.Random(1).randbytes(5_000)
    (place.folder / "data").write_bytes(data)
    with server(echo) as target:
        with open(place.folder / "data", "rb") as file:
            assert place.start("hub", "forward", "--stdio", "sut", target, stdin=file).wait().out == data
        assert place.type("sut", "forward", "--stdio", "hub", target, stdin=data).out == data
        near, far = socket.socketpair()
        with near:
            command = [*place.start("hub", "hosts").process.args[:3], "forward", "--stdio", "sut", target]  # type: ignore[index]
            running = subprocess.Popen(command, stdin=far, stdout=far, env=place.env, process_group=0)
            far.close()
            near.sendall(data[:1000])
            near.shutdown(socket.SHUT_WR)
            assert everything(near) == data[:1000] and running.wait(10) == 0
    refused = place.type("hub", "forward", "--stdio", "sut", "127.0.0.1:1")
    assert refused.code == 125 and "sut cannot connect to 127.0.0.1:1: the connection was refused" in refused.err


def test_curl_uses_the_socks_proxy(place: SerialSite) -> None:
    require("curl")

    def web(connection: socket.socket) -> None:
        while b"\r\n\r\n" not in connection.recv(65536, socket.MSG_PEEK):
            pass
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")

    with server(web) as target, forward(place, "-D", "127.0.0.1:0", "sut") as it:
        url = f"http://{target}/"
        words = ["curl", "-s", "-m", "20", "--socks5-hostname", it.listens[0]]
        assert subprocess.run([*words, url], capture_output=True, timeout=30).stdout == b"hello\n"
        assert subprocess.run([*words, "http://127.0.0.1:1/"], timeout=30).returncode == 97


def memory(pid: int) -> int:
    """The resident memory of a process in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) << 10


def test_a_reader_that_stops_fills_no_memory(place: SerialSite) -> None:
    """64 MiB are pushed to a program that does not read, through the hub and an agent on a fast line."""
    fast = place.agent("--port", f"unix:{place.socket('hub')}", name="fast")
    place.await_host("fast")
    release = threading.Event()

    def stopped(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        release.wait(60.0)

    hub = place.daemons[0]
    with server(stopped) as target, forward(place, "-L", f"0={target}", "fast") as it, it.connect() as connection:
        pids = [hub.pid, fast.pid, it.command.process.pid]
        connection.sendall(b"x")
        before = [memory(pid) for pid in pids]
        connection.setblocking(False)
        pushed, until = 0, time.monotonic() + 3.0
        piece = os.urandom(1 << 16)
        while pushed < 64 << 20 and time.monotonic() < until:
            try:
                pushed += connection.send(piece)
            except BlockingIOError:
                time.sleep(0.02)
        after = [memory(pid) for pid in pids]
        release.set()
        assert pushed < 16 << 20, "most bytes wait in the program that sends them"
        growth = [(new - old) >> 10 for new, old in zip(after, before, strict=True)]
        assert max(growth) < 8 << 10, f"the hub, the agent and the client have grown by {growth} KiB"
