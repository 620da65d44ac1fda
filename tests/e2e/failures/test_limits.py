"""A hub that has few descriptors: it refuses newcomers with a reason, serves those who are in, and recovers."""

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


def busy(pid: int) -> float:
    """The processor time of a process so far, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_hub_without_descriptors_refuses_newcomers_and_recovers(site: Site) -> None:
    path = str(site.socket("hub"))
    limited = ("sh", "-c", f'ulimit -Sn {SOFT} && ulimit -Hn {HARD} && exec "$@"', "sh", LINESYNC)
    hub = site.daemon("hub", ["hub", "--socket", path], limited)
    hub.says("scripts on this machine reach hub")
    newcomers: list[socket.socket] = []

    def crowd(count: int) -> None:
        for _ in range(count):
            newcomers.append(socket.socket(socket.AF_UNIX))
            newcomers[-1].connect(path)

    def comes_in() -> bool:
        try:
            connect_blocking(f"unix:{path}").close()
        except LinesyncError:
            return False
        return True

    def leave() -> None:
        while newcomers:
            newcomers.pop().close()
        wait_for(comes_in, "a newcomer that comes in again")

    with connect_blocking(f"unix:{path}") as inside:
        assert resource.prlimit(hub.pid, resource.RLIMIT_NOFILE) == (HARD, HARD)
        assert site.type("hub", "run", "hub", "--", "sh", "-c", "ulimit -Sn; ulimit -Hn").text == f"{SOFT}\n{HARD}\n"
        crowd(2 * HARD)  # there are fewer places than descriptors
        refused = site.type("hub", "hosts")
        assert refused.code == 125 and "the hub has no place for another connection (32 of 32 are taken)" in refused.err
        assert inside.hosts() == []
        leave()

        resource.prlimit(hub.pid, resource.RLIMIT_NOFILE, (descriptors(hub.pid) + 4, HARD))
        began, used = time.monotonic(), busy(hub.pid)
        crowd(2 * HARD)
        refused = site.type("hub", "hosts")
        assert refused.code == 125 and "too many open files; end some scripts, or start it with" in refused.err
        assert inside.semaphore("units", 1) == 1
        time.sleep(0.5)
        assert busy(hub.pid) - used < 0.3 * (time.monotonic() - began), "it pauses"
        leave()
    assert hub.stop() == 0
    assert len(hub.log.splitlines()) < 10, hub.log
