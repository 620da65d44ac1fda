"""An exchange continues after the hub was killed: no data is given twice or received twice, and no member is lost."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any
from unittest.mock import patch

import pytest

from linesync.client.aio import Client
from linesync.errors import LinesyncError
from linesync.model.sync.kept_results import RESULT_LIFE
from linesync.runtime.channels.streams import Stream

from ..world import World

Make = Callable[..., World]
HOSTS = ["a", "b", "hub"]


@pytest.fixture
def world(make: Make) -> World:
    """A hub that stores its state, with two registered agents."""
    world = make(7, durable=True)
    world.agent("a")
    world.agent("b")
    world.deliver()
    return world


def begin(world: World, client: Client, data: bytes, members: list[str] = HOSTS, **options: Any) -> asyncio.Task[Any]:
    task = world.start(client.exchange("keys", members, data, **options))
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    return task


def data_of(world: World, sizes: dict[str, int]) -> dict[str, bytes]:
    return {host: world.random.randbytes(size) for host, size in sizes.items()}


def nothing_is_left(world: World) -> bool:
    assert world.disk is not None
    rows = [kind for kind, _ in world.disk.rows if kind == "data" or kind.startswith("exchange given")]
    return not (world.disk.blobs or rows or world.hub._exchanging.blobs.used or world.status()["exchanges"])


def used(world: World, host: str) -> int:
    """The bytes that the hub has received from a host since it started."""
    received: int = world.hub_peer(world.hosts[host]).link.counters.bytes_in
    return received


@pytest.mark.parametrize("at", [0.02 * step for step in range(1, 150, 21)])
def test_members_on_all_kinds_of_lines_get_everything_whenever_the_hub_is_killed(make: Make, at: float) -> None:
    world = make(5, durable=True, byte_rate=50_000.0)
    world.agent("a")
    world.agent("b")
    world.deliver()
    data = data_of(world, {"a": 20_000, "b": 15_000, "hub": 10_000})
    tasks = [begin(world, world.client(host), data[host], timeout=100.0) for host in HOSTS]
    world.pass_time(at)
    world.kill_hub()
    world.settle(lambda: all(task.done() for task in tasks))
    assert [task.result() for task in tasks] == [data] * 3
    world.skip(RESULT_LIFE + 5.0)  # the confirmation of a member may have been lost with the hub
    assert nothing_is_left(world)


def test_a_hub_does_not_ask_again_for_data_that_it_has(world: World) -> None:
    data = data_of(world, {"a": 50_000, "hub": 3})
    first = begin(world, world.client("a"), data["a"], ["a", "hub"])
    world.deliver()
    world.kill_hub()
    world.deliver()
    assert used(world, "a") < 3000
    assert world.run(world.client().exchange("keys", ["a", "hub"], data["hub"])) == data
    world.settle(first.done)
    assert first.result() == data


def test_a_hub_asks_only_for_the_rest_of_the_data(make: Make) -> None:
    world = make(7, durable=True, byte_rate=50_000.0)
    world.agent("a")
    world.deliver()
    data = data_of(world, {"a": 140_000, "hub": 3})
    first = begin(world, world.client("a"), data["a"], ["a", "hub"])
    world.pass_time(2.5)
    world.kill_hub()
    second = begin(world, world.client(), data["hub"], ["a", "hub"])
    world.settle(second.done)
    assert 20_000 < used(world, "a") < 110_000
    assert second.result() == data
    world.settle(first.done)


@contextmanager
def received() -> Iterator[list[int]]:
    """The lengths of the data that the scripts receive."""
    lengths: list[int] = []
    receive = Stream.receive

    async def recording(stream: Stream) -> Any:
        item = await receive(stream)
        if item.stream == 1:
            lengths.append(len(item.data))
        return item

    with patch.object(Stream, "receive", recording):
        yield lengths


class Sink(io.BytesIO):
    """A file that keeps its contents when it is closed."""

    def close(self) -> None:
        self.closed_with = self.getvalue()


@pytest.mark.parametrize("at", [0.3, 0.9, 1.5, 2.1, 2.6])
def test_a_hub_sends_only_the_rest_of_the_data(make: Make, at: float) -> None:
    """Each file of the sink is opened once."""
    world = make(7, durable=True, byte_rate=50_000.0)
    world.agent("a")
    world.deliver()
    data = data_of(world, {"a": 1, "hub": 100_000})
    files: dict[str, Sink] = {}

    def sink(member: str) -> IO[bytes]:
        assert member not in files
        files[member] = Sink()
        return files[member]

    with received() as lengths:
        first = begin(world, world.client("a"), data["a"], ["a", "hub"], sink=sink, timeout=60.0)
        world.pass_time(1.0)
        second = begin(world, world.client(), data["hub"], ["a", "hub"])
        world.pass_time(at)
        assert second.done()
        world.kill_hub()
        world.settle(first.done)
    assert first.result() == {"a": 1, "hub": 100_000}
    assert {member: file.closed_with for member, file in files.items()} == data
    script, agent, at_hub = 100_001, 100_001, 100_001
    assert sum(lengths) == script + agent + at_hub
    world.deliver()
    assert nothing_is_left(world)


def test_the_remaining_timeout_goes_on_while_the_hub_is_away(world: World) -> None:
    task = begin(world, world.client("a"), b"of a", timeout=30.0)
    world.pass_time(10.0)
    world.kill_hub(away=8.0)
    world.pass_time(11.5)
    assert not task.done()
    world.settle(task.done, 3.0)
    error = task.exception()
    assert isinstance(error, LinesyncError) and error.code == "timeout" and "b (has not arrived)" in error.message


@pytest.mark.parametrize("host", ["a", "hub"])
def test_an_exchange_fails_if_the_hub_is_away_for_longer_than_the_lease_that_a_hold_needs(
    world: World, host: str
) -> None:
    script = world.client(host)
    world.run(script.lock("flash"))  # so the agent counts the lease
    task = begin(world, script, b"data")
    world.pass_time(1.0)
    began = world.now
    world.kill_hub(away=40.0)
    world.settle(task.done)
    error = task.exception()
    assert isinstance(error, LinesyncError) and error.exit_code == 125 and "may have got the data" in error.message
    expected = "the peer restarted" if host == "a" else "the hub did not answer again"
    assert expected in error.message and world.now - began < 50.0


def test_an_exchange_that_begins_while_the_hub_is_away_waits_for_it(world: World) -> None:
    clients = [world.client(host) for host in HOSTS]
    world.pass_time(1.0)
    away = world.start(asyncio.sleep(6.0))
    late = [begin(world, client, b"data") for client in clients]
    world.kill_hub(away=5.0)
    world.settle(lambda: away.done() and all(task.done() for task in late))
    assert [task.result() for task in late] == [dict.fromkeys(HOSTS, b"data")] * 3


@pytest.mark.parametrize("host", ["a", "hub"])
def test_a_script_that_gives_up_while_the_hub_is_away_is_withdrawn(world: World, host: str) -> None:
    client, other = world.client(host), world.client("b")
    first = begin(world, client, b"old", [host, "b"])
    world.deliver()
    world.start(_cancelled_after(first, 1.0))
    world.kill_hub(away=2.0)
    assert first.cancelled()
    again = begin(world, client, b"new", [host, "b"])
    world.deliver()
    assert not again.done()
    assert world.run(other.exchange("keys", [host, "b"], b"B")) == {host: b"new", "b": b"B"}
    world.settle(again.done)


async def _cancelled_after(task: asyncio.Task[Any], seconds: float) -> None:
    await asyncio.sleep(seconds)
    task.cancel()


def test_a_member_that_gave_and_died_while_the_hub_was_away_counts(world: World) -> None:
    client = world.client("a")
    begin(world, client, b"of a", ["a", "b"])
    world.deliver()
    world.kill_hub(away=1.0)
    world.kill(client)
    assert world.run(world.client("b").exchange("keys", ["a", "b"], b"B")) == {"a": b"of a", "b": b"B"}
    world.pass_time(RESULT_LIFE + 60.0)
    assert nothing_is_left(world) and not list(world.hub._exchanging.unopened)


def test_a_member_that_had_not_given_and_died_while_the_hub_was_away_fails_the_exchange_after_a_lease(
    make: Make,
) -> None:
    world = make(7, durable=True)
    world.agent("a")
    world.deliver()
    client = world.client("a")
    begin(world, client, world.random.randbytes(100_000), ["a", "hub"])
    waits = begin(world, world.client(), b"of hub", ["a", "hub"])
    world.pass_time(3.0)
    world.kill_hub(away=1.0)
    world.kill(client)
    world.settle(waits.done)
    error = waits.exception()
    assert isinstance(error, LinesyncError) and error.code == "lost" and "a was lost before it gave" in error.message
    assert nothing_is_left(world)


def test_results_stay_for_a_member_that_comes_late_to_the_next_hub(world: World) -> None:
    members = ["a", "hub"]
    begin(world, world.client("a"), b"of a", members, arrival="mine")
    world.deliver()
    world.kill_agent("a")
    world.pass_time(25.0)
    got = world.run(world.client().exchange("keys", members, b"of hub", arrival="its"))
    world.agent("a")
    world.deliver()
    script = world.client("a")
    late = begin(world, script, b"of a", members, arrival="late")
    world.deliver()
    world.kill_hub()
    world.deliver()
    assert got == {"a": b"of a", "hub": b"of hub"} and not late.done()


def test_results_stay_for_a_retry_at_the_next_hub(world: World) -> None:
    members = ["a", "hub"]
    script = world.client("a")
    first = begin(world, script, b"of a", members, arrival="mine")
    world.deliver()
    world.hosts["a"].wire.pull()
    assert world.run(world.client().exchange("keys", members, b"of hub"))["a"] == b"of a"
    world.kill(script)
    world.kill_hub(away=1.0)
    world.hosts["a"].wire.plug()
    world.deliver()
    assert first.done()
    got = world.run(world.client("a").exchange("keys", members, b"of a", arrival="mine"))
    assert got == {"a": b"of a", "hub": b"of hub"}
    world.deliver()
    assert nothing_is_left(world)


def test_a_file_that_has_changed_is_not_given_from_the_middle(make: Make) -> None:
    world = make(7, durable=True, byte_rate=50_000.0)
    world.agent("a")
    world.deliver()
    file = io.BytesIO(world.random.randbytes(200_000))
    task = begin(world, world.client("a"), file, ["a", "hub"])  # type: ignore[arg-type]
    world.pass_time(3.0)
    file.getbuffer()[0] ^= 1
    world.kill_hub()
    world.settle(task.done)
    assert "the data to give has changed since the hub got its first" in str(task.exception())
    world.deliver()
    assert nothing_is_left(world)


def test_a_full_disk_fails_the_exchange_with_a_sentence(make: Make) -> None:
    world = make(7, durable=True)
    world.agent("a")
    world.deliver()
    assert world.disk is not None
    task = begin(world, world.client("a"), world.random.randbytes(20_000), ["a", "hub"])
    world.pass_time(0.5)
    world.disk.is_full = True
    world.pass_time(10.0)
    world.disk.is_full = False
    world.settle(task.done)
    assert "the hub cannot store the data of a: the hub's disk is full; make room" in str(task.exception())
    world.deliver()
    assert nothing_is_left(world)


def test_data_that_an_earlier_version_did_not_store_fails_the_exchange(world: World) -> None:
    task = begin(world, world.client("a"), b"of a", ["a", "hub"])
    world.deliver()
    assert world.disk is not None
    world.disk.rows = {key: value for key, value in world.disk.rows.items() if key[0] != "data"}
    world.kill_hub()
    world.settle(task.done)
    assert "the hub does not have the data that was given" in str(task.exception())
