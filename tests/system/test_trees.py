"""Copies of trees over slow lines with errors, between hosts, and with an older host."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linesync import protocol
from linesync.client.trees import NotKnown
from linesync.errors import LinesyncFailed, NotAllowed, UsageError
from linesync.jobs import serve
from linesync.jobs.trees.channel import Copied
from linesync.model.policy import Policy, Rule
from linesync.protocol import operations
from linesync.testing.faults import Faults
from tests.jobs.trees.pairs import snapshot

from .world import World

Make = Callable[..., World]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A hundred small files and a large one."""
    root = tmp_path / "tree"
    for number in range(100):
        folder = root / f"folder{number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number}").write_text(f"line {number}\n" * (number % 30))
    (root / "large").write_bytes(random.Random(1).randbytes(100_000))
    return root


def on_line(world: World, host: str) -> int:
    """The bytes that were sent on a line, in both directions."""
    links = [link.as_json() for link in world.run(world.client().links())]
    return sum(int(link["bytes_in"]) + int(link["bytes_out"]) for link in links if link["host"] == host)


@pytest.mark.parametrize("faults", [None, Faults(ber=1e-5)])
def test_a_tree_arrives_and_an_unchanged_one_needs_few_bytes(
    make: Make, tree: Path, tmp_path: Path, faults: Faults | None
) -> None:
    world = make(1, faults=faults)
    world.agent("sut")
    world.deliver()
    seen: list[tuple[int, int]] = []
    copy = world.client().copy(
        [str(tree)], ("sut", str(tmp_path / "there")), lambda *progress: seen.append(progress), recursive=True
    )
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    assert world.run(copy) == Copied(101, size)
    assert {name: entry[3] for name, entry in snapshot(tmp_path / "there").items()} == {
        name: entry[3] for name, entry in snapshot(tree).items()
    }
    assert seen == sorted(seen) and seen[-1][0] == size and {total for _, total in seen} == {size}
    before = on_line(world, "sut")
    again = world.client().copy([f"{tree}/."], ("sut", str(tmp_path / "there")), recursive=True)
    assert world.run(again) == Copied(0, 0)
    assert on_line(world, "sut") - before < 3000


def test_from_host_to_host_nothing_is_written_on_the_controller(make: Make, tree: Path, tmp_path: Path) -> None:
    world = make(2)
    for name in ("a", "b"):
        world.agent(name)
    world.deliver()
    seen: list[int] = []
    copied = world.run(
        world.client().copy(
            [("a", str(tree)), ("a", str(tree / "missing"))],
            ("b", str(tmp_path)),
            lambda done, total: seen.append(done),
            recursive=True,
        )
    )
    assert copied.files == 0, "the target is the source itself"
    assert copied.failures == (
        f"cannot read a:{tree}/missing: No such file or directory; check the path and its permissions",
    )
    copied = world.run(world.client().copy([("a", str(tree))], ("b", str(tmp_path / "there")), recursive=True))
    assert copied.files == 101 and not copied.failures


def test_a_script_needs_the_permission_for_both_hosts(make: Make, tree: Path, tmp_path: Path) -> None:
    world = make(3)
    for name in ("a", "b"):
        world.agent(name)
    world.deliver()
    for to in ("a", "b"):
        world.hub.set_policy(Policy((Rule(allow=True, to=to, do=("files",)),)))
        other = "b" if to == "a" else "a"
        for source, target in ((to, other), (other, to)):
            client = world.client(to)
            with pytest.raises(NotAllowed, match=f"to or from {other}"):
                world.run(client.copy([(source, str(tree))], (target, str(tmp_path / "there")), recursive=True))
    assert not (tmp_path / "there").exists()


def test_a_limit_of_the_rate_holds_for_the_bytes_of_files(make: Make, tree: Path, tmp_path: Path) -> None:
    world = make(4)
    world.agent("sut")
    world.deliver()
    for number, (source, target) in enumerate([(str(tree / "large"), "sut"), (("sut", str(tree / "large")), "")]):
        began = world.now
        where = (target, str(tmp_path / f"there{number}")) if target else str(tmp_path / f"there{number}")
        os.environ["STATE_DIRECTORY"] += str(number)
        assert world.run(world.client().copy([source], where, rate=5000), limit=100) == Copied(1, 100_000)
        assert 19 < world.now - began < 25


def test_an_older_host_is_named_with_both_versions(
    make: Make, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tuple(found for found in operations._OPENINGS if found not in (protocol.FilesRead, protocol.FilesWrite))
    world = make(5)
    world.agent("sut")
    world.deliver()

    class Older:
        """The operations that an older host knows."""

        HOST, operation, known_opening = operations.HOST, operations.operation, operations.known_opening

        @staticmethod
        def read_opening(text: str) -> Any:
            return protocol.decode(text, *old)

    monkeypatch.setattr(serve, "operations", Older)
    for source, target in ((str(tree), ("sut", "/x")), (("sut", "/x"), str(tmp_path / "y"))):
        with pytest.raises(NotKnown, match=r"of linesync 0\..*, but sut or the hub has an older version: .*version 1"):
            world.run(world.client().copy([source], target, recursive=True))


def test_a_copy_whose_host_dies_says_that_it_can_be_continued(make: Make, tree: Path, tmp_path: Path) -> None:
    world = make(6)
    world.agent("sut")
    world.deliver()
    copy = world.start(world.client().copy([str(tree)], ("sut", str(tmp_path / "there")), recursive=True))
    world.pass_time(4.0)
    world.kill_agent("sut")
    world.settle(copy.done)
    with pytest.raises(LinesyncFailed, match="the copy was interrupted: .* so run it again to continue"):
        copy.result()
    world.agent("sut")
    world.deliver()
    began = world.now
    copied = world.run(world.client().copy([f"{tree}/."], ("sut", str(tmp_path / "there")), recursive=True))
    assert copied.bytes < 80_000 and world.now - began < 10
    assert {name: entry[3] for name, entry in snapshot(tmp_path / "there").items()} == {
        name: entry[3] for name, entry in snapshot(tree).items()
    }


def test_two_local_places_are_refused(make: Make) -> None:
    client = make(7).client()
    with pytest.raises(UsageError, match="both a and b are local paths"):
        client.copy(["a"], "b").send(None)
