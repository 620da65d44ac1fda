"""Real components for tests: null modems made of ptys by socat, and a real sshd on loopback.

A test is skipped if a component is missing. With LINESYNC_REQUIRE_ALL=1, it fails instead.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["PtyPair", "Sshd", "free_port", "loop_device", "pty_pair", "require", "sshd", "wait_for"]

_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def require(*programs: str) -> None:
    """Skip the test if one of the programs is missing. With LINESYNC_REQUIRE_ALL=1, fail it instead."""
    missing = [program for program in programs if shutil.which(program, path=_PATH) is None]
    if not missing:
        return
    sentence = f"not installed: {', '.join(missing)}"
    if os.environ.get("LINESYNC_REQUIRE_ALL") == "1":
        pytest.fail(f"{sentence}; LINESYNC_REQUIRE_ALL=1 requires all components")
    pytest.skip(sentence)


def wait_for(condition: Callable[[], object], event: str, seconds: float = 10.0, *, every: float = 0.01) -> None:
    """Block until ``condition`` is true.

    :param event: the name of the event, for the error.
    :param seconds: the maximum wait.
    :param every: seconds between two checks.
    :raises AssertionError: the condition was not true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{event} did not happen within {seconds:g} s"
        time.sleep(every)


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def loop_device(image: Path) -> Iterator[str]:
    """The path of a block device whose contents are those of a file; the test is skipped if this machine has no free device."""
    require("losetup")
    losetup = shutil.which("losetup", path=_PATH)
    assert losetup is not None
    made = subprocess.run([losetup, "--find", "--show", str(image)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no loop device can be made here: {made.stderr.strip()}")
    try:
        yield made.stdout.strip()
    finally:
        subprocess.run([losetup, "--detach", made.stdout.strip()], check=True)


@dataclass(frozen=True)
class PtyPair:
    """Two ttys that a running socat connects: a null modem cable without a speed."""

    left: str
    """The path of one tty. It is a link that socat removes at its end."""
    right: str
    """The path of the other tty."""
    process: subprocess.Popen[bytes]
    """The process of socat."""

    def stall(self) -> None:
        """Stop the cable. Written bytes then fill the kernel's buffers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the cable carry bytes again."""
        self.process.send_signal(signal.SIGCONT)

    def cut(self) -> None:
        """Remove the cable permanently. Both ttys are hung up, like USB adapters that are unplugged."""
        self.process.kill()
        self.process.wait()


@contextmanager
def pty_pair() -> Iterator[PtyPair]:
    """A pair of ptys that socat connects. They exist until the block ends, even if all their users close them."""
    require("socat")
    with tempfile.TemporaryDirectory(prefix="linesync-pty-") as directory:
        left, right = f"{directory}/left", f"{directory}/right"
        process = subprocess.Popen(
            ["socat", "-d", f"pty,raw,echo=0,link={left}", f"pty,raw,echo=0,link={right}"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        holders: list[int] = []
        try:
            wait_for(lambda: os.path.exists(left) and os.path.exists(right), "socat's pair of ptys")
            # socat ends when the last user of a pty closes it, therefore both stay open here.
            holders = [os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK) for path in (left, right)]
            yield PtyPair(left, right, process)
        finally:
            process.kill()
            process.wait()
            for holder in holders:
                os.close(holder)


@dataclass(frozen=True)
class Sshd:
    """A running sshd that only the tests use."""

    ssh: list[str]
    """The argv that runs a command on it as root, without a prompt; append the command."""
    port: int
    """Its TCP port on the loopback interface."""


@contextmanager
def sshd() -> Iterator[Sshd]:
    """A real sshd on the loopback interface, with its own keys and configuration. It needs root."""
    require("sshd", "ssh", "ssh-keygen")
    if os.geteuid() != 0:
        pytest.skip("only root can start an sshd that accepts root")
    program = shutil.which("sshd", path=_PATH)
    assert program is not None
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="linesync-sshd-") as directory:
        place = Path(directory)
        for name in ("host_key", "user_key"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
            subprocess.run(keygen, check=True)
        (place / "authorized_keys").write_text((place / "user_key.pub").read_text())
        port = free_port()
        (place / "sshd_config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host_key\n"
            f"AuthorizedKeysFile {place}/authorized_keys\nPermitRootLogin prohibit-password\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PidFile none\nPrintMotd no\nPrintLastLog no\nMaxStartups 100\nUseDNS no\n"
        )
        with open(place / "log", "wb") as log:
            process = subprocess.Popen(
                [program, "-D", "-e", "-f", str(place / "sshd_config")], stdin=subprocess.DEVNULL, stderr=log
            )
        try:
            wait_for(lambda: _answers(port) or process.poll() is not None, "sshd's port")
            assert process.poll() is None, f"sshd did not start: {(place / 'log').read_text()}"
            options = [
                "StrictHostKeyChecking=no",
                "UserKnownHostsFile=/dev/null",
                "LogLevel=ERROR",
                "BatchMode=yes",
            ]
            ssh = ["ssh", "-F", "/dev/null", "-i", str(place / "user_key"), "-p", str(port)]
            yield Sshd([*ssh, *(word for option in options for word in ("-o", option)), "root@127.0.0.1"], port)
        finally:
            process.terminate()
            process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
