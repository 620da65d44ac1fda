"""minimal_endpoint.py, whose only source was docs/protocol.md, works with a real hub."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from linesync import connect_blocking, errors
from linesync.model.hosts.membership import RECENT
from linesync.protocol import escaping
from linesync.testing.faults import Faults
from linesync.testing.nullmodem import NullModem
from tests.docs.protocol.on_virtual_time import VirtualEndpoint
from tests.real import pty_pair, wait_for
from tests.system.world import World

pytestmark = pytest.mark.live

ENDPOINT = Path(__file__).with_name("minimal_endpoint.py")
LINESYNC = str(Path(sys.executable).parent / "linesync")


def _script(path: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a linesync command on the hub's machine."""
    return subprocess.Popen(
        [LINESYNC, "--hub", f"unix:{path}", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def _hub(place: Path, *arguments: str) -> Iterator[Path]:
    """Run a hub; yield the path of its socket."""
    path = place / "hub.sock"
    hub = _start_hub(path, *arguments)
    try:
        yield path
    finally:
        hub.terminate()
        hub.wait(10)


def _start_hub(path: Path, *arguments: str) -> subprocess.Popen[bytes]:
    log = path.with_suffix(".log")
    with open(log, "ab") as file:
        hub = subprocess.Popen([LINESYNC, "hub", "--socket", str(path), *arguments], stdout=file, stderr=file)
    wait_for(lambda: path.exists() or hub.poll() is not None, "the hub's socket")
    assert hub.poll() is None, log.read_text()
    return hub


def _endpoint(path: object, *requests: str) -> list[list[str]]:
    """Run the minimal endpoint; return the words of each reply."""
    argv = [sys.executable, "-I", str(ENDPOINT), str(path), "stranger", *requests]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return [escaping.split(line)[0] for line in done.stdout.splitlines()]


def test_the_endpoint_imports_no_linesync_code_and_is_short() -> None:
    text = ENDPOINT.read_text()
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        assert not isinstance(node, ast.ImportFrom)
    assert names <= sys.stdlib_module_names
    assert len(text.splitlines()) < 350


def test_the_endpoint_registers_and_uses_a_semaphore_over_a_unix_socket(tmp_path: Path) -> None:
    with _hub(tmp_path) as path:
        replies = _endpoint(
            path, "sem ready 2", "sem ready -1 timeout=5", "hosts", "barrier b 1", "sem ready -9 timeout=0"
        )
        assert replies[0][0] == "ok" and len(replies[0][1]) == 8
        assert replies[1:3] == [["ok", "2"], ["ok", "1"]]
        (row,) = json.loads(replies[3][1])
        assert (row["name"], row["state"]) == ("stranger", "up")
        assert replies[4] == ["ok", "1", "1", "stranger"]
        assert replies[5][:2] == ["err", "timeout"]
        done = subprocess.run(
            [LINESYNC, "--hub", f"unix:{path}", "sem", "ready", "0"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        assert done.stdout == "1\n", "the endpoint committed the unit that it took, so the unit must not be returned"


def test_the_endpoint_waits_at_a_barrier_with_a_script_and_answers_the_hub(tmp_path: Path) -> None:
    with _hub(tmp_path) as path, ThreadPoolExecutor(1) as pool:
        replies = pool.submit(_endpoint, path, "barrier up 0 arrival=x1 Members=hub,stranger timeout=15")
        wait_for(lambda: _rows(path, "barriers"), "the endpoint at the barrier")
        time.sleep(
            RECENT + 0.5
        )  # until the hub must ask the endpoint, which sends nothing on a Unix socket in this time
        script = _script(path, "--json", "barrier", "up", "--members", "stranger,hub", "--timeout", "2")
        output, errors_ = script.communicate(timeout=10)
        assert script.returncode == 0, errors_
        assert json.loads(output)["parties"] == ["stranger", "hub"]
        assert replies.result(10)[1] == ["ok", "1", "1", "stranger", "hub"]


def test_the_hub_finds_a_deadlock_with_the_endpoints_answer_to_activity(tmp_path: Path) -> None:
    with _hub(tmp_path) as path, ThreadPoolExecutor(1) as pool:
        barrier = [LINESYNC, "--hub", f"unix:{path}", "barrier", "up", "--members", "hub,stranger", "--timeout", "10"]
        script = _script(path, "lock", "flash", "--", *barrier)
        wait_for(lambda: _rows(path, "barriers"), "the script at the barrier, with the lock")
        replies = pool.submit(_endpoint, path, "lock flash timeout=15")
        _, errors_ = script.communicate(timeout=15)
        assert script.returncode == errors.DeadlockError.exit_code, errors_
        assert replies.result(10)[1][:2] == ["err", "deadlock"]


def _rows(path: Path, kind: str) -> list[dict[str, object]]:
    with connect_blocking(f"unix:{path}") as client:
        rows: list[dict[str, object]] = client.status().as_json()[kind]
        return rows


def test_an_endpoint_with_only_the_musts_registers_again_within_10_s_of_the_death_of_the_hub() -> None:
    for phase in (0.0, 1.3, 2.6):  # the approximate seconds since the last keepalive of the endpoint
        with World(seed=1, probe=False) as world:
            endpoint = VirtualEndpoint(world, "mcu")
            world.settle(lambda: _listed(world, "mcu"), 5, "the endpoint should register")
            world.pass_time(20 + phase)
            killed_at = world.now
            world.kill_hub(away=0.5)
            assert not _listed(world, "mcu")
            world.settle(lambda: _listed(world, "mcu"), 10, "the endpoint should register again")
            assert world.now - killed_at < 10
            assert endpoint.endpoint.sessions == 2
            endpoint.close()


def _listed(world: World, name: str) -> bool:
    return any(host.name == name and host.state == "up" for host in world.hub._requests.hosts(world.now))


@pytest.mark.real
def test_the_endpoint_registers_again_after_the_hub_was_killed(tmp_path: Path) -> None:
    with pty_pair() as cable:
        path = tmp_path / "hub.sock"
        hub = _start_hub(path, "--port", cable.left)
        argv = [sys.executable, "-I", str(ENDPOINT), str(cable.right), "stranger"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as endpoint:
            try:
                assert endpoint.stdout is not None and endpoint.stdout.readline().startswith("ok")
                hub.kill()
                killed_at = time.monotonic()
                hub.wait(10)
                path.unlink()
                hub = _start_hub(path, "--port", cable.left)
                with connect_blocking(f"unix:{path}") as client:
                    wait_for(lambda: any(host.name == "stranger" for host in client.hosts()), "the endpoint", 15)
                assert time.monotonic() - killed_at < 10
            finally:
                endpoint.kill()
                hub.terminate()
                hub.wait(10)


@pytest.mark.real
def test_the_endpoint_registers_and_uses_a_semaphore_over_a_serial_line(tmp_path: Path) -> None:
    with pty_pair() as cable, _hub(tmp_path, "--port", cable.left):
        replies = _endpoint(cable.right, "sem ready 1", "sem ready -1 timeout=5", "hosts")
        assert replies[1:3] == [["ok", "1"], ["ok", "0"]]
        (row,) = json.loads(replies[3][1])
        assert (row["name"], row["line"]) == ("stranger", cable.left)


def test_the_endpoint_works_despite_bit_errors_lost_bytes_and_kernel_messages(tmp_path: Path) -> None:
    faults = Faults(ber=3e-4, drop=3e-4, printk=5)
    with NullModem(faults=faults, seed=5) as cable, _hub(tmp_path, "--port", f"{cable.a},115200"):
        replies = _endpoint(cable.b, *(f"sem ready {delta}" for delta in (3, -1, -1, -1)))
        assert replies[1:] == [["ok", "3"], ["ok", "2"], ["ok", "1"], ["ok", "0"]]
