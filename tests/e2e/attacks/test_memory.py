"""No single peer can make the memory of a hub or an agent grow without limit. ``LINESYNC_ROUNDS`` makes the attacks longer."""

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
"""The most bytes by which the memory may grow during an attack, and by which it may be larger after the attack."""


class AttackedSite:
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
def attacked() -> Iterator[AttackedSite]:
    with site() as found:
        yield AttackedSite(found)


def check(cost: Cost) -> None:
    print(cost)
    assert cost.most - cost.before <= DURING, cost
    assert cost.after - cost.before <= AFTER, cost


@pytest.mark.parametrize("end", ["reset", "closed", "aborted"])
def test_interrupted_downloads_leave_nothing(attacked: AttackedSite, end: str) -> None:
    async def interrupt_downloads() -> None:
        client = await connect(attacked.endpoint("hub"))
        for _ in range(20 * ROUNDS):
            stream = attacked.download(client)
            await asyncio.sleep(0.03)
            if end == "reset":
                stream.reset("not wanted")
                continue
            if end == "closed":
                await client.aclose()
            else:
                client._peer.line.abort()
            client = await connect(attacked.endpoint("hub"))
        await client.aclose()

    attack(interrupt_downloads)  # in the first round, Python reserves memory that it does not return
    with measured(attacked.hub.pid, attacked.endpoint("hub")) as cost:
        attack(interrupt_downloads)
    check(cost)


@pytest.mark.parametrize("side", ["hub", "sut"])
def test_the_memory_for_unread_downloads_is_bounded(attacked: AttackedSite, side: str) -> None:
    async def unread() -> None:
        client = await connect(attacked.endpoint(side))
        streams = [attacked.download(client) for _ in range(40)]
        await asyncio.sleep(2.0)
        assert not any(stream.broken for stream in streams)
        await client.aclose()

    with measured(attacked.daemon(side).pid, attacked.endpoint(side)) as cost:
        attack(unread)
    check(cost)


@pytest.mark.parametrize("side", ["hub", "sut"])
def test_the_memory_for_unread_replies_is_bounded(
    attacked: AttackedSite, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fill() -> None:
        async with await connect(attacked.endpoint(side)) as client:
            for _ in range(12):
                await client.send("long", "x" * 60_000)

    async def ask() -> None:
        client = await connect(attacked.endpoint(side))
        mux = client._peer.link.session.mux  # type: ignore[union-attr]
        monkeypatch.setattr(mux, "consumed", lambda number, data: None)  # gives no credit
        for _ in range(2000 * ROUNDS):
            client._peer.ask("receive long 1 most=12")
        await asyncio.sleep(2.0)
        client._peer.line.abort()  # type: ignore[union-attr]

    attack(fill)
    with measured(attacked.daemon(side).pid, attacked.endpoint(side)) as cost:
        attack(ask)
    check(cost)


@pytest.mark.parametrize("side", ["hub", "sut"])
def test_frames_behind_a_gap_are_bounded_and_freed_when_the_line_closes(
    attacked: AttackedSite, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WINDOW_BYTES", 1 << 40)  # only in this process, which then sends without a limit

    async def send() -> None:
        client = await connect(attacked.endpoint(side))
        session = client._peer.link.session  # type: ignore[union-attr]
        for lane in Lane:
            sender = session.senders[lane]
            sender.next_seq += 1
            sender.base += 1  # this sequence number is never sent, so there is a gap before all payloads
        for _ in range(200):
            stream = client._peer.open("run sut true")
            with suppress(LinesyncError):
                stream.send_nowait(0, bytes(250_000))
        await asyncio.sleep(1.0)
        client._peer.line.abort()  # type: ignore[union-attr]

    with measured(attacked.daemon(side).pid, attacked.endpoint(side)) as cost:
        for _ in range(3):
            attack(send)
    check(cost)
