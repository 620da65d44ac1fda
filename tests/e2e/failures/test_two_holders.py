"""Two hosts never write under a lock at the same time, even if a process is stopped or killed, or a line is cut.

In a round, host c1 runs a command under a lock, and host c2 waits for the lock. Then the client, the agent, the line of c1 or
the hub is stopped, killed or cut, for less or for more than the lease. Each command writes the time repeatedly (by the same
clock, because all hosts are one machine) and ignores SIGTERM. The times of two commands must not overlap.

The first rounds run in CI. ``LINESYNC_ROUNDS=37`` tests the whole table, and more rounds test it again.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from linesync.testing.nullmodem import NullModem
from tests.e2e.kit import Command, Daemon, Site, site
from tests.real import free_port, require, wait_for

LEASE = 3.0
SHORT, LONG = 0.25 * LEASE, 1.6 * LEASE
_WRITER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
until, began = sys.argv[2], time.monotonic()
while not os.path.exists(until) if until else time.monotonic() < began + 0.2:
    os.write(file, f"{os.getpid()} {time.clock_gettime(time.CLOCK_BOOTTIME):.6f}\\n".encode())
    time.sleep(0.002)
"""
_FIRST = [("serial", "agent", "stopped", LONG), ("unix", "client", "killed", SHORT)]
_TABLE = [
    (kind, victim, disturbance, seconds)
    for kind, seconds, (victim, disturbance) in itertools.product(
        ("serial", "tcp", "unix"),
        (LONG, SHORT),
        [
            ("agent", "stopped"),
            ("client", "stopped"),
            ("hub", "stopped"),
            ("line", "cut"),
            ("agent", "killed"),
            ("client", "killed"),
            ("hub", "killed"),
        ],
    )
    if not (kind == "unix" and victim == "line")
    and not (victim == "client" and disturbance == "killed" and seconds == LONG)
]
_TABLE = [*_FIRST, *(cell for cell in _TABLE if cell not in _FIRST)]
ROUNDS = int(os.environ.get("LINESYNC_ROUNDS") or len(_FIRST))


class Duo:
    """A hub and two hosts. The round chooses the kind of the line of c1, and c2 has a Unix socket. Unless the line is serial,
    the hub has a state file, so a hold continues if the hub was killed for less than the lease.

    :ivar cut: cuts the line of c1; the result of the call repairs it.
    """

    def __init__(self, place: Site, kind: str, stack: ExitStack) -> None:
        self.site = place
        self._hub_options = ["--lease", f"{LEASE:g}", "--listen", f"unix:{place.folder}/lines"]
        self.stores = kind != "serial"
        if self.stores:
            self._hub_options += ["--state", f"{place.folder}/state.db"]
        self.cut: Callable[[], Callable[[], None]]
        port = f"unix:{place.folder}/lines"
        if kind == "serial":
            cable = stack.enter_context(NullModem())
            self._hub_options += ["--port", cable.a]
            port = cable.b

            def pull() -> Callable[[], None]:
                cable.pull()
                return cable.plug

            self.cut = pull
        elif kind == "tcp":
            inner, outer = free_port(), free_port()
            self._hub_options += ["--listen", f"tcp://127.0.0.1:{inner}"]
            port = f"tcp://127.0.0.1:{outer}"
            relay = stack.enter_context(_relay(outer, inner))

            def stop() -> Callable[[], None]:
                os.killpg(relay.pid, signal.SIGSTOP)
                return lambda: os.killpg(relay.pid, signal.SIGCONT)

            self.cut = stop
        self._ports = {"c1": port, "c2": f"unix:{place.folder}/lines"}
        self.hub = self.start_hub()
        self.agents = {name: self.start_agent(name) for name in self._ports}
        for name in self._ports:
            place.await_host(name)

    def start_hub(self) -> Daemon:
        self.hub = self.site.hub(*self._hub_options)
        self.hub.says("scripts on this machine")
        return self.hub

    def start_agent(self, name: str) -> Daemon:
        return self.site.agent("--port", self._ports[name], name=name)


@contextmanager
def _relay(outer: int, inner: int) -> Iterator[subprocess.Popen[bytes]]:
    """A TCP relay. SIGSTOP to its process group interrupts its connections, without a notification of the ends."""
    require("socat")
    listen = f"TCP-LISTEN:{outer},bind=127.0.0.1,reuseaddr,fork"
    relay = subprocess.Popen(
        ["socat", listen, f"TCP:127.0.0.1:{inner},nodelay"], start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        yield relay
    finally:
        os.killpg(relay.pid, signal.SIGKILL)
        relay.wait()


class Round:
    """One round on its own site."""

    def __init__(self, duo: Duo, victim: str, disturbance: str, seconds: float) -> None:
        self.duo, self.site = duo, duo.site
        self.victim, self.how, self.seconds = victim, disturbance, seconds
        self.end = self.site.folder / "end"
        self.first = self.lock("c1", str(self.end))
        wait_for(lambda: self.spans("c1"), "the first holder", 30.0)
        self.second = self.lock("c2", "")
        self.site.await_waiting("locks", "disk", 1)

    def lock(self, host: str, until: str) -> Command:
        writer = [sys.executable, "-c", _WRITER, str(self.site.folder / f"{host}.times"), until]
        return self.site.start(host, "lock", "disk", "--", *writer)

    def spans(self, host: str) -> list[tuple[float, float]]:
        """The first and the last time of each command of a host."""
        file: Path = self.site.folder / f"{host}.times"
        times: dict[str, list[float]] = {}
        for line in file.read_text().splitlines() if file.exists() else ():
            pid, time = line.split()
            times.setdefault(pid, []).append(float(time))
        return [(min(points), max(points)) for points in times.values()]

    def disturb(self) -> None:
        """Stop, kill or cut the victim, and repair it after the time of the round."""
        victim = {"client": self.first.process, "agent": self.duo.agents["c1"].process, "hub": self.duo.hub.process}
        if self.victim == "line":
            repair = self.duo.cut()
        elif self.how == "stopped":
            process = victim[self.victim]
            process.send_signal(signal.SIGSTOP)
            repair = lambda: process.send_signal(signal.SIGCONT)  # noqa: E731
        else:
            victim[self.victim].kill()
            victim[self.victim].wait()
            restart = {"client": lambda: None, "agent": lambda: self.duo.start_agent("c1"), "hub": self.duo.start_hub}
            repair = restart[self.victim]  # type: ignore[assignment]
        time.sleep(self.seconds)
        repair()

    def play(self) -> str:
        began = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.disturb()
        survives = self.how != "killed" or (self.victim == "hub" and self.duo.stores)
        if survives and self.seconds < LEASE / 2:
            self.end.touch()
            done = self.first.wait()
            assert done.code == 0, f"a short interruption has an effect: {done}"
        elif (self.victim, self.how) != ("client", "killed"):
            done = self.first.wait()
            assert done.code == 125 and "the hold was lost" in done.err, done
        second_result = self.second.wait(60.0)
        while second_result.code == 125 and not self.duo.stores:  # the hub was killed
            self.second = self.lock("c2", "")
            second_result = self.second.wait(60.0)
        assert second_result.code == 0, second_result
        (held,), (got,) = self.spans("c1"), self.spans("c2")[-1:]
        shown = f"c1 wrote until {held[1] - began:.3f} s, c2 from {got[0] - began:.3f} s"
        assert held[1] < got[0], f"two holders for {held[1] - got[0]:.3f} s: {shown}"
        return shown


@pytest.mark.parametrize("number", range(ROUNDS))
def test_no_two_hosts_write_under_a_lock_at_the_same_time(number: int) -> None:
    kind, victim, disturbance, seconds = _TABLE[number % len(_TABLE)]
    title = f"{kind}: {victim} {disturbance} for {seconds:g} s with a lease of {LEASE:g} s"
    with site() as place, ExitStack() as stack:
        try:
            print(title, Round(Duo(place, kind, stack), victim, disturbance, seconds).play())
        except AssertionError as error:
            logs = "\n".join(f"-- {daemon.log_file.name}:\n{daemon.log}" for daemon in place.daemons)
            pytest.fail(f"{title}: {error}\n{logs}")
