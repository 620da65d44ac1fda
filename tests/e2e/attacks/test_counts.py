"""After many interrupted transfers, connections, restarts and killed commands, a hub and an agent keep no more objects than
before.

They run in this process, so that tasks, descriptors, channels and objects can be counted. ``make soak`` makes 400 transfers in
each direction, 2,000 connections, 300 restarts and 300 commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from linesync import protocol
from linesync.client.aio import Client, connect
from linesync.errors import LinesyncError
from linesync.runtime.channels.streams import MESSAGE, Stream
from tests.e2e.attacks.inside import Inside, inside
from tests.e2e.kit import alive
from tests.effort import lives

_MEMORY = 16  # MiB
_WARM = 4  # rounds before the first count, in which modules are loaded and tables with a bound are filled

Round = Callable[[Inside, int], Awaitable[None]]


async def leave(client: Client, stream: Stream | None, end: int) -> None:
    """End a channel and its connection.

    :param end: 0: reset the channel first; 1: only close the connection; 2: lose the connection, as a killed process does.
    """
    if end == 0 and stream is not None:
        stream.reset("not wanted")
    if end == 2 and client._peer.line is not None:
        client._peer.line.abort()
    await client.aclose()


def side(number: int) -> str:
    return ("hub", "sut")[number // 3 % 2]


async def download(place: Inside, number: int) -> None:
    client = await connect(place.endpoint(side(number)))
    request = protocol.FileRead(to=(place.host, "hub")[number // 6 % 2], path=str(place.folder / "large"), Device=False)
    stream = client._peer.open(protocol.encode(request))
    async with asyncio.timeout(20.0):
        await stream.receive_message()
        await stream.receive()
    await leave(client, stream, number % 3)


async def upload(place: Inside, number: int) -> None:
    client = await connect(place.endpoint(side(number)))
    request = protocol.FileWrite(
        to=(place.host, "hub")[number // 6 % 2], path=str(place.folder / "written"), name="", size=30 << 20
    )
    stream = client._peer.open(protocol.encode(request))
    stream.send_nowait(0, bytes(100_000))
    async with asyncio.timeout(20.0):
        while number % 4 and not place.open_files():
            await asyncio.sleep(0.01)  # until the host has begun to write the file
    await leave(client, stream, number % 3)


async def connection(place: Inside, number: int) -> None:
    client = await connect(place.endpoint(side(number)))
    if number % 5 == 0:
        await client.semaphore("units", 1)
    await leave(client, None, 1 + number % 2)


async def restart(place: Inside, number: int) -> None:
    await place.stop_agent(killed=number % 2 == 1)
    await place.start_agent()


async def killed_run(place: Inside, number: int) -> None:
    client = await connect(place.endpoint(side(number)))
    request = protocol.Run(to=(place.host, "hub")[number // 6 % 2], argv=("sh", "-c", "echo $$; exec sleep 1000"))
    stream = client._peer.open(protocol.encode(request))
    async with asyncio.timeout(20.0):
        while (item := await stream.receive()).stream == MESSAGE:
            pass
    await leave(client, stream, number % 3)
    async with asyncio.timeout(20.0):
        while alive(int(item.data)):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("line", "work", "count"),
    [
        ("socket", download, lives(20, 400)),
        ("socket", upload, lives(20, 400)),
        ("socket", connection, lives(100, 2000)),
        ("socket", restart, lives(10, 300)),
        ("socket", killed_run, lives(10, 300)),
        ("pty", download, lives(10, 100)),
        ("pty", restart, lives(4, 50, least=4)),
    ],
)
def test_a_hub_and_an_agent_keep_nothing(line: str, work: Round, count: int) -> None:
    async def test() -> None:
        async with inside(line) as place:
            with open(place.folder / "large", "wb") as file:
                file.truncate(30 << 20)
            for number in range(12 if work is not restart else _WARM):
                await work(place, number)
            before, memory = await place.settled(), await place.memory()
            for number in range(count):
                await work(place, number)
            grown = await place.grown(before)
            after = await place.memory()
            print(f"{work.__name__} on a {line}, {count} times: {memory:.1f} MiB before, {after:.1f} after")
            assert not grown, "\n".join([str(grown), *place.log[-10:]])
            assert after - memory <= _MEMORY

    asyncio.run(test())


def test_a_task_that_is_left_is_found() -> None:
    async def test() -> None:
        async with inside("socket") as place:
            before = place.counted()
            task = asyncio.ensure_future(asyncio.sleep(1000))
            client = await connect(place.endpoint("hub"))
            grown = await place.grown(before, 0.1)
            assert {"tasks", "descriptors", "peers", "linesync.runtime.peer.Peer"} <= grown.keys()
            await client.aclose()
            task.cancel()
            with pytest.raises((asyncio.CancelledError, LinesyncError)):
                await task

    asyncio.run(test())
