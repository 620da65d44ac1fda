"""The synchronisation operations of clients, as coroutines. They run under asyncio and under the blocking driver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress

from .. import protocol
from ..errors import LinesyncError, LinesyncFailed
from ..frozen_record import Record
from ..protocol import Message
from ..runtime.identity import token
from .arguments import an_instance, checked, name_of
from .requests import Requests

__all__ = ["BarrierResult", "Held", "SyncOperations", "TopicMessage"]

DEFAULT = "default"


class BarrierResult(Record):
    """The result of an arrival at a barrier, when the barrier is released."""

    generation: int
    """The number of this use of the name, from 1."""
    position: int
    """The position of this arrival in the order of arrival, from 1."""
    parties: tuple[str, ...]
    """The hosts or members in order of arrival; empty if there are more than 32 and ``all_parties`` is false."""
    count: int = 0
    """The number of parties."""
    lost: tuple[str, ...] = ()
    """The lost members for which the barrier did not wait."""


class Held(Record):
    """A hold: a lock or units of a semaphore that the client has until it gives them back or its connection ends."""

    arrival: str
    """The id of the hold, with which the client gives it back."""
    value: int
    """For a lock, the fencing token, which is larger than the token of every earlier owner. For a semaphore, the units
    that are left."""


class TopicMessage(Record):
    """A message of a topic."""

    number: int
    """The number of the message in its topic, from 1. With ``others``, only the messages of others are numbered."""
    sender: str
    """The host or member that sent the message."""
    items: tuple[str, ...]
    """The texts of the message, ``key=value`` by convention."""

    @property
    def values(self) -> dict[str, str]:
        """The texts as a dictionary. A text without ``=`` has an empty value. Of several equal keys, the last is used."""
        return {key: value for key, _, value in [item.partition("=") for item in self.items]}


class SyncOperations(Requests):
    """The synchronisation operations on one session.

    Every name belongs to a ``namespace``. A ``timeout`` is in seconds; 0 does not wait, None waits without limit. The
    hub ends a wait at its timeout. If it does not answer within 3 s after that, the client gives up: with TimedOut if
    the operation certainly had no effect, otherwise with LinesyncFailed, whose message says what may have happened.

    An ``arrival`` is an id for callers that repeat a request after a lost reply: the same id counts once. ``within`` is
    the id of a hold that the caller has during the wait (:attr:`Held.arrival`); the hub then finds deadlocks through
    this hold.

    All operations that wait raise TimedOut, DeadlockError, Aborted (the name was reset), LinesyncFailed (the hub or the
    line was lost), and UsageError (an invalid name or number).
    """

    # -- barriers -----------------------------------------------------------------------------------------------------

    @checked(name=name_of("barrier"))
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
        :param member: the member that arrives; empty for this host.
        :param reuse: ``cyclic`` (the next arrival starts the next generation), ``once`` or ``linger=S``.
        :param tolerate_loss: do not wait for members whose host is lost.
        :param rejoin: wait for a member that had arrived and whose host restarts; it may arrive again. Without this,
            the barrier fails.
        :param abort: a reason, which makes the barrier fail for all, including this call.
        :param all_parties: return all parties even if there are more than 32.
        :raises TimedOut: the timeout passed. The error names the parties that arrived, and the missing parties with the
            reason.
        :raises Mismatch: other arrivals have another count or other members, or ``member`` has already arrived.
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
            timeout,
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

    @checked(name=name_of("semaphore"))
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
        """Give units to a semaphore, take units, or read its value. The first use creates the semaphore with the value 0.

        :param delta: the number of units: positive to give units, negative to take units, 0 to read the value.
        :param bound: the maximum value of the semaphore; 0 for no maximum.
        :returns: the new value.
        :raises TimedOut: there were not enough units before the timeout.
        :raises Mismatch: the request would exceed the bound, or an earlier request had another bound.
        """
        within = within or self.within
        request = protocol.text_of(protocol.Semaphore, name, delta, namespace, timeout, arrival, within, False, bound)
        (value,) = await self._wait_for(request, arrival, timeout, takes=delta < 0)
        return int(value)

    @checked(name=name_of("semaphore"))
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
        """Take units of a semaphore as a hold. :meth:`give_back`, or the end of this connection, returns the units to the
        semaphore. Raises the errors of :meth:`semaphore`."""
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
        return await self._take(request, request.arrival, timeout)

    @checked(name=name_of("lock"))
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
        """Take a lock. The ``value`` of the result is the fencing token. :meth:`give_back`, :meth:`unlock` or the end of this
        connection releases the lock.

        :param keep: the host owns the lock, even after the end of this connection. Then only :meth:`unlock`, or the loss of
            the host, releases the lock.
        """
        request = protocol.Lock(
            name=name,
            ns=namespace,
            timeout=timeout,
            arrival=arrival or token(),
            within=within or self.within,
            Keep=keep,
        )
        return await self._take(request, request.arrival, timeout)

    @checked(name=name_of("lock"))
    async def unlock(self, name: str, token: int, *, timeout: float | None = None, namespace: str = DEFAULT) -> None:
        """Give back a lock that this host owns.

        :param token: the fencing token of the lock.
        :raises NotAllowed: this host does not own the lock, or owns it under another token.
        """
        await self._ask(protocol.Unlock(name=name, token=token, ns=namespace), timeout)

    @checked(held=an_instance(Held, "the result of hold() or lock()"))
    async def give_back(self, held: Held, *, timeout: float | None = None) -> None:
        """Give back the result of :meth:`hold` or :meth:`lock`.

        :raises LinesyncFailed: the hub revoked the hold earlier; another holder may have had it meanwhile.
        """
        self.validities.pop(held.arrival, None)
        why = self.revoked.pop(held.arrival, None)
        if why is not None:
            # If the agent ended the hold because it did not hear the hub, the hub may still keep the hold.
            if self.peer.asks:
                self.peer.ask(protocol.encode(protocol.GiveBack(arrival=held.arrival)))
            raise LinesyncFailed(
                f"the hold was lost before it was given back: {why}; check the work that relied on it, and repeat it"
            )
        self._holding.discard(held.arrival)
        await self._ask(protocol.GiveBack(arrival=held.arrival), timeout)

    @checked(held=an_instance(Held, "the result of hold() or lock()"))
    async def check(self, held: Held) -> float:
        """Return the time until which this client certainly has a hold. No other client gets the hold before that time, even
        if the line, the agent or the hub fails.

        A program that writes to the resource under a lock calls this method several times in a lease (20 s). It must stop
        writing before the last returned time. The command under ``lock NAME -- CMD`` does not need these calls.

        :returns: a time in seconds, on the clock of ``time.clock_gettime(time.CLOCK_BOOTTIME)``.
        :raises LinesyncFailed: the hold was lost or may have been lost, or the agent or the hub is too old for this request.
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

    @checked(name=name_of("lock"))
    @asynccontextmanager
    async def locked(self, name: str, *, timeout: float | None = None, namespace: str = DEFAULT) -> AsyncIterator[Held]:
        """Hold a lock during a block (``async with``, or ``with`` for the blocking client). The block gets the result
        of :meth:`lock`, whose ``value`` is the fencing token.

        ::

            async with client.locked("flash", timeout=60):
                await client.run("sut", ["true"], check=True)

        ``timeout`` limits the wait for the lock, and then the time to give it back. Raises the errors of :meth:`lock`,
        and the errors of :meth:`give_back` if the lock was lost before the end of the block.
        """
        held = await self.lock(name, timeout=timeout, namespace=namespace)
        async with self._until_given_back(held, timeout):
            yield held

    @checked(name=name_of("semaphore"))
    @asynccontextmanager
    async def holding(
        self, name: str, units: int = 1, *, timeout: float | None = None, namespace: str = DEFAULT, bound: int = 0
    ) -> AsyncIterator[Held]:
        """Hold units of a semaphore during a block, as :meth:`locked` holds a lock. ``timeout`` limits the wait for the
        units, and then the time to give them back. Raises the errors of :meth:`hold` and :meth:`give_back`.
        """
        held = await self.hold(name, units, timeout=timeout, namespace=namespace, bound=bound)
        async with self._until_given_back(held, timeout):
            yield held

    @asynccontextmanager
    async def _until_given_back(self, held: Held, timeout: float | None) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            with suppress(LinesyncError):  # the error of the block is more important
                await self.give_back(held, timeout=timeout)
            raise
        await self.give_back(held, timeout=timeout)

    async def _take(self, request: Message, arrival: str, timeout: float | None) -> Held:
        try:
            (value,) = await self._wait(request, arrival, timeout, takes=True, holds=True)
        except BaseException:
            self._holding.discard(arrival)
            self.revoked.pop(arrival, None)
            self.validities.pop(arrival, None)
            raise
        return Held(arrival=arrival, value=int(value))

    # -- events -------------------------------------------------------------------------------------------------------

    @checked(names=name_of("event"))
    async def set_events(
        self, *names: str, timeout: float | None = None, namespace: str = DEFAULT, arrival: str = ""
    ) -> None:
        """Set events. An event stays set until a script clears it."""
        await self._wait(protocol.EventSet(names=names, ns=namespace, arrival=arrival), arrival, timeout)

    @checked(names=name_of("event"))
    async def clear_events(
        self, *names: str, timeout: float | None = None, namespace: str = DEFAULT, arrival: str = ""
    ) -> None:
        """Clear events."""
        await self._wait(protocol.EventSet(names=names, ns=namespace, arrival=arrival, Clear=True), arrival, timeout)

    @checked(names=name_of("event"))
    async def wait_events(
        self,
        *names: str,
        any: bool = False,
        timeout: float | None = None,
        namespace: str = DEFAULT,
        arrival: str = "",
        within: str = "",
    ) -> tuple[str, ...]:
        """Wait until all of these events are set at the same time.

        :param any: wait until at least one of the events is set, instead of all.
        :returns: the names of the events that are set.
        """
        request = protocol.EventWait(
            names=names, ns=namespace, timeout=timeout, arrival=arrival, within=within or self.within, Any=any
        )
        return tuple(await self._wait(request, arrival, timeout))

    # -- messages -----------------------------------------------------------------------------------------------------

    @checked()
    async def send(
        self,
        topic: str,
        *items: str | Mapping[str, str],
        timeout: float | None = None,
        namespace: str = DEFAULT,
        member: str = "",
        arrival: str = "",
    ) -> int:
        """Add a message to a topic, which keeps it for all later readers.

        ::

            await client.send("address", {"ip": "10.0.0.1", "port": "80"})
            (message,) = await client.receive("address")
            print(message.values["ip"])  # 10.0.0.1

        :param items: the texts of the message, ``key=value`` by convention. A mapping becomes one such text for each of
            its keys.
        :param member: the sender; empty for this host.
        :returns: the number of the message in the topic, from 1.
        """
        texts = tuple([text for item in items for text in _texts(item)])
        request = protocol.Send(topic=topic, items=texts, ns=namespace, member=member, arrival=arrival)
        (number,) = await self._wait(request, arrival, timeout)
        return int(number)

    @checked()
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
        """Wait until a topic has message number ``first``. Return that message and the messages after it.

        :param most: the maximum number of messages to return.
        :param others: count and return only the messages of other senders.
        :param member: the member that reads; empty for this host.
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
        return _messages(await self._wait(request, arrival, timeout))

    @checked()
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
        """Wait until every other host of the published group of this host has sent a message to a topic. Return the last
        message of each host.

        The agents publish the groups: ``group=...``, ``role=...``, ``group_size=N``. All hosts without a group form one
        group.

        :param role: wait only for the hosts with this role.
        :param member: the member that reads; empty for this host.
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
        return _messages(await self._wait(request, arrival, timeout))

    # -- reset --------------------------------------------------------------------------------------------------------

    @checked(names=name_of("reset"))
    async def reset(self, *names: str, timeout: float | None = None, namespace: str = DEFAULT) -> tuple[int, int]:
        """Delete the state under these names of a namespace. Requests that still wait for them fail with Aborted.

        :param names: the names; without names, all names of the namespace.
        :returns: the number of deleted objects, and the number of waits that failed.
        """
        forgotten, failed = await self._ask(protocol.Reset(names=names, ns=namespace), timeout)
        return int(forgotten), int(failed)


def _folded(members: Iterable[str]) -> str:
    names = tuple(members)
    if not names:
        return ""
    global _last_fold
    if names != _last_fold[0]:  # most callers always use the same members
        from ..model.hosts.members import fold  # imported late, because this import takes long

        _last_fold = names, fold(names)
    return _last_fold[1]


_last_fold: tuple[tuple[str, ...], str] = ((), "")
"""The last list of members, and its folded form."""


def _texts(item: str | Mapping[str, str]) -> list[str]:
    return [item] if isinstance(item, str) else [f"{key}={value}" for key, value in item.items()]


def _messages(reply: list[str]) -> list[TopicMessage]:
    import json

    return [TopicMessage(number=n, sender=sender, items=tuple(items)) for n, sender, items in json.loads(reply[0])]
