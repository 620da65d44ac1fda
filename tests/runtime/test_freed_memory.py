"""After sessions with much data, a daemon returns memory to the system once."""

from __future__ import annotations

import asyncio

import pytest

from linesync.runtime import freed_memory

from .peers import Pair, pause, play


@pytest.mark.parametrize(("size", "times"), [(1000, 0), (9 << 20, 1)])
def test_memory_is_returned_once_after_the_end_of_sessions_with_much_data(
    size: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trimmed: list[int] = []
    monkeypatch.setattr(freed_memory, "_trim", lambda: trimmed.append)

    async def test() -> None:
        pairs = [await Pair.joined() for _ in range(2)]
        for pair in pairs:
            opener, acceptor = await pair.channel("x")
            sending = asyncio.ensure_future(opener.send(0, bytes(size)))
            left = size
            while left:
                left -= len((await acceptor.receive()).data)
            await sending
        for pair in pairs:
            await pair.caller.aclose("done")
        await pause(2.0)
        assert trimmed == [0] * times

    play(test)
