"""The memory of a hub and of an agent stays bounded, whatever one peer does. ``LINESYNC_ROUNDS`` makes the attacks longer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from linesync import limits, protocol
from linesync.client.aio import Client, connect
from linesync.errors import LinesyncError
from linesync.wire.framing.frames import Lane
from tests.e2e.attacks.attack import MIB, Cost, attack, measured
from tests.e2e.kit import Daemon, Site, site

ROUNDS = int(os.environ.get("LINESYNC_ROUNDS", "1"))
DURING, AFTER = 64 * MIB, 16 * MIB


class Place:
    """A hub and an agent on one site, with a large file at the agent."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.hub = site.hub("--listen", f"unix:{site.folder}/line.sock")
        self.hub.says("line.sock")
        self.agent = site.agent("--port", f"unix:{site.folder}/line.sock")
        site.await_host()
        with open(site.folder / "large", "wb") as file:
            file.truncate(30 * MIB)

    def endpoint(self, side: str) -> str:
        return f"unix:{self.site.socket(side)}"

    def daemon(self, side: str) -> Daemon:
        return self.hub if side == "hub" else self.agent

    def download(self, client: Client) -> Any:
        path = str(self.site.folder / "large")
        return client._peer.open(protocol.encode(protocol.FileRead(to="sut", path=path, Device=False)))


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with site() as where:
        yield Place(where)


def check(cost: Cost) -> None:
    print(cost)
    assert cost.most - cost.before <= DURING, cost
    assert cost.after - cost.before <= AFTER, cost


@pytest.mark.parametrize("how", ["reset", "closed", "aborted"])
def test_broken_off_downloads_leave_nothing(place: Place, how: str) -> None:
    async def broken_off() -> None:
        client = await connect(place.endpoint("hub"))
        for _ in range(20 * ROUNDS):
            stream = place.download(client)
            await asyncio.sleep(0.03)
            if how == "reset":
                stream.reset("not wanted")
                continue
            if how == "closed":
                await client.aclose()
            else:
                client._peer.line.abort()
            client = await connect(place.endpoint("hub"))
        await client.aclose()

    attack(broken_off)  # the first round reserves what Python does not return
    with measured(place.hub.pid, place.endpoint("hub")) as cost:
        attack(broken_off)
    check(cost)


@pytest.mark.parametrize("side", ["hub", "sut"])
def test_downloads_that_nobody_reads_are_bounded(place: Place, side: str) -> None:
    async def unread() -> None:
        client = await connect(place.endpoint(side))
        streams = [place.download(client) for _ in range(20)]
        await asyncio.sleep(2.0)
        assert not any(stream.broken for stream in streams)
        await client.aclose()

    with measured(place.daemon(side).pid, place.endpoint(side)) as cost:
        attack(unread)
    check(cost)


@pytest.mark.parametrize("side", ["hub", "sut"])
def test_replies_that_nobody_reads_are_bounded(place: Place, side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fill() -> None:
        async with await connect(place.endpoint(side)) as client:
            for _ in range(12):
                await client.send("long", "x" * 60_000)

    async def ask() -> None:
        client = await connect(place.endpoint(side))
        mux = client._peer.link.session.mux  # type: ignore[union-attr]
        monkeypatch.setattr(mux, "consumed", lambda number, data: None)  # gives no credit
        for _ in range(2000 * ROUNDS):
            client._peer.ask("receive long 1 most=12")
        await asyncio.sleep(2.0)
        client._peer.line.abort()  # type: ignore[union-attr]

    attack(fill)
    with measured(place.daemon(side).pid, place.endpoint(side)) as cost:
        attack(ask)
    check(cost)


@pytest.mark.parametrize("side", ["hub", "sut"])
def test_frames_behind_a_gap_are_bounded_and_freed_when_the_line_closes(
    place: Place, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WINDOW_BYTES", 1 << 40)  # of this process: it sends all it has

    async def send() -> None:
        client = await connect(place.endpoint(side))
        session = client._peer.link.session  # type: ignore[union-attr]
        for lane in Lane:
            sender = session.senders[lane]
            sender.next_seq += 1
            sender.base += 1  # the payload before is never sent
        for _ in range(200):
            stream = client._peer.open("run sut true")
            with suppress(LinesyncError):
                stream.send_nowait(0, bytes(250_000))
        await asyncio.sleep(1.0)
        client._peer.line.abort()  # type: ignore[union-attr]

    with measured(place.daemon(side).pid, place.endpoint(side)) as cost:
        for _ in range(3):
            attack(send)
    check(cost)
