"""An exchange of one of this host's scripts on its way to the hub.

The channel is relayed as any other, with what requests have too: where there is no hub yet it waits for one as long as it
may, and a script whose deadline passes while the line is silent hears so instead of waiting on.
"""

from __future__ import annotations

import asyncio

from .. import protocol
from ..errors import LinesyncFailed, TimedOut
from ..protocol import ExchangeOpen
from ..runtime.peer import Peer
from ..runtime.relay import splice
from ..runtime.streams import MESSAGE, Item, Stream
from .relayed import GRACE, Relayed, Script, silence

__all__ = ["relay_exchange"]


async def relay_exchange(stream: Stream, script: Script | None, relayed: Relayed, uplink: Peer) -> None:
    """Carry a channel that a script opened for an exchange to the hub and back.

    :raises LinesyncFailed: there is no hub within the script's timeout.
    :raises UsageError: the opening is malformed.
    """
    opening = protocol.decode(stream.words, ExchangeOpen)
    assert isinstance(opening, ExchangeOpen)
    relay = _Relay(stream, opening, relayed)
    if script is not None:
        script.exchanges += 1
        if not relayed.works and opening.timeout != 0:
            relayed.say_waiting(script)
    try:
        await relay.work(uplink)
    finally:
        if script is not None:
            script.exchanges -= 1


class _Relay:
    """One such channel, which is guarded until the hub has told what became of the arrival."""

    def __init__(self, stream: Stream, opening: ExchangeOpen, relayed: Relayed) -> None:
        self._stream = stream
        self._opening = opening
        self._relayed = relayed
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._onward: Stream | None = None

    async def work(self, uplink: Peer) -> None:
        opening = await self._hub_there()
        onward = self._onward = uplink.open(protocol.encode(opening), self._stream.lane)
        self._task = asyncio.current_task()
        if opening.timeout is not None:
            self._timer = self._loop.call_later(opening.timeout + GRACE, self._deadline)
        try:
            await splice(self._stream, onward, self._passes)
        finally:
            self._stop_timer()

    async def _hub_there(self) -> ExchangeOpen:
        """Wait until a hub knows this host; the opening with the time that is left then."""
        timeout = self._opening.timeout
        if self._relayed.ready.is_set():
            return self._opening
        if timeout == 0:
            raise LinesyncFailed("there is no hub at the other end of this agent's line; check the cable and the hub")
        try:
            async with asyncio.timeout(timeout):
                await self._relayed.ready.wait()
        except TimeoutError:
            why = silence(timeout or 0.0)
            raise TimedOut(
                f"timed out: exchange '{self._opening.name}' was not begun: {why}; nothing was given"
            ) from None
        if timeout is None:
            return self._opening
        return self._opening.but(timeout=max(timeout - (self._loop.time() - self._start), 0.0))

    def _passes(self, item: Item) -> None:
        """Something comes from the hub; all but its word that we may give is the outcome."""
        if self._timer is not None and not (item.stream == MESSAGE and item.data.startswith(b"ok ")):
            self._stop_timer()

    def _deadline(self) -> None:
        """The deadline has passed and the hub has said nothing."""
        assert self._task is not None and self._onward is not None
        if self._relayed.works:
            self._timer = self._loop.call_later(GRACE, self._deadline)  # the hub decides; its answer is on the way
        else:
            # The hub may hear of the arrival only now, and it has timed out: nobody died, and nobody else is hurt.
            self._onward.reset(protocol.GIVEN_UP)
            why = silence(round(self._loop.time() - self._start, 1))
            self._task.cancel(
                f"{why}; the others may have been given the data, so check with 'linesync status' before you repeat it"
            )

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
