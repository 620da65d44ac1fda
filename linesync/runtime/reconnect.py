"""Keeps an endpoint connected: opens its line, and opens it again after a loss.

Examples of a loss: a USB adapter is unplugged, an ssh connection ends, a hub is restarted. The peer keeps its session and
resumes it on the next line. A fault is reported once for each new reason, not for each attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .. import limits
from ..errors import LinesyncError, UsageError
from ..transports import connect
from ..transports.interface import Line, LineReceiver
from .peer import LineEnd, Peer

__all__ = ["bring_back", "keep_connected"]

_LOST = "the line"
FIRST_WAIT = 0.2  # seconds from the loss of a line to the first attempt to open it again
_LONGEST_WAIT = 2.0  # the longest time between two attempts, in seconds
_STEADY = 5.0  # seconds for which a line must be open, so that its loss is reported even if the reason is not new


async def keep_connected(receiver: Callable[[], LineEnd], endpoint: str, report: Callable[[str], None]) -> None:
    """Keep ``endpoint`` connected until cancelled. Its line then stays open, so that its peer can say goodbye.

    :param receiver: returns the receiver of each line.
    :param report: called with a sentence for the log when the line fails, and when it is open again.
    :raises UsageError: the endpoint is invalid.
    """
    wait, reported = FIRST_WAIT, ""
    loop = asyncio.get_running_loop()
    end: LineEnd | None = None

    def open_end() -> LineEnd:
        nonlocal end
        end = receiver()
        return end

    while True:
        try:
            await connect(endpoint, open_end)
        except UsageError:
            raise
        except LinesyncError as error:
            if reported != error.message:
                reported = error.message
                report(f"{reported} (trying again)")
        else:
            if reported and not reported.startswith(_LOST):
                report(f"{endpoint} is open again")
                reported = ""
            opened = loop.time()
            assert end is not None
            await end.lost()
            if loop.time() - opened > _STEADY:
                wait, reported = FIRST_WAIT, ""
            why = f"{_LOST} {endpoint} is lost: {end.lost_why or 'the other end closed it'}"
            if reported != why:
                reported = why
                report(f"{why} (opening it again)")
        await asyncio.sleep(wait)
        wait = min(wait * 1.6, _LONGEST_WAIT)


async def bring_back(
    peer: Peer, endpoint: str, open_line: Callable[[str, Callable[[], LineReceiver]], Awaitable[Line]]
) -> None:
    """Open the line of an interrupted session again, until the session continues or a lease has passed.

    :param open_line: opens a line, as :func:`linesync.transports.connect` does.
    """
    loop = asyncio.get_running_loop()
    timer = loop.call_later(limits.LEASE, peer.cannot_continue, f"{peer.interrupted}, and the hub did not answer again")
    try:
        while peer.interrupted:
            await asyncio.sleep(FIRST_WAIT)
            if not peer.interrupted:
                break
            try:
                await open_line(endpoint, peer.receiver)
            except LinesyncError:
                continue
            continued, lost = asyncio.ensure_future(peer.ready()), asyncio.ensure_future(peer.lost())
            try:
                await asyncio.wait({continued, lost}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                continued.cancel()
                lost.cancel()
                await asyncio.wait({continued, lost})
    finally:
        timer.cancel()
