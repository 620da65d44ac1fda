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

_LOST = "the line"
_FIRST_WAIT = 0.2  # seconds before the first new try
_LONGEST_WAIT = 2.0
_STEADY = 5.0  # seconds that a line must have lived for its next loss to be news


async def keep_connected(peer: Peer, endpoint: str, report: Callable[[str], None], *, once: bool = False) -> None:
    """Keep ``peer`` on the line that ``endpoint`` names, until cancelled; the line it is on then stays, for a goodbye.

    :param report: takes a sentence for people: what went wrong, and that it is mended.
    :param once: end when the line is lost, and raise when it cannot be opened.
    :raises UsageError: the endpoint is not written right.
    """
    wait, said = _FIRST_WAIT, ""
    loop = asyncio.get_running_loop()
    while True:
        try:
            await connect(endpoint, peer.receiver)
        except UsageError:
            raise
        except LinesyncError as error:
            if once:
                raise
            if said != error.message:
                said = error.message
                report(f"{said} (trying again)")
        else:
            if said and not said.startswith(_LOST):
                report(f"{endpoint} is open again")
                said = ""
            opened = loop.time()
            await peer.lost()
            if once:
                return
            if loop.time() - opened > _STEADY:
                wait, said = _FIRST_WAIT, ""
            why = f"{_LOST} {endpoint} is lost: {peer.lost_why or 'its other end closed it'}"
            if said != why:
                said = why
                report(f"{why} (opening it again)")
        await asyncio.sleep(wait)
        wait = min(wait * 1.6, _LONGEST_WAIT)
