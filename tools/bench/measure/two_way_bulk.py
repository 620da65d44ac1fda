"""Copies that fill both directions of a line, while something else is measured."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from ..testbed.system import HOST, BenchError, LineSystem, linesync_command

__all__ = ["two_way_bulk"]


@contextlib.asynccontextmanager
async def two_way_bulk(system: LineSystem) -> AsyncIterator[None]:
    """Copy files of random bytes in both directions while the block runs. The copies are separate processes."""
    size = int(system.byte_rate * 120)
    copies: list[subprocess.Popen[bytes]] = []
    blob = Path(system.folder, "bulk")
    blob.write_bytes(random.Random(3).randbytes(size))
    ways = ([str(blob), f"{HOST}:{blob}.there"], [f"{HOST}:{blob}", f"{blob}.back"])
    try:
        for name, words in zip(("put", "get"), ways, strict=True):
            copies.append(system.start(name, [*linesync_command(), "--hub", system.hub, "cp", *words]))
        await asyncio.sleep(1.5)
        yield
        if any(copy.poll() is not None for copy in copies):
            raise BenchError(f"a copy ended early: {system.log('put')} {system.log('get')}")
    finally:
        for copy in copies:
            copy.kill()
            copy.wait()
