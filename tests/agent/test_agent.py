"""A whole agent on virtual time: its name at the hub, a hub that restarts, its scripts, and its end."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from linesync import protocol
from linesync.agent.agent import Agent
from linesync.errors import BrokenError, LinesyncError, LinesyncFailed, MemberLost, NotAllowed, UsageError
from linesync.jobs.serve import serve
from linesync.protocol import FileRead
from linesync.runtime import identity
from linesync.testing.memory_lines import MemoryLine
from tests.runtime.peers import Pair, pause, play, stubborn
from tests.system.world import Host, World


@pytest.fixture
def world() -> Iterator[World]:
    """A hub, and host a."""
    with World(seed=1) as world:
        world.agent("a")
        world.pass_time(2.0)  # until the ends have looked for the length of their frames
        world.take_events()
        yield world


class Beside:
    """An agent outside the world, which reaches the hub over a pipe."""

    def __init__(self, world: World, name: str, **options: Any) -> None:
        self.said: list[str] = []
        self._world = world

        async def begin() -> Agent:
            return Agent(name=name, report=self.said.append, boot=identity.token(), **options)

        self.agent = world.run(begin())

    def run(self, endpoint: str = "unix:/hub", *, once: bool = False) -> asyncio.Task[None]:
        return self._world.start(self.agent.run(endpoint, once=once))

    def close(self) -> None:
        self._world.run(self.agent.aclose())


def silenced(task: asyncio.Task[Any]) -> asyncio.Task[Any]:
    """A task that may fail without a failure of the world."""
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    return task


# -- its name ---------------------------------------------------------------------------------------------------------


def test_an_agent_registers_with_what_it_publishes_and_can_do(world: World) -> None:
    beside = Beside(world, "p", capabilities=("power",), published=("rack=7", "slot="))
    beside.run()
    world.pass_time(1.0)
    row = next(row for row in world.run(world.client().hosts()) if row.name == "p")
    assert row.capabilities == ("power",) and row.published == {"rack": "7", "slot": ""}
    assert beside.said == ["p is registered with the hub on unix:/hub"]
    beside.close()


def test_a_second_agent_with_the_name_is_refused_and_gives_up_after_25_seconds(world: World) -> None:
    beside = Beside(world, "a")
    running = beside.run()
    world.pass_time(24.0)
    assert not running.done() and len(beside.said) == 5
    world.pass_time(2.0)
    assert isinstance(running.exception(), NotAllowed)
    beside.close()


def test_a_second_agent_gets_the_name_when_the_lease_of_a_dead_one_ends(world: World) -> None:
    world.kill_agent("a")
    beside = Beside(world, "a")
    running = beside.run()
    world.pass_time(26.0)
    assert not running.done() and beside.said[-1] == "a is registered with the hub on unix:/hub"
    assert world.take_events()[:1] == [("lost", "a", "line lost")]
    beside.close()


def test_an_agent_ends_if_the_hub_cannot_read_its_registration(world: World) -> None:
    beside = Beside(world, "p", published=("without",))
    running = beside.run()
    world.pass_time(1.0)
    assert isinstance(running.exception(), UsageError) and "'without'" in str(running.exception())
    beside.close()


# -- the hub ----------------------------------------------------------------------------------------------------------


def test_an_agent_registers_with_a_hub_that_has_restarted(world: World) -> None:
    world.kill_hub()
    world.deliver()
    assert world.take_events() == [("up", "a", "")]
    assert world.run(world.client("a").semaphore("s", 1)) == 1


def test_requests_that_wait_fail_when_the_hub_restarts(world: World) -> None:
    waiting = world.start(world.client("a").barrier("go", 2))
    world.deliver()
    world.kill_hub()
    world.deliver()
    with pytest.raises(LinesyncFailed):
        waiting.result()


def test_a_lock_is_revoked_when_the_hub_restarts(world: World) -> None:
    script = world.client("a")
    held = world.run(script.lock("flash"))
    world.kill_hub()
    world.deliver()
    with pytest.raises(LinesyncError, match=r"the session with the hub is over|lost"):
        world.run(script.give_back(held))


def test_a_hub_that_stops_is_reported_and_called_again(world: World) -> None:
    said: list[str] = []
    agent = world.hosts["a"].agent
    assert agent is not None
    with patch.object(agent._report, "_write", said.append):
        world.run(world.hub.aclose("the hub was stopped"))
        world.pass_time(1.0)
        assert said[:1] == ["the session with the hub is over: the hub was stopped"]
    assert not agent.relayed.registered


def test_an_agent_that_stops_does_not_report_a_silent_hub() -> None:
    with World(seed=1) as world:
        host = world.agent("a")
        world.deliver()
        world.note("it stops")
        assert host.agent is not None
        world.run(host.agent.aclose())
        world.pass_time(1.0)
        said = [what for _, what in world._log if isinstance(what, str) and what.startswith("a: ")]
        assert said and not any("silent" in sentence for sentence in said), said


def test_an_agent_at_the_other_end_of_the_line_is_reported(world: World) -> None:
    beside = Beside(world, "p")
    beside.run("unix:/a")
    world.pass_time(1.0)
    assert any("not for other agents" in said for said in beside.said), beside.said
    beside.close()


def test_with_once_an_agent_ends_with_its_line(world: World) -> None:
    beside = Beside(world, "p")
    running = beside.run(once=True)
    world.pass_time(1.0)
    line = beside.agent._uplink.line
    assert isinstance(line, MemoryLine)
    line.abort()
    world.pass_time(0.1)
    assert running.done() and running.exception() is None
    beside.close()


def test_a_request_of_the_hub_that_an_agent_does_not_know_is_refused(world: World) -> None:
    replies: list[Any] = []
    world.hub_peer(world.hosts["a"]).ask("fly high", replies.append)
    world.deliver()
    assert "is not known here" in str(protocol.read_error(replies[0]))


# -- scripts ----------------------------------------------------------------------------------------------------------


def alone(world: World) -> Host:
    """The host, after its hub has ended."""
    world.run(world.hub.aclose())
    world.pass_time(1.0)
    return world.hosts["a"]


def test_a_channel_to_another_host_is_refused_without_a_hub(world: World) -> None:
    alone(world)
    stream = world.client("a")._peer.open(protocol.encode(FileRead(to="b", path="/x")))
    error = protocol.read_error(world.run(stream.receive()).data.decode())
    assert str(error) == "the agent on a has no connection to a hub; check the cable and the hub"


def test_a_channel_to_its_own_host_needs_no_hub(world: World) -> None:
    alone(world)
    stream = world.client("a")._peer.open(protocol.encode(FileRead(to="a", path="/nowhere/at/all")))
    error = protocol.read_error(world.run(stream.receive()).data.decode())
    assert "No such file" in str(error)


def test_links_on_a_host_shows_both_ends_of_its_line(world: World) -> None:
    rows = world.run(world.client("a").links())
    ends = {(row.end, row.line) for row in rows if row.kind == "serial"}
    assert ends == {("hub", "/dev/a@hub"), ("a", "/dev/a")}


def test_links_on_a_host_without_a_hub_shows_its_own_end(world: World) -> None:
    alone(world)
    rows = world.run(world.client("a").links())
    assert [(row.end, row.line, row.state) for row in rows] == [("a", "/dev/a", "waiting")]


def test_the_channels_of_a_killed_script_end(world: World) -> None:
    agent = world.hosts["a"].agent
    assert agent is not None
    script = world.client("a")
    stream = script.console("a", follow=True)
    world.deliver()
    assert len(agent._tasks) == 1 and stream.broken is None
    world.kill(script)
    world.deliver()
    assert not agent._tasks and not agent.entrance.peers
    assert world.hub_peer(world.hosts["a"]).link.mux.open_count == 0


# -- the end ----------------------------------------------------------------------------------------------------------


def stop(world: World) -> None:
    """The agent of host a is stopped, as by SIGTERM."""
    host = world.hosts["a"]
    agent, running, host.agent = host.agent, host.running, None
    assert agent is not None and running is not None
    running.cancel()
    world.run(agent.aclose("the host is shut down"))
    world.pass_time(1.0)


def test_the_hub_is_notified_immediately_when_an_agent_is_stopped(world: World) -> None:
    stop(world)
    assert world.take_events() == [("lost", "a", "stopped")]


def test_the_hub_is_notified_immediately_when_a_busy_agent_is_stopped(world: World) -> None:
    silenced(world.start(world.client("a").exchange("keys", ["a", "b"], world.random.randbytes(20_000))))
    world.pass_time(0.5)
    stop(world)
    assert world.take_events() == [("lost", "a", "stopped")]


@pytest.mark.parametrize("bulk", [0, 20_000])
def test_an_agent_that_stops_says_goodbye_before_its_jobs_have_ended(world: World, bulk: int) -> None:
    host = world.hosts["a"]
    agent, running = host.agent, host.running
    assert agent is not None and running is not None
    waiting = silenced(world.start(world.client().barrier("up", members=["hub", "a"])))
    if bulk:
        silenced(world.start(world.client("a").exchange("keys", ["a", "b"], world.random.randbytes(bulk))))
    job = world.start(stubborn(8.0))
    agent._tasks.add(job)
    world.pass_time(0.5)
    stopping = world.start(agent.aclose())
    world.pass_time(0.2)
    assert not job.done() and not stopping.done()
    assert world.take_events() == [("lost", "a", "stopped")]
    with pytest.raises(MemberLost, match=r"a is lost \(stopped: the agent on a was stopped\)"):
        waiting.result()
    world.pass_time(10.0)
    assert world.take_events() == [], "it does not come back while it ends its jobs"
    assert stopping.done() and running.done() and job.done()
    host.agent = None


def test_a_job_of_an_agent_that_stops_reports_the_name_of_the_host() -> None:
    async def test() -> None:
        pair = await Pair.joined()
        near, far = await pair.channel(protocol.encode(FileRead(to="a", path="/x")))
        with patch("linesync.jobs.files.serve_read", lambda *_: asyncio.sleep(60.0)):
            job = asyncio.ensure_future(serve(far, SimpleNamespace(name="a")))  # type: ignore[arg-type]
            await pause()
            job.cancel()
            await pause()
        error = protocol.read_error((await near.receive()).data.decode())
        assert str(error) == "the agent on a was stopped"

    play(test)


def test_an_error_of_the_operating_system_under_a_job_reports_the_name_of_the_host() -> None:
    async def test() -> None:
        pair = await Pair.joined()
        near, far = await pair.channel(protocol.encode(FileRead(to="a", path="/x")))
        with patch("linesync.jobs.files.serve_read", side_effect=OSError(errno.EMFILE, "Too many open files")):
            job = asyncio.ensure_future(serve(far, SimpleNamespace(name="a")))  # type: ignore[arg-type]
            await pause()
        error = protocol.read_error((await near.receive()).data.decode())
        assert str(error) == "a cannot do this now: Too many open files; try again later"
        near.end()
        await job

    play(test)


def test_an_agent_that_stops_notifies_its_scripts(world: World) -> None:
    script = world.client("a")
    waiting = world.start(script.barrier("go", 2))
    stream = script.console("a", follow=True)
    world.deliver()
    stop(world)
    with pytest.raises(LinesyncFailed, match="the host is shut down"):
        waiting.result()
    with pytest.raises(BrokenError):
        world.run(stream.receive())
