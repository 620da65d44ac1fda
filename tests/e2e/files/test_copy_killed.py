"""If a process is killed during a copy, the target is the old file or the new file, and no temporary file is left."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from linesync.testing.nullmodem import NullModem
from tests.e2e.kit import Command, Daemon, Site, site
from tests.effort import lives
from tests.hanging import hanging
from tests.real import wait_for

pytestmark = pytest.mark.real
OLD = b"old contents\n"
NEW = random.Random(3).randbytes(24_000)  # takes two seconds on the line


@pytest.fixture(params=["unnamed", "named"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system with, or without, support for files without a name."""
    with ExitStack() as stack:
        if request.param == "unnamed":
            yield tmp_path
            return
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="linesync-fuse-"))
        yield stack.enter_context(hanging(Path(folder))).mount


def start(place: Site, cable: NullModem, name: str) -> Daemon:
    if name == "hub":
        return place.hub("--port", cable.a)
    return place.agent("--port", cable.b)


@pytest.mark.parametrize("killed", ["client", "agent", "hub"])
@pytest.mark.parametrize("direction", ["to", "from"])
def test_killing_one_end_of_a_copy_leaves_the_old_file_and_nothing_else(
    place: Path, direction: str, killed: str
) -> None:
    target = place / "target"
    target.write_bytes(OLD)
    with site() as processes, NullModem() as cable:
        source = processes.folder / "source"
        source.write_bytes(NEW)
        daemons = {name: start(processes, cable, name) for name in ("hub", "agent")}
        processes.await_host()
        args = (str(source), f"sut:{target}") if direction == "to" else (f"sut:{source}", str(target))
        copying = processes.start("hub", "cp", *args)
        way = "ab" if direction == "to" else "ba"
        before = cable.counters()[way]["bytes_in"]
        wait_for(lambda: cable.counters()[way]["bytes_in"] > before + 9_000, "a third of the copy")
        assert target.read_bytes() == OLD and copying.running
        _kill(killed, copying, daemons)
        assert target.read_bytes() == OLD
        if killed != "client":
            daemons[killed] = start(processes, cable, killed)
        processes.await_host()
        if killed != "client":
            done = copying.wait(40)
            assert (done.code, target.read_bytes()) in ((125, OLD), (0, NEW)), done
        elif direction == "from":
            assert processes.type("hub", "cp", f"sut:{source}", str(target)).code == 0  # the next copy cleans up
        wait_for(lambda: os.listdir(place) == ["target"], "the end of the temporary file")
        assert target.read_bytes() in (OLD, NEW)
        assert processes.type("hub", "cp", *args).code == 0
        assert target.read_bytes() == NEW and os.listdir(place) == ["target"]


def _kill(killed: str, copying: Command, daemons: dict[str, Daemon]) -> None:
    if killed == "client":
        copying.kill()
    else:
        daemons[killed].kill()


def test_kills_at_random_moments_of_many_small_copies_leave_the_old_or_the_new_file(place: Path) -> None:
    """The random moments include the short time between creating the temporary name and renaming it."""
    target = place / "target"
    with site() as processes:
        hub = f"unix:{processes.folder}/lines"
        processes.hub("--listen", hub, "--lease", "1").says("listening on")
        contents = {OLD}
        target.write_bytes(OLD)
        for number in range(lives(12, 200, least=4)):
            agent = processes.agent("--port", hub, impatient=True)
            processes.await_host()
            sources = []
            for n in range(3):
                source = processes.folder / f"source{n}"
                source.write_bytes(f"{number} {n} ".encode() * 20_000)
                contents.add(source.read_bytes())
                sources.append(source)
            copies = [processes.start("hub", "cp", str(source), f"sut:{target}") for source in sources]
            time.sleep(random.Random(number).uniform(0.25, 0.6))
            agent.kill()
            for copy in copies:
                copy.wait(30)
            assert target.read_bytes() in contents, "part of a file"
        processes.agent("--port", hub, impatient=True)
        processes.await_host()
        wait_for(lambda: os.listdir(place) == ["target"], "the end of temporary files")
