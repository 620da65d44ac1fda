"""The synchronisation operations for scripts, as coroutines for both drivers."""

from __future__ import annotations

from collections.abc import Iterable

from .. import protocol
from ..errors import LinesyncError, LinesyncFailed, Unanswered
from ..frozen_record import Record
from ..protocol import Message
from ..protocol.operations import decode_request, unanswered
from ..runtime.conversation import Conversation, Pending
from ..runtime.identity import token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .validity import Validity

__all__ = ["BarrierResult", "Held", "SyncOperations", "TopicMessage"]

DEFAULT = "default"


class BarrierResult(Record):
    """The result of an arrival at a barrier, when the barrier is released."""

    generation: int
    """Which use of the name this was, from 1."""
    position: int
    """Our position in the order of arrival, from 1."""
    parties: tuple[str, ...]
    """The hosts or members in order of arrival; empty if there are more than 32, unless ``all_parties`` asked for them."""
    count: int = 0
    """The number of parties."""
    lost: tuple[str, ...] = ()
    """The members that were lost, so that the barrier did not wait for them."""


class Held(Record):
    """A hold: a lock or units of a semaphore that are ours until they are given back or our connection ends."""

    arrival: str
    """The id of the hold, under which it is given back."""
    value: int
    """For a lock, the fencing token, which is larger than that of every earlier owner. For a semaphore, the units left."""


class TopicMessage(Record):
    """A message of a topic."""

    number: int
    """Its number in the topic, from 1. With ``others``, only the messages of others are numbered."""
    sender: str
    """The host or member that sent it."""
    items: tuple[str, ...]
    """Its texts, ``key=value`` by convention."""


class SyncOperations:
    """The synchronisation operations on one session.

    Every name belongs to a ``namespace``. A ``timeout`` is in seconds; 0 does not wait, None waits without limit. An
    ``arrival`` is an id for callers that repeat a request after a lost reply: the same id counts once. ``within`` is the id
    of a hold that we have meanwhile (:attr:`Held.arrival`); the hub then finds a deadlock through it.

    All operations that wait raise TimedOut, DeadlockError, Aborted (the name was reset), LinesyncFailed (the hub or the
    line is gone), and UsageError (an invalid name or number).

    :param peer: the conversation with the hub or agent.
    """

    within = ""
    """The default for ``within``."""

    def __init__(self, peer: Conversation) -> None:
        self.peer = peer
        self.revoked: dict[str, str] = {}
        """The holds that the hub revoked: the arrival's id to the reason."""
        self.validities: dict[str, Validity] = {}
        """The holds that were taken on this connection: the arrival's id to the time until which it is certainly ours."""
        self._holding: set[str] = set()

    @property
    def holds(self) -> bool:
        """Whether this client holds something that it must give back."""
        return bool(self._holding)

    def heard_revoked(self, text: str) -> bool:
        """Handle a note of the hub that a hold has gone back. Return False if it is another note."""
        try:
            note = protocol.decode(text, protocol.Revoked)
        except LinesyncError:
            return False
        assert isinstance(note, protocol.Revoked)
        for arrival in (
            [note.arrival] if note.arrival else list(self._holding)
        ):  # a request that still waits holds nothing
            if arrival in self._holding:
                self._holding.discard(arrival)
                self.revoked[arrival] = note.why
        return True

    # -- barriers -----------------------------------------------------------------------------------------------------

    async def barrier(
        self,
        name: str,
        count: int = 0,
        *,
        members: Iterable[str] | str = (),
        timeout: float | None = None,
        namespace: str = DEFAULT,
        member: str = "",
        reuse: str = "",
        tolerate_loss: bool = False,
        rejoin: bool = False,
        abort: str = "",
        all_parties: bool = False,
        arrival: str = "",
        within: str = "",
    ) -> BarrierResult:
        """Arrive at a barrier, and wait until ``count`` parties or all ``members`` have arrived.

        :param members: the members, each ``host`` or ``host#tag``, or a folded list (``sut[1-8]``). Each arrives once.
        :param member: the member that we are; empty for this host.
        :param reuse: ``cyclic`` (the next arrival starts the next generation), ``once`` or ``linger=S``.
        :param tolerate_loss: do not wait for members whose host is lost.
        :param rejoin: wait for a member that had arrived and whose host restarts; it may arrive again. Without this, the
            barrier fails.
        :param abort: a reason, which makes the barrier fail for all, including this call.
        :param all_parties: return all parties even if there are more than 32.
        :raises TimedOut: names the parties that arrived, and those that are missing with the reason.
        :raises Mismatch: others arrived with another count or other members, or ``member`` has already arrived.
        :raises MemberLost: a member's host is lost, or restarted after the member had arrived.
        :raises Aborted: a member aborted the barrier.
        """
        reply = await self._wait(
            protocol.Barrier(
                name=name,
                count=count,
                ns=namespace,
                timeout=timeout,
                member=member,
                arrival=arrival,
                within=within or self.within,
                who=all_parties,
                Members=_folded(members),
                Reuse="" if reuse == "cyclic" else reuse,
                Tolerate=tolerate_loss,
                Rejoin=rejoin,
                Abort=abort,
            ),
            arrival,
        )
        generation, position, *parties = reply
        return BarrierResult(
            generation=int(generation),
            position=int(position),
            count=int(reply.options.get("count", len(parties))),
            parties=tuple(parties),
            lost=reply.texts("lost"),
        )

    # -- semaphores and locks -----------------------------------------------------------------------------------------

    async def semaphore(
        self,
        name: str,
        delta: int,
        *,
        timeout: float | None = None,
        namespace: str = DEFAULT,
        bound: int = 0,
        arrival: str = "",
        within: str = "",
    ) -> int:
        """Give units to a semaphore, take units, or read its value. The first use creates it with the value 0.

        :param delta: the units to give (above 0) or to take (below 0); 0 reads.
        :param bound: the maximum value of the semaphore; 0 for no maximum.
        :returns: the value afterwards.
        :raises TimedOut: there were not enough units in time.
        :raises Mismatch: the bound would be exceeded, or others use another bound.
        """
        within = within or self.within
        request = protocol.text_of(protocol.Semaphore, name, delta, namespace, timeout, arrival, within, False, bound)
        (value,) = await self._wait_for(request, arrival, takes=delta < 0)
        return int(value)

    async def hold(
        self,
        name: str,
        units: int = 1,
        *,
        timeout: float | None = None,
        namespace: str = DEFAULT,
        bound: int = 0,
        arrival: str = "",
        within: str = "",
    ) -> Held:
        """Take units of a semaphore as a hold: they go back with :meth:`give_back`, or when this connection ends. Raises the
        errors of :meth:`semaphore`."""
        request = protocol.Semaphore(
            name=name,
            delta=-units,
            ns=namespace,
            timeout=timeout,
            arrival=arrival or token(),
            within=within or self.within,
            Hold=True,
            Bound=bound,
        )
        return await self._take(request, request.arrival)

    async def lock(
        self,
        name: str,
        *,
        timeout: float | None = None,
        namespace: str = DEFAULT,
        keep: bool = False,
        arrival: str = "",
        within: str = "",
    ) -> Held:
        """Take a lock; ``value`` of the result is the fencing token. The lock goes back with :meth:`give_back` or
        :meth:`unlock`, or when this connection ends.

        :param keep: the host owns the lock beyond the end of this connection. It then goes back only with :meth:`unlock`,
            or when the host is lost.
        """
        request = protocol.Lock(
            name=name,
            ns=namespace,
            timeout=timeout,
            arrival=arrival or token(),
            within=within or self.within,
            Keep=keep,
        )
        return await self._take(request, request.arrival)

    async def unlock(self, name: str, token: int, *, namespace: str = DEFAULT) -> None:
        """Give back a lock that this host owns.

        :param token: the fencing token of the lock.
        :raises NotAllowed: this host does not own the lock, or owns it under another token.
        """
        await self._ask(protocol.Unlock(name=name, token=token, ns=namespace))

    async def give_back(self, held: Held) -> None:
        """Give back what :meth:`hold` or :meth:`lock` took.

        :raises LinesyncFailed: the hub revoked the hold earlier; another holder may have had it meanwhile.
        """
        self.validities.pop(held.arrival, None)
        why = self.revoked.pop(held.arrival, None)
        if why is not None:
            if self.peer.up:  # the agent ends a hold when it does not hear the hub, and the hub may still keep it then
                self.peer.ask(protocol.encode(protocol.GiveBack(arrival=held.arrival)))
            raise LinesyncFailed(
                f"the hold was lost before it was given back: {why}; check the work that relied on it, and repeat it"
            )
        self._holding.discard(held.arrival)
        await self._ask(protocol.GiveBack(arrival=held.arrival))

    async def check(self, held: Held) -> float:
        """Return until when a hold is certainly ours, whatever is lost or stopped: no other client has it before that.

        A program that writes to what a lock guards asks again and again, several times in a lease (20 s), and stops in time
        when the answer no longer grows or does not come. The command under ``lock NAME -- CMD`` needs no such calls.

        :returns: a time of ``time.clock_gettime(time.CLOCK_BOOTTIME)``, seconds.
        :raises LinesyncFailed: the hold was lost, or may have been lost; or the agent or the hub is too old to know.
        """
        validity = self.validities.get(held.arrival)
        if validity is not None and held.arrival not in self.revoked:
            await self._reply(validity.REQUEST, validity.ask(self.peer))
        why = self.revoked.get(held.arrival)
        if why is None and validity is not None and not validity.over:
            return validity.until
        if why is None:
            why = validity.why_over if validity is not None else "it was given back, or another client took it"
        raise LinesyncFailed(f"the hold is lost: {why}; stop the work that relies on it")

    async def _take(self, request: Message, arrival: str) -> Held:
        try:
            (value,) = await self._wait(request, arrival, takes=True, holds=True)
        except BaseException:
            self._holding.discard(arrival)
            self.revoked.pop(arrival, None)
            self.validities.pop(arrival, None)
            raise
        return Held(arrival=arrival, value=int(value))

    # -- events -------------------------------------------------------------------------------------------------------

    async def set_events(self, *names: str, namespace: str = DEFAULT, arrival: str = "") -> None:
        """Set events. They stay set until they are cleared."""
        await self._wait(protocol.EventSet(names=names, ns=namespace, arrival=arrival), arrival)

    async def clear_events(self, *names: str, namespace: str = DEFAULT, arrival: str = "") -> None:
        """Clear events."""
        await self._wait(protocol.EventSet(names=names, ns=namespace, arrival=arrival, Clear=True), arrival)

    async def wait_events(
        self,
        *names: str,
        any: bool = False,
        timeout: float | None = None,
        namespace: str = DEFAULT,
        arrival: str = "",
        within: str = "",
    ) -> tuple[str, ...]:
        """Wait until all of these events are set at the same time, or any of them.

        :param any: wait for one of the events instead of all.
        :returns: the names of those that are set.
        """
        request = protocol.EventWait(
            names=names, ns=namespace, timeout=timeout, arrival=arrival, within=within or self.within, Any=any
        )
        return tuple(await self._wait(request, arrival))

    # -- messages -----------------------------------------------------------------------------------------------------

    async def send(self, topic: str, *items: str, namespace: str = DEFAULT, member: str = "", arrival: str = "") -> int:
        """Add a message to a topic, which keeps it for all later readers.

        :param items: the texts of the message, ``key=value`` by convention.
        :param member: the sender; empty for this host.
        :returns: its number in the topic, from 1.
        """
        request = protocol.Send(topic=topic, items=items, ns=namespace, member=member, arrival=arrival)
        (number,) = await self._wait(request, arrival)
        return int(number)

    async def receive(
        self,
        topic: str,
        first: int = 1,
        *,
        most: int = 100,
        others: bool = False,
        timeout: float | None = None,
        namespace: str = DEFAULT,
        member: str = "",
        arrival: str = "",
        within: str = "",
    ) -> list[TopicMessage]:
        """Read a topic from message number ``first`` on. Wait until that message is there.

        :param most: the maximum number of messages to return.
        :param others: number and return only the messages of other senders.
        :param member: the member that we are; empty for this host.
        """
        request = protocol.Receive(
            topic=topic,
            first=first,
            ns=namespace,
            timeout=timeout,
            member=member,
            arrival=arrival,
            within=within or self.within,
            most=most,
            Others=others,
        )
        return _messages(await self._wait(request, arrival))

    async def receive_all(
        self,
        topic: str,
        *,
        role: str = "",
        timeout: float | None = None,
        namespace: str = DEFAULT,
        member: str = "",
        arrival: str = "",
        within: str = "",
    ) -> list[TopicMessage]:
        """Wait until every other host of our published group has sent to a topic. Return the last message of each.

        The agents publish who is in a group: ``group=...``, ``role=...``, ``group_size=N``. All hosts without a group form
        one.

        :param role: wait only for the hosts of this role.
        :param member: the member that we are; empty for this host.
        :raises MemberLost: a host was lost before it sent.
        """
        request = protocol.ReceiveAll(
            topic=topic,
            ns=namespace,
            timeout=timeout,
            member=member,
            arrival=arrival,
            within=within or self.within,
            Role=role,
        )
        return _messages(await self._wait(request, arrival))

    # -- clearing up --------------------------------------------------------------------------------------------------

    async def reset(self, *names: str, namespace: str = DEFAULT) -> tuple[int, int]:
        """Delete the state under these names of a namespace. Requests that still wait for them fail with Aborted.

        :param names: the names; without any, all names of the namespace.
        :returns: the number of deleted objects, and the number of waits that failed.
        """
        forgotten, failed = await self._ask(protocol.Reset(names=names, ns=namespace))
        return int(forgotten), int(failed)

    # -- asking -------------------------------------------------------------------------------------------------------

    async def _ask(self, message: Message) -> protocol.Reply:
        request = protocol.encode(message)
        _, pending = self.peer.ask(request)
        return await self._reply(request, pending)

    async def _reply(self, request: str, pending: Pending) -> protocol.Reply:
        """Wait for the reply to a request. If the session ends first, the error says what is undecided."""
        try:
            return protocol.read_reply(await self.peer.reply_to(pending))
        except Unanswered as error:
            raise unanswered(request, error.why) from None

    async def _wait(
        self, message: Message, arrival: str, *, takes: bool = False, holds: bool = False
    ) -> protocol.Reply:
        """Send a request that may wait, and wait for its reply. If the coroutine is cancelled, the request is withdrawn.

        :param takes: the grant goes back unless it is committed, so commit it before returning.
        :param holds: the arrival holds what it took from the moment of the reply, because a revocation may follow directly.
        """
        return await self._wait_for(protocol.encode(message), arrival, takes=takes, holds=holds)

    async def _wait_for(self, request: str, arrival: str, *, takes: bool, holds: bool = False) -> protocol.Reply:
        """The same as :meth:`_wait` for the text of a request."""
        number, pending = self.peer.ask(request, (lambda _reply: self._holding.add(arrival)) if holds else None)
        try:
            reply = await self._reply(request, pending)
        except LinesyncError:
            raise
        except BaseException:  # cancelled, interrupted: the hub must not wait for us
            self.peer.note(protocol.encode(protocol.Withdraw(request=number, arrival=arrival)))
            raise
        if holds:
            from .validity import Validity  # most small commands hold nothing

            self.validities[arrival] = Validity()  # it counts from here, before the commit
        if takes:
            await self._commit(request, number, arrival)
        if arrival and arrival not in self._holding:  # a hold keeps its arrival until it is given back
            self.peer.note(protocol.encode(protocol.Confirm(request=number, arrival=arrival)))
        return reply

    async def _commit(self, request: str, number: str, arrival: str) -> None:
        """Make a grant final. It is ours when the hub has confirmed that."""
        commit = protocol.encode(protocol.Commit(request=number, arrival=arrival))
        _, pending = self.peer.ask(commit)
        try:
            await self._reply(commit, pending)
        except LinesyncError:
            raise
        except BaseException:  # cancelled: give back what may be ours by now
            self.peer.note(protocol.encode(protocol.Withdraw(request=number, arrival=arrival)))
            taken = decode_request(request)
            if isinstance(taken, protocol.Semaphore) and not taken.Hold and pending.reply is None:
                pending.done = lambda reply: self._return_units(taken, reply)
            raise

    def _return_units(self, taken: protocol.Semaphore, committed: str | LinesyncError) -> None:
        """Give back the units of a cancelled take whose commit succeeded, because a withdrawal cannot return them."""
        if not isinstance(committed, LinesyncError) and committed.startswith("ok") and self.peer.up:
            self.peer.ask(protocol.encode(protocol.Semaphore(name=taken.name, delta=-taken.delta, ns=taken.ns)))


def _folded(members: Iterable[str] | str) -> str:
    if isinstance(members, str) and members:
        from ..model.hosts.members import unfold

        members = unfold(members)
    names = tuple(members)
    if not names:
        return ""
    global _last_fold
    if names != _last_fold[0]:  # most callers use the same members again and again
        from ..model.hosts.members import fold  # this import costs a small command more time than the rest

        _last_fold = names, fold(names)
    return _last_fold[1]


_last_fold: tuple[tuple[str, ...], str] = ((), "")


def _messages(reply: list[str]) -> list[TopicMessage]:
    import json

    return [TopicMessage(number=n, sender=sender, items=tuple(items)) for n, sender, items in json.loads(reply[0])]
