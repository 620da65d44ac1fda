"""A path that hangs delays only the operation on this path. Hosts stay up, other requests are answered, and processes can end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linesync import connect_blocking
from tests.e2e.kit import Site, site
from tests.hanging import Hanging, hanging
from tests.real import wait_for

pytestmark = pytest.mark.real
_ROOT = Path(__file__).resolve().parents[2]
_READING = ("getattr", "open", "read")
_WRITING = ("getattr", "create", "write", "fsync", "rename")


@pytest.fixture(scope="module")
def disk() -> Iterator[Hanging]:
    with tempfile.TemporaryDirectory(prefix="linesync-fuse-") as place, hanging(Path(place)) as found:
        yield found


@pytest.fixture(scope="module")
def pair(disk: Hanging) -> Iterator[Site]:
    """A hub whose temporary files are on the hanging disk, and an agent. A host that is silent for two seconds is lost."""
    with site() as place:
        env, place.env = place.env, place.env | {"TMPDIR": str(disk.mount)}
        place.hub("--listen", f"unix:{place.folder}/lines", "--lease", "2").says("listening on")
        place.env = env | {"PYTHONPATH": str(_ROOT)}
        place.agent("--port", f"unix:{place.folder}/lines")
        place.await_host()
        yield place


def check_answers(place: Site, seconds: float) -> None:
    """Check that hub and agent answer each request within half a second, for longer than the lease."""
    end = time.monotonic() + seconds
    with connect_blocking(f"unix:{place.socket('hub')}") as client:
        while time.monotonic() < end:
            for host in ("sut", "hub"):
                began = time.monotonic()
                assert client.run(host, ["true"]).status == 0
                assert time.monotonic() - began < 0.5, host
            assert client.hosts()[0].state == "up"
            time.sleep(0.05)


def threads(place: Site) -> list[int]:
    return [len(os.listdir(f"/proc/{daemon.pid}/task")) for daemon in place.daemons]


@pytest.mark.parametrize("host", ["sut", "hub"])
@pytest.mark.parametrize(
    ("direction", "kind"),
    [*(("from", kind) for kind in _READING), *(("to", kind) for kind in _WRITING)],
)
def test_a_copy_that_hangs_on_a_host_can_be_interrupted_and_delays_nothing_else(
    disk: Hanging, pair: Site, host: str, direction: str, kind: str
) -> None:
    hanging, local = disk.mount / "file", pair.folder / "here"
    (disk.folder / "file").write_bytes(b"there")
    local.write_bytes(b"here")
    disk.forget(kind)
    args = (f"{host}:{hanging}", str(local)) if direction == "from" else (str(local), f"{host}:{hanging}")
    with disk.hang(kind):
        copying = pair.start("hub", "cp", *args)
        wait_for(lambda: disk.reached(kind), f"{kind} that hangs")
        check_answers(pair, 2.5 if kind in ("open", "fsync") else 0.3)
        assert copying.running
        copying.process.send_signal(signal.SIGINT)
        assert copying.wait(5).code == 130
        check_answers(pair, 0.2)
        assert local.read_bytes() == b"here" and (disk.folder / "file").read_bytes() == b"there"
    wait_for(lambda: os.listdir(disk.folder) == ["file"], "the end of the interrupted copy")
    assert pair.type("hub", "cp", *args).code == 0
    assert local.read_bytes() == (disk.folder / "file").read_bytes() == (b"there" if direction == "from" else b"here")
    assert os.listdir(disk.folder) == ["file"]


def test_the_number_of_hanging_copies_is_limited_and_the_next_one_fails_with_the_cause(
    disk: Hanging, pair: Site
) -> None:
    (disk.folder / "file").write_bytes(b"there")
    (pair.folder / "other").write_bytes(b"other")
    time.sleep(2.5)  # the idle threads of earlier copies end after 2 s
    before = threads(pair)
    disk.forget("open")
    with disk.hang("open"):
        source = f"sut:{disk.mount}/file"
        hung = [pair.start("hub", "cp", source, str(pair.folder / f"got{n}")) for n in range(8)]
        wait_for(lambda: threads(pair)[1] >= before[1] + 8 - 2, "eight threads that hang")
        wait_for(lambda: disk.reached("open"), "open that hangs")
        time.sleep(0.5)
        more = pair.type("hub", "cp", source, str(pair.folder / "more"))
        assert more.code == 125 and f"cannot read {source}: 8 earlier calls have not returned" in more.err, more
        assert pair.type("hub", "cp", f"sut:{pair.folder}/other", str(pair.folder / "copied")).code == 0
        for copying in hung:
            copying.kill()
        wait_for(lambda: threads(pair)[1] <= before[1] + 10, "the end of the idle threads of the other two copies")
        check_answers(pair, 0.3)
    wait_for(lambda: threads(pair)[1] <= before[1] + 2, "the end of the threads")
    assert pair.type("hub", "cp", source, str(pair.folder / "got")).code == 0


@pytest.mark.parametrize(
    ("operation", "kind"),
    [("put", "open"), ("put", "read"), ("get", "create"), ("get", "fsync"), ("exchange", "read"), ("sink", "create")],
)
def test_an_asyncio_program_continues_and_can_end_while_one_of_its_paths_hangs(
    disk: Hanging, pair: Site, operation: str, kind: str
) -> None:
    for file in disk.folder.iterdir():
        file.unlink()
    path = disk.mount / "mine"
    (disk.folder / "mine.source").write_bytes(b"source")
    if kind in _READING:
        (disk.folder / "mine").write_bytes(b"mine")
    disk.forget(kind)
    argv = [sys.executable, "-m", "tests.e2e.files.hung_client", f"unix:{pair.socket('hub')}", operation, str(path)]
    argv.append(str(disk._control / f"{kind}.reached"))
    process = subprocess.Popen(argv, env=pair.env, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        with disk.hang(kind):
            # A process stays as a zombie as long as one of its threads waits for a FUSE daemon.
            wait_for(lambda: _has_ended(process.pid), "the program's end", 20)
    finally:
        process.kill()
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0, err
    assert float(out) < 0.5, "the loop was blocked"


def _has_ended(pid: int) -> bool:
    """Whether the program has ended. Threads that hang may still exist."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_an_exchange_continues_when_the_hub_s_disk_works_again(disk: Hanging, pair: Site) -> None:
    (pair.folder / "much").write_bytes(os.urandom(1_000_000))
    disk.forget("write")
    with disk.hang("write"):
        giving = pair.start("hub", "exchange", "data", "--hosts", "hub", "--file", "much", "--dir", "out")
        wait_for(lambda: disk.reached("write"), "write that hangs")
        check_answers(pair, 2.5)
        assert giving.running
    assert giving.wait(10).code == 0
    assert (pair.folder / "out" / "hub").read_bytes() == (pair.folder / "much").read_bytes()
