"""``linesync.connect_blocking()``: the client without asyncio, which also the small commands use."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import linesync
from linesync.client import deadlines
from linesync.client.blocking import BlockingClient
from linesync.errors import BrokenError, LinesyncError, LinesyncFailed, TimedOut
from linesync.model.state.status import Remembered
from tests.e2e.kit import Site, commands_of
from tests.real import wait_for


@pytest.fixture(params=["hub", "sut"])
def client(request: pytest.FixtureRequest, pair: Site) -> Iterator[BlockingClient]:
    with linesync.connect_blocking(f"unix:{pair.socket(request.param)}") as connected:
        yield connected


def test_the_operations_work_without_asyncio(client: BlockingClient, tmp_path: Path) -> None:
    assert client.semaphore("s", 2) >= 2
    assert client.barrier("b", 1).position == 1
    with pytest.raises(TimedOut):
        client.barrier("b", 2, timeout=0.1)
    assert client.run("sut", ["cat"], stdin=b"x" * 300_000).stdout == b"x" * 300_000
    assert [row.name for row in client.hosts()] == ["sut"]
    assert [host.name for host in client.status().hosts] == ["sut"]
    assert any(row.host == "sut" for row in client.links())
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(500_000))
    assert client.put_file(str(source), "sut", str(target)) == 500_000
    assert client.get_file("sut", str(target), str(tmp_path / "back")) == 500_000
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def follow(client: BlockingClient) -> None:
    while True:
        client.peer.turn(1.0)


def test_after_thousands_of_operations_no_files_memory_or_processes_remain_in_use(pair: Site) -> None:
    def open_files() -> list[int]:
        return [len(os.listdir(f"/proc/{daemon.pid}/fd")) for daemon in pair.daemons]

    def resident() -> list[int]:
        return [int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1]) for daemon in pair.daemons]

    def work(rounds: int) -> None:
        for _ in range(rounds // 50):
            with linesync.connect_blocking(f"unix:{pair.socket('sut')}") as client:
                for _ in range(25):
                    client.semaphore("many", 1)
                    client.semaphore("many", -1)
            with linesync.connect_blocking(f"unix:{pair.socket('hub')}") as client:
                client.barrier("alone", 1)
                with pytest.raises(TimedOut):
                    client.semaphore("none", -1, timeout=0)

    work(500)
    files, pages = open_files(), resident()
    work(2000)
    with linesync.connect_blocking(f"unix:{pair.socket('hub')}") as client:
        for _ in range(20):
            assert client.run("sut", ["true"]).exit_code == 0
        nothing = Remembered(waits=0, deadlines=0, results=0)
        wait_for(lambda: client.status().held == nothing, "a hub that remembers nothing", 5)
        assert all(link.session and link.session.channels <= 1 for link in client.links()), "channel 0 is always open"
        assert len(client.links()) == 2
    wait_for(lambda: open_files() <= files, f"as many open files as before ({files}, now {open_files()})", 5)
    wait_for(lambda: not any(commands_of(daemon.pid) for daemon in pair.daemons), "the end of all commands")
    grown = [
        resources_after - resources_before for resources_after, resources_before in zip(resident(), pages, strict=True)
    ]
    assert max(grown) * os.sysconf("SC_PAGE_SIZE") < 4_000_000, grown


@pytest.mark.parametrize("words", [["sem", "quick", "0"], ["barrier", "quick", "1"], ["status"], ["hosts"]])
def test_small_commands_import_few_modules(pair: Site, words: list[str]) -> None:
    program = (
        "import json, sys; from linesync.cli.main import main;"
        "code = main(sys.argv[1:]); print(json.dumps(sorted(sys.modules)), file=sys.stderr); raise SystemExit(code)"
    )
    argv = [sys.executable, "-c", program, "--hub", f"unix:{pair.socket('hub')}", *words]
    done = subprocess.run(argv, capture_output=True, check=True, env=pair.env)
    modules = set(json.loads(done.stderr.splitlines()[-1]))
    heavy = {
        "asyncio",
        "serial",
        "hashlib",
        "subprocess",
        "threading",
        "logging",
        "typing",
        "typing_extensions",
        "dataclasses",
        "inspect",
        "tomllib",
        "ssl",
        "shutil",
        "tempfile",
        "random",
        "ipaddress",
        "linesync.wire.framing.foreign_text",
        "linesync.wire.channels.compression",
    }
    assert not modules & heavy, modules & heavy
    of_linesync = {name for name in modules if name.startswith("linesync.")}
    assert not any(name.startswith(("linesync.hub", "linesync.agent", "linesync.jobs")) for name in of_linesync), (
        of_linesync
    )


def test_a_small_command_takes_at_most_twelve_times_as_long_as_starting_python(pair: Site) -> None:
    def shortest(argv: list[str]) -> float:
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            subprocess.run(argv, check=True, capture_output=True, env=pair.env)
            times.append(time.perf_counter() - begin)
        return min(times)

    command = ["-m", "linesync", "--hub", f"unix:{pair.socket('hub')}", "sem", "quick", "0"]
    ratio = shortest([sys.executable, *command]) / shortest([sys.executable, "-c", "pass"])
    print(f"linesync sem: {ratio:.1f} times python -c pass")
    assert ratio < 12


def test_a_waiting_client_gets_an_error_when_the_hub_is_lost(tmp_path: Path) -> None:
    from tests.e2e import kit

    with kit.site() as site:
        hub = site.hub()
        hub.says("scripts on this machine")
        client = linesync.connect_blocking(f"unix:{site.socket('hub')}")
        hub.kill()
        with pytest.raises(LinesyncError, match="lost"):
            client.barrier("never", 2)
        client.close()
    with pytest.raises(LinesyncFailed):
        linesync.connect_blocking(f"unix:{tmp_path}/none")


def test_a_lost_connection_is_reported_with_the_reason_of_the_other_end(site: Site) -> None:
    hub = site.hub()
    hub.says("scripts on this machine reach hub")
    with linesync.connect_blocking(f"unix:{site.socket('hub')}") as client:
        hub.stop()
        with pytest.raises(BrokenError, match="^the hub was stopped$"):
            follow(client)


def test_a_client_whose_session_the_hub_has_closed_begins_another_session(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "_CONNECT_LEAST", 0.1)
    hub = site.hub()
    hub.says("scripts on this machine reach hub")
    endpoint = f"unix:{site.socket('hub')}"
    with linesync.connect_blocking(endpoint) as idle, linesync.connect_blocking(endpoint) as holder:
        assert idle.hosts() == []
        holder.lock("flash")
        hub.stop()  # it closes the session, as it also does with a script that is silent for long
        with pytest.raises(LinesyncFailed, match="no process listens on"):
            idle.hosts()
        site.socket("hub").unlink()  # the hub left it, because a lock was held
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(site.socket("hub")))
            silent.listen()
            with pytest.raises(TimedOut, match="no linesync hub or agent answered"):
                idle.hosts(timeout=0.1)
        site.socket("hub").unlink()
        site.hub().says("scripts on this machine reach hub")
        assert idle.finish(idle.start("hub", ["true"])).status == 0
        assert idle.semaphore("units", 1) == 1
        with pytest.raises(
            LinesyncFailed, match="the request for the list of hosts was not answered: the hub was stopped"
        ):
            holder.hosts()
