"""A program that uses the asyncio client while a call on a local path hangs.

Its arguments are the hub's endpoint, the operation, the path, and the file that appears when the path hangs. It prints the
longest latency of the event loop. It ends although the call on the path never returns.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import IO

import linesync


async def work(endpoint: str, operation: str, path: str, reached: str) -> None:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            longest = max(longest, loop.time() - before - 0.01)

    def sink(member: str) -> IO[bytes]:
        return open(path, "wb")

    async with await linesync.connect(endpoint) as client:
        watching = asyncio.ensure_future(watch())
        works = {
            "get": lambda: client.get_file("sut", f"{path}.source", path),
            "put": lambda: client.put_file(path, "sut", f"{path}.target"),
            "exchange": lambda: client.exchange("x", "hub", Path(path)),
            "sink": lambda: client.exchange("x", "hub", b"data", sink=sink),
        }
        hung = asyncio.ensure_future(works[operation]())
        while not os.path.exists(reached):
            await asyncio.sleep(0.01)
        for _ in range(20):
            await asyncio.wait_for(client.hosts(), 0.5)
            await asyncio.sleep(0.02)
        assert not hung.done()
        hung.cancel()
        await asyncio.wait({hung}, timeout=0.5)
        assert hung.cancelled()
        await asyncio.wait_for(client.hosts(), 0.5)
        watching.cancel()
    print(f"{longest:.3f}")


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
