"""Programs that run on virtual time in place of real commands."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from linesync.jobs.commands.process import Runner

__all__ = ["BIG", "Program", "programs"]

BIG = random.Random(4).randbytes(600_000)
"""The output of ``big``, more than each end of a channel keeps."""
_PIPE = 65536


class _Pipe:
    """A pipe with room for 64 KiB."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False
        self._changed = asyncio.Event()

    async def read(self) -> bytes:
        while not self.data and not self.closed:
            await self._wait()
        data, self.data = self.data[:32768], self.data[32768:]
        self._changed.set()
        return data

    async def write(self, data: bytes) -> None:
        assert not self.closed
        while len(self.data) >= _PIPE:
            await self._wait()
        self.data += data
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def close(self) -> None:
        self.closed = True
        self._changed.set()


class Program:
    """One running program.

    :ivar signals: the signals that it got.
    :ivar ended: whether it was ended from outside.
    """

    def __init__(self, argv: Sequence[str], *, stdin: bool) -> None:
        self.argv = list(argv)
        self.pid = 4711
        self.gone = False
        self.signals: list[int] = []
        self.ended = False
        self.stdin = _Pipe() if stdin else None
        self.outputs = {1: _Pipe(), 2: _Pipe()}
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> int:
        try:
            work: Coroutine[Any, Any, int] = getattr(self, f"_{self.argv[0]}")(*self.argv[1:])
            return await work
        finally:
            self.gone = True
            for pipe in self.outputs.values():
                pipe.close()

    async def _lines(self, count: str) -> int:
        """Writes lines to both outputs, one every 20 ms."""
        for number in range(int(count)):
            await self.outputs[1 + number % 2].write(f"{number}\n".encode())
            await asyncio.sleep(0.02)
        return 3

    async def _cat(self) -> int:
        assert self.stdin is not None
        while data := await self.stdin.read():
            await self.outputs[1].write(data)
        return 0

    async def _sum(self) -> int:
        assert self.stdin is not None
        digest = hashlib.sha256()
        while data := await self.stdin.read():
            digest.update(data)
        await self.outputs[1].write(digest.hexdigest().encode())
        return 0

    async def _big(self) -> int:
        for at in range(0, len(BIG), 10_000):
            await self.outputs[1].write(BIG[at : at + 10_000])
        return 0

    async def _write_and_read(self) -> int:
        await self._big()
        return await self._cat()

    async def _true(self) -> int:
        return 0

    async def _sleep(self, seconds: str) -> int:
        for _ in range(int(float(seconds) * 100)):
            await asyncio.sleep(0.01)
            if self.signals:
                return -self.signals[0]
        return 0

    async def wait(self) -> int:
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            if self._task.cancelled():
                return -15
            raise

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def end(self) -> None:
        self.ended = self.ended or not self._task.done()
        self._task.cancel()

    async def end_and_wait(self) -> None:
        self.end()
        await asyncio.wait({self._task})

    def close(self) -> None:
        pass


@contextmanager
def programs() -> Iterator[list[Program]]:
    """Let runners start these programs during the block. The block gets the list of the started programs."""
    started: list[Program] = []

    async def start(self: Runner, argv: Sequence[str], *, stdin: bool = False, **_: object) -> Program:
        await asyncio.sleep(0.003)
        started.append(Program(argv, stdin=stdin))
        return started[-1]

    with patch.object(Runner, "start", start):
        yield started
