"""A hub on virtual time: channels between hosts, names, lines that are lost and return, and the end of the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any
from unittest.mock import patch

import pytest

from linesync import protocol
from linesync.agent.agent import Agent
from linesync.errors import BrokenError, LinesyncError, LinesyncFailed, NotAllowed
from linesync.limits import CREDIT_PIPE, CREDIT_SERIAL
from linesync.protocol import FileRead
from linesync.runtime import identity
from linesync.runtime.channels.streams import Item, Stream
from linesync.testing.memory_lines import MemoryLine, SerialWire
from tests.runtime.peers import stubborn
from tests.system.world import World

OPENING = protocol.encode(FileRead(to="b", path="/x"))


@pytest.fixture
def world() -> Iterator[World]:
    """A hub with two hosts on serial lines."""
    with World(seed=1) as world:
        world.agent("a")
        world.agent("b")
        world.deliver()
        world.take_events()
        yield world


class Service:
    """A job of a host that keeps its channel open and does nothing.

    :ivar streams: the host's ends of the channels that were opened to this service.
    :ivar ended: for each cancelled task of the service, the reason.
    """

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.ended: list[str] = []

    async def __call__(self, stream: Stream, *_: Any) -> None:
        self.streams.append(stream)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as error:
            self.ended.append(str(error.args[0]) if error.args else "")
            raise


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    with patch("linesync.agent.agent.serve", service):
        yield service


def open_channel(world: World, service: Service, host: str = "hub") -> tuple[Any, Stream, Stream]:
    """A channel from a script on ``host`` to host b: the script, its end, and b's end."""
    script = world.client(host)
    script_end = script._peer.open(OPENING)
    world.settle(lambda: bool(service.streams), what="the channel should reach host b")
    return script, script_end, service.streams[0]


def received(world: World, stream: Stream) -> Item:
    return world.run(stream.receive())  # type: ignore[no-any-return]


def refused(world: World, stream: Stream) -> LinesyncError:
    """The error of a refused channel."""
    error = protocol.read_error(received(world, stream).data.decode())
    assert error is not None
    return error


def agent_on_pipe(world: World, name: str = "p") -> tuple[Agent, asyncio.Task[None]]:
    """An agent whose line the hub accepts."""

    async def begin() -> Agent:
        return Agent(name=name, report=world.note, boot=identity.token())

    agent = world.run(begin())
    return agent, world.start(agent.run("unix:/hub"))


# -- channels from host to host ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["hub", "a"])
def test_a_channel_to_a_host_carries_data_in_both_directions(world: World, service: Service, host: str) -> None:
    _, script_end, host_end = open_channel(world, service, host)
    assert host_end.words == OPENING
    script_end.send_nowait(0, b"there")
    assert received(world, host_end) == Item(0, b"there")
    host_end.send_nowait(1, b"back")
    assert received(world, script_end) == Item(1, b"back")


def test_a_channel_to_an_unknown_host_is_refused_and_the_error_lists_all_hosts(world: World) -> None:
    stream = world.client()._peer.open(protocol.encode(FileRead(to="c", path="/x")))
    assert str(refused(world, stream)) == (
        "there is no host c: no agent with this name has registered; hosts now: a, b"
    )


def test_a_channel_to_a_lost_host_is_refused_with_the_reason(world: World) -> None:
    world.kill_agent("b")
    world.pass_time(25.0)
    assert "there is no host b: it is lost (line lost); hosts now: a" in str(
        refused(world, world.client()._peer.open(OPENING))
    )


def test_a_channel_ends_when_the_lease_of_its_host_runs_out(world: World, service: Service) -> None:
    _, script_end, _ = open_channel(world, service, "a")
    world.kill_agent("b")
    world.pass_time(15.0)
    assert script_end.broken is None, "the host may connect again"
    world.pass_time(10.0)
    with pytest.raises(BrokenError, match=r"host b is lost: line lost"):
        received(world, script_end)


def test_a_channel_ends_immediately_when_its_host_restarts(world: World, service: Service) -> None:
    _, script_end, _ = open_channel(world, service, "a")
    world.kill_agent("b")
    world.agent("b")
    world.deliver()
    with pytest.raises(BrokenError, match="restarted"):
        received(world, script_end)


def test_a_channel_ends_immediately_when_its_host_restarts_on_another_line(world: World, service: Service) -> None:
    agent, running = agent_on_pipe(world)
    world.settle(lambda: agent.relayed.registered)
    agent._uplink.open(OPENING)
    world.settle(lambda: bool(service.streams))
    _close_line(agent, running)
    world.pass_time(0.5)
    assert service.streams[0].broken is None, "the host may connect again"
    other, _ = agent_on_pipe(world)
    world.settle(lambda: other.relayed.registered)
    world.deliver()
    assert service.streams[0].broken is not None and "restarted" in service.streams[0].broken
    world.run(agent.aclose())
    world.run(other.aclose())


def test_a_host_is_notified_when_the_script_of_a_channel_is_killed(world: World, service: Service) -> None:
    script, _, host_end = open_channel(world, service, "a")
    world.kill(script)
    world.deliver()
    assert host_end.broken is not None


def test_a_channel_without_its_script_leaves_no_task(world: World, service: Service) -> None:
    script, _, host_end = open_channel(world, service)
    tasks_before = len(world.hub._tasks)
    world.kill(script)
    world.deliver()
    assert host_end.broken is not None and len(world.hub._tasks) == tasks_before - 1


def test_a_host_that_does_not_read_stops_only_its_own_sender(world: World, service: Service) -> None:
    _, script_end, host_end = open_channel(world, service)
    sent = 0
    data = world.random.randbytes(4000)
    while script_end.send_nowait(0, data):
        sent += len(data)
        world.pass_time(0.01)
        assert sent < 2 * CREDIT_PIPE, "the sender should have been stopped"
    world.pass_time(60.0)
    mux = world.hub_peer(world.hosts["b"]).link.mux
    assert mux.queued(1) <= 2 * CREDIT_SERIAL, "the hub keeps little in memory"
    assert script_end.full
    assert world.run(world.client("b").semaphore("s", 1), limit=2.0) == 1, "requests on the same line still work"
    got = 0
    while got < sent:
        got += len(received(world, host_end).data)


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_second_agent_with_a_name_is_refused(world: World) -> None:
    second, running = agent_on_pipe(world, "a")
    world.pass_time(60.0)
    with pytest.raises(NotAllowed, match="'a'|host a"):
        running.result()
    assert world.take_events() == [], "host a has not changed"
    assert world.run(world.client("a").semaphore("s", 1)) == 1
    world.run(second.aclose())


def test_the_hubs_own_name_is_refused_immediately(world: World) -> None:
    agent, running = agent_on_pipe(world, "hub")
    world.pass_time(1.0)
    assert isinstance(running.exception(), NotAllowed)
    world.run(agent.aclose())


# -- lines ------------------------------------------------------------------------------------------------------------


def test_a_session_continues_when_its_host_returns_on_another_port(world: World) -> None:
    waiting = world.start(world.client("a").barrier("go", 2))
    world.deliver()
    _move(world, world.run(_new_wire(world, "other")), "/dev/other@hub")
    assert world.run(world.client().barrier("go", 2)).parties == world.run(_result(waiting)).parties
    assert world.take_events() == [], "the host was never lost, and its session is the same"
    (host,) = [host for host in world.run(world.client().hosts()) if host.name == "a"]
    assert host.line == "/dev/other@hub"


def test_a_session_continues_when_its_host_returns_on_its_first_port(world: World) -> None:
    first, other = world.hosts["a"].wire, world.run(_new_wire(world, "other"))
    _move(world, other, "/dev/other@hub")
    assert "b" not in first.lines
    other.vanish()
    first.plug()
    _move(world, first, "/dev/a@hub")
    other.plug()
    world.pass_time(8.0)
    assert world.run(world.client("a").semaphore("s", 1)) == 1
    assert world.take_events() == []
    assert "b" in first.lines and "b" in other.lines, "the hub has both ports open"


def test_a_port_that_is_opened_again_does_not_cut_the_session_that_moved_away_from_it(world: World) -> None:
    first, other = world.hosts["a"].wire, world.run(_new_wire(world, "other"))
    _move(world, other, "/dev/other@hub")
    script = world.client("a")
    first.plug()  # the first adapter is back, without a host
    world.pass_time(8.0)
    assert "b" in first.lines and "b" in other.lines
    assert world.run(script.semaphore("s", 1), limit=1.0) == 1


def test_an_agent_that_starts_again_after_a_move_gets_its_name_on_the_new_port(world: World) -> None:
    _move(world, world.run(_new_wire(world, "other")), "/dev/other@hub")
    world.kill_agent("a")
    world.run(world._start(world.hosts["a"], ()))
    world.settle(lambda: world.hosts["a"].agent is not None and world.hosts["a"].agent.relayed.registered, limit=3.0)


def _move(world: World, wire: SerialWire, port: str) -> None:
    """Move host a to this wire, which ends at this port of the hub."""
    for other in world._board._ports["/dev/a"][0], world.hosts["a"].wire:
        if other is not wire:
            other.vanish()
    world._board.add(wire, "/dev/a", port)
    world.pass_time(8.0)


async def _new_wire(world: World, name: str) -> SerialWire:
    wire = SerialWire(name, seed=3)
    world._board.add(wire, f"/dev/{name}", f"/dev/{name}@hub")
    world.hub.add_port(f"/dev/{name}@hub")
    return wire


async def _result(task: asyncio.Task[Any]) -> Any:
    return await task


def test_the_session_of_an_accepted_host_that_does_not_return_ends_after_ten_minutes(world: World) -> None:
    peers = len(world.hub._peers)
    agent, running = agent_on_pipe(world)
    world.settle(lambda: agent.relayed.registered)
    world.take_events()
    _close_line(agent, running)
    world.pass_time(30.0)
    assert world.take_events() == [("lost", "p", "line lost")]
    assert len(world.hub._peers) == peers + 1, "its session can still continue"
    world.pass_time(560.0)
    assert len(world.hub._peers) == peers + 1
    world.pass_time(20.0)
    assert len(world.hub._peers) == peers
    world.run(agent.aclose())


def test_the_session_of_an_accepted_host_that_returns_in_time_continues(world: World) -> None:
    agent, _ = agent_on_pipe(world)
    world.settle(lambda: agent.relayed.registered)
    world.take_events()
    assert isinstance(agent._uplink.line, MemoryLine)
    agent._uplink.line.abort()
    world.pass_time(700.0)
    assert world.take_events() == [] and agent.relayed.registered
    world.run(agent.aclose())


def _close_line(agent: Agent, running: asyncio.Task[None]) -> None:
    """Close the agent's line and do not open it again."""
    running.cancel()
    line = agent._uplink.line
    assert isinstance(line, MemoryLine)
    line.die()


def test_a_script_is_removed_immediately_when_its_connection_closes(world: World) -> None:
    script = world.client()
    waiting = world.start(script.barrier("go", 2, arrival="mine"))
    world.pass_time(0.1)
    peers = len(world.hub._peers)
    world.kill(script)
    world.pass_time(0.1)
    assert len(world.hub._peers) == peers - 1 and world.status()["barriers"] == []
    assert isinstance(waiting.exception(), LinesyncFailed)


def test_text_outside_frames_is_kept_in_the_console_log_of_its_host(world: World) -> None:
    world.hosts["a"].wire.feed("a", b"Kernel panic\r\n")
    world.pass_time(1.0)
    stream = world.client().console("a")
    assert b"Kernel panic\r\n" in received(world, stream).data


def test_the_console_of_an_unknown_host_is_refused_and_the_error_lists_all_names(world: World) -> None:
    stream = world.client().console("nowhere")
    assert str(refused(world, stream)) == ("there is no host or port nowhere; there are: a, b, /dev/a@hub, /dev/b@hub")


# -- the end ----------------------------------------------------------------------------------------------------------


def test_a_hub_that_stops_sends_the_reason_to_all_waiting_clients(world: World, service: Service) -> None:
    _, script_end, _ = open_channel(world, service)
    waiting = world.start(world.client().barrier("go", 2))
    world.pass_time(0.1)
    world.run(world.hub.aclose("the hub is updated"))
    with pytest.raises(LinesyncFailed, match="the hub is updated"):
        waiting.result()
    assert script_end.broken is not None


def test_a_hub_that_stops_notifies_its_peers_before_its_jobs_have_ended(world: World) -> None:
    job = world.start(stubborn(8.0))
    world.hub._tasks._running.add(job)
    waiting = world.start(world.client("a").barrier("go", 2))
    busy = world.start(world.client("b").exchange("keys", ["b"], world.random.randbytes(20_000)))
    busy.add_done_callback(lambda task: task.exception())
    world.pass_time(3.0)
    assert not busy.done(), "the hub sends to b"
    stopping = world.start(world.hub.aclose())
    world.pass_time(0.3)
    assert not job.done() and not stopping.done()
    with pytest.raises(LinesyncFailed, match="the hub was stopped"):
        waiting.result()
    assert busy.done() and world.take_ended_sessions() == {"a", "b"}
    world.pass_time(10.0)
    assert stopping.done()


def test_an_internal_error_on_a_channel_is_answered_and_does_not_stop_the_hub(world: World) -> None:
    def fault(*_: object) -> Coroutine[Any, Any, None]:
        raise ZeroDivisionError("a fault of ours")

    with patch("linesync.hub.hub.serve_console", fault):
        stream = world.client().console("a")
        world.loop.run_until(lambda: False, world.now + 1.0)
    assert len(world._failures) == 1 and isinstance(world._failures.pop()["exception"], ZeroDivisionError)
    assert "fault" in str(refused(world, stream))
    assert world.run(world.client().semaphore("s", 1)) == 1
