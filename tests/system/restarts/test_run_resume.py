"""A command on a host continues after the hub was killed and started again."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest

from linesync import limits, protocol
from linesync.errors import LinesyncError, LinesyncFailed, TimedOut
from linesync.runtime.channels.resumable import ResumableStream

from ..programs import BIG, Program, programs
from ..test_operation_bytes import _Count
from ..world import World

Make = Callable[..., World]
STDIN = random.Random(3).randbytes(400_000)


@pytest.fixture
def started() -> Iterator[list[Program]]:
    """The programs that were started."""
    with programs() as found:
        yield found


def settled(make: Make, **options: object) -> World:
    """Two hosts whose agents have run for some time."""
    world = make(7, durable=True, **options)
    world.agent("a")
    world.agent("b")
    world.deliver()
    world.pass_time(30.0)
    return world


def lines(count: int) -> tuple[bytes, bytes]:
    texts = [f"{number}\n".encode() for number in range(count)]
    return b"".join(texts[::2]), b"".join(texts[1::2])


def nothing_is_left(world: World) -> None:
    """Within one lease, neither end keeps anything of a command."""
    world.pass_time(25.0)
    for host in world.hosts.values():
        if host.agent is not None:
            assert not host.agent.services.resuming._running and not host.agent.services.jobs._running, (
                world.transcript()
            )


SIDES = ("hub", "a")
"""The places of the client: at the hub's socket, and behind an agent."""


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("wait", [0.002 * step for step in range(100)])
def test_a_command_continues_whenever_the_hub_is_killed(
    make: Make, started: list[Program], wait: float, side: str
) -> None:
    world = settled(make, byte_rate=115200.0)
    running = world.start(world.client(side).run("b", ["lines", "8"]))
    world.pass_time(wait)
    world.kill_hub(away=0.5)
    world.settle(running.done, 30.0)
    result = running.result()
    assert (result.status, result.stdout, result.stderr) == (3, *lines(8))
    assert len(started) == 1 and not started[0].ended
    nothing_is_left(world)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("wait", [0.01 + 0.37 * step for step in range(8)])
@pytest.mark.parametrize("again", [None, 3.1])
def test_no_byte_is_lost_or_doubled_in_either_direction(
    make: Make, started: list[Program], wait: float, side: str, again: float | None
) -> None:
    """Stdin and output have more bytes than the ends keep."""
    world = settled(make, byte_rate=400_000.0)
    client = world.client(side)
    works = [client.run("b", ["cat"], stdin=STDIN), client.run("b", ["sum"], stdin=STDIN), client.run("b", ["big"])]
    tasks = [world.start(work) for work in works]
    world.pass_time(wait)
    world.kill_hub(away=1.0)
    if again is not None:
        world.pass_time(again)
        world.kill_hub(away=1.0)
    for task in tasks:
        world.settle(task.done, 60.0)
    cat, sum_, big = (task.result() for task in tasks)
    assert cat.stdout == STDIN and big.stdout == BIG
    assert sum_.stdout == hashlib.sha256(STDIN).hexdigest().encode()
    assert [result.status for result in (cat, sum_, big)] == [0, 0, 0]
    assert len(started) == 3 and not any(one.ended for one in started)
    nothing_is_left(world)


@pytest.mark.parametrize("killed", [False, True])
def test_a_signal_does_not_wait_behind_stdin_that_the_command_does_not_read(
    make: Make, started: list[Program], killed: bool
) -> None:
    world = settled(make, byte_rate=115200.0)
    sleeping = world.client("hub").start("b", ["sleep", "999"], stdin=True)
    world.pass_time(0.5)
    while not sleeping.full:
        sleeping.send_nowait(0, bytes(32768))
    sleeping.end()
    world.pass_time(60.0)  # the command takes 64 KiB, and the ends keep as much as they may
    if killed:
        world.kill_hub(away=0.5)
    sleeping.send_urgent(protocol.encode(protocol.Kill(signal=2)))
    ended = world.start(world.client("hub").finish(sleeping))
    world.settle(ended.done, 30.0 if killed else 1.0)
    assert ended.result().signal == 2
    nothing_is_left(world)


# -- what a client does after the restart ------------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
def test_signals_and_the_end_of_stdin_reach_a_command_that_has_continued(
    make: Make, started: list[Program], side: str
) -> None:
    world = settled(make)
    client = world.client(side)
    sleeping = client.start("b", ["sleep", "99"])
    reading = client.start("b", ["cat"], stdin=True)
    world.pass_time(1.0)
    world.kill_hub(away=0.5)
    reading.send_nowait(0, b"text")
    sleeping.send_message(protocol.encode(protocol.Kill(signal=2)))
    ends = [world.start(client.finish(stream)) for stream in (sleeping, reading)]
    world.settle(ends[0].done)
    assert ends[0].result().signal == 2
    assert not ends[1].done()
    reading.end()
    world.settle(ends[1].done)
    assert (ends[1].result().status, ends[1].result().stdout) == (0, b"text")


@pytest.mark.parametrize("side", SIDES)
def test_the_timeout_of_a_command_counts_during_the_interruption(make: Make, started: list[Program], side: str) -> None:
    world = settled(make)
    running = world.start(world.client(side).run("b", ["sleep", "99"], timeout=4.0))
    world.pass_time(1.0)
    world.kill_hub(away=5.0)
    world.settle(running.done)
    with pytest.raises(TimedOut, match="sleep on b was still running after 4 s and was ended"):
        running.result()
    nothing_is_left(world)


@pytest.mark.parametrize("side", SIDES)
def test_a_client_that_gives_up_after_the_restart_ends_the_command_immediately(
    make: Make, started: list[Program], side: str
) -> None:
    world = settled(make)
    running = world.start(world.client(side).run("b", ["sleep", "99"]))
    world.pass_time(1.0)
    world.kill_hub(away=0.5)
    world.pass_time(12.0)
    assert not started[0].gone
    running.cancel()
    world.pass_time(0.5)
    assert started[0].ended


@pytest.mark.parametrize("side", SIDES)
def test_a_client_that_ends_while_the_hub_works_ends_its_command_immediately(
    make: Make, started: list[Program], side: str
) -> None:
    world = settled(make)
    client = world.client(side)
    world.start(_failing(client.run("b", ["sleep", "99"])))
    world.pass_time(1.0)
    world.kill(client)
    world.pass_time(0.5)
    assert started[0].ended


async def _failing(work: Coroutine[Any, Any, object]) -> None:
    with suppress(LinesyncError):
        await work


@pytest.mark.parametrize("side", SIDES)
def test_a_command_whose_client_does_not_return_ends_after_one_lease(
    make: Make, started: list[Program], side: str
) -> None:
    world = settled(make)
    client = world.client(side)
    world.start(_failing(client.run("b", ["sleep", "99"])))
    world.pass_time(1.0)
    world.kill(client)
    world.kill_hub(away=0.0)
    world.settle(lambda: started[0].ended, 30.0)
    nothing_is_left(world)


def test_each_of_five_commands_runs_once_when_the_hub_is_killed_during_each(make: Make, started: list[Program]) -> None:
    """The commands run one after the other. The hub is killed at another moment of each command."""
    world = settled(make)
    client = world.client("a")
    for number in range(5):
        running = world.start(client.run("b", ["lines", "40"]))
        world.pass_time(0.1 * number)
        world.kill_hub(away=0.3)
        world.settle(running.done)
        assert running.result().stdout == lines(40)[0]
    assert len(started) == 5


# -- what cannot continue ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
def test_a_command_on_a_host_whose_agent_was_started_again_has_ended(
    make: Make, started: list[Program], side: str
) -> None:
    world = settled(make)
    running = world.start(world.client(side).run("b", ["sleep", "99"]))
    world.pass_time(1.0)
    world.kill_agent("b")
    world.kill_hub(away=0.5)
    world.agent("b")
    world.settle(running.done)
    with pytest.raises(LinesyncFailed, match="the agent on b does not know the command sleep of this client any more"):
        running.result()


def test_a_command_that_may_have_run_on_an_agent_that_was_started_again_does_not_run_twice(
    make: Make, started: list[Program]
) -> None:
    world = settled(make)
    running = world.start(world.client().run("b", ["lines", "1"]))
    world.pass_time(0.012)
    world.kill_agent("b")
    world.kill_hub()
    world.agent("b")
    world.settle(running.done)
    assert running.exception() is not None and len(started) <= 1


def test_a_command_of_the_hub_itself_ends_with_the_hub(make: Make, started: list[Program]) -> None:
    world = settled(make)
    running = world.start(world.client().run("hub", ["sleep", "99"]))
    world.pass_time(1.0)
    world.kill_hub()
    world.settle(running.done)
    with pytest.raises(LinesyncFailed, match="the hub itself does not know the command sleep of this client any more"):
        running.result()
    assert started[0].ended and len(started) == 1


@pytest.mark.parametrize("side", SIDES)
def test_a_command_ends_if_the_hub_does_not_come_back_within_the_lease(
    make: Make, started: list[Program], side: str
) -> None:
    world = settled(make)
    running = world.start(world.client(side).run("b", ["sleep", "99"]))
    world.pass_time(1.0)
    world.kill_hub(away=45.0)
    world.settle(running.done)
    with pytest.raises(LinesyncFailed, match="may still be running on b"):
        running.result()
    assert started[0].ended
    nothing_is_left(world)


def test_a_hub_without_stored_state_ends_the_commands(make: Make, started: list[Program]) -> None:
    world = make(7)
    world.agent("b")
    world.deliver()
    running = world.start(world.client().run("b", ["sleep", "99"]))
    world.pass_time(1.0)
    world.kill_hub()
    world.settle(running.done)
    with pytest.raises(LinesyncFailed, match="may still be running on b"):
        running.result()
    world.settle(lambda: started[0].ended)


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_a_command_waits_when_the_host_keeps_enough_output(make: Make, started: list[Program]) -> None:
    world = settled(make, byte_rate=1_000_000.0)
    client = world.client()
    stream = client.start("b", ["big"])
    world.pass_time(5.0)
    agent = world.hosts["b"].agent
    assert agent is not None
    (at_host,) = agent.services.resuming._running.values()
    out = at_host._out
    kept = sum(len(item.data) for item in [*out._sent, *out._waiting])
    assert limits.KEPT <= kept <= limits.KEPT + 65536, "the client has taken nothing"
    world.kill_hub()
    world.pass_time(12.0)
    assert not started[0].gone
    assert world.run(client.finish(stream)).stdout == BIG


@pytest.mark.parametrize("host", ["hub", "b"])
def test_a_fast_command_with_much_output_does_not_wait(make: Make, started: list[Program], host: str) -> None:
    world = settled(make, byte_rate=100_000_000.0)
    client, began = world.client(), world.now
    assert world.run(client.run(host, ["big"])).stdout == BIG
    assert world.now - began < 1.0


def test_a_command_reads_its_stdin_after_much_output(make: Make, started: list[Program]) -> None:
    """Confirmations must not wait behind data that the command does not read."""
    world = settled(make, byte_rate=1_000_000.0)
    result = world.run(world.client().run("b", ["write_and_read"], stdin=STDIN), 30.0)
    assert result.stdout == BIG + STDIN


def test_a_peer_that_ignores_the_window_loses_its_channel(make: Make, started: list[Program]) -> None:
    world = settled(make, byte_rate=4_000_000.0)
    client = world.client()
    stream = client.start("b", ["sleep", "99"], stdin=True)
    assert isinstance(stream, ResumableStream)
    stream._out.bounded = False
    for _ in range(20):
        stream.send_nowait(0, bytes(65536))
    world.settle(lambda: stream.broken is not None)
    assert "without a confirmation" in str(stream.broken)
    world.settle(lambda: started[0].ended)


@pytest.mark.parametrize("first", [1, 2, 300, 1_000_000, limits.KEPT])
def test_the_bytes_of_a_small_command_on_the_line_stay_few(make: Make, started: list[Program], first: int) -> None:
    world = settled(make)
    count = _Count(world, "b")
    costs = []
    for _ in range(12):
        client = world.client()  # a command of a new process has a new random id
        client._run_id = first * len(costs)
        count.take()
        world.run(client.run("b", ["true"]))
        world.pass_time(0.7)
        costs.append(sum(count.take()))
    assert sorted(costs[1:])[-2] <= 84, costs


def test_two_commands_with_the_same_id_do_not_continue_and_end(make: Make, started: list[Program]) -> None:
    world = settled(make)
    clients = [world.client(), world.client()]
    for client in clients:
        client._run_id = 7
    running = [world.start(client.run("b", ["sleep", "99"])) for client in clients]
    world.pass_time(1.0)
    world.kill_hub(away=0.5)
    world.settle(lambda: all(task.done() for task in running))
    assert all("sleep on b" in str(task.exception()) for task in running), running
    world.settle(lambda: all(one.ended for one in started))
    nothing_is_left(world)


@pytest.mark.parametrize("side", SIDES)
def test_a_command_that_does_not_read_its_stdin_ends_with_its_client(
    make: Make, started: list[Program], side: str
) -> None:
    world = settled(make)
    client = world.client(side)
    world.start(_failing(client.run("b", ["sleep", "99"], stdin=STDIN)))
    world.pass_time(30.0)
    world.kill(client)
    world.settle(lambda: started[0].ended, 5.0)
