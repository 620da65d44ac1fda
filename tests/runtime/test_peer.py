"""A peer on an asyncio loop: a line without a session."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from linesync.runtime import peer as module
from linesync.runtime.conversation import User
from linesync.runtime.peer import Peer
from linesync.transports import listen


def test_the_line_of_a_caller_that_sends_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GREETING", 0.2)

    async def main() -> bytes:
        def accept() -> object:
            peer = Peer(User(), "l")
            peer.expect_session()
            return peer.receiver()

        listener = await listen(f"unix:{tmp_path}/s", accept)
        reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/s")
        try:
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()
            await listener.aclose()

    assert asyncio.run(main()) == b""
