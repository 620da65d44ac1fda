"""Copies of trees: each kind of file, with -r and -p, and again to the same target."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest

from linesync.errors import LinesyncFailed, UsageError
from linesync.jobs.hashed import Hashed
from linesync.jobs.trees import receiver
from linesync.jobs.trees.facts import Options
from linesync.jobs.trees.placing import Node, Owners
from linesync.jobs.trees.receiver import Receiver
from linesync.jobs.trees.syncing import Disks
from linesync.model.trees.entries import Entry, record_of
from linesync.model.trees.verdicts import Found
from linesync.store.contents import Contents

from .pairs import Pair, copy, snapshot


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate state folder."""
    folder = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(folder))
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with each kind of file that can be copied."""
    root = tmp_path / "source"
    (root / "deep" / "deeper").mkdir(parents=True)
    (root / "empty folder").mkdir()
    (root / "empty").touch()
    (root / "small").write_bytes(b"small\n" * 10)
    (root / "deep" / "large").write_bytes(random.Random(1).randbytes(300_000))
    (root / "deep" / "deeper" / "script").write_bytes(b"#!/bin/sh\n")
    (root / "deep" / "deeper" / "script").chmod(0o755)
    (root / "link").symlink_to("deep/large")
    (root / "dangling").symlink_to("/nowhere")
    os.link(root / "small", root / "deep" / "twin")
    with open(os.fsencode(root) + b"/\xff\xfe name\n", "wb") as file:
        file.write(b"a name that is not UTF-8")
    with open(root / "sparse", "wb") as file:
        file.write(b"start")
        file.seek(5_000_000)
        file.write(b"middle")
        file.truncate(9_000_000)
    (root / "closed").mkdir()
    (root / "closed" / "file").write_bytes(b"in a folder without write permission")
    (root / "closed").chmod(0o555)
    os.utime(root / "small", ns=(1, 1_234_567_890_123_456_789))
    os.utime(root / "deep", ns=(1, 987_654_321_000_000_001))
    os.utime(root / "dangling", ns=(1, -5_000_000_001), follow_symlinks=False)
    return root


def contents(folder: Path) -> dict[bytes, object]:
    return {name: (entry[0], entry[2:]) for name, entry in snapshot(folder).items()}


def test_a_tree_arrives_with_all_kinds_of_files(tree: Path, tmp_path: Path) -> None:
    pair = copy(tree, tmp_path / "target", flags="r")
    assert pair.failures == []
    assert contents(tmp_path / "target") == contents(tree)
    assert (tmp_path / "target" / "sparse").stat().st_blocks * 512 < 100_000
    assert pair.sent < 340_000


def test_with_p_a_tree_keeps_its_modes_and_times(tree: Path, tmp_path: Path) -> None:
    (tree / "small").chmod(0o6711)
    pair = copy(tree, tmp_path / "target", flags="rp")
    assert pair.failures == []
    assert snapshot(tmp_path / "target") == snapshot(tree)
    assert (tmp_path / "target").stat().st_mtime_ns == tree.stat().st_mtime_ns


@pytest.mark.parametrize("flags", ["r", "rp"])
def test_a_second_copy_of_an_unchanged_tree_sends_two_digests(tree: Path, tmp_path: Path, flags: str) -> None:
    copy(tree, tmp_path / "target", flags=flags)
    before = snapshot(tmp_path / "target")
    again = Pair([f"{tree}/."], tmp_path / "target", flags).run()
    assert again.failures == [] and snapshot(tmp_path / "target") == before
    assert again.sent < 100 and again.answered < 100
    assert again.answers.done == (0, 0)


@pytest.mark.parametrize("flags", ["r", "rp"])
def test_only_changed_files_are_sent_again(tree: Path, tmp_path: Path, flags: str) -> None:
    target = tmp_path / "target"
    target.mkdir()
    copy(tree, target, flags=flags)
    (tree / "deep" / "deeper" / "new").write_bytes(b"new")
    (tree / "small").write_bytes(b"other\n" * 10)
    (target / "source" / "own").write_bytes(b"a file of the target")
    pair = copy(tree, target, flags=flags)
    assert pair.failures == []
    assert pair.answers.done == (2, 63)
    assert (target / "source" / "own").exists()
    (target / "source" / "own").unlink()
    assert contents(target / "source") == contents(tree)
    assert (target / "source" / "small").stat().st_ino == (target / "source" / "deep" / "twin").stat().st_ino


def test_a_file_of_proc_arrives_completely(tmp_path: Path) -> None:
    assert copy("/proc/version", tmp_path / "v").failures == []
    assert (tmp_path / "v").read_bytes() == Path("/proc/version").read_bytes()


# -- parts and known contents -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_an_interrupted_copy_continues_where_it_stopped(tmp_path: Path, percent: int) -> None:
    data = random.Random(2).randbytes(500_000)
    (tmp_path / "source").write_bytes(data)
    (tmp_path / "target").write_bytes(b"old")
    at = 5000 * percent
    first = Pair([tmp_path / "source"], tmp_path / "target").run(stop=lambda pair: pair.sent > at)
    assert (tmp_path / "target").read_bytes() == b"old"
    second = Pair([tmp_path / "source"], tmp_path / "target").run()
    assert second.failures == [] and (tmp_path / "target").read_bytes() == data
    assert first.sent + second.sent < 501_000
    assert sorted(os.listdir(tmp_path)) == ["source", "state", "target"] and os.listdir(tmp_path / "state/parts") == []


def test_a_part_with_other_contents_is_sent_again(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(random.Random(2).randbytes(500_000))
    Pair([tmp_path / "source"], tmp_path / "target").run(stop=lambda pair: pair.sent > 200_000)
    (tmp_path / "source").write_bytes(b"x" + (tmp_path / "source").read_bytes()[1:])
    second = Pair([tmp_path / "source"], tmp_path / "target").run()
    assert second.failures == [] and (tmp_path / "target").read_bytes() == (tmp_path / "source").read_bytes()
    assert second.sent > 500_000
    assert sorted(os.listdir(tmp_path)) == ["source", "state", "target"]


def test_an_interrupted_sparse_file_continues(tmp_path: Path) -> None:
    with open(tmp_path / "source", "wb") as file:
        for at in range(0, 3_000_000, 100_000):
            file.seek(at)
            file.write(random.Random(at).randbytes(10_000))
    whole = copy(tmp_path / "source", tmp_path / "whole").sent
    first = Pair([tmp_path / "source"], tmp_path / "target").run(stop=lambda pair: pair.sent > 150_000)
    second = Pair([tmp_path / "source"], tmp_path / "target").run()
    assert second.failures == [] and first.sent + second.sent < whole + 1000 < 1_000_000
    assert (tmp_path / "target").read_bytes() == (tmp_path / "source").read_bytes()
    assert (tmp_path / "target").stat().st_blocks * 512 < 1_000_000


def test_known_contents_are_copied_from_this_machine(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(200_000)
    (tmp_path / "source").write_bytes(data)
    contents = Contents(str(tmp_path / "contents"))
    copy(tmp_path / "source", tmp_path / "first", contents=contents)
    again = copy(tmp_path / "source", tmp_path / "second", contents=Contents(str(tmp_path / "contents")))
    assert again.failures == [] and again.sent < 100 and (tmp_path / "second").read_bytes() == data


def test_contents_that_have_changed_since_they_were_recorded_are_sent(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(200_000)
    (tmp_path / "source").write_bytes(data)
    contents = Contents(str(tmp_path / "contents"))
    copy(tmp_path / "source", tmp_path / "first", contents=contents)
    (tmp_path / "first").write_bytes(bytes(200_000))
    again = copy(tmp_path / "source", tmp_path / "second", contents=contents)
    assert again.failures == [] and again.sent > 200_000 and (tmp_path / "second").read_bytes() == data


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_failing_file_does_not_stop_the_others(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "fifo")
    target = tmp_path / "target"
    (target / "source" / "empty").mkdir(parents=True)
    (target / "source" / "empty folder").write_bytes(b"not a folder")
    (target / "source" / "link").write_bytes(b"not a link")
    pair = copy(tree, tmp_path / "missing", target, flags="r")
    assert sorted(pair.failures) == [
        f"cannot read a:{tmp_path}/missing: No such file or directory; check the path and its permissions",
        f"cannot read a:{tree}/fifo: it is a FIFO, not a regular file; copy regular files by their names",
        f"cannot write b:{target}/source/empty folder: it is a regular file, not a directory; remove it first, or name another"
        " target",
        f"cannot write b:{target}/source/empty: it is a directory, not a regular file; remove it first, or name another target",
        f"cannot write b:{target}/source/link: it is a regular file, not a symbolic link; remove it first, or name another"
        " target",
    ]
    assert (target / "source" / "deep" / "large").read_bytes() == (tree / "deep" / "large").read_bytes()


def test_a_file_that_changes_while_it_is_read_is_not_written(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(random.Random(4).randbytes(200_000))
    (tmp_path / "target").mkdir()

    def change(pair: Pair) -> bool:
        if 50_000 < pair.sent < 60_000:
            (tmp_path / "one").write_bytes(b"changed")
        return False

    pair = Pair([tmp_path / "one", tmp_path / "two"], tmp_path / "target", into=True).run(stop=change)
    assert pair.failures == [f"cannot copy a:{tmp_path}/one: it changed while it was read; copy it again"]
    assert os.listdir(tmp_path / "target") == ["two"]


def test_a_full_disk_stops_only_the_files_for_which_there_is_no_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("a", 200_000), ("b", 500_000), ("c", 30_000)):
        (tmp_path / name).write_bytes(random.Random(5).randbytes(size))
    (tmp_path / "target").mkdir()
    write = Hashed.put_bytes

    def put(self: Hashed, descriptor: int, data: bytes) -> None:
        if self.size + len(data) > 400_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, descriptor, data)

    monkeypatch.setattr(Hashed, "put_bytes", put)
    pair = copy(*(tmp_path / name for name in "abc"), tmp_path / "target")
    assert pair.failures == [f"cannot write b:{tmp_path}/target/b: No space left on device; free some space there"]
    assert sorted(os.listdir(tmp_path / "target")) == ["a", "c"] and os.listdir(tmp_path / "state/parts") == []


def test_a_name_that_the_target_cannot_have_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "good").write_bytes(b"good")
    (tmp_path / "folder" / ("x" * 250)).write_bytes(b"long")
    find = receiver.find

    def refuse(node: Node, *args: Any, **named: Any) -> Found:
        if len(node.name) > 200:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        return find(node, *args, **named)

    monkeypatch.setattr(receiver, "find", refuse)
    pair = copy(tmp_path / "folder", tmp_path / "target", flags="r")
    assert len(pair.failures) == 1 and pair.failures[0].endswith(
        ": File name too long; its file system cannot have this name, so rename the file"
    )
    assert os.listdir(tmp_path / "target") == ["good"]


def test_set_uid_bits_are_dropped_if_the_owner_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tool").write_bytes(b"tool")
    os.chmod(tmp_path / "tool", 0o4755)
    monkeypatch.setattr(Owners, "_wanted", lambda self, node: (os.geteuid() + 1, os.getegid()))
    monkeypatch.setattr(Owners, "_change_owner", lambda *args: None)
    assert copy(tmp_path / "tool", tmp_path / "copy", flags="p").failures == []
    assert (tmp_path / "copy").stat().st_mode & 0o7777 == 0o755


# -- the target -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", ["", "r", "rp", "p"])
def test_the_target_follows_the_rules_of_cp(tmp_path: Path, flags: str) -> None:
    (tmp_path / "file").write_bytes(b"file")
    (tmp_path / "folder").mkdir()
    assert copy(tmp_path / "file", tmp_path / "new", flags=flags).failures == []
    assert copy(tmp_path / "file", tmp_path / "folder", flags=flags).failures == []
    assert (tmp_path / "new").read_bytes() == (tmp_path / "folder" / "file").read_bytes() == b"file"
    with pytest.raises(LinesyncFailed, match="cannot copy 2 sources to b:.*new: it is not a folder"):
        Pair([tmp_path / "file", tmp_path / "folder"], tmp_path / "new", flags)
    with pytest.raises(UsageError, match="two sources have the name file"):
        Pair([tmp_path / "file", tmp_path / "folder" / "file"], tmp_path / "folder", flags)
    if "r" not in flags:
        failures = copy(tmp_path / "folder", tmp_path / "other", flags=flags).failures
        assert failures == [
            f"cannot read a:{tmp_path}/folder: it is a directory, not a regular file; add -r to copy it"
        ]


@pytest.mark.parametrize("flags", ["", "p"])
def test_without_r_links_are_followed(tmp_path: Path, flags: str) -> None:
    (tmp_path / "file").write_bytes(b"file")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "target").symlink_to("other")
    assert copy(tmp_path / "link", tmp_path / "target", flags=flags).failures == []
    assert (tmp_path / "target").is_symlink() and (tmp_path / "other").read_bytes() == b"file"


def test_a_sender_cannot_write_outside_the_target(tmp_path: Path) -> None:
    """The records name a link to another folder, and then a file in that folder."""
    outside = tmp_path / "outside"
    outside.mkdir()
    made = Receiver(os.fsencode(tmp_path), [b"top"], "", Options(recursive=True), into=False, contents=None)
    made.feed(record_of(Entry(0, "l", b"top", 0, target=os.fsencode(outside))))
    with pytest.raises(LinesyncFailed, match="sent an invalid entry"):
        made.feed(record_of(Entry(1, "f", b"x", 0o644, 1)))
    for name in (b"..", b"a/b", b"", b"a\0"):
        other = Receiver(os.fsencode(tmp_path), [b"new"], "", Options(recursive=True), into=False, contents=None)
        other.feed(record_of(Entry(0, "d", b"new", 0o755)))
        with pytest.raises(LinesyncFailed, match="sent the invalid name"):
            other.feed(record_of(Entry(1, "f", name, 0o644, 1)))
        other.close()
    with pytest.raises(LinesyncFailed, match="which was not asked for"):
        Receiver(os.fsencode(tmp_path), [b"x"], "", Options(), into=False, contents=None).feed(
            record_of(Entry(0, "f", b"y", 0o644, 1))
        )
    assert os.listdir(outside) == []


def test_if_the_disk_fails_none_of_the_files_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        (tmp_path / f"file{number}").write_bytes(b"x")
    (tmp_path / "target").mkdir()
    calls: list[int] = []

    def fail_once(disks: Disks) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Disks, "sync", fail_once)
    pair = copy(*(tmp_path / f"file{number}" for number in range(6)), tmp_path / "target")
    assert len(pair.failures) == 6 and all("Input/output error" in sentence for sentence in pair.failures)
    assert os.listdir(tmp_path / "target") == []


def test_bytes_that_were_damaged_between_the_ends_are_not_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"good" * 100)
    pair = Pair([tmp_path / "file"], tmp_path / "target")
    give = pair.give
    pair.give = lambda data: give(data.replace(b"goodgood", b"goodbaad"))  # type: ignore[method-assign]
    pair.run()
    assert pair.failures == [
        f"b:{tmp_path}/target arrived damaged (its SHA-256 differs from that of the source); it was not written, copy it again"
    ]
    assert not (tmp_path / "target").exists()
