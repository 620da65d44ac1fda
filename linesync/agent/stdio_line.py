"""The line of an agent over stdin and stdout, and the lines that replace it.

A hub starts such an agent with ``--port 'exec:ssh HOST linesync agent --stdio'``. When the hub is killed or the ssh connection
is lost, the agent, its commands and its locks stay for one lease. The next hub starts the command again. The new process finds
the running agent through a unix socket, and joins its own stdin and stdout to this socket, which becomes the next line of the
running agent. So the session continues, as it does on a serial line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import LinesyncError
from ..runtime.peer import LineEnd, Peer
from ..runtime.refusal import refusal
from ..transports import connect, listen
from ..transports.joined import join

__all__ = ["StdioLine", "join_running"]


async def join_running(path: str) -> bool:
    """If an agent waits for a line on a socket, give it the stdin and stdout of this process until the line ends.

    :return: whether there was such an agent.
    """
    try:
        await join(f"unix:{path}", "stdio:")
    except LinesyncError:  # no agent listens there
        return False
    return True


class StdioLine:
    """Keeps the session of an agent on stdin and stdout, and then on the lines that replace them.

    :param host: the name of the agent's host.
    :param uplink: the agent's end of the session.
    :param lease: returns the seconds that the session waits for the next line.
    """

    def __init__(self, host: str, uplink: Peer, lease: Callable[[], float]) -> None:
        self._host = host
        self._uplink = uplink
        self._lease = lease
        self._arrived = asyncio.Event()

    async def run(self, path: str) -> None:
        """Use stdin and stdout, and then each line that replaces them, until the session has ended or a lease has passed without
        a line.

        :param path: the path of the socket on which the next lines arrive; empty if no line may replace stdin and stdout.
        :raises LinesyncError: stdin or stdout is closed, or another process uses the socket.
        """
        listener = await listen(f"unix:{path}", self._next_line, door=self) if path else None
        try:
            await connect("stdio:", self._uplink.receiver)
            while True:
                self._arrived.clear()
                await self._uplink.lost()
                if listener is None or not self._uplink.asks:
                    return
                try:
                    await asyncio.wait_for(self._arrived.wait(), self._lease())
                except TimeoutError:
                    return
        finally:
            if listener is not None:
                await listener.aclose()

    def _next_line(self) -> LineEnd:
        self._arrived.set()
        return self._uplink.receiver()

    # -- methods of linesync.transports.Door --------------------------------------------------------------------------

    def refusal(self) -> bytes:
        link = self._uplink.link
        if self._uplink.line is None or link is None or link.quiet:
            return b""
        return refusal(f"the agent on {self._host} already has a line to a hub; stop that agent or that hub first")

    def exhausted(self, error: OSError) -> bytes:
        return refusal(f"the agent on {self._host} cannot accept another line: {error.strerror}")
