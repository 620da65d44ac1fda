"""A call ends at its timeout if the hub, an agent, or the line to the host is silent."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest

from linesync.errors import LinesyncError, LinesyncFailed, TimedOut
from tests.client.calls import CALLS, MAY_HAVE, with_timeout

from .world import World

Make = Callable[..., World]
TIMEOUT = 4.0
ANSWER = 5.0
"""Seconds after a timeout in which the answer may still arrive."""


def two_hosts(make: Make) -> World:
    """A world with the hosts a and b, and a lease that is longer than every test."""
    world = make(lease=60.0)
    world.agent("a")
    world.agent("b")
    world.deliver()
    return world


def drop_output(client: Any) -> None:
    """Drop everything that this client sends from now on."""
    client._peer.line.write = lambda data: None


def error_at_timeout(world: World, call: Any, timeout: float = TIMEOUT) -> LinesyncError:
    """The error of a call, which must end soon after its timeout."""
    begin = world.now
    with pytest.raises(LinesyncError) as caught:
        world.run(call)
    assert timeout <= world.now - begin <= timeout + ANSWER + 0.1
    return caught.value


def check_error(error: LinesyncError, *, may_have: bool) -> None:
    """Check the error of a call that has timed out.

    :param may_have: whether the error must say that the call may have had an effect.
    """
    kind, text = (LinesyncFailed, "may ") if may_have else (TimedOut, "nothing was changed")
    assert type(error) is kind and text in error.message, repr(error)


def test_the_table_has_every_operation_with_a_timeout() -> None:
    assert set(CALLS) == with_timeout()


@pytest.mark.parametrize("name", CALLS)
def test_a_call_ends_at_its_timeout_although_the_hub_is_silent(make: Make, name: str) -> None:
    world = make()
    client = world.client()
    drop_output(client)
    check_error(error_at_timeout(world, CALLS[name](client, TIMEOUT)), may_have=name in MAY_HAVE)


@pytest.mark.parametrize("name", ["run", "get_file", "put_file", "pass_file"])
@pytest.mark.parametrize("side", ["hub", "a"])
def test_a_call_to_a_host_ends_at_its_timeout_although_its_line_is_cut(make: Make, side: str, name: str) -> None:
    world = two_hosts(make)
    client = world.client(side)
    world.hosts["b"].wire.pull()
    check_error(error_at_timeout(world, CALLS[name](client, TIMEOUT)), may_have=name in MAY_HAVE)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_ends_at_its_timeout_although_the_line_of_its_agent_is_cut(make: Make, name: str) -> None:
    world = two_hosts(make)
    client = world.client("a")
    world.hosts["a"].wire.pull()
    check_error(error_at_timeout(world, CALLS[name](client, TIMEOUT)), may_have=name in MAY_HAVE)


def test_a_timeout_of_zero_gives_the_hub_the_time_to_answer(make: Make) -> None:
    world = two_hosts(make)
    client = world.client("a")
    for name in ("barrier", "semaphore", "wait_events", "receive", "exchange"):
        assert world.run(_error(CALLS[name](client, 0.0)), 3.0).exit_code == 124, name
    assert world.run(client.send("x", "k=v", timeout=0.0)) == 1


async def _error(call: Any) -> LinesyncError:
    with pytest.raises(LinesyncError) as caught:
        await call
    return caught.value


def take_and_cut(world: World, client: Any, **options: Any) -> asyncio.Task[Any]:
    """Start to take the only unit of a semaphore. The line is cut when the client commits the grant."""
    world.run(world.client().semaphore("s", 1))
    ask = client._peer.ask

    def cutting(text: str, *args: Any, **named: Any) -> Any:
        if text.startswith("commit"):
            world.hosts["a"].wire.pull()
        return ask(text, *args, **named)

    client._peer.ask = cutting
    return world.start(client.semaphore("s", -1, **options))


def value(world: World) -> int:
    return int(next(row["value"] for row in world.status()["semaphores"] if row["name"] == "s"))


def test_a_unit_granted_after_the_timeout_is_returned_when_the_line_is_back(make: Make) -> None:
    world = two_hosts(make)
    client = world.client("a")
    taking = take_and_cut(world, client, timeout=TIMEOUT)
    world.pass_time(TIMEOUT + ANSWER)
    with pytest.raises(LinesyncFailed, match="the grant may have been taken"):
        taking.result()
    world.hosts["a"].wire.plug()
    world.deliver()
    world.settle(lambda: value(world) == 1)


def test_a_unit_is_returned_if_the_call_is_cancelled_as_its_commit_is_answered(make: Make) -> None:
    world = two_hosts(make)
    client = world.client()
    world.run(client.semaphore("s", 1))
    settle = client._peer._pending._settle
    taking: list[asyncio.Task[Any]] = []

    def settled(pending: Any, reply: Any) -> None:
        settle(pending, reply)
        if reply == "ok" and taking:
            taking.pop().cancel()  # the reply has arrived, but the task has not run yet

    client._peer._pending._settle = settled
    task = world.start(client.semaphore("s", -1))
    taking.append(task)
    world.pass_time(1.0)
    assert task.cancelled()
    assert value(world) == 1


def test_an_exchange_whose_data_cannot_be_read_ends_at_its_timeout_and_gives_nothing(make: Make) -> None:
    world = two_hosts(make)
    client = world.client("a")

    class Never(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("not called")

    call = client.exchange("keys", ["a", "b"], Never(), timeout=TIMEOUT)
    world.loop.run_in_executor = lambda *_: world.loop.create_future()  # type: ignore[assignment,method-assign]
    check_error(error_at_timeout(world, call), may_have=False)
    assert world.status()["exchanges"] == []


def test_an_exchange_may_receive_beyond_its_timeout_but_fails_after_a_long_pause(make: Make) -> None:
    world = make(lease=600.0, byte_rate=576.0)
    world.agent("a")
    world.agent("b")
    world.deliver()
    big = world.random.randbytes(8_000)  # a quarter of a minute on a slow line, twice
    members = ["a", "b"]

    def exchange() -> tuple[asyncio.Task[Any], asyncio.Task[Any]]:
        client = world.client("b")
        other = world.start(world.client("a").exchange("keys", members, b"", timeout=20.0))
        return other, world.start(client.exchange("keys", members, big, timeout=20.0))

    receiving, _ = exchange()
    begin = world.now
    world.settle(receiving.done)
    assert receiving.result()["b"] == big and world.now - begin > 23.0
    receiving, giving = exchange()
    world.settle(lambda: len(world.status()["exchanges"]) == 1)
    world.pass_time(18.0)  # all have given
    assert not receiving.done()
    world.hosts["a"].wire.pull()
    begin = world.now
    world.settle(receiving.done)
    assert 25.0 < world.now - begin < 40.0
    assert "the other members may have got the data" in str(receiving.exception())
    giving.exception()
