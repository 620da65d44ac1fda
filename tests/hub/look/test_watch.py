"""Traces of a link: several readers at the same time, each with its own start and end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from linesync.hub.look.watch import _unwatch, _watch
from linesync.runtime.identity import local_end, token
from linesync.testing.memory_lines import MemoryLine
from linesync.wire.link import Link
from tests.runtime.peers import pause
from tests.system.world import World


def test_traces_begin_and_end_in_any_order() -> None:
    link = Link(local_end("l", clean=True), token)
    seen: dict[str, list[str]] = {"first": [], "second": []}

    def first(direction: str, kind: bytes, body: bytes, length: int) -> None:
        seen["first"].append(direction)

    def second(direction: str, kind: bytes, body: bytes, length: int) -> None:
        seen["second"].append(direction)

    def frame(direction: str) -> None:
        if link.trace is not None:
            link.trace(direction, b"k", b"", 5)

    _watch(link, first)
    frame("one")
    _watch(link, second)
    frame("two")
    _unwatch(link, first)
    frame("three")
    _unwatch(link, second)
    frame("four")
    assert seen == {"first": ["one", "two"], "second": ["two", "three"]}
    assert link.trace is None, "a link without readers has no cost"


@pytest.mark.parametrize("opening", ["console a follow=1", "trace a", "changes"])
@pytest.mark.parametrize("first", ["the client", "the hub"])
def test_no_task_of_a_reader_remains_after_the_hub_has_closed(opening: str, first: str) -> None:
    with World(seed=1) as world:
        world.agent("a")
        world.deliver()
        client = world.client()
        stream = client._peer.open(opening)
        world.pass_time(1.0)
        assert stream.broken is None

        async def close() -> list[asyncio.Task[Any]]:
            if first == "the client":
                assert isinstance(client._peer.line, MemoryLine)
                client._peer.line.abort()
                await pause()
            await world.hub.aclose()
            return [task for task in asyncio.all_tasks() if "/linesync/hub/" in task.get_coro().cr_code.co_filename]  # type: ignore[union-attr]

        assert world.run(close()) == []
