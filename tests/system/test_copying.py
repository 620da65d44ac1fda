"""Copies of files over a slow line, and their progress."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from linesync.errors import LinesyncFailed
from linesync.jobs.files.targets import NewFile

from .world import World


def test_progress_counts_bytes_that_have_arrived_not_bytes_that_were_queued(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(random.Random(1).randbytes(200_000))
    seen: list[tuple[float, int, int]] = []
    with World(seed=1) as world:
        world.agent("sut")
        world.pass_time(1.0)
        client, began = world.client("hub"), world.loop.time()

        def progress(done: int, total: int) -> None:
            seen.append((world.loop.time() - began, done, total))

        assert world.run(client.put_file(str(source), "sut", str(target), progress)) == 200_000
        took = world.loop.time() - began
    assert target.read_bytes() == source.read_bytes()
    assert took > 200_000 / 11520
    assert len(seen) > took / 2, "a report about every second"
    for reported_at, done, total in seen:
        assert total == 200_000 and done <= 11520 * (reported_at + 0.1), "not more than the line can have carried"
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1][1] == 200_000


def test_a_copy_whose_host_is_lost_before_it_answers_may_have_replaced_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = NewFile.commit

    def lost(file: NewFile, sha256: str) -> bool:
        more = commit(file, sha256)
        world.hosts["sut"].wire.pull()
        return more

    monkeypatch.setattr(NewFile, "commit", lost)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    with World(seed=1) as world:
        world.agent("sut")
        world.pass_time(1.0)
        copy = world.start(world.client("hub").put_file(str(source), "sut", str(target)))
        world.settle(copy.done)
        assert target.read_bytes() == b"new"
        with pytest.raises(LinesyncFailed, match=f"sut:{target} may have been replaced, so compare it"):
            copy.result()


def test_a_copy_whose_host_dies_before_all_bytes_were_sent_changes_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(random.Random(1).randbytes(4_000_000))
    target.write_bytes(b"old")
    with World(seed=1) as world:
        world.agent("sut")
        world.pass_time(1.0)
        copy = world.start(world.client("hub").put_file(str(source), "sut", str(target)))
        world.pass_time(2.0)
        world.kill_agent("sut")
        world.settle(copy.done)
        with pytest.raises(LinesyncFailed, match=f"sut:{target} was not changed"):
            copy.result()
    assert target.read_bytes() == b"old"


def test_the_error_of_a_host_that_cannot_write_arrives_before_all_data_is_sent(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(random.Random(1).randbytes(400_000))
    with World(seed=1) as world:
        world.agent("sut")
        world.pass_time(1.0)
        client, began = world.client("hub"), world.loop.time()
        with pytest.raises(LinesyncFailed, match="cannot write sut:/nowhere/x: there is no directory /nowhere"):
            world.run(client.put_file(str(source), "sut", "/nowhere/x"))
        assert world.loop.time() - began < 10.0, "the whole file would take 35 s"
        mux = world.hub_peer(world.hosts["sut"]).link.mux
        world.pass_time(10.0)
        assert mux.open_count == 0, "the channel must be closed"
