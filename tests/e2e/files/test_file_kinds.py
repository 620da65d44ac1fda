"""``linesync cp`` and ``exchange`` with each kind of file, in each direction, at each end."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kit import Done, Site, site

NEW, OLD = b"new contents\n" * 1000, b"old contents\n"
KINDS = ("regular", "link", "dangling", "directory", "fifo", "socket", "character", "block", "missing")
SPECIAL = {"fifo": "a FIFO", "socket": "a socket", "character": "a character device", "block": "a block device"}
UNUSED = os.makedev(250, 77)
"""A device number without a driver; opening such a node fails with ENXIO."""


@pytest.fixture(scope="module")
def pair() -> Iterator[Site]:
    with site() as place:
        place.hub("--listen", f"unix:{place.folder}/lines").says("listening on")
        place.agent("--port", f"unix:{place.folder}/lines")
        place.await_host()
        yield place


def make(folder: Path, kind: str) -> Path:
    """Make a file of this kind with the name ``file`` in an empty directory. Returns its path."""
    path = folder / "file"
    match kind:
        case "regular":
            path.write_bytes(OLD)
            path.chmod(0o640)
        case "link":
            (folder / "real").write_bytes(OLD)
            (folder / "real").chmod(0o604)
            path.symlink_to("real")
        case "dangling":
            path.symlink_to("real")
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(str(path))
        case "character" | "block":
            try:
                os.mknod(path, (stat.S_IFCHR if kind == "character" else stat.S_IFBLK) | 0o600, UNUSED)
            except PermissionError:
                pytest.skip("only root can create device nodes")
    return path


def snapshot(folder: Path) -> list[tuple[str, int, int, int, bytes]]:
    """All entries of a directory: (name, mode, inode, device number, contents or link target)."""
    found = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = b""
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.fsencode(os.readlink(path))
        found.append((str(path.relative_to(folder)), status.st_mode, status.st_ino, status.st_rdev, content))
    return found


def check_refused(done: Done, words: str) -> None:
    assert done.code == 125 and words in done.err, done
    assert done.err.startswith("linesync: ") and done.err.count("\n") == 1, done.err


@pytest.mark.parametrize("end", ["sut", "hub", "local"])
@pytest.mark.parametrize("kind", KINDS)
def test_cp_writes_regular_files_and_refuses_special_files(pair: Site, tmp_path: Path, end: str, kind: str) -> None:
    target = make(tmp_path, kind)
    source = pair.folder / "source"
    source.write_bytes(NEW)
    source.chmod(0o751)
    before = snapshot(tmp_path)
    args = (f"sut:{source}", str(target)) if end == "local" else (str(source), f"{end}:{target}")
    done = pair.type("hub", "cp", *args)
    if kind in SPECIAL:
        check_refused(done, f"cannot write {args[1]}: it is {SPECIAL[kind]}, not a regular file")
        assert ("add --device" in done.err) == (kind == "block")
        assert snapshot(tmp_path) == before
        return
    assert done.code == 0, done
    real = {"regular": target, "link": tmp_path / "real", "dangling": tmp_path / "real", "directory": target / "source"}
    written = real.get(kind, target)
    assert written.read_bytes() == NEW and not written.is_symlink()
    assert target.is_symlink() == (kind in ("link", "dangling"))
    mode = {"regular": 0o640, "link": 0o604}.get(kind, 0o751 & ~umask())
    assert stat.S_IMODE(written.stat().st_mode) == mode
    names = {"link": ["file", "real"], "dangling": ["file", "real"], "directory": ["file", "file/source"]}.get(
        kind, ["file"]
    )
    assert [entry[0] for entry in snapshot(tmp_path)] == names


@pytest.mark.parametrize("end", ["sut", "hub", "local"])
@pytest.mark.parametrize("kind", KINDS)
def test_cp_reads_regular_files_and_refuses_special_files(pair: Site, tmp_path: Path, end: str, kind: str) -> None:
    source = make(tmp_path, kind)
    target = pair.folder / f"target-{end}-{kind}"
    before = snapshot(tmp_path)
    args = (str(source), f"sut:{target}") if end == "local" else (f"{end}:{source}", str(target))
    done = pair.type("hub", "cp", *args)
    assert snapshot(tmp_path) == before
    if kind in ("regular", "link"):
        assert done.code == 0 and target.read_bytes() == OLD
        return
    words = {"missing": "No such file", "dangling": "No such file", "directory": "it is a directory, not a regular"}
    check_refused(done, words.get(kind, f"it is {SPECIAL.get(kind)}, not a regular file"))
    assert f"cannot read {args[0]}: " in done.err and ("add --device" in done.err) == (kind == "block")
    assert not target.exists()


@pytest.mark.parametrize("end", ["sut", "hub", "local"])
@pytest.mark.parametrize("kind", ["regular", "fifo", "character", "missing"])
def test_with_device_a_target_that_is_not_a_device_is_refused(pair: Site, tmp_path: Path, end: str, kind: str) -> None:
    """A mistyped name must not create a regular file in the folder of the device."""
    target = make(tmp_path, kind)
    source = pair.folder / "source"
    source.write_bytes(NEW)
    before = snapshot(tmp_path)
    args = (f"sut:{source}", str(target)) if end == "local" else (str(source), f"{end}:{target}")
    done = pair.type("hub", "cp", "--device", *args)
    reason = {"regular": "it is a regular file", "missing": "it does not exist"}.get(kind, f"it is {SPECIAL.get(kind)}")
    check_refused(done, f"cannot write {args[1]} as a block device: {reason}")
    assert snapshot(tmp_path) == before


def test_a_device_without_a_driver_is_refused_and_left_unchanged(pair: Site, tmp_path: Path) -> None:
    device = make(tmp_path, "block")
    source = pair.folder / "source"
    source.write_bytes(NEW)
    before = snapshot(tmp_path)
    check_refused(
        pair.type("hub", "cp", "--device", str(source), f"sut:{device}"), f"cannot write sut:{device}: No such device"
    )
    check_refused(
        pair.type("hub", "cp", "--device", f"sut:{device}", str(source)), f"cannot read sut:{device}: No such device"
    )
    assert snapshot(tmp_path) == before and source.read_bytes() == NEW


@pytest.mark.parametrize("kind", ["fifo", "socket", "character", "block", "directory"])
def test_exchange_reads_and_writes_only_regular_files(pair: Site, tmp_path: Path, kind: str) -> None:
    path = make(tmp_path, kind)
    before = snapshot(tmp_path)
    reason = SPECIAL.get(kind, "a directory")
    common = ("exchange", "keys", "--hosts", "hub", "--timeout", "5")
    check_refused(
        pair.type("hub", *common, "--file", str(path)), f"cannot read {path}: it is {reason}, not a regular file"
    )
    (tmp_path / "out").mkdir()
    path.rename(tmp_path / "out" / "hub")
    before = snapshot(tmp_path)
    done = pair.type("hub", *common, "--dir", str(tmp_path / "out"), "data")
    check_refused(done, f"cannot write {tmp_path}/out/hub: it is {reason}")
    assert snapshot(tmp_path) == before


def test_exchange_follows_a_link_and_keeps_the_mode_of_its_file(pair: Site, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    link = make(tmp_path, "link")
    (tmp_path / "out" / "hub").symlink_to(link)
    assert pair.type("hub", "exchange", "k", "--hosts", "hub", "--dir", str(tmp_path / "out"), "data").code == 0
    assert (tmp_path / "real").read_bytes() == b"data" and stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o604


@pytest.mark.parametrize("end", ["sut", "hub", "local"])
def test_a_file_of_proc_is_read_to_its_end(pair: Site, tmp_path: Path, end: str) -> None:
    args = ("/proc/cpuinfo", f"sut:{tmp_path}/got") if end == "local" else (f"{end}:/proc/cpuinfo", f"{tmp_path}/got")
    assert pair.type("hub", "cp", *args).code == 0
    assert (tmp_path / "got").read_text().count("processor") == Path("/proc/cpuinfo").read_text().count("processor")
    assert pair.type("hub", "exchange", "k", "--hosts", "hub", "--file", "/proc/sys/kernel/ostype").text == (
        '{"hub": "Linux\\n"}\n'
    )


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "-", " a  b ", ".hidden", "a:b"])
def test_long_and_unusual_file_names_can_be_copied(pair: Site, tmp_path: Path, name: str) -> None:
    source, target = pair.folder / "source", tmp_path / name
    for content in (OLD, NEW):
        source.write_bytes(content)
        assert pair.type("hub", "cp", str(source), f"sut:{target}").code == 0
        assert target.read_bytes() == content and os.listdir(tmp_path) == [name]


def umask() -> int:
    return next(
        int(line.split()[1], 8) for line in Path("/proc/self/status").read_text().splitlines() if "Umask" in line
    )
