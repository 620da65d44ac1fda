"""Exchanges at a hub on virtual time: members that die, data that is kept and dropped, and limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from linesync import protocol
from linesync.errors import LinesyncError, LinesyncFailed, UsageError
from linesync.hub.hub import Hub
from linesync.protocol import ExchangeOpen
from tests.system.world import World

LIMIT = 50_000
BOTH = ["a", "b"]


class SmallHub(Hub):
    """A hub that accepts at most ``LIMIT`` bytes from one member."""

    def __init__(self, **options: Any) -> None:
        super().__init__(exchange_limit=LIMIT, **options)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A hub with two hosts on serial lines."""
    monkeypatch.setattr("tests.system.world.Hub", SmallHub)
    with World(seed=1) as world:
        world.agent("a")
        world.agent("b")
        world.deliver()
        yield world


def kept(world: World) -> int:
    """The number of blobs that the hub keeps."""
    return len(world.hub._exchanging.blobs)


def start_exchange(world: World, host: str, data: bytes, **options: Any) -> asyncio.Task[Any]:
    """Let a script on ``host`` take part. If it fails, the world does not report an error."""
    task = world.start(world.client(host).exchange("keys", BOTH, data, **options))
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    return task


def give_data(world: World, host: str, data: bytes, arrival: str = "", **options: Any) -> asyncio.Task[Any]:
    """Let a script on ``host`` take part, and wait until the hub has its data."""
    task = start_exchange(world, host, data, arrival=arrival, **options)
    world.deliver()
    return task


def failure(task: asyncio.Task[Any]) -> LinesyncError:
    error = task.exception()
    assert isinstance(error, LinesyncError)
    return error


# -- the data ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(0, 0), (0, 1), (3, 0), (20_000, LIMIT)])
def test_all_members_get_the_data_of_all(world: World, sizes: tuple[int, int]) -> None:
    data = {host: world.random.randbytes(size) for host, size in zip(BOTH, sizes, strict=True)}
    tasks = [give_data(world, host, data[host]) for host in BOTH]
    world.settle(lambda: all(task.done() for task in tasks))
    assert [task.result() for task in tasks] == [data, data]


def test_data_is_dropped_as_soon_as_all_members_have_it(world: World) -> None:
    tasks = [give_data(world, host, b"data", arrival=f"of {host}") for host in BOTH]
    world.settle(lambda: all(task.done() for task in tasks))
    world.deliver()
    assert kept(world) == 0


def test_data_is_dropped_if_a_script_ends_as_soon_as_it_has_the_data(world: World) -> None:
    """The end of its connection may arrive together with the confirmation."""

    async def give_and_end(host: str) -> None:
        assert await clients[host].exchange("keys", BOTH, b"data") == dict.fromkeys(BOTH, b"data")
        await clients[host].aclose()

    clients = {host: world.client(host) for host in BOTH}
    tasks = [world.start(give_and_end(host)) for host in BOTH]
    world.settle(lambda: all(task.done() for task in tasks))
    world.deliver()
    assert kept(world) == 0 and all(task.exception() is None for task in tasks)


def test_unconfirmed_data_is_kept_for_ten_minutes(world: World) -> None:
    tasks = [give_data(world, "a", b"of a", arrival="mine")]
    world.hosts["a"].wire.pull()
    tasks.append(start_exchange(world, "b", b"of b", arrival="its"))
    world.pass_time(595.0)
    assert kept(world) == 2
    world.pass_time(10.0)
    assert kept(world) == 0


def test_a_retried_arrival_gets_the_kept_data(world: World) -> None:
    give_data(world, "a", b"of a", arrival="mine")
    world.kill_agent("a")
    other = start_exchange(world, "b", b"of b", arrival="its")
    world.pass_time(30.0)
    world.agent("a")
    world.deliver()
    again = world.run(world.client("a").exchange("keys", BOTH, b"of a", arrival="mine"))
    assert again == other.result() == {"a": b"of a", "b": b"of b"}


def test_a_receiver_on_a_line_that_is_down_does_not_delay_others(world: World) -> None:
    give_data(world, "a", bytes(10_000))
    world.hosts["a"].wire.pull()
    assert world.run(world.client("b").exchange("keys", BOTH, b"of b"), limit=10.0)["a"] == bytes(10_000)


# -- members that die -------------------------------------------------------------------------------------------------


def test_the_death_of_a_member_that_has_not_given_fails_the_exchange(world: World) -> None:
    other = give_data(world, "b", b"of b")
    start_exchange(world, "a", world.random.randbytes(40_000))
    world.pass_time(1.0)
    world.kill_agent("a")
    world.pass_time(30.0)
    assert "a was lost before it gave its data (line lost" in str(failure(other))
    assert kept(world) == 0 and world.status()["exchanges"] == []


def test_an_exchange_continues_with_the_data_of_a_member_that_died_after_giving(world: World) -> None:
    give_data(world, "a", b"of a")
    world.kill_agent("a")
    world.pass_time(30.0)
    assert world.run(world.client("b").exchange("keys", BOTH, b"of b")) == {"a": b"of a", "b": b"of b"}
    assert (
        "a gave its data to exchange 'keys' and is gone (line lost); the exchange continues with the data from the agent of a,"
        " line /dev/a@hub" in world.transcript(4000)
    )


def test_a_script_that_gave_up_can_arrive_again(world: World) -> None:
    first = give_data(world, "a", b"first")
    first.cancel()
    world.deliver()
    assert kept(world) == 0
    second = give_data(world, "a", b"second")
    assert world.run(world.client("b").exchange("keys", BOTH, b"of b"))["a"] == b"second"
    world.settle(second.done)


def test_a_wait_that_times_out_leaves_nothing(world: World) -> None:
    task = give_data(world, "a", b"of a", timeout=5.0)
    world.pass_time(10.0)
    assert failure(task).code == "timeout"
    assert kept(world) == 0 and world.status()["exchanges"] == []


def test_a_member_that_gave_learns_from_the_end_of_the_hub_that_others_may_have_its_data(world: World) -> None:
    task = give_data(world, "a", b"of a")
    world.kill_hub()
    world.deliver()
    assert "may have got the data" in str(failure(task))


def test_a_member_with_incomplete_data_learns_from_the_end_of_the_hub_that_nothing_changed(world: World) -> None:
    task = start_exchange(world, "a", world.random.randbytes(LIMIT))
    world.hosts["a"].wire.pull()
    world.kill_hub()
    world.hosts["a"].wire.plug()
    world.deliver()
    assert "nothing was changed" in str(failure(task))


def test_after_its_lease_a_member_that_gave_learns_that_others_may_have_its_data(
    world: World,
) -> None:
    task = give_data(world, "a", b"of a")
    world.hosts["a"].wire.pull()
    world.pass_time(30.0)
    assert world.run(world.client("b").exchange("keys", BOTH, b"of b")) == {"a": b"of a", "b": b"of b"}
    world.hosts["a"].wire.plug()
    world.settle(task.done)
    assert "may have got the data" in str(failure(task))


# -- retries ----------------------------------------------------------------------------------------------------------


def test_a_retried_arrival_moves_to_the_new_channel(world: World) -> None:
    first = give_data(world, "a", b"of a", arrival="mine")
    second = give_data(world, "a", b"not taken again", arrival="mine")
    assert "where it continues" in str(failure(first))
    assert not second.done()
    world.run(world.client("b").exchange("keys", BOTH, b"of b"))
    world.settle(second.done)
    assert second.result() == {"a": b"of a", "b": b"of b"}


def test_a_retry_gives_all_data_again_after_a_partial_transfer(world: World) -> None:
    data = world.random.randbytes(40_000)
    first = start_exchange(world, "a", data, arrival="mine")
    world.pass_time(1.5)
    assert kept(world) == 1
    start_exchange(world, "b", b"of b")
    second = start_exchange(world, "a", data, arrival="mine")
    world.settle(second.done)
    assert isinstance(first.exception(), LinesyncFailed)
    assert second.result() == {"a": data, "b": b"of b"}


def test_the_arrival_id_of_another_operation_is_refused_and_its_wait_continues(world: World) -> None:
    barrier = world.start(world.client("a").barrier("go", 2, arrival="mine"))
    world.deliver()
    with pytest.raises(UsageError, match="arrival id mine is already in use"):
        world.run(world.client("a").exchange("keys", BOTH, b"", arrival="mine"))
    assert world.status()["exchanges"] == []
    assert not barrier.done()
    world.run(world.client("b").barrier("go", 2))
    world.deliver()
    assert barrier.result().parties == ("a", "b")


# -- limits -----------------------------------------------------------------------------------------------------------


def test_a_member_with_too_much_data_is_refused_before_it_gives(world: World) -> None:
    used = world.hub_peer(world.hosts["a"]).link.counters.bytes_in
    with pytest.raises(LinesyncError, match="50,000"):
        world.run(world.client("a").exchange("keys", BOTH, world.random.randbytes(LIMIT + 1)))
    assert world.hub_peer(world.hosts["a"]).link.counters.bytes_in - used < 2000
    assert kept(world) == 0


def test_a_host_that_is_not_a_member_is_refused(world: World) -> None:
    with pytest.raises(LinesyncError, match="hub"):
        world.run(world.client().exchange("keys", BOTH, b""))
    assert world.status()["exchanges"] == []


def test_a_client_that_sends_more_than_announced_is_refused_and_the_rest_is_dropped(world: World) -> None:
    opening = ExchangeOpen(name="keys", members="a,b", size=10)
    stream = world.client("a")._peer.open(protocol.encode(opening))
    stream.send_nowait(0, bytes(5000))
    world.deliver()
    other = start_exchange(world, "b", b"of b")
    world.deliver()
    texts = []
    while stream._items:
        texts.append(stream._items.popleft().data)
    error = next((found for text in texts if (found := protocol.read_error(text.decode("utf-8", "replace")))), None)
    assert error is not None, texts
    assert isinstance(other.exception(), LinesyncError)


def test_a_full_disk_fails_the_exchange_with_its_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(size: int) -> None:
        raise LinesyncFailed("the hub has no room for the data: No space left on device")

    monkeypatch.setattr(world.hub._exchanging.blobs, "reserve", full)
    task = give_data(world, "a", b"of a")
    assert "No space left on device" in str(failure(task))
    assert kept(world) == 0


def test_the_data_ends_with_the_hub(world: World) -> None:
    task = give_data(world, "a", b"of a")
    blobs = world.hub._exchanging.blobs
    assert len(blobs) == 1
    world.kill_hub()
    assert len(blobs) == 0
    world.deliver()
    assert isinstance(task.exception(), LinesyncFailed)
