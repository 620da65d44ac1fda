"""What a script can ask for to be in step with others, as coroutines for either driver."""

from __future__ import annotations

from collections.abc import Iterable

from .. import protocol
from ..errors import LinesyncError, LinesyncFailed, Unanswered
from ..frozen_record import Record
from ..protocol import Message
from ..protocol.operations import decode_request, unanswered
from ..runtime.conversation import Conversation, Pending
from ..runtime.identity import token

__all__ = ["BarrierResult", "Held", "SyncOperations", "TopicMessage"]

DEFAULT = "default"


class BarrierResult(Record):
    """What everybody at a barrier gets when it is released."""

    generation: int
    """Which use of the name this was, from 1."""
    position: int
    """Our place in the order of arrival, from 1."""
    parties: tuple[str, ...]
    """The hosts, or members, in order of arrival; left out when they are more than 32, unless they were asked for."""
    count: int = 0
    """How many they are."""
    lost: tuple[str, ...] = ()
    """The members that were lost and not waited for."""


class Held(Record):
    """Something that is ours until it is given back, or our connection ends."""

    arrival: str
    """The id under which it is given back."""
    value: int
    """A lock's fencing token: larger than that of every earlier holder; the units left of a semaphore."""


class TopicMessage(Record):
    """A message as a topic keeps it."""

    number: int
    """Its place in the topic, from 1 (among the others' messages where only those were asked for)."""
    sender: str
    items: tuple[str, ...]


class SyncOperations:
    """The synchronising operations on one session.

    Every name lives in a ``namespace``. A ``timeout`` is in seconds; 0 polls, None waits for ever. An ``arrival`` is an id
    for those who ask again after a lost reply: the same id counts once. ``within`` is the id of something that we hold
    meanwhile (:attr:`Held.arrival`); a deadlock through it is found then.

    All that wait raise TimedOut, DeadlockError, Aborted (somebody reset the name) and LinesyncFailed (the hub or the line is
    gone), and UsageError for a bad name or number.

    :param peer: the conversation they pass over.
    """

    within = ""
    """The default of ``within``."""

    def __init__(self, peer: Conversation) -> None:
        self.peer = peer
        self.revoked: dict[str, str] = {}
        """What we held and lost without our doing: the arrival's id to the reason."""
        self._holding: set[str] = set()

    def heard_revoked(self, text: str) -> bool:
        """Take a note of the hub's that something we hold has gone back; False when it is another note."""
        try:
            note = protocol.decode(text, protocol.Revoked)
        except LinesyncError:
            return False
        assert isinstance(note, protocol.Revoked)
        for arrival in [note.arrival] if note.arrival else list(self._holding):
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
        members: Iterable[str] = (),
        timeout: float | None = None,
        namespace: str = DEFAULT,
        member: str = "",
        reuse: str = "",
        tolerate_loss: bool = False,
        abort: str = "",
        all_parties: bool = False,
        arrival: str = "",
        within: str = "",
    ) -> BarrierResult:
        """Arrive at a barrier and wait until ``count`` parties have, or all ``members``.

        :param members: ``host`` or ``host#tag``; each arrives once, by its host unless ``member`` says as whom.
        :param reuse: ``cyclic`` (the next arrival opens the next generation), ``once`` or ``linger=S``.
        :param tolerate_loss: go on without members whose host is lost.
        :param abort: a reason: the barrier fails for all, this call included.
        :raises TimedOut: names who arrived and who is missing, and why.
        :raises Mismatch: others arrived with another count or other members, or ``member`` is there already.
        :raises MemberLost: a member's host is lost.
        :raises Aborted: a member aborted it.
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
        """Give (above 0), take (below 0) or read (0) units of a semaphore, which is created at 0 on first use.

        :param bound: the most units it may ever have; 0 asks for none.
        :returns: the value afterwards.
        :raises TimedOut: the units did not come in time.
        :raises Mismatch: the bound would be exceeded, or others asked for another one.
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
        """Take units of a semaphore that go back by :meth:`give_back`, or when this connection ends. Raises as
        :meth:`semaphore`."""
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
        """Take a lock; its ``value`` is the fencing token. It goes back by :meth:`give_back` or :meth:`unlock`, or when this
        connection ends.

        :param keep: it is the host's, over the end of this connection; it goes back by :meth:`unlock` alone, and when
            the host is lost.
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
        """Give a lock back that this host owns.

        :raises NotAllowed: this host does not own it, or under another token.
        """
        await self._ask(protocol.Unlock(name=name, token=token, ns=namespace))

    async def give_back(self, held: Held) -> None:
        """Give back what :meth:`hold` or :meth:`lock` took.

        :raises LinesyncFailed: it had gone back before, without our doing; somebody else may have had it meanwhile.
        """
        why = self.revoked.pop(held.arrival, None)
        if why is not None:
            raise LinesyncFailed(f"what was held had gone back before: {why}")
        self._holding.discard(held.arrival)
        await self._ask(protocol.GiveBack(arrival=held.arrival))

    async def _take(self, request: Message, arrival: str) -> Held:
        self._holding.add(arrival)  # before the reply: a revocation may come in the same breath
        try:
            (value,) = await self._wait(request, arrival, takes=True)
        except BaseException:
            self._holding.discard(arrival)
            self.revoked.pop(arrival, None)
            raise
        return Held(arrival=arrival, value=int(value))

    # -- events -------------------------------------------------------------------------------------------------------

    async def set_events(self, *names: str, namespace: str = DEFAULT, arrival: str = "") -> None:
        """Set events; they stay set until they are cleared."""
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
        """Wait until all these events are set at once, or any of them.

        :returns: those that are set.
        """
        request = protocol.EventWait(
            names=names, ns=namespace, timeout=timeout, arrival=arrival, within=within or self.within, Any=any
        )
        return tuple(await self._wait(request, arrival))

    # -- messages -----------------------------------------------------------------------------------------------------

    async def send(self, topic: str, *items: str, namespace: str = DEFAULT, member: str = "", arrival: str = "") -> int:
        """Add a message to a topic, which keeps it for all who will ask.

        :param items: what it says: any texts, ``key=value`` by custom.
        :param member: who sends, instead of the host.
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
        """Read a topic from its message number ``first`` on, waiting until that one is there.

        :param most: how many come at most.
        :param others: count and read only what others sent.
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
        """Wait until every other host of our group has sent to a topic; the last message of each.

        Who is in it is published by the agents: ``group=...``, ``role=...``, ``group_size=N`` (hosts without a group are one).

        :param role: only the hosts of this role.
        :raises MemberLost: a host that has not sent is lost.
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
        """Forget what is left under these names of a namespace (all of them: none given), failing who still waits.

        :returns: how many things were forgotten, and how many waits failed.
        """
        forgotten, failed = await self._ask(protocol.Reset(names=names, ns=namespace))
        return int(forgotten), int(failed)

    # -- asking -------------------------------------------------------------------------------------------------------

    async def _ask(self, message: Message) -> protocol.Reply:
        request = protocol.encode(message)
        _, pending = self.peer.ask(request)
        return await self._reply(request, pending)

    async def _reply(self, request: str, pending: Pending) -> protocol.Reply:
        """The reply to a request; its error says what a session that ended first has left undecided."""
        try:
            return protocol.read_reply(await self.peer.reply_to(pending))
        except Unanswered as error:
            raise unanswered(request, error.why) from None

    async def _wait(self, message: Message, arrival: str, *, takes: bool = False) -> protocol.Reply:
        """A request that may wait: given up when the coroutine is.

        :param takes: what is granted goes back unless it is committed; this returns once it is.
        """
        return await self._wait_for(protocol.encode(message), arrival, takes=takes)

    async def _wait_for(self, request: str, arrival: str, *, takes: bool) -> protocol.Reply:
        """The same for a request's text."""
        number, pending = self.peer.ask(request)
        try:
            reply = await self._reply(request, pending)
        except LinesyncError:
            raise
        except BaseException:  # cancelled, interrupted: the hub must not wait for us
            self.peer.note(protocol.encode(protocol.Withdraw(request=number, arrival=arrival)))
            raise
        if takes:
            await self._commit(request, number, arrival)
        if arrival and arrival not in self._holding:  # what is held keeps its arrival until it is given back
            self.peer.note(protocol.encode(protocol.Confirm(request=number, arrival=arrival)))
        return reply

    async def _commit(self, request: str, number: str, arrival: str) -> None:
        """Make a grant final; it is ours once the hub says so."""
        commit = protocol.encode(protocol.Commit(request=number, arrival=arrival))
        _, pending = self.peer.ask(commit)
        try:
            await self._reply(commit, pending)
        except LinesyncError:
            raise
        except BaseException:  # cancelled: what is ours by now goes back
            self.peer.note(protocol.encode(protocol.Withdraw(request=number, arrival=arrival)))
            taken = decode_request(request)
            if isinstance(taken, protocol.Semaphore) and not taken.Hold and pending.reply is None:
                pending.done = lambda reply: self._return_units(taken, reply)
            raise

    def _return_units(self, taken: protocol.Semaphore, committed: str | LinesyncError) -> None:
        """Give back what a cancelled call took for good: no withdrawal reaches what has left the semaphore."""
        if not isinstance(committed, LinesyncError) and committed.startswith("ok") and self.peer.up:
            self.peer.ask(protocol.encode(protocol.Semaphore(name=taken.name, delta=-taken.delta, ns=taken.ns)))


def _folded(members: Iterable[str]) -> str:
    names = tuple(members)
    if not names:
        return ""
    global _last_fold
    if names != _last_fold[0]:  # most come again and again with the same ones
        from ..model.hosts.members import fold  # the model costs a small command more than all the rest

        _last_fold = names, fold(names)
    return _last_fold[1]


_last_fold: tuple[tuple[str, ...], str] = ((), "")


def _messages(reply: list[str]) -> list[TopicMessage]:
    import json

    return [TopicMessage(number=n, sender=sender, items=tuple(items)) for n, sender, items in json.loads(reply[0])]
