"""A complete agent on virtual time: its registration, a hub that restarts, its scripts, and how it stops."""

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
from linesync.jobs.commands.resuming import Resuming
from linesync.jobs.serve import Services, serve
from linesync.protocol import FileRead
from linesync.runtime import identity
from linesync.runtime.channels.streams import Stream
from tests.runtime.peers import Pair, pause, play, stubborn
from tests.system.world import Host, World


@pytest.fixture
def world() -> Iterator[World]:
    """A hub, and host a."""
    with World(seed=1) as world:
        world.agent("a")
        world.pass_time(2.0)  # until both ends have found the length of their frames
        world.take_events()
        yield world


class ExtraAgent:
    """An additional agent, which connects to the hub over a pipe and does not belong to a host of the world."""

    def __init__(self, world: World, name: str, **options: Any) -> None:
        self.reported: list[str] = []
        self._world = world

        async def begin() -> Agent:
            return Agent(name=name, report=self.reported.append, boot=identity.token(), **options)

        self.agent = world.run(begin())

    def run(self, endpoint: str = "unix:/hub") -> asyncio.Task[None]:
        return self._world.start(self.agent.run(endpoint))

    def close(self) -> None:
        self._world.run(self.agent.aclose())


def may_fail(task: asyncio.Task[Any]) -> asyncio.Task[Any]:
    """Mark a task as one that may fail, so that the world does not report its error."""
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    return task


# -- registration ------------------------------------------------------------------------------------------------------


def test_an_agent_registers_its_capabilities_and_published_values(world: World) -> None:
    extra = ExtraAgent(world, "p", capabilities=("power",), published=("rack=7", "slot="))
    extra.run()
    world.pass_time(1.0)
    row = next(row for row in world.run(world.client().hosts()) if row.name == "p")
    assert row.capabilities == ("power",) and row.published == {"rack": "7", "slot": ""}
    assert extra.reported == ["p is registered with the hub on unix:/hub"]
    extra.close()


def test_a_second_agent_with_the_same_name_is_refused_and_ends_after_25_seconds(world: World) -> None:
    extra = ExtraAgent(world, "a")
    running = extra.run()
    world.pass_time(24.0)
    assert not running.done() and len(extra.reported) == 5
    world.pass_time(2.0)
    assert isinstance(running.exception(), NotAllowed)
    extra.close()


def test_a_second_agent_gets_the_name_when_the_lease_of_a_dead_agent_ends(world: World) -> None:
    world.kill_agent("a")
    extra = ExtraAgent(world, "a")
    running = extra.run()
    world.pass_time(26.0)
    assert not running.done() and extra.reported[-1] == "a is registered with the hub on unix:/hub"
    assert world.take_events()[:1] == [("lost", "a", "line lost")]
    extra.close()


def test_an_agent_ends_if_the_hub_cannot_read_its_registration(world: World) -> None:
    extra = ExtraAgent(world, "p", published=("without",))
    running = extra.run()
    world.pass_time(1.0)
    assert isinstance(running.exception(), UsageError) and "'without'" in str(running.exception())
    extra.close()


# -- the hub -----------------------------------------------------------------------------------------------------------


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


def test_an_agent_reports_that_the_hub_has_stopped(world: World) -> None:
    reported: list[str] = []
    agent = world.hosts["a"].agent
    assert agent is not None
    with patch.object(agent._report, "_write", reported.append):
        world.run(world.hub.aclose("the hub was stopped"))
        world.pass_time(1.0)
        assert reported[:1] == ["the session with the hub is over: the hub was stopped"]
    assert not agent.relayed.registered


def test_an_agent_that_stops_does_not_report_a_silent_hub() -> None:
    with World(seed=1) as world:
        host = world.agent("a")
        world.deliver()
        world.note("the agent stops")
        assert host.agent is not None
        world.run(host.agent.aclose())
        world.pass_time(1.0)
        reported = [line for _, line in world._log if isinstance(line, str) and line.startswith("a: ")]
        assert reported and not any("silent" in sentence for sentence in reported), reported


def test_an_agent_at_the_other_end_of_the_line_is_reported(world: World) -> None:
    extra = ExtraAgent(world, "p")
    extra.run("unix:/a")
    world.pass_time(1.0)
    assert any("not for other agents" in reported for reported in extra.reported), extra.reported
    extra.close()


def test_a_request_of_the_hub_that_an_agent_does_not_know_is_refused(world: World) -> None:
    replies: list[Any] = []
    world.hub_peer(world.hosts["a"]).ask("fly high", replies.append)
    world.deliver()
    assert "is not known here" in str(protocol.read_error(replies[0]))


# -- scripts -----------------------------------------------------------------------------------------------------------


def stop_hub(world: World) -> Host:
    """Stop the hub, and return host a."""
    world.run(world.hub.aclose())
    world.pass_time(1.0)
    return world.hosts["a"]


def test_a_channel_to_another_host_is_refused_without_a_hub(world: World) -> None:
    stop_hub(world)
    stream = world.client("a")._peer.open(protocol.encode(FileRead(to="b", path="/x")))
    error = protocol.read_error(world.run(stream.receive()).data.decode())
    assert str(error) == "the agent on a has no connection to a hub; check the cable and the hub"


def test_a_channel_to_its_own_host_needs_no_hub(world: World) -> None:
    stop_hub(world)
    stream = world.client("a")._peer.open(protocol.encode(FileRead(to="a", path="/nowhere/at/all")))
    error = protocol.read_error(world.run(stream.receive()).data.decode())
    assert "No such file" in str(error)


def test_links_on_a_host_shows_both_ends_of_its_line(world: World) -> None:
    rows = world.run(world.client("a").links())
    ends = {(row.end, row.line) for row in rows if row.kind == "serial"}
    assert ends == {("hub", "/dev/a@hub"), ("a", "/dev/a")}


def test_links_on_a_host_without_a_hub_shows_its_own_end(world: World) -> None:
    stop_hub(world)
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


# -- how an agent stops ------------------------------------------------------------------------------------------------


def stop_agent(world: World) -> None:
    """Stop the agent of host a, as SIGTERM does."""
    host = world.hosts["a"]
    agent, running, host.agent = host.agent, host.running, None
    assert agent is not None and running is not None
    running.cancel()
    world.run(agent.aclose("the host is shut down"))
    world.pass_time(1.0)


def test_the_hub_is_notified_immediately_when_an_agent_is_stopped(world: World) -> None:
    stop_agent(world)
    assert world.take_events() == [("lost", "a", "stopped")]


def test_the_hub_is_notified_immediately_when_an_agent_that_sends_data_is_stopped(world: World) -> None:
    may_fail(world.start(world.client("a").exchange("keys", ["a", "b"], world.random.randbytes(20_000))))
    world.pass_time(0.5)
    stop_agent(world)
    assert world.take_events() == [("lost", "a", "stopped")]


@pytest.mark.parametrize(("goes_down", "cause"), [(True, "restarted"), (False, "stopped")])
def test_an_agent_announces_that_its_system_is_going_down(world: World, goes_down: bool, cause: str) -> None:
    waiting = may_fail(world.start(world.client().barrier("booted", members=["hub", "a"])))
    world.pass_time(0.5)
    agent = world.hosts["a"].agent
    assert agent is not None
    world.run(agent.announce_shutdown(lambda: goes_down))
    stop_agent(world)
    assert world.take_events() == [("lost", "a", cause)]
    world.pass_time(100.0)
    assert waiting.done() is not goes_down
    if goes_down:
        world.agent("a")
        world.pass_time(2.0)
        world.run(world.client("a").barrier("booted", members=["hub", "a"]))
        world.pass_time(0.5)
        assert waiting.result().count == 2


def test_an_agent_that_does_not_get_a_reply_says_goodbye_after_half_a_second(world: World) -> None:
    agent, started = world.hosts["a"].agent, world.now
    assert agent is not None
    world.kill_hub()
    world.run(agent.announce_shutdown(lambda: True))
    assert world.now - started <= 0.6


@pytest.mark.parametrize("bulk", [0, 20_000])
def test_an_agent_that_stops_ends_its_session_before_its_jobs_have_ended(world: World, bulk: int) -> None:
    host = world.hosts["a"]
    agent, running = host.agent, host.running
    assert agent is not None and running is not None
    waiting = may_fail(world.start(world.client().barrier("up", members=["hub", "a"])))
    if bulk:
        may_fail(world.start(world.client("a").exchange("keys", ["a", "b"], world.random.randbytes(bulk))))
    job = world.start(stubborn(8.0))
    agent._tasks._running.add(job)
    world.pass_time(0.5)
    stopping = world.start(agent.aclose())
    world.pass_time(0.2)
    assert not job.done() and not stopping.done()
    assert world.take_events() == [("lost", "a", "stopped")]
    with pytest.raises(MemberLost, match=r"a is lost \(stopped: the agent on a was stopped\)"):
        waiting.result()
    world.pass_time(10.0)
    assert world.take_events() == [], "the agent must not begin a new session while it ends its jobs"
    assert stopping.done() and running.done() and job.done()
    host.agent = None


def served_by(host: str, channel: Stream) -> asyncio.Future[None]:
    runner: Any = SimpleNamespace(name=host)
    return asyncio.ensure_future(serve(channel, Services(runner, Resuming(host, lambda: 20.0))))


def test_a_job_that_ends_because_the_agent_stops_reports_the_name_of_the_host() -> None:
    async def test() -> None:
        pair = await Pair.joined()
        client_end, agent_end = await pair.channel(protocol.encode(FileRead(to="a", path="/x")))
        with patch("linesync.jobs.files.single.serve_read", lambda *_: asyncio.sleep(60.0)):
            job = served_by("a", agent_end)
            await pause()
            job.cancel()
            await pause()
        error = protocol.read_error((await client_end.receive()).data.decode())
        assert str(error) == "the agent on a was stopped"

    play(test)


def test_an_error_of_the_operating_system_under_a_job_reports_the_name_of_the_host() -> None:
    async def test() -> None:
        pair = await Pair.joined()
        client_end, agent_end = await pair.channel(protocol.encode(FileRead(to="a", path="/x")))
        with patch("linesync.jobs.files.single.serve_read", side_effect=OSError(errno.EMFILE, "Too many open files")):
            job = served_by("a", agent_end)
            await pause()
        error = protocol.read_error((await client_end.receive()).data.decode())
        assert str(error) == "a cannot do this now: Too many open files; try again later"
        client_end.end()
        await job

    play(test)


def test_an_agent_that_stops_notifies_its_scripts(world: World) -> None:
    script = world.client("a")
    waiting = world.start(script.barrier("go", 2))
    stream = script.console("a", follow=True)
    world.deliver()
    stop_agent(world)
    with pytest.raises(LinesyncFailed, match="the host is shut down"):
        waiting.result()
    with pytest.raises(BrokenError):
        world.run(stream.receive())
