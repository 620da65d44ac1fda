"""A program that uses most file operations of the asyncio client: copies in both directions, exchanges with files, a command,
detached processes.

Its arguments are the report file of the loop guard, the hub's endpoint, and a folder.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import IO

import linesync
from linesync.errors import LinesyncFailed


async def tour(endpoint: str, folder: str) -> None:
    def path(name: str) -> str:
        return os.path.join(folder, name)

    def sink(member: str) -> IO[bytes]:
        return open(path(f"got-{member}"), "wb")

    async with await linesync.connect(endpoint) as client:
        for host in ("sut", "hub"):
            assert await client.put_file(path("source"), host, path("there")) == 3_000_000
            assert await client.put_file(path("source"), host, folder) == 3_000_000
            assert await client.get_file(host, path("there"), path("back")) == 3_000_000
            local, there = path("source"), (host, path("there"))
            for source, target in ((local, (host, path("copy"))), (there, path("copied")), (there, (host, path("x")))):
                copied = await client.copy([source], target, recursive=True, preserve=True)
                assert not copied.failures, copied
            assert (await client.run(host, ["cat"], stdin=b"text")).stdout == b"text"
            process = await client.start_detached(host, ["head", "-n", "1"], stdin=True)
            attachment = client.attach_process(process, stdin=True)
            attachment.stream.send_nowait(0, b"text\n")
            assert (await client.follow_process(attachment)).exit_code == 0
            assert (await client.process_log(process, tail=1)).stdout == b"text\n"
            process = await client.start_detached(host, ["sleep", "300"])
            await client.kill_process(process)
            assert (await client.processes(host))[-1].signal == 15
            for name in ("fifo", "nothing", "empty/nothing"):
                for work in (
                    client.get_file(host, path(name), path("back")),
                    client.put_file(path("source"), host, path(name) + "/"),
                    client.put_file(path(name), host, path("there")),
                ):
                    try:
                        await work
                    except LinesyncFailed:
                        continue
                    raise AssertionError(f"{name} on {host}")
        for data in (Path(path("source")), b"x" * 1_000_000):
            results = await asyncio.gather(
                client.exchange("data", "hub#1,hub#2", data, member="hub#1", sink=sink),
                client.exchange("data", "hub#1,hub#2", b"small", member="hub#2"),
            )
            assert set(results[0]) == set(results[1]) == {"hub#1", "hub#2"}


if __name__ == "__main__":
    from tests.loop_guard import install

    install(sys.argv[1])
    asyncio.run(tour(sys.argv[2], sys.argv[3]))
