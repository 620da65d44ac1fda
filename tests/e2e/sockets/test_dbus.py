"""A real D-Bus daemon, whose clients reach it through ``linesync forward`` and ``dbus-proxy``."""

from __future__ import annotations

import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from linesync.testing.nullmodem import NullModem
from tests.e2e.kit import LINESYNC, Command, SerialSite, serial_site
from tests.real import require, sshd, wait_for

from .test_forward import forward

pytestmark = pytest.mark.real

CONFIGURATION = """\
<busconfig>
  <type>session</type>
  <listen>unix:path={bus}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/><allow receive_sender="*"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""
PROXY = f"{shlex.quote(LINESYNC)} compat dbus-proxy"


class Bus:
    """A D-Bus daemon that accepts only the login EXTERNAL, by the credentials of its clients.

    :ivar path: the path of its socket.
    """

    def __init__(self, place: SerialSite) -> None:
        self.place = place
        self.path = place.folder / "bus"
        self.proxies: list[Command] = []
        file = place.folder / "bus.conf"
        file.write_text(CONFIGURATION.format(bus=self.path))
        words = ["dbus-daemon", f"--config-file={file}", "--nofork", "--nosyslog"]
        self.process = subprocess.Popen(words, env=place.env, process_group=0)
        wait_for(self.path.exists, "the socket of the bus")

    def proxy(self, *words: str) -> Command:
        command = [LINESYNC, "compat", "dbus-proxy", "--foreground", *words]
        self.proxies.append(Command(command, self.place.env, self.place.folder))
        return self.proxies[-1]


@pytest.fixture(scope="module")
def bus() -> Iterator[Bus]:
    require("dbus-daemon", "dbus-send")
    with serial_site(hosts=("sut",)) as place:
        bus = Bus(place)
        try:
            yield bus
        finally:
            bus.process.kill()
            bus.process.wait()


@pytest.fixture(autouse=True)
def _no_proxy_is_left(bus: Bus) -> Iterator[None]:
    yield
    for proxy in bus.proxies:
        proxy.close()
    bus.proxies.clear()


def ask(path: Path) -> None:
    """Log in at a bus, and ask it for its names."""
    wait_for(path.exists, f"the socket {path}", 20.0)
    method = ["--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.ListNames"]
    done = subprocess.run(
        ["dbus-send", f"--bus=unix:path={path}", "--print-reply", *method], capture_output=True, timeout=30
    )
    assert done.returncode == 0 and b'"org.freedesktop.DBus"' in done.stdout, done


def end(*proxies: Command) -> str:
    """Stop proxies. Returns the log of the first one."""
    for proxy in proxies:
        proxy.process.send_signal(signal.SIGTERM)
    logs = [proxy.wait() for proxy in proxies]
    assert all(done.code == 0 for done in logs), logs
    return logs[0].err


def test_clients_reach_a_bus_through_forward(bus: Bus) -> None:
    path = bus.place.folder / "forwarded"
    with forward(bus.place, "-L", f"{path}={bus.path}", "sut"):
        for _ in range(2):
            ask(path)


def test_a_proxy_makes_a_socket_in_the_root_folder_of_a_container(bus: Bus) -> None:
    root = bus.place.folder / "root" / "run"
    root.mkdir(parents=True)
    proxy = bus.proxy("--upstream", f"unix:{bus.path}", "--downstream", f"unix:{root}/bus")
    ask(root / "bus")
    end(proxy)
    assert not (root / "bus").exists()


def test_two_proxies_on_a_null_modem_use_the_nearest_rate(bus: Bus) -> None:
    path = bus.place.folder / "over-serial"
    with NullModem() as cable:
        near = bus.proxy("--upstream", f"unix:{bus.path}", "--downstream", f"serial:{cable.a},38000N1")
        far = bus.proxy("--upstream", f"serial:{cable.b},38000N1", "--downstream", f"unix:{path}")
        for _ in range(2):
            ask(path)
        assert "no serial port supports 38000 baud; using 38400 baud" in end(near, far)


def test_a_virtual_machine_connects_its_serial_port_to_a_socket_of_the_proxy(bus: Bus) -> None:
    path, guest = bus.place.folder / "in-guest", bus.place.folder / "guest"
    host = bus.proxy("--upstream", f"unix:{bus.path}", "--downstream", f"unix-mux:{guest}")
    wait_for(guest.exists, "the socket for the guest")
    inside = bus.proxy("--upstream", f"unix-mux:{guest}", "--downstream", f"unix:{path}")
    ask(path)
    end(inside)
    inside = bus.proxy("--upstream", f"unix-mux:{guest}", "--downstream", f"unix:{path}")  # the guest was restarted
    ask(path)
    end(host, inside)


def test_a_chain_of_proxies_uses_ssh_and_the_streams_of_commands(bus: Bus) -> None:
    path = bus.place.folder / "over-ssh"
    middle = f"{PROXY} --upstream unix:{bus.path} --downstream stdio"
    with sshd() as server:
        remote = shlex.join([*server.ssh, middle])
        first = f"{PROXY} --upstream {shlex.quote('exec:' + remote)} --downstream stdio"
        proxy = bus.proxy("--upstream", f"exec:{first}", "--downstream", f"unix:{path}")
        ask(path)
        ask(path)
        end(proxy)


def test_a_proxy_in_the_background_is_ready_when_its_command_ends(bus: Bus) -> None:
    path = bus.place.folder / "background"
    words = [LINESYNC, "compat", "dbus-proxy", "--upstream", f"unix:{bus.path}", "--downstream", f"unix:{path}"]
    assert subprocess.run(words, env=bus.place.env, timeout=20).returncode == 0
    holders = subprocess.run(["pgrep", "-f", f"downstream unix:{path}"], capture_output=True, text=True).stdout.split()
    try:
        assert path.exists()
        ask(path)
        failed = subprocess.run(words, env=bus.place.env, timeout=20, capture_output=True, text=True)
        assert failed.returncode == 125 and "another process already listens there" in failed.stderr
    finally:
        for pid in holders:
            subprocess.run(["kill", pid])
    wait_for(lambda: not path.exists(), "the socket is removed")
