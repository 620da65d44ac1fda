"""Targets of copies: a new file keeps the owner, mode and attributes of the old file; a device is read back."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from linesync.errors import LinesyncFailed
from linesync.jobs.files import devices, leftovers, targets
from linesync.jobs.files.devices import InPlace
from linesync.jobs.files.paths import MAY_BE_DEVICE, MUST_BE_DEVICE, Source
from linesync.jobs.files.targets import Intermediate, NewFile, open_target
from tests.real import loop_device

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a file")
MIB = 1 << 20


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    target = NewFile(str(path), mode, str(path))
    target.write(data)
    assert target.commit(digest(data)) is False
    target.discard()


@pytest.fixture(params=["unnamed", "named"])
def _temporary_file_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run each test with unnamed and with named temporary files. The runtime directory is a directory of the test."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setattr(leftovers, "runtime_folder", lambda: str(runtime))
    if request.param == "named":
        monkeypatch.setattr(os, "O_TMPFILE", os.O_TMPFILE | os.O_CREAT)  # the kernel refuses these flags with EINVAL


pytestmark = pytest.mark.usefixtures("_temporary_file_kind")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@as_root
def test_a_replaced_file_keeps_its_owner_mode_and_attributes(place: Path) -> None:
    path = place / "file"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    path.chmod(0o4711)
    with suppress(OSError):
        os.setxattr(path, "user.note", b"kept")
    attributes = os.listxattr(path)
    inode = path.stat().st_ino
    write(path, b"new", 0o600)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o4711)
    assert os.listxattr(path) == attributes and found.st_ino != inode and path.read_bytes() == b"new"
    assert os.listdir(place) == ["file"]


def test_a_new_file_has_the_mode_of_its_source_without_the_umask_and_set_id_bits(place: Path) -> None:
    before = os.umask(0o027)
    try:
        write(place / "file", b"new", 0o6777)
    finally:
        os.umask(before)
    assert stat.S_IMODE((place / "file").stat().st_mode) == 0o750


@as_root
def test_replacing_another_user_s_file_is_refused_if_its_owner_cannot_be_kept() -> None:
    with tempfile.TemporaryDirectory(prefix="linesync-") as folder:  # other users cannot enter tmp_path
        os.chmod(folder, 0o777)
        path = Path(folder) / "file"
        path.write_bytes(b"old")
        os.chown(path, 1234, 2345)
        path.chmod(0o666)
        message = _as_user(4000, lambda: NewFile(str(path), 0o644, "sut:file"))
        assert message.startswith("cannot write sut:file: it belongs to user 1234 and group 2345, and user 4000 cannot")
        path.chmod(0o644)
        assert "Permission denied" in _as_user(4000, lambda: NewFile(str(path), 0o644, "sut:file"))
        assert path.read_bytes() == b"old" and os.listdir(folder) == ["file"]


def _as_user(user: int, work: Callable[[], object]) -> str:
    """Run ``work`` in a process of another user. Return the text of its error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        try:
            work()
        except BaseException as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader, "rb") as file:
        return file.read().decode()


def test_other_hard_links_to_a_replaced_file_keep_the_old_contents(place: Path) -> None:
    (place / "file").write_bytes(b"old")
    os.link(place / "file", place / "other")
    write(place / "file", b"new")
    assert (place / "other").read_bytes() == b"old" and (place / "file").read_bytes() == b"new"


def test_a_chain_of_links_is_followed_to_the_end(place: Path) -> None:
    (place / "deep").mkdir()
    (place / "a").symlink_to("b")
    (place / "b").symlink_to(place / "deep" / "c")
    for data in (b"first", b"second"):
        write(place / "a", data)
        assert (place / "deep" / "c").read_bytes() == data
    assert (place / "a").is_symlink() and (place / "b").is_symlink()
    assert os.listdir(place / "deep") == ["c"]


def test_a_link_to_itself_or_into_a_missing_directory_is_refused(place: Path) -> None:
    (place / "lost").symlink_to("none/file")
    (place / "self").symlink_to("self")
    with pytest.raises(LinesyncFailed, match=r"lost \(a link to .*none/file\): there is no directory"):
        open_target(str(place / "lost"), "", 0o644, 0, 0, "")
    with pytest.raises(OSError, match="symbolic links"):
        open_target(str(place / "self"), "", 0o644, 0, 0, "")
    assert sorted(os.listdir(place)) == ["lost", "self"]


def test_a_fifo_that_appears_at_the_path_during_the_copy_is_not_replaced(place: Path) -> None:
    path = place / "file"
    target = NewFile(str(path), 0o644, "here")
    target.write(b"new")
    os.mkfifo(path)
    with pytest.raises(LinesyncFailed, match="it is a FIFO"):
        target.commit(digest(b"new"))
    target.discard()
    assert os.listdir(place) == ["file"] and stat.S_ISFIFO(path.lstat().st_mode)


def test_the_last_of_two_copies_to_the_same_path_wins(place: Path) -> None:
    first, second = (NewFile(str(place / "file"), 0o644, "here") for _ in range(2))
    first.write(b"first")
    second.write(b"second")
    first.commit(digest(b"first"))
    second.commit(digest(b"second"))
    assert (place / "file").read_bytes() == b"second" and os.listdir(place) == ["file"]


def test_damaged_data_is_not_written(place: Path) -> None:
    (place / "file").write_bytes(b"old")
    target = NewFile(str(place / "file"), 0o644, "here")
    target.write(b"new")
    with pytest.raises(LinesyncFailed, match="arrived damaged"):
        target.commit(digest(b"else"))
    target.discard()
    assert (place / "file").read_bytes() == b"old" and os.listdir(place) == ["file"]


def test_a_directory_at_the_path_is_refused_and_nothing_is_left(place: Path) -> None:
    (place / "d" / "file").mkdir(parents=True)
    with pytest.raises(LinesyncFailed, match=r"d/file: it is a directory, not a regular file"):
        open_target(str(place / "d"), "file", 0o644, 0, 0, "sut:")
    target = NewFile(str(place / "late"), 0o644, "late")
    target.write(b"new")
    old = target._old
    target._old = lambda: old() and None  # type: ignore[method-assign]  # the directory appears after this check
    (place / "late").mkdir()
    (place / "late" / "in").touch()
    with pytest.raises((LinesyncFailed, OSError)):
        target.commit(digest(b"new"))
    target.discard()
    assert sorted(os.listdir(place)) == ["d", "late"] and os.listdir(place / "d") == ["file"]
    assert os.listdir(leftovers.runtime_folder()) == []


def test_an_intermediate_file_has_no_name_and_stays_until_it_is_closed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    intermediate = Intermediate()
    intermediate.write(b"data")
    assert intermediate.commit(digest(b"data")) is False
    intermediate.discard()
    assert Path(intermediate.path).read_bytes() == b"data" and os.listdir(place) == []
    intermediate.close()
    damaged = Intermediate()
    with pytest.raises(LinesyncFailed, match="arrived damaged"):
        damaged.commit(digest(b"else"))
    damaged.discard()
    assert not os.path.exists(damaged.path)


# -- devices ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[str]:
    """A loop device of one MiB on a temporary file."""
    (tmp_path / "image").write_bytes(b"\xaa" * MIB)
    with loop_device(tmp_path / "image") as path:
        yield path


def finish(target: targets.Target, data: bytes) -> None:
    while target.commit(digest(data)):
        pass
    target.discard()


@pytest.mark.real
@pytest.mark.parametrize("size", [0, 1, 4095, 300_001, MIB])
def test_a_device_is_overwritten_and_read_back(loop: str, size: int) -> None:
    data = os.urandom(size)
    target = open_target(loop, "", 0o644, size, MUST_BE_DEVICE, "sut:")
    for begin in range(0, size, 100_000):
        target.write(data[begin : begin + 100_000])
    finish(target, data)
    assert stat.S_ISBLK(os.stat(loop).st_mode)
    with open(loop, "rb") as device:
        assert device.read() == data + b"\xaa" * (MIB - size)


@pytest.mark.real
def test_a_device_that_is_too_small_is_refused_before_anything_is_written(loop: str) -> None:
    with pytest.raises(LinesyncFailed, match=r"1,048,577 bytes do not fit, the device has 1,048,576; nothing was"):
        open_target(loop, "", 0o644, MIB + 1, MAY_BE_DEVICE, "sut:")
    with pytest.raises(LinesyncFailed, match="add --device"):
        open_target(loop, "", 0o644, 1, 0, "sut:")
    with open(loop, "rb") as device:
        assert device.read() == b"\xaa" * MIB


@pytest.mark.real
def test_a_device_in_use_is_refused(loop: str) -> None:
    descriptor = os.open(loop, os.O_RDONLY | os.O_EXCL)  # a mount also opens the device exclusively
    try:
        with pytest.raises(LinesyncFailed, match="the device is in use"):
            open_target(loop, "", 0o644, 1, MUST_BE_DEVICE, "sut:")
    finally:
        os.close(descriptor)


@pytest.mark.real
def test_reading_back_bypasses_the_page_cache(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the loop device is changed without the knowledge of the cache. A defective card has the same effect."""
    data = os.urandom(200_000)
    target = open_target(loop, "", 0o644, len(data), MUST_BE_DEVICE, "sut:")
    target.write(data)
    flush = devices._forget_cache

    def spoil(descriptor: int) -> None:
        flush(descriptor)
        with open(tmp_path / "image", "r+b") as image:
            image.seek(100_000)
            image.write(b"spoiled")
            image.flush()
            os.fsync(image.fileno())

    monkeypatch.setattr(devices, "_forget_cache", spoil)
    with pytest.raises(LinesyncFailed, match="does not hold the data that was written"):
        finish(target, data)
    target.discard()


@pytest.mark.real
def test_a_device_is_read_to_its_end(loop: str) -> None:
    source = Source(loop, loop, device=True)
    assert source.device and source.size == MIB
    data = b""
    while piece := source.read():
        data += piece
    source.close()
    assert data == b"\xaa" * MIB and source.sha256 == digest(data)
    with pytest.raises(LinesyncFailed, match="add --device"):
        Source(loop, loop)


def test_writing_more_than_a_device_holds_fails(tmp_path: Path) -> None:
    target = _in_place(tmp_path, 1000)
    target.write(b"x" * 900)
    with pytest.raises(LinesyncFailed, match="more than the 1,000 bytes"):
        target.write(b"x" * 101)
    target.discard()


def test_a_difference_found_by_reading_back_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_VERIFY", 4096)
    target = _in_place(tmp_path, 10_000)
    target.write(b"x" * 9000)
    (tmp_path / "device").write_bytes(b"x" * 8999 + b"y")
    with pytest.raises(LinesyncFailed, match="does not hold the data that was written"):
        finish(target, b"x" * 9000)
    target.discard()


def test_a_device_without_direct_io_is_read_through_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv, refused = os.preadv, []

    def fail_once(descriptor: int, buffers: list[bytearray], offset: int) -> int:
        if not refused:
            refused.append(offset)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", fail_once)
    target = _in_place(tmp_path, 10_000)
    target.write(b"x" * 9000)
    finish(target, b"x" * 9000)
    assert refused == [0]


def _in_place(folder: Path, capacity: int) -> InPlace:
    """A device target on a regular file, which supports the same calls.

    :param capacity: the size of the file in bytes.
    """
    path = folder / "device"
    path.write_bytes(bytes(capacity))
    return InPlace(os.open(path, os.O_RDWR | os.O_CLOEXEC), capacity, "sut:/dev/card")
