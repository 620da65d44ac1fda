"""Requests of a script to the hub, and the holds of the script. Both clients use this module."""

from __future__ import annotations

from .. import protocol
from ..errors import LinesyncError, NotSent, Unanswered
from ..protocol import Message
from ..protocol.operations import decode_request, never_sent, unanswered
from ..runtime.conversation import Conversation
from ..runtime.pending import Pending
from .deadlines import limit, silence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .groups.group import Group
    from .validity import Validity

__all__ = ["Requests", "explained"]


def explained(request: str, error: LinesyncError) -> LinesyncError:
    """The error of a request: if the session ended before its reply, it names the possible effect."""
    if isinstance(error, Unanswered):
        return unanswered(request, error.why)
    return never_sent(request, error.why) if isinstance(error, NotSent) else error


class Requests:
    """Sends requests to the hub, and knows the holds of this connection.

    :param peer: the conversation with the hub or agent.
    """

    within = ""
    """The default of the parameter ``within``: the id of a hold that the caller has during a wait."""

    def __init__(self, peer: Conversation) -> None:
        self.peer = peer
        self.revoked: dict[str, str] = {}
        """The holds that the hub has revoked: arrival id to reason."""
        self.validities: dict[str, Validity] = {}
        """The holds of this connection: arrival id to the time until which the client certainly has the hold."""
        self._holding: set[str] = set()
        self.groups: set[Group] = set()
        """The groups of which this client is a member."""

    @property
    def holds(self) -> bool:
        """Whether this client has a hold or is a member of a group. Both end with its session."""
        return bool(self._holding or self.groups)

    def heard_revoked(self, text: str) -> bool:
        """Handle a note of the hub that revokes a hold. Returns False if the text is another note."""
        try:
            note = protocol.decode(text, protocol.Revoked)
        except LinesyncError:
            return False
        assert isinstance(note, protocol.Revoked)
        # A note without an arrival revokes all holds. A request that still waits is not a hold.
        for arrival in [note.arrival] if note.arrival else list(self._holding):
            if arrival in self._holding:
                self._holding.discard(arrival)
                self.revoked[arrival] = note.why
        return True

    def session_over(self, why: str) -> None:
        """Handle the end of the session with the hub: all holds are lost, for the reason ``why``."""
        for arrival in self._holding:
            self.revoked[arrival] = why
        self._holding.clear()

    async def _ask(self, message: Message, timeout: float | None = None) -> protocol.Reply:
        """Send a request that the hub answers immediately, and wait for its reply."""
        request = protocol.encode(message)
        async with limit(self.peer, timeout, lambda after: unanswered(request, silence(after), deadline=timeout)):
            _, pending = self.peer.ask(request)
            return await self._reply(request, pending)

    async def _reply(self, request: str, pending: Pending) -> protocol.Reply:
        """Wait for the reply to a request. If the session ends first, the error names the possible effect."""
        try:
            return protocol.read_reply(await self.peer.reply_to(pending))
        except (Unanswered, NotSent) as error:
            raise explained(request, error) from None

    async def _wait(
        self,
        message: Message,
        arrival: str,
        timeout: float | None = None,
        *,
        takes: bool = False,
        holds: bool = False,
    ) -> protocol.Reply:
        """Send a request that may wait for other clients, and return the reply.

        If the coroutine is cancelled, or the hub does not answer after the timeout, the request is withdrawn.

        :param takes: the request takes units or a lock. Such a grant must be committed, and this function commits it.
        :param holds: the grant is a hold. It is registered as soon as the reply arrives, because a note that revokes it
            may follow immediately.
        """
        return await self._wait_for(protocol.encode(message), arrival, timeout, takes=takes, holds=holds)

    async def _wait_for(
        self, request: str, arrival: str, timeout: float | None, *, takes: bool, holds: bool = False
    ) -> protocol.Reply:
        """The same as :meth:`_wait`, with the text of the request."""
        unanswered_request = request
        async with limit(
            self.peer, timeout, lambda after: unanswered(unanswered_request, silence(after), deadline=timeout)
        ):
            number, pending = self.peer.ask(request, (lambda _reply: self._holding.add(arrival)) if holds else None)
            try:
                reply = await self._reply(request, pending)
            except LinesyncError:
                raise
            except BaseException:  # cancelled, interrupted or timed out: the hub must not grant it any more
                self.peer.tell(protocol.encode(protocol.Withdraw(request=number, arrival=arrival)))
                raise
            if holds:
                from .validity import Validity  # imported late, because most commands have no hold

                self.validities[arrival] = Validity()  # before the commit, because its time counts from its creation
            if takes:
                unanswered_request = protocol.encode(protocol.Commit(request=number, arrival=arrival))
                await self._commit(unanswered_request, request, number, arrival)
        if arrival and arrival not in self._holding:  # a hold keeps its arrival until it is given back
            self.peer.note(protocol.encode(protocol.Confirm(request=number, arrival=arrival)))
        return reply

    async def _commit(self, commit: str, request: str, number: str, arrival: str) -> None:
        """Commit a grant, and wait until the hub has acknowledged the commit. The client then has the units or the lock."""
        _, pending = self.peer.ask(commit)
        try:
            await self._reply(commit, pending)
        except LinesyncError:
            raise
        except BaseException:  # cancelled, interrupted or timed out: return the units or the lock
            self.peer.tell(protocol.encode(protocol.Withdraw(request=number, arrival=arrival)))
            taken = decode_request(request)
            if isinstance(taken, protocol.Semaphore) and not taken.Hold and not arrival:
                if pending.reply is None:
                    pending.done = lambda reply: self._return_units(taken, reply)
                else:  # the reply arrived together with the cancellation
                    self._return_units(taken, pending.reply)
            raise

    def _return_units(self, taken: protocol.Semaphore, committed: str | LinesyncError) -> None:
        """Return units that were committed although the caller was cancelled. A withdrawal returns committed units only if
        their request has an arrival id."""
        if not isinstance(committed, LinesyncError) and committed.startswith("ok") and self.peer.asks:
            self.peer.ask(protocol.encode(protocol.Semaphore(name=taken.name, delta=-taken.delta, ns=taken.ns)))
