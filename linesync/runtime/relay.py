"""Joins two channels: the items of each channel are sent on the other channel, at the speed of the slower channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import BrokenError, EndOfStream, LinesyncError
from .streams import INTERRUPTED, MESSAGE, Item, Stream

__all__ = ["splice"]


async def splice(left: Stream, right: Stream, passes: Callable[[Item], None] | None = None) -> None:
    """Copy items in both directions until both channels have ended.

    A reset of one channel resets the other channel. If this task is cancelled, it resets both channels with the reason of
    the cancellation.

    :param passes: called with each item that is copied from right to left.
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
    def check_source() -> None:
        if source.broken is not None:
            raise BrokenError(source.broken)

    source.on_broken = target.wake  # otherwise, a wait for a full target would not end when the source breaks
    try:
        while True:
            item = await source.receive()
            if passes is not None:
                passes(item)
            if item.stream == MESSAGE:
                target.send_message(item.data.decode("utf-8", "surrogateescape"))
            else:
                target.send_nowait(item.stream, item.data)
            await target.drained(check_source)
    except EndOfStream:
        target.end()
    except LinesyncError as error:
        interrupted = source.interrupted or target.interrupted
        reason = INTERRUPTED + error.message if interrupted else error.message
        source.reset(reason)
        target.reset(reason)
