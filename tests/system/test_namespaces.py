"""Namespaces over a line: which process watches their owners, and the effect of a lost line, session or process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from unittest.mock import patch

import pytest

from linesync.client.aio import Client
from linesync.errors import Aborted, LinesyncFailed, UsageError

from .world import World

Make = Callable[..., World]
PID, BEGIN = 100, "5000"


class FakeOwners:
    """Replaces :class:`linesync.jobs.owners.Owners`. The tests decide which processes run."""

    running: set[tuple[int, str]]
    made: list[FakeOwners]

    def __init__(self, host: str, gone: Callable[[int, str], None]) -> None:
        self._gone = gone
        self._watched: set[tuple[int, str]] = set()
        self.made.append(self)

    def watch(self, pid: int, begin: str) -> None:
        if (pid, begin) not in self.running:
            raise UsageError(f"process {pid} does not run")
        self._watched.add((pid, begin))

    def watches(self, pid: int, begin: str) -> bool:
        return (pid, begin) in self._watched

    def close(self) -> None:
        self._watched.clear()

    @classmethod
    def end(cls, pid: int, begin: str) -> None:
        """End a process."""
        cls.running.discard((pid, begin))
        for fake in cls.made:
            if (pid, begin) in fake._watched:
                fake._watched.discard((pid, begin))
                fake._gone(pid, begin)


@pytest.fixture(autouse=True)
def _processes() -> Iterator[None]:
    FakeOwners.running, FakeOwners.made = {(PID, BEGIN)}, []
    with patch("linesync.jobs.owners.Owners", FakeOwners):
        yield


@pytest.fixture
def world(make: Make) -> World:
    world = make(lease=20.0)
    world.agent("a")
    world.agent("b")
    world.deliver()
    return world


def begin(world: World, client: Client, name: str = "@run") -> None:
    world.run(client.begin_namespace(name, pid=PID, begin=BEGIN, command="test.sh"))


def names(world: World) -> list[str]:
    return [space.name for space in world.hub._requests.services.namespace_states(world.now)]


def test_the_end_of_a_process_resets_its_namespace_on_all_hosts(world: World) -> None:
    script = world.client("a")
    begin(world, script)
    world.kill(script)  # the command that began it is short
    waits = [world.start(world.client(host).barrier("up", 3, namespace="@run")) for host in ("b", "hub")]
    other = world.start(world.client("b").barrier("up", 2))
    world.pass_time(5.0)
    assert names(world) == ["@run", "default"]
    FakeOwners.end(PID, BEGIN)
    world.settle(lambda: all(wait.done() for wait in waits), 5.0)
    for wait in waits:
        error = wait.exception()
        assert isinstance(error, Aborted) and "process 100 on a, has ended" in error.message
    assert not other.done() and names(world) == ["default"]
    with pytest.raises(Aborted, match="there is no namespace '@run' now"):
        world.run(world.client("b").send("ready", namespace="@run"))
    with pytest.raises(Aborted, match="there is no namespace '@run' now"):
        world.run(world.client("b").exchange("data", ["a", "b"], b"x", namespace="@run"))


def test_an_owner_that_ends_while_the_line_is_down_is_reported_when_it_is_back(world: World) -> None:
    begin(world, world.client("a"))
    world.hosts["a"].wire.pull()
    FakeOwners.end(PID, BEGIN)
    world.pass_time(5.0)
    assert names(world) == ["@run"]
    world.hosts["a"].wire.plug()
    world.deliver()
    assert names(world) == []


def test_an_owner_that_ends_before_the_hub_knows_of_it_leaves_no_namespace(make: Make) -> None:
    world = make()
    world.agent("a")
    world.hosts["a"].wire.pull()
    started = world.start(world.client("a").begin_namespace("@run", pid=PID, begin=BEGIN))
    world.pass_time(3.0)
    FakeOwners.end(PID, BEGIN)
    world.hosts["a"].wire.plug()
    world.settle(started.done, 60.0)
    world.deliver()
    world.pass_time(2.0)
    assert names(world) == []


def test_a_namespace_ends_with_its_agent_and_with_its_hub(world: World) -> None:
    begin(world, world.client("a"))
    wait = world.start(world.client("b").barrier("up", 2, namespace="@run"))
    world.pass_time(1.0)
    world.kill_agent("a")
    world.settle(wait.done, 30.0)
    assert "its owner's host a is lost" in str(wait.exception()) and names(world) == []
    world.agent("a")
    world.deliver()
    begin(world, world.client("a"))
    world.kill_hub()
    world.deliver()
    FakeOwners.end(PID, BEGIN)  # the agent reports it to a hub that never knew it
    world.deliver()
    with pytest.raises(Aborted, match="the hub has restarted since it began"):
        world.run(world.client("b").barrier("up", 2, namespace="@run"))


@pytest.mark.parametrize("host", ["a", "hub"])
def test_a_namespace_of_a_python_script_ends_with_the_block_or_the_script(world: World, host: str) -> None:
    script = world.client(host)

    async def block() -> str:
        async with script.namespace() as name:
            await script.set_events("booted", namespace=name)
            assert names(world) == [name]
        return name

    name = world.run(block())
    assert name.startswith("@") and names(world) == []
    world.run(script.begin_namespace("mine"))
    wait = world.start(world.client("b").wait_events("never", namespace="mine"))
    world.pass_time(1.0)
    world.kill(script)
    world.settle(wait.done, 10.0)
    assert "a script on" in str(wait.exception()) and names(world) == []


def test_a_process_that_cannot_be_watched_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match="process 7 does not run"):
        world.run(world.client("a").begin_namespace("@run", pid=7, begin=BEGIN))
    with pytest.raises(LinesyncFailed, match="the hub cannot watch process 100 over unix:/hub"):
        begin(world, world.client("hub"))  # the pipes of this world do not identify the calling process
    assert names(world) == []
    relayed = world.hosts["a"].agent.relayed  # type: ignore[union-attr]
    with (
        patch.object(relayed, "_watch_owner", lambda *_: True),
        pytest.raises(LinesyncFailed, match="the agent on a cannot watch process 100: its linesync is too old"),
    ):
        begin(world, world.client("a"))
    assert names(world) == []
