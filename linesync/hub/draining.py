"""The drain of a hub for an upgrade: the hub begins no new work, waits for the end of running work, and stops.

1. A drain belongs to its requests. If all requests for a drain end early (at their deadline, or with their client), the hub
   accepts work again.
2. The hub waits for the channels of commands and copies, because these channels end with the hub.
3. The next hub continues the waits, the holds and the exchanges of a session whose replies are stored. The hub waits for the end
   of the waits, holds and exchanges of all other sessions, because they would be lost.
4. The reply is stored with the state, and is sent after the file and the sockets are closed. The next hub can therefore start
   as soon as the reply arrives. If the reply is lost, the next hub sends it again. Without the stored reply, the client would
   repeat the request and drain the next hub, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from .. import protocol
from ..errors import LinesyncError, LinesyncFailed, TimedOut
from ..model.participants import names_in_words
from ..protocol import ExchangeOpen, FileRead, FileWrite, Message, Run, operations
from ..runtime.listening.reports import Report
from ..runtime.peer import Peer

if TYPE_CHECKING:
    from .sessions import HubSession

__all__ = ["DRAINS", "Draining"]

DRAINS = 16  # the most requests for a drain that wait
_LOOK = 0.05  # seconds from a change to the next check whether the hub is drained
_TO_ARRIVE = 5.0  # seconds within which the last reply must arrive
_REFUSAL = "the hub is being drained for an upgrade, so it does not begin new work; try again soon"
_OK = protocol.encode_ok()


class Draining:
    """The requests for a drain, and the work for whose end they wait.

    :param answer: sends a reply to a request of a session.
    :param keeps_open: returns the waits and holds that would be lost if the hub stopped now, as clauses.
    :param report: is called with each sentence for the log.
    """

    def __init__(
        self, answer: Callable[[HubSession, str, str], None], keeps_open: Callable[[], list[str]], report: Report
    ) -> None:
        self._answer = answer
        self._keeps_open = keeps_open
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._requests: dict[tuple[HubSession, str], asyncio.TimerHandle | None] = {}  # bound: draining.DRAINS
        """The requests for a drain: (session, request id) to the timer of the deadline."""
        self._running: dict[asyncio.Task[None], str] = {}  # bound: limits.CHANNELS, limits.SESSIONS
        """The channels for whose end a drain waits: the task of the channel to a clause."""
        self._look_at: asyncio.TimerHandle | None = None
        self.over = False
        """Whether the hub is drained. A drained hub handles no further request, and stops."""
        self.on_over: Callable[[], None] = lambda: None

    # -- running work -------------------------------------------------------------------------------------------------

    def watch(self, task: asyncio.Task[None], opening: Message | None) -> None:
        """Add a channel that was opened, if a drain must wait for its end."""
        if opening is not None and operations.operation(opening).work:
            self._running[task] = _in_words(opening)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self.changed()

    def refuse(self) -> None:
        """Refuse new work during a drain.

        :raises LinesyncFailed: the hub is being drained.
        """
        if self._requests:
            raise LinesyncFailed(_REFUSAL)

    def waits_for(self) -> list[str]:
        """The work for whose end a drain waits now, as clauses."""
        return [*self._running.values(), *self._keeps_open()]

    @property
    def in_words(self) -> str:
        """The work for whose end the current drain waits, as a clause; empty if the hub is not being drained."""
        return _listed(self.waits_for()) if self._requests else ""

    # -- requests -----------------------------------------------------------------------------------------------------

    def begin(self, session: HubSession, number: str, timeout: float | None, sender: str) -> None:
        """Drain the hub for a request.

        :param number: the id of the request.
        :param timeout: seconds after which the request fails, or None.
        :param sender: the sender of the request, for the log.
        :raises LinesyncFailed: too many such requests wait.
        """
        if len(self._requests) >= DRAINS:
            raise LinesyncFailed(f"{DRAINS} requests to drain the hub wait already; wait until one of them has ended")
        self._report(f"{sender} drains the hub; it waits for {_listed(self.waits_for())}", peer=session.endpoint)
        self._requests[session, number] = None
        self._look()
        if self.over or timeout is None:
            return
        if timeout == 0:
            self._too_late(session, number, timeout)
        else:
            self._requests[session, number] = self._loop.call_later(timeout, self._too_late, session, number, timeout)

    def end(self, session: HubSession, why: str, *, number: str = "", script: str | None = None) -> None:
        """End requests of a session early.

        :param why: the reason as a clause.
        :param number: only the request with this id; empty for all.
        :param script: only the requests of this script behind the session's agent; None for all.
        """
        for requester, request_number in list(self._requests):
            from_script = script is None or request_number.partition(".")[2] == script
            if requester is session and from_script and number in ("", request_number):
                self._end(
                    requester,
                    request_number,
                    LinesyncFailed(f"the drain of the hub was cancelled: {why}; drain it again"),
                )

    def _too_late(self, session: HubSession, number: str, timeout: float) -> None:
        waits = self.waits_for()
        error = TimedOut(
            f"the drain of the hub timed out after {timeout:g} s; it still waits for {_listed(waits)}; end that or wait"
            " for it, and drain the hub again",
            details={"waits_for": waits[:100]},
        )
        self._end(session, number, error)

    def _end(self, session: HubSession, number: str, error: LinesyncError) -> None:
        if self.over:
            return  # the hub stops in any case
        timer = self._requests.pop((session, number))
        if timer is not None:
            timer.cancel()
        if not self._requests:
            self._report("the drain has ended, and the hub accepts work again", peer=session.endpoint)
        self._answer(session, number, protocol.encode_error(error))

    # -- the end ------------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Check soon whether the hub is drained, because some work has ended."""
        if self._requests and not self.over and self._look_at is None:
            self._look_at = self._loop.call_later(_LOOK, self._look)

    def _look(self) -> None:
        self._look_at = None
        if self.over or not self._requests or self.waits_for():
            return
        self.over = True
        for (session, number), timer in self._requests.items():
            if timer is not None:
                timer.cancel()
            if session.keeping:
                session.kept.add_reply(number, _OK)
        self._report("the hub is drained")
        self.on_over()

    async def confirm(self) -> None:
        """Send the replies, and wait until they have arrived."""
        peers = [session.peer for session, _ in self._requests]
        for session, number in self._requests:
            session.peer.answer(number, _OK)
        with suppress(TimeoutError):
            async with asyncio.timeout(_TO_ARRIVE):
                for peer in peers:
                    await _arrived(peer)

    def close(self) -> None:
        """Stop the timers."""
        for timer in (self._look_at, *self._requests.values()):
            if timer is not None:
                timer.cancel()


async def _arrived(peer: Peer) -> None:
    """Wait until all data that was sent on channel 0 has arrived, or the line is lost."""
    while peer.up and not ((mark := peer.sent_mark) is not None and peer.has_arrived(mark)):
        await asyncio.sleep(0.01)


def _in_words(opening: Message) -> str:
    match opening:
        case Run(to=host, argv=argv):
            return f"the command {(argv or ('',))[0]!r:.60} on {host}"
        case FileRead(to=host, path=path):
            return f"the copy of {path!r:.60} from {host}"
        case FileWrite(to=host, path=path):
            return f"the copy to {path!r:.60} on {host}"
        case ExchangeOpen(name=name):
            return f"the exchange {name!r:.60}"
    return f"'{opening.VERB}'"


def _listed(clauses: list[str]) -> str:
    return names_in_words(clauses, len(clauses)) if clauses else "nothing"
