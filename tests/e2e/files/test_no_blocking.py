"""The event loops of the hub, the agent and the asyncio client make no system call on a path or a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.kit import site

_ROOT = Path(__file__).resolve().parents[2]


def test_copies_exchanges_and_commands_make_no_call_on_a_path_in_an_event_loop() -> None:
    with site() as place:
        place.env["PYTHONPATH"] = str(_ROOT)
        folder = place.folder / "files"
        (folder / "empty").mkdir(parents=True)
        (folder / "source").write_bytes(os.urandom(3_000_000))
        os.mkfifo(folder / "fifo")
        guarded = [sys.executable, "-m", "tests.loop_guard"]
        place.daemon(
            "hub",
            ["hub", "--socket", str(place.socket("hub")), "--listen", f"unix:{place.folder}/lines"],
            [*guarded, str(place.folder / "report-hub")],
        ).says("listening on")
        place.daemon(
            "sut",
            ["agent", "--name", "sut", "--socket", str(place.socket("sut")), "--port", f"unix:{place.folder}/lines"],
            [*guarded, str(place.folder / "report-agent")],
        )
        place.await_host()
        for number, side in enumerate(("hub", "sut")):
            argv = [sys.executable, "-m", "tests.e2e.files.loop_tour", str(place.folder / f"report-client{number}")]
            argv += [f"unix:{place.socket(side)}", str(folder)]
            done = subprocess.run(argv, env=place.env, cwd=_ROOT, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
        for daemon in place.daemons:
            daemon.stop()
        found = {path.name: path.read_text() for path in sorted(place.folder.glob("report-*"))}
        assert len(found) == 4
        assert not any(found.values()), "\n".join(f"{name}:\n{text}" for name, text in found.items())


_BLOCKING_PROGRAM = """
import asyncio, os, sys
from tests.loop_guard import install
install(sys.argv[1])
path = sys.argv[2]

async def main():
    source = compile({calls!r}, "/x/linesync/culprit.py", "exec")
    exec(source, {{"os": os, "path": path}})

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ("os.path.isdir(path)", "stat"),
        ("os.path.islink(path)", "lstat"),
        ("open(path).close()", "open"),
        ("os.close(os.open(path, 0))", "open close"),
        ("os.listdir(os.path.dirname(path))", "os.listdir"),
        ("f = os.open(path, os.O_RDWR); os.write(f, b'x'); os.fsync(f)", "open write fsync"),
        ("f = os.open(path, 0); os.read(f, 5)", "open read"),
        ("os.rename(path, path + '2'); os.unlink(path + '2')", "os.rename os.remove"),
        ("r, w = os.pipe(); os.write(w, b'x'); os.read(r, 1)", ""),
    ],
)
def test_the_guard_reports_calls_on_paths_and_files_in_a_loop(tmp_path: Path, calls: str, found: str) -> None:
    (tmp_path / "file").write_text("text")
    argv = [
        sys.executable,
        "-c",
        _BLOCKING_PROGRAM.format(calls=calls),
        str(tmp_path / "report"),
        str(tmp_path / "file"),
    ]
    subprocess.run(argv, cwd=_ROOT, check=True, timeout=30)
    lines = (tmp_path / "report").read_text().splitlines()
    assert [line.split()[0] for line in lines] == found.split()
