"""A hub with few descriptors refuses new connections with a reason, serves the existing connections, and recovers."""

from __future__ import annotations

import os
import resource
import socket
import time
from pathlib import Path

from linesync import connect_blocking
from linesync.errors import LinesyncError
from tests.e2e.kit import LINESYNC, Site
from tests.real import wait_for

SOFT, HARD = 48, 64


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def processor_time(pid: int) -> float:
    """The processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_hub_without_descriptors_refuses_new_connections_and_recovers(site: Site) -> None:
    path = str(site.socket("hub"))
    limited = ("sh", "-c", f'ulimit -Sn {SOFT} && ulimit -Hn {HARD} && exec "$@"', "sh", LINESYNC)
    hub = site.daemon("hub", ["hub", "--socket", path], limited)
    hub.says("scripts on this machine reach hub")
    connections: list[socket.socket] = []

    def connect_many(count: int) -> None:
        for _ in range(count):
            connections.append(socket.socket(socket.AF_UNIX))
            connections[-1].connect(path)

    def can_connect() -> bool:
        try:
            connect_blocking(f"unix:{path}").close()
        except LinesyncError:
            return False
        return True

    def disconnect_all() -> None:
        while connections:
            connections.pop().close()
        wait_for(can_connect, "a connection that is accepted again")

    with connect_blocking(f"unix:{path}") as connected:
        assert resource.prlimit(hub.pid, resource.RLIMIT_NOFILE) == (HARD, HARD)
        assert site.type("hub", "run", "hub", "--", "sh", "-c", "ulimit -Sn; ulimit -Hn").text == f"{SOFT}\n{HARD}\n"
        connect_many(2 * HARD)  # there are fewer places than descriptors
        refused = site.type("hub", "hosts")
        assert refused.code == 125 and "the hub has no place for another connection (32 of 32 are taken)" in refused.err
        assert connected.hosts() == []
        disconnect_all()

        resource.prlimit(hub.pid, resource.RLIMIT_NOFILE, (descriptors(hub.pid) + 4, HARD))
        began, used = time.monotonic(), processor_time(hub.pid)
        connect_many(2 * HARD)
        refused = site.type("hub", "hosts")
        assert refused.code == 125 and "too many open files; end some scripts, or start it with" in refused.err
        assert connected.semaphore("units", 1) == 1
        time.sleep(0.5)
        assert processor_time(hub.pid) - used < 0.3 * (time.monotonic() - began), (
            "the hub does not pause between attempts"
        )
        disconnect_all()
    assert hub.stop() == 0
    assert len(hub.log.splitlines()) < 10, hub.log
