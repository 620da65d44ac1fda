"""Joining two channels: what comes out of one goes into the other, as fast as the slower takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import BrokenError, EndOfStream, LinesyncError
from .streams import MESSAGE, Item, Stream

__all__ = ["splice"]


async def splice(left: Stream, right: Stream, passes: Callable[[Item], None] | None = None) -> None:
    """Carry everything both ways until both directions have ended; a reset on one side resets the other, and so does
    the end of this task, with the reason it was cancelled for.

    :param passes: is told what goes from right to left.
    """
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_carry(left, right))
            group.create_task(_carry(right, left, passes))
    except asyncio.CancelledError as error:
        why = str(error.args[0]) if error.args and error.args[0] else "the relay between the two hosts was stopped"
        left.reset(why)
        right.reset(why)
        raise


async def _carry(source: Stream, target: Stream, passes: Callable[[Item], None] | None = None) -> None:
    def look() -> None:
        if source.broken is not None:
            raise BrokenError(source.broken)

    source.on_broken = target.nudge  # it may be the target that we wait for, and nobody there takes anything any more
    try:
        while True:
            item = await source.receive()
            if passes is not None:
                passes(item)
            if item.stream == MESSAGE:
                target.send_message(item.data.decode("utf-8", "surrogateescape"))
            else:
                target.send_nowait(item.stream, item.data)
            await target.drained(look)
    except EndOfStream:
        target.end()
    except LinesyncError as error:
        source.reset(error.message)
        target.reset(error.message)
