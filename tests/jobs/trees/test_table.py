"""The table of kinds of files, kinds of targets and options; and random trees with random interruptions."""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
from pathlib import Path

import pytest

from tests.effort import lives

from .pairs import Pair, copy, snapshot

SOURCES = ("regular", "empty", "sparse", "link", "dangling", "folder", "empty folder", "fifo", "socket")
TARGETS = ("missing", "regular", "same", "folder", "link", "dangling", "fifo", "socket")
DATA = b"new contents\n" * 100


def make(path: Path, kind: str) -> None:
    """Make a file of this kind."""
    match kind:
        case "regular" | "same":
            path.write_bytes(DATA if kind == "same" else b"old")
        case "empty":
            path.touch()
        case "sparse":
            with open(path, "wb") as file:
                file.truncate(300_000)
                file.seek(100_000)
                file.write(DATA)
        case "link":
            path.with_name(f"{path.name} of the link").write_bytes(b"behind the link")
            path.symlink_to(f"{path.name} of the link")
        case "dangling":
            path.symlink_to("nothing")
        case "folder":
            path.mkdir()
            (path / "inside").write_bytes(DATA)
        case "empty folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "socket":
            here = os.getcwd()
            os.chdir(path.parent)  # the path of a socket must be short
            try:
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.bind(path.name)
            finally:
                os.chdir(here)


def expected(source: str, target: str, flags: str) -> str:
    """The result by the rules of docs/files.md: ``copied``, ``inside`` (in the target folder) or ``refused``."""
    recursive = "r" in flags
    if source in ("fifo", "socket") or (source == "dangling" and not recursive):
        return "refused"
    if "folder" in source and not recursive:
        return "refused"
    if target == "folder":
        return "inside"
    if target == "missing":
        return "copied"
    if target in ("fifo", "socket"):
        return "refused"
    is_link = source in ("link", "dangling") and recursive
    if is_link:
        return "copied" if target in ("link", "dangling") else "refused"
    if "folder" in source:
        return "refused"
    if target in ("link", "dangling"):
        return "refused" if recursive else "copied"
    return "copied"


@pytest.mark.parametrize("flags", ["", "p", "r", "rp"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", SOURCES)
def test_each_kind_of_file_to_each_kind_of_target(tmp_path: Path, source: str, target: str, flags: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    make(here / "file", "regular" if source == "regular" else source)
    if source == "regular":
        (here / "file").write_bytes(DATA)
    if target != "missing":
        make(there / "target", target)
    before, source_before = snapshot(there), snapshot(here)
    pair = copy(here / "file", there / "target", flags=flags)
    assert snapshot(here) == source_before
    result = expected(source, target, flags)
    if result == "refused":
        assert len(pair.failures) == 1 and snapshot(there) == before
        return
    assert pair.failures == []
    path = there / "target" / "file" if result == "inside" else there / "target"
    followed = "r" not in flags
    if source in ("link", "dangling") and not followed:
        assert os.readlink(path) == os.readlink(here / "file")
    elif "folder" in source:
        assert {name: row[3] for name, row in snapshot(path).items()} == {
            name: row[3] for name, row in snapshot(here / "file").items()
        }
    else:
        assert path.read_bytes() == (here / "file").read_bytes()
    if "p" in flags and not (source in ("link", "dangling") and not followed):
        assert path.stat().st_mtime_ns == (here / "file").stat().st_mtime_ns
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((here / "file").stat().st_mode)
    if source == "sparse":
        assert path.stat().st_blocks * 512 < 100_000


# -- random trees -----------------------------------------------------------------------------------------------------


def grow(rng: random.Random, folder: Path, depth: int = 0) -> None:
    for number in range(rng.randrange(1, 6)):
        path = Path(
            os.fsdecode(os.fsencode(folder) + b"/" + rng.choice((b"a", b"\xff", b"b c", b"\n")) + b"%d" % number)
        )
        kind = rng.random()
        if kind < 0.3 and depth < 3:
            path.mkdir(exist_ok=True)
            grow(rng, path, depth + 1)
        elif kind < 0.4:
            path.symlink_to(rng.choice(("a0", "/nowhere", "..")))
        else:
            path.write_bytes(rng.randbytes(rng.choice((0, 1, 100, 5000, 70_000, 150_000))))
            path.chmod(rng.choice((0o644, 0o600, 0o755)))


def change(rng: random.Random, root: Path) -> None:
    """Change, remove and add some files."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and rng.random() < 0.2:
            if rng.random() < 0.5:
                path.unlink()
            else:
                path.write_bytes(rng.randbytes(rng.choice((0, 100, 70_000))))
    (root / f"added{rng.random()}").write_bytes(rng.randbytes(1000))


@pytest.mark.parametrize("flags", ["r", "rp"])
def test_random_trees_arrive_after_random_interruptions(tmp_path: Path, flags: str) -> None:
    for seed in range(lives(20, 1000, least=5)):
        rng = random.Random(f"{seed}{flags}")
        root, source, target = tmp_path / str(seed), tmp_path / str(seed) / "source", tmp_path / str(seed) / "target"
        source.mkdir(parents=True)
        grow(rng, source)
        for _ in range(3):
            for _ in range(rng.randrange(3)):
                at = rng.randrange(200_000)
                Pair([f"{source}/."], target, flags).run(piece=3000, stop=lambda pair, at=at: pair.sent > at)  # type: ignore[misc]
            pair = Pair([f"{source}/."], target, flags).run()
            assert pair.failures == [], seed
            found = snapshot(target)
            for name, row in snapshot(source).items():
                kept = row if flags == "rp" else (stat.S_IFMT(int(row[0])), row[3])  # type: ignore[call-overload]
                arrived = found[name] if flags == "rp" else (stat.S_IFMT(int(found[name][0])), found[name][3])  # type: ignore[call-overload]
                assert arrived == kept, (seed, name)
            assert not [name for name in found if name.endswith(b".linesync")], seed
            change(rng, source)
            change(rng, target)
        shutil.rmtree(root)
