"""Joins two channels: the items of each channel are sent on the other channel, at the speed of the slower channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import BrokenError, EndOfStream, LinesyncError
from .streams import INTERRUPTED, MESSAGE, Item, Stream

__all__ = ["splice"]


async def splice(
    left: Stream,
    right: Stream,
    passes: Callable[[Item], None] | None = None,
    reason: Callable[[str], str] = str,
) -> None:
    """Copy items in both directions until both channels have ended.

    A reset of one channel resets the other channel. If this task is cancelled, it resets both channels with the reason of
    the cancellation. If both peers have ended their sides before, their ends are passed on instead.

    :param passes: called with each item that is copied from right to left.
    :param reason: makes the reason with which a channel is reset from the reason with which the other one was reset.
    """
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_carry(left, right, None, reason))
            group.create_task(_carry(right, left, passes, reason))
    except asyncio.CancelledError as error:
        if left.ended and right.ended:
            left.end()
            right.end()
            raise
        why = str(error.args[0]) if error.args and error.args[0] else "the relay between the two hosts was stopped"
        left.reset(why)
        right.reset(why)
        raise


async def _carry(
    source: Stream, target: Stream, passes: Callable[[Item], None] | None, reason: Callable[[str], str]
) -> None:
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
        if source.ended and target.ended:  # the session of the source ended directly after the end of the channel
            target.end()
            return
        why = reason(error.message)
        if source.interrupted or target.interrupted:
            why = INTERRUPTED + why
        source.reset(why)
        target.reset(why)
