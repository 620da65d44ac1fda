"""Forwarded connections over slow lines, on virtual time. Only the sockets are simulated."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest

from linesync import limits, protocol
from linesync.client.aio import Client
from linesync.errors import BrokenError, LinesyncError, LinesyncFailed, NotAllowed, TimedOut, UsageError
from linesync.jobs.sockets.connection import Connection
from linesync.jobs.sockets.sockets import ByteEnd
from linesync.model.policy import Policy, Rule
from linesync.protocol.addresses import TcpAddress
from linesync.testing.faults import Faults
from linesync.wire.framing.frames import Lane

from .world import World

PORT = "localhost:80"


class Program(ByteEnd):
    """A server program, and its connected socket."""

    def __init__(self) -> None:
        self.got = bytearray()
        """The bytes that it has read."""
        self.reads = True
        """Whether it reads. If not, the socket accepts no bytes."""
        self.ended = self.closed = self.was_reset = False
        self._to_send = bytearray()
        self._no_more = False
        self._changed = asyncio.Event()

    def say(self, data: bytes, *, last: bool = False) -> None:
        self._to_send += data
        self._no_more = last
        self._changed.set()

    def go_on(self) -> None:
        self.reads = True
        self._changed.set()

    async def read(self, most: int) -> bytes:
        while not self._to_send and not self._no_more:
            await self._wait()
        data = bytes(self._to_send[:most])
        del self._to_send[:most]
        return data

    async def write(self, data: bytes) -> None:
        while not self.reads:
            await self._wait()
        self.got += data

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def end(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def reset(self) -> None:
        self.was_reset = not self.closed


class Echo(Program):
    """A program that sends back all bytes."""

    async def write(self, data: bytes) -> None:
        await super().write(data)
        self.say(data)

    def end(self) -> None:
        super().end()
        self.say(b"", last=True)


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """The programs to which the next connections are made."""
    waiting: list[Program] = []

    async def connect(address: TcpAddress, host: str) -> Program:
        assert (str(address), host) == (PORT, "sut")
        if not waiting:
            raise LinesyncFailed(f"{host} cannot connect to {address}: the connection was refused")
        return waiting.pop(0)

    with patch("linesync.jobs.sockets.forwarding.open_socket", connect):
        with patch("linesync.jobs.sockets.forwarding.SocketEnd", lambda program: program):
            yield waiting


def world_with_sut(**options: Any) -> World:
    world = World(seed=1, **options)
    world.agent("sut")
    world.pass_time(1.0)
    return world


def refusal(world: World, stream: Any) -> str:
    """The error that arrives on a channel."""
    return str(protocol.read_error(world.run(stream.receive_message())))


async def everything(connection: Connection) -> bytes:
    """All bytes that arrive on a connection, until their end."""
    got = bytearray()
    while data := await connection.receive():
        got += data
    return bytes(got)


def opened(world: World, client: Client, programs: list[Program], program: Program) -> Connection:
    programs.append(program)
    connection = world.run(client.open_connection("sut", PORT))
    assert isinstance(connection, Connection)
    return connection


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_bytes_arrive_in_both_directions_and_each_direction_ends_by_itself(programs: list[Program]) -> None:
    with world_with_sut() as world:
        program = Program()
        connection = opened(world, world.client(), programs, program)
        world.run(connection.send(b"question"))
        connection.end()
        world.settle(lambda: program.ended)
        assert program.got == b"question" and not program.closed
        program.say(b"answer", last=True)
        assert world.run(everything(connection)) == b"answer"
        world.settle(lambda: program.closed)
        world.pass_time(1.0)
        assert not program.was_reset and world.hub_peer(world.hosts["sut"]).link.mux.open_count == 0


@pytest.mark.parametrize("faults", [None, Faults(ber=1e-5)])
def test_many_bytes_arrive_unchanged_while_others_are_sent_back(programs: list[Program], faults: Faults | None) -> None:
    data = noise(200_000)
    with world_with_sut(faults=faults, probe=True) as world:
        connection = opened(world, world.client(), programs, Echo())

        async def talk() -> bytes:
            sending = asyncio.ensure_future(_send_all(connection, data))
            got = await everything(connection)
            await sending
            return got

        began = world.now
        assert world.run(talk(), 100.0) == data
        assert faults or world.now - began < len(data) / 11520 / 0.88, "both directions are nearly full"


async def _send_all(connection: Connection, data: bytes) -> None:
    await connection.send(data)
    connection.end()


def test_bytes_of_one_direction_arrive_although_nobody_reads_the_other_one(programs: list[Program]) -> None:
    with world_with_sut() as world:
        program = Program()
        connection = opened(world, world.client(), programs, program)
        program.say(noise(300_000))
        world.pass_time(20.0)
        data = noise(150_000)
        world.run(_send_all(connection, data))
        world.settle(lambda: program.ended)
        assert program.got == data


@pytest.mark.long
def test_a_program_that_does_not_read_stops_only_its_own_connection(programs: list[Program]) -> None:
    with world_with_sut() as world:
        stuck, client = Program(), world.client()
        stuck.reads = False
        first = opened(world, client, programs, stuck)
        sending = world.start(_send_all(first, data := noise(400_000)))
        world.pass_time(60.0)
        assert not sending.done()
        second, others = opened(world, client, programs, other := Program()), noise(50_000)
        world.run(_send_all(second, others))
        world.settle(lambda: other.got == others)
        held = sum(
            peer.link.mux.queued(number) for peer in world.hub._peers if peer.link for number in peer.link.mux._channels
        )
        assert held < 2 * limits.FORWARD_MOST, f"the hub holds {held} bytes of a connection that does not read"
        stuck.go_on()
        world.settle(lambda: stuck.got == data)


def round_trips(world: World, connection: Connection, count: int) -> list[float]:
    """The sorted times in seconds in which single bytes come back."""

    async def talk() -> list[float]:
        found = []
        for _ in range(count):
            began = world.now
            await connection.send(b"x")
            assert await connection.receive() == b"x"
            found.append(world.now - began)
            await asyncio.sleep(0.05)
        return sorted(found)

    trips: list[float] = world.run(talk())
    return trips


def test_an_echo_hardly_waits_for_a_copy_and_a_request_hardly_waits_for_a_full_connection(
    programs: list[Program],
) -> None:
    with world_with_sut(probe=True) as world:
        client = world.client()
        world.pass_time(5.0)  # the line reaches its longest frames
        quiet = opened(world, client, programs, Echo())
        idle = round_trips(world, quiet, 20)
        busy = opened(world, client, programs, Echo())
        load = world.start(_send_all(busy, noise(400_000)))
        reading = world.start(everything(busy))
        world.pass_time(5.0)
        assert round_trips(world, quiet, 40)[-2] < idle[-1] + 0.04
        requests = []
        for _ in range(20):
            began = world.now
            world.run(client.semaphore("x", 1))
            requests.append(world.now - began)
            world.pass_time(0.05)
        assert sorted(requests)[-2] < idle[-1] + 0.04
        load.cancel()
        reading.cancel()


@pytest.mark.long
def test_a_hundred_connections_share_the_line(programs: list[Program]) -> None:
    pieces = [noise(1000 + n) for n in range(100)]
    with world_with_sut() as world:
        client = world.client()

        async def talk(data: bytes) -> bool:
            connection = await client.open_connection("sut", PORT)
            await _send_all(connection, data)
            return await everything(connection) == data

        programs += [Echo() for _ in pieces]

        async def all_of_them() -> list[bool]:
            return await asyncio.gather(*map(talk, pieces))

        began = world.now
        assert all(world.run(all_of_them(), 100.0))
        assert world.now - began < 2.2 * sum(map(len, pieces)) / 11520


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_refused_target_is_an_error_with_the_reason(programs: list[Program]) -> None:
    with world_with_sut() as world:
        with pytest.raises(LinesyncFailed, match="sut cannot connect to localhost:80: the connection was refused"):
            world.run(world.client().open_connection("sut", PORT))
        with pytest.raises(UsageError, match="invalid address 'localhost': expected HOST:PORT"):
            world.run(world.client().open_connection("sut", "localhost"))
        with pytest.raises(LinesyncFailed, match="there is no host b"):
            world.run(world.client().open_connection("b", PORT))


def test_the_hub_refuses_an_address_that_is_not_in_the_normal_form(programs: list[Program]) -> None:
    with world_with_sut() as world:
        for address in ("LOCALHOST:80", "unix:/run/../etc/x", "localhost:080"):
            stream = world.client().peer.open(f"connect sut {address}", Lane.PROMPT)
            assert "invalid address" in refusal(world, stream)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lambda world, client: world.kill_agent("sut"), "lost|the agent on sut"),
        (lambda world, client: world.kill(client), "this script was killed"),
        (lambda world, client: world.kill_hub(), "connection was lost"),
    ],
)
def test_a_connection_ends_on_both_sides_with_any_of_its_processes(
    programs: list[Program], end: Callable[[World, Client], None], why: str
) -> None:
    with world_with_sut() as world:
        client, program = world.client(), Program()
        connection = opened(world, client, programs, program)
        end(world, client)
        world.settle(lambda: program.was_reset, 45.0)
        with pytest.raises(LinesyncError, match=why):
            world.run(connection.receive())


def test_a_reset_of_one_end_is_a_reset_of_the_other_end(programs: list[Program]) -> None:
    with world_with_sut() as world:
        program = Program()
        connection = opened(world, world.client(), programs, program)
        connection.reset("enough")
        world.settle(lambda: program.was_reset)
        second = opened(world, world.client(), programs, failing := Program())

        async def fail(most: int) -> bytes:
            raise ConnectionResetError(104, "Connection reset by peer")

        with patch.object(failing, "write", fail):
            world.run(second.send(b"x"))
            with pytest.raises(BrokenError, match="the connection was reset: connection reset by peer"):
                world.run(second.receive())


def test_a_connection_to_a_host_that_does_not_answer_is_given_up(programs: list[Program]) -> None:
    with world_with_sut() as world:
        world.hosts["sut"].wire.pull()
        with pytest.raises(TimedOut, match="the connection from sut to localhost:80 was given up"):
            world.run(world.client().open_connection("sut", PORT, timeout=2.0))


# -- a peer that violates the rules -----------------------------------------------------------------------------------


def raw(world: World, programs: list[Program], program: Program) -> Any:
    """A channel to the program, without the rules of a connection."""
    programs.append(program)
    return world.client().peer.open(f"connect sut {PORT}", Lane.PROMPT)


def test_a_sender_that_ignores_the_window_is_reset(programs: list[Program]) -> None:
    with world_with_sut(byte_rate=1e6) as world:
        program = Program()
        program.reads = False
        program.say(noise(500_000))  # this end then waits for a confirmation, and takes what arrives from the channel
        stream = raw(world, programs, program)
        world.start(_flood(stream))
        world.settle(lambda: program.was_reset and stream.broken)
        assert "more bytes than the window" in stream.broken


async def _flood(stream: Any) -> None:
    for _ in range(100):
        await stream.send(0, bytes(10_000))


@pytest.mark.parametrize("messages", [["turn", "eof"], ["turn"] * 2000])
def test_marks_without_a_second_channel_do_not_fill_the_memory_and_do_not_hang(
    programs: list[Program], messages: list[str]
) -> None:
    with world_with_sut() as world:
        program = Program()
        stream = raw(world, programs, program)
        for message in messages:
            stream.send_message(message)
        stream.end()
        world.settle(lambda: program.was_reset)


def test_a_bulk_channel_needs_the_key_of_its_connection(programs: list[Program]) -> None:
    with world_with_sut() as world:
        stream = world.client().peer.open("wide sut AAAAAAAA")
        assert "this connection on sut is over" in refusal(world, stream)
        stream = world.client().peer.open("accept sut AAAAAAAA 1", Lane.PROMPT)
        assert "connection 1 of this listener on sut is over" in refusal(world, stream)


# -- permissions ------------------------------------------------------------------------------------------------------


def test_a_rule_of_the_policy_decides_about_the_address(programs: list[Program]) -> None:
    with world_with_sut() as world:
        world.hub.set_policy(Policy((Rule(allow=True, to="sut", do=("forward",), connect=("localhost:8*",)),)))
        opened(world, world.client(), programs, Program())
        with pytest.raises(NotAllowed, match=r"may not forward connections from sut to localhost:22.*connect = "):
            world.run(world.client().open_connection("sut", "localhost:22"))


def test_an_agent_can_refuse_all_connections(programs: list[Program]) -> None:
    with world_with_sut() as world:
        agent = world.hosts["sut"].agent
        assert agent is not None
        agent.services.forward_refusal = "not allowed: sut forwards no connections"
        with pytest.raises(NotAllowed, match="sut forwards no connections"):
            world.run(world.client().open_connection("sut", PORT))
