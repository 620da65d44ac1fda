"""Watching a line: its console log, typing into it, and its frames while they pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from ..errors import EndOfStream, LinesyncError, LinesyncFailed
from ..jobs.serve import refuse
from ..protocol import ConsoleOpen
from ..runtime.peer import Peer
from ..runtime.streams import MESSAGE, Stream
from ..timestamps import utc
from ..wire.framing.frames import describe
from ..wire.link import Link, Trace
from .console import ConsoleLog

__all__ = ["serve_console", "serve_trace"]

_T = TypeVar("_T")
_TRACE_LINES = 1000  # lines that a slow reader may be behind


async def serve_console(stream: Stream, opening: ConsoleOpen, log: ConsoleLog, peer: Peer) -> None:
    """Send the log, and with ``follow`` also later text; write the bytes that come from the reader to the line."""
    follower = log.follow()
    try:
        if not opening.follow and not opening.type:
            await stream.send(1, follower.take())
            stream.end()
            return
        typing = asyncio.create_task(_type(stream, opening, peer))
        try:
            while not typing.done():
                await _before(typing, follower.more())
                data = follower.take()
                if data:
                    await stream.send(1, data)
        finally:
            typing.cancel()
            with suppress(asyncio.CancelledError, LinesyncError):
                await typing
        stream.end()
    except LinesyncError:
        pass
    finally:
        log.unfollow(follower)


async def _type(stream: Stream, opening: ConsoleOpen, peer: Peer) -> None:
    """Write the typed bytes to the line until the person leaves."""
    try:
        while True:
            item = await stream.receive()
            if not opening.type:
                continue
            if peer.line is None:
                refuse(stream, LinesyncFailed("cannot type into the line: it is down; wait until it is back"))
                return
            if item.stream == MESSAGE:
                if item.data == b"break" and not peer.line.send_break():
                    refuse(stream, LinesyncFailed("this line cannot send a BREAK, because it is not a serial port"))
            else:
                peer.line.write(item.data)
    except EndOfStream:
        pass


async def serve_trace(stream: Stream, peer: Peer) -> None:
    """Send a text line for each frame that passes, until the reader leaves. A slow reader loses lines and sees how many."""
    link = peer.link
    if link is None:
        raise LinesyncFailed("cannot trace the line: it has not been open yet; try again when it is open")
    lines: asyncio.Queue[str] = asyncio.Queue(_TRACE_LINES)
    lost = 0

    def trace(direction: str, kind: bytes, body: bytes, length: int) -> None:
        nonlocal lost
        try:
            lines.put_nowait(
                f"{utc(time.time())} {'<' if direction == 'in' else '>'} {length:5} {describe(kind, body)}\n"
            )
        except asyncio.QueueFull:
            lost += 1

    _watch(link, trace)
    leaving = asyncio.create_task(_until_end(stream))
    try:
        while not leaving.done():
            line = await _before(leaving, lines.get())
            if line.done():
                gap, lost = (f"... {lost} frames not shown\n" if lost else ""), 0
                await stream.send(1, (gap + line.result()).encode())
        stream.end()
    except LinesyncError:
        pass
    finally:
        _unwatch(link, trace)
        leaving.cancel()


async def _before(end: asyncio.Task[None], work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
    """Work until it is done or the reader ends. Returns the work, which is done, or is being cancelled."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
    return task


class _Fan:
    """Passes the frames of one link to several traces."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def __call__(self, direction: str, kind: bytes, body: bytes, length: int) -> None:
        for trace in self.traces:
            trace(direction, kind, body, length)


def _watch(link: Link, trace: Trace) -> None:
    if not isinstance(link.trace, _Fan):
        link.trace = _Fan()
    link.trace.traces.append(trace)


def _unwatch(link: Link, trace: Trace) -> None:
    fan = link.trace
    if isinstance(fan, _Fan):
        fan.traces.remove(trace)
        if not fan.traces:
            link.trace = None


async def _until_end(stream: Stream) -> None:
    with suppress(LinesyncError):
        while True:
            await stream.receive()
