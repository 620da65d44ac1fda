"""A pyserial URL as a line, read and written by threads."""

from __future__ import annotations

import asyncio

from linesync.testing.recorder import Recorder
from linesync.transports import connect


def test_a_loop_url_returns_the_written_bytes() -> None:
    async def scenario() -> None:
        line = Recorder("loop")
        await connect("loop://,9600", lambda: line)
        assert line.line.info.baud == 9600
        sent = bytes(range(256)) * 800
        line.write(sent)
        await line.until(lambda: line.paused, "200 KB should ask for a pause")
        await line.until_received(sent)
        await line.until(lambda: not line.paused, "resume_writing should follow")
        line.write(b"x" * 100_000)
        line.abort()
        await line.until_lost()
        line.verify()

    asyncio.run(scenario())
