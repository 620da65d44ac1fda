"""Keeping a peer on a line: open it, and open it again when it is lost.

A USB adapter vanishes and comes back, an ssh dies, a hub is restarted: the session stays in the peer and is taken up on
the next line. What goes wrong is told once for each new reason, not at every try.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import LinesyncError, UsageError
from ..transports import connect
from .peer import Peer

__all__ = ["keep_connected"]

_FIRST_WAIT = 0.2  # seconds before the first new try
_LONGEST_WAIT = 2.0


async def keep_connected(peer: Peer, endpoint: str, report: Callable[[str], None], *, once: bool = False) -> None:
    """Keep ``peer`` on the line that ``endpoint`` names, until cancelled.

    :param report: takes a sentence for people: what went wrong, and that it is mended.
    :param once: end when the line is lost, and raise when it cannot be opened.
    :raises UsageError: the endpoint is not written right.
    """
    wait, said = _FIRST_WAIT, ""
    while True:
        try:
            line = await connect(endpoint, peer.receiver)
        except UsageError:
            raise
        except LinesyncError as error:
            if once:
                raise
            if said != error.message:
                said = error.message
                report(f"{said} (trying again)")
        else:
            if said:
                report(f"{endpoint} is open again")
            wait, said = _FIRST_WAIT, ""
            try:
                await peer.lost()
            except asyncio.CancelledError:
                if peer.line is line:
                    line.close()
                raise
            if once:
                return
            report(f"the line {endpoint} is lost; opening it again")
        await asyncio.sleep(wait)
        wait = min(wait * 1.6, _LONGEST_WAIT)
