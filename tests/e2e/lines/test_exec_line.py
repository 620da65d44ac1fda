"""A hub that starts its agent through ssh: the work that continues when the hub or the ssh connection is killed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kit import LINESYNC, Site, children_of, wait_for
from tests.real import sshd

COUNT = "for n in 1 2 3 4 5 6; do echo $n; read line; done; exit 7"


@pytest.fixture
def port(site: Site) -> Iterator[str]:
    with sshd() as server:
        remote = [LINESYNC, "agent", "--stdio", "--name", "sut", *site.socket_option("sut")]
        yield "exec:" + shlex.join([*server.ssh, "cd", str(site.folder), "&&", shlex.join(remote)])


def _ssh_of(hub: int) -> int:
    """The ssh process of the hub's line, or 0."""
    return next((pid for pid in children_of(hub) if Path(f"/proc/{pid}/comm").read_text().strip() == "ssh"), 0)


def test_waits_locks_and_commands_survive_a_killed_ssh_and_a_killed_hub(site: Site, port: str) -> None:
    options = ("--state", "hub.db", "--port", port)
    hub = site.hub(*options)
    site.await_host()
    running = site.start("hub", "run", "sut", "-i", "--", "sh", "-c", COUNT, stdin=subprocess.PIPE)
    holder = site.start(
        "sut", "lock", "L", "--", "sh", "-c", "touch held; while [ ! -e done ]; do sleep 0.05; done; exit 3"
    )
    waiting = site.start("sut", "barrier", "gate", "2")
    site.await_waiting("barriers", "gate", 1)
    wait_for((site.folder / "held").exists, "the lock")
    stdin, stdout = running.process.stdin, running.process.stdout
    assert stdin is not None and stdout is not None

    def step(number: int) -> None:
        assert stdout.readline() == b"%d\n" % number
        stdin.write(b"\n")
        stdin.flush()

    step(1)
    ssh = _ssh_of(hub.pid)
    os.kill(ssh, signal.SIGKILL)
    step(2)
    wait_for(lambda: _ssh_of(hub.pid) not in (0, ssh), "another ssh")
    step(3)
    hub.kill()
    hub = site.hub(*options)
    site.await_host()
    step(4)
    step(5)
    assert site.type("hub", "barrier", "gate", "2").code == 0
    assert waiting.wait().code == 0
    assert site.type("hub", "lock", "L", "--timeout", "0").code == 124
    step(6)
    assert running.wait().code == 7
    (site.folder / "done").touch()
    assert holder.wait().code == 3
    assert hub.stop() == 0
    wait_for(lambda: not site.socket("sut").exists(), "the end of the agent with its session")
