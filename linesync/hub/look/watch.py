"""The channels with which clients watch a line or the state: the console log, the trace of frames, and the changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from ... import protocol
from ...errors import EndOfStream, LinesyncError, LinesyncFailed
from ...jobs.serve import refuse
from ...protocol import ConsoleOpen
from ...runtime.channels.streams import MESSAGE, Stream
from ...runtime.peer import Peer
from ...timestamps import utc
from ...wire.framing.frames import describe
from ...wire.link import Link, Trace
from .changes import Changes
from .changes import lost as lost_changes
from .console import ConsoleLog
from .follower import Follower

__all__ = ["serve_changes", "serve_console", "serve_trace"]

_TRACE_BEHIND = 1 << 17  # the maximum number of waiting bytes of a reader; above it, the oldest lines are lost
_SLICE = 1 << 14  # bytes that are sent together; a slow reader loses only bytes that have not been sent yet


async def serve_console(stream: Stream, opening: ConsoleOpen, log: ConsoleLog, peer: Peer) -> None:
    """Send the console log of a line to a reader.

    With ``follow``, also send later text. With ``type``, also write the bytes that the reader sends to the line.
    """
    follower = log.follow()
    try:
        if not opening.follow and not opening.type:
            await stream.send(1, b"".join(follower.take()[1]))
            stream.end()
            return
        await _forward(stream, follower, _type(stream, opening, peer))
    except LinesyncError:
        pass
    finally:
        log.unfollow(follower)


async def _type(stream: Stream, opening: ConsoleOpen, peer: Peer) -> None:
    """Write the typed bytes to the line until the reader leaves."""
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
    """Send a text line for each frame on the line, until the reader leaves. A slow reader loses lines and gets their number."""
    link = peer.link
    if link is None:
        raise LinesyncFailed("cannot trace the line: it has not been open yet; try again when it is open")
    follower = Follower(_TRACE_BEHIND)

    def trace(direction: str, kind: bytes, body: bytes, length: int) -> None:
        line = f"{utc(time.time())} {'<' if direction == 'in' else '>'} {length:5} {describe(kind, body)}\n"
        follower.put(line.encode())

    _watch(link, trace)
    try:
        await _forward(stream, follower, _until_end(stream), lambda lost, _: b"... %d frames not shown\n" % lost)
    except LinesyncError:
        pass
    finally:
        _unwatch(link, trace)


async def serve_changes(stream: Stream, changes: Changes) -> None:
    """Send a line of JSON for each change, until the reader leaves. A slow reader loses the oldest changes, and
    gets one change ``changes lost`` with their count."""
    follower, first = changes.follow(), changes.number
    try:
        stream.send_message(protocol.encode_ok(str(first)))
        await _forward(stream, follower, _until_end(stream), lambda lost, last: lost_changes(lost, first + last))
    except LinesyncError:
        pass
    finally:
        changes.unfollow(follower)


async def _forward(
    stream: Stream,
    follower: Follower,
    reading: Coroutine[Any, Any, None],
    gap: Callable[[int, int], bytes] = lambda lost, last: b"",
) -> None:
    """Send the pieces of a follower until the reader leaves. Raises the errors of :meth:`Stream.send`.

    :param reading: handles the input of the reader, and ends when the reader leaves.
    :param gap: makes the text that replaces lost pieces. Its arguments are the number of lost pieces, and the number of the
        last lost piece, counted from 1.
    """
    leaving = asyncio.create_task(reading)
    passed = 0
    try:
        while not leaving.done():
            await _run_until(leaving, follower.more())
            lost, pieces = follower.take(_SLICE)
            passed += lost
            data = (gap(lost, passed) if lost else b"") + b"".join(pieces)
            passed += len(pieces)
            if data:
                await stream.send(1, data)
    finally:
        leaving.cancel()
        with suppress(asyncio.CancelledError, LinesyncError):
            await leaving
    stream.end()


async def _run_until(end: asyncio.Task[None], work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` until it returns, or until the task ``end`` ends."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


class _Fan:
    """A trace that passes the frames of one link to several traces."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []  # bound: limits.CHANNELS, limits.SESSIONS

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
