"""Relays an exchange from one of this host's scripts to the hub.

The channel is relayed like any other, with three additions that requests have too. If there is no hub yet, the exchange waits
for one until its deadline. If the deadline passes while the line is silent, the script gets an error. If the hub dies, the
script opens another channel, because only the script has the data to give. This channel waits until the session with the
hub has continued.
"""

from __future__ import annotations

import asyncio

from .. import protocol
from ..errors import LinesyncFailed, TimedOut
from ..protocol import ExchangeOpen
from ..protocol.ids import NOTE
from ..runtime.channels.relay import splice
from ..runtime.channels.streams import MESSAGE, Item, Stream
from ..runtime.peer import Peer
from .relayed import GRACE, Relayed, Script, no_reply_reason

__all__ = ["relay_exchange"]


async def relay_exchange(stream: Stream, script: Script | None, relayed: Relayed, uplink: Peer) -> None:
    """Relay a channel that a script opened for an exchange.

    :raises LinesyncFailed: there is no hub now, and the timeout is 0.
    :raises TimedOut: no hub was reached within the script's timeout.
    :raises UsageError: the opening is malformed.
    """
    opening = protocol.decode(stream.words, ExchangeOpen)
    assert isinstance(opening, ExchangeOpen)
    relay = _Relay(stream, opening, relayed, uplink)
    if script is not None:
        script.exchanges += 1
        if not relayed.reachable and opening.timeout != 0:
            relayed.say_waiting(script)
    try:
        await relay.work()
    finally:
        if script is not None:
            script.exchanges -= 1


class _Relay:
    """One relayed channel. Its deadline is watched until the hub has reported the outcome of the arrival."""

    def __init__(self, stream: Stream, opening: ExchangeOpen, relayed: Relayed, uplink: Peer) -> None:
        self._stream = stream
        self._opening = opening
        self._relayed = relayed
        self._uplink = uplink
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._onward: Stream | None = None

    async def work(self) -> None:
        uplink = self._uplink
        if self._opening.again and not await self._continues():
            return
        opening = await self._wait_for_hub()
        onward = self._onward = uplink.open(protocol.encode(opening), self._stream.lane)
        self._task = asyncio.current_task()
        if opening.timeout is not None:
            self._timer = self._loop.call_later(opening.timeout + GRACE, self._deadline)
        try:
            await splice(
                self._stream,
                onward,
                self._from_hub,
                lambda reason: protocol.OPEN_AGAIN if onward.broken is not None and uplink.interrupted else reason,
            )
        finally:
            self._stop_timer()

    async def _continues(self) -> bool:
        """Wait until the session in which this arrival was sent has continued. If it does not continue before the deadline,
        reset the channel and return False."""
        timeout = self._opening.timeout
        reason = ""
        try:
            async with asyncio.timeout(None if timeout is None else timeout + GRACE):
                await self._uplink.until_continued()
        except TimeoutError:
            reason = no_reply_reason(round(self._loop.time() - self._start, 1))
            self._withdraw()
        if not reason and not self._relayed.ready.is_set():
            reason = self._uplink.end_reason
        if reason:
            self._stream.reset(reason)
        return not reason

    async def _wait_for_hub(self) -> ExchangeOpen:
        """Wait until the agent is registered with a hub. Return the opening with the remaining timeout."""
        timeout = self._opening.timeout
        if self._relayed.ready.is_set():
            return self._rest() if self._opening.again else self._opening
        if timeout == 0:
            raise LinesyncFailed(
                f"exchange '{self._opening.name}' was not started: the agent has no connection to a hub; check the cable"
                " and the hub"
            )
        try:
            async with asyncio.timeout(timeout):
                await self._relayed.ready.wait()
        except TimeoutError:
            why = no_reply_reason(timeout or 0.0)
            raise TimedOut(
                f"timed out: exchange '{self._opening.name}' was not started: {why}; nothing was given"
            ) from None
        return self._rest()

    def _rest(self) -> ExchangeOpen:
        """The opening with the remaining timeout."""
        if self._opening.timeout is None:
            return self._opening
        return self._opening.but(timeout=max(self._opening.timeout - (self._loop.time() - self._start), 0.0))

    def _from_hub(self, item: Item) -> None:
        """The hub has sent something. Everything except its permission to give data is the outcome."""
        if self._timer is not None and not (item.stream == MESSAGE and item.data.startswith(b"ok ")):
            self._stop_timer()

    def _deadline(self) -> None:
        """The deadline has passed without an outcome from the hub."""
        assert self._task is not None and self._onward is not None
        if self._relayed.reachable:
            self._timer = self._loop.call_later(GRACE, self._deadline)  # the hub decides; its answer is on the way
        else:
            # Cancel the task before the reset, so that the relay does not report the reset to the script. The script
            # knows whether it has given its data.
            self._task.cancel(no_reply_reason(round(self._loop.time() - self._start, 1)))
            # The hub may receive the arrival only now, after its timeout. The reset withdraws it without harm to others.
            self._onward.reset(protocol.GIVEN_UP)
            self._withdraw()

    def _withdraw(self) -> None:
        """Withdraw the arrival with a note, which the hub gets even if it restarts."""
        if self._opening.arrival:
            self._uplink.tell(protocol.encode(protocol.Withdraw(request=NOTE, arrival=self._opening.arrival)))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
