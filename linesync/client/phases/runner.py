"""Registers the services of one member, joins its group, and runs the steps of the services."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ...errors import Aborted, LinesyncError, LinesyncFailed, Mismatch, NotAllowed, UsageError
from ...model.groups.order import Place, in_order, places
from ...model.state.group import Announced, Terms
from ..aio import Client
from ..groups.group import Group
from .member import Member
from .service import Service

__all__ = ["Phases", "own_host"]

_FIRST_TRIES = 5  # attempts to join for the first time, because the hub may restart in the meantime
_PAUSE = 1.0  # seconds between the loss of a membership and the next attempt to join
_LEAVE = 5.0  # seconds within which the hub must confirm that this member has left
_HANGING = 10.0  # seconds that the hub waits longer than the timeout of a step, in case the member itself hangs


class Phases:
    """Services that start on the members of a group in order.

    ::

        phases = Phases(client, "storage", quorum=2)
        phases.register(Service("network", process=configure))
        phases.register(Service("nfs", after=["network"], needs=["network"], process=start, check=mounted))
        await phases.run()

    :param client: a connection to the hub, or to the agent of this host.
    :param group: the name of the group.
    :param tag: the tag of the member, for several members on one host.
    :param host: the host whose services run, as in the ``hosts`` of declarations; by default, the host of this member.
    :param say: called with each sentence for the log, for example about a step.
    :param connect: makes another connection when the agent of this host was restarted; the caller closes the first one.

    The other parameters are those of :meth:`~linesync.client.aio.Client.group`.
    """

    def __init__(
        self,
        client: Client,
        group: str,
        *,
        namespace: str = "default",
        tag: str = "",
        host: str = "",
        quorum: int = 0,
        init: str = "first",
        activate: str = "after",
        on_failure: str = "retry",
        retries: int = 5,
        backoff: float = 1.0,
        say: Callable[[str], None] = lambda sentence: None,
        connect: Callable[[], Awaitable[Client]] | None = None,
    ) -> None:
        self._client = client
        self._group = group
        self._namespace = namespace
        self._tag = tag
        self._host = host
        self._terms = Terms(quorum, init, activate, on_failure, retries, backoff)
        self._say = say
        self._connect = connect
        self._own: Client | None = None
        """A connection that was made with ``connect``."""
        self._services: dict[str, Service] = {}
        self._member: Member | None = None

    def register(self, service: Service) -> None:
        """Add a service. Register all services of the group before :meth:`run`, also those of other hosts.

        :raises UsageError: a service with this name is registered, or the group runs already.
        """
        name = service.declaration.name
        if self._member is not None:
            raise UsageError(f"the service {name} was registered after run(); register it before")
        if name in self._services:
            raise UsageError(f"the service {name} is registered twice; register it once, or rename it")
        self._services[name] = service

    async def run(self) -> None:
        """Join the group, and run the steps of the services until the group is stopped.

        If the session with the hub is lost, this joins again when the hub is available again. The services keep running. When
        this ends or is cancelled, it cancels a running ``init`` or ``process``, leaves the group, and stops the services that
        have started, the last service first.

        :raises UsageError: the declarations are invalid (:func:`~linesync.model.groups.order.in_order`).
        :raises Mismatch: the group has other terms.
        :raises Aborted: the group excluded this member.
        """
        declared = in_order(service.declaration for service in self._services.values())
        every = places(declared)
        host = self._host or (
            await own_host(self._client) if any(declaration.hosts for declaration in declared) else ""
        )
        ours = {place.id: place for place in every if place.declaration.on(host)}
        self._member = member = Member(declared, ours, self._services, self._say)
        announced = [_announced(place) for place in ours.values()]
        try:
            await self._belong(member, announced)
        finally:
            self._member = None
            await member.wind_up()
            await self._close_own()

    async def _belong(self, member: Member, announced: list[Announced]) -> None:
        """Be a member of the group until the group is stopped. Join again when the session with the hub was lost."""
        tries = _FIRST_TRIES
        while True:
            try:
                group = await self._join(announced)
                tries = 0
                try:
                    return await member.run(group)
                finally:
                    with suppress(LinesyncError, TimeoutError):  # the hub is lost, or has removed this member
                        async with asyncio.timeout(_LEAVE):
                            await group.leave()
            except LinesyncError as error:
                if tries == 1 or _final(error, joined=not tries):
                    raise
                lost = "this member could not join" if tries else "the membership was lost"
                self._say(f"{lost}: {error.message}; joining again")
                tries = max(tries - 1, 0)
            await asyncio.sleep(_PAUSE)
            await self._renew_connection()

    async def _join(self, announced: list[Announced]) -> Group:
        terms = self._terms
        return await self._client.group(
            self._group,
            namespace=self._namespace,
            tag=self._tag,
            services=announced,
            quorum=terms.quorum,
            init=terms.init,
            activate=terms.activate,
            on_failure=terms.on_failure,
            retries=terms.retries,
            backoff=terms.backoff,
        )

    async def _renew_connection(self) -> None:
        """Wait for another connection, if the current connection cannot be used any more."""
        while self._connect is not None and not (self._client.peer.up or self._client.peer.interrupted):
            try:
                client = await self._connect()
            except LinesyncError:
                await asyncio.sleep(_PAUSE)
            else:
                await self._close_own()
                self._client = self._own = client

    async def _close_own(self) -> None:
        """Close the connection if this object has made it."""
        if self._own is not None:
            await self._own.aclose()
            self._own = None

    async def ended(self, name: str, why: str = "it ended") -> None:
        """Report that a service of this member has ended or failed by itself. If the service is a keystone, the
        whole group is stopped. Otherwise the services that need it are stopped.

        :raises UsageError: this member does not run such a service now.
        """
        member = self._member
        if member is None or not member.has(name):
            raise UsageError(f"this member does not run the service {name}; call ended() for a service that runs here")
        await member.ended(name, why)


def _final(error: LinesyncError, *, joined: bool) -> bool:
    """Whether an error ends the membership permanently: the group has excluded this member, or does not accept it again.

    :param joined: whether this was a member before. The hub may then still have the earlier membership, until it notices that the
        connection is lost.
    """
    if isinstance(error, Aborted):
        return str(error.details.get("cause", "")).startswith("excluded")
    if joined and isinstance(error, Mismatch) and "member" in error.details:
        return False
    return isinstance(error, UsageError | Mismatch | NotAllowed)


async def own_host(client: Client) -> str:
    """Return the name of this host at the hub. A barrier for one member returns this name."""
    for _ in range(_FIRST_TRIES - 1):
        try:
            return await _find_own_host(client)
        except LinesyncFailed:  # the hub was restarted in the meantime
            await asyncio.sleep(_PAUSE)
    return await _find_own_host(client)


async def _find_own_host(client: Client) -> str:
    async with client.namespace() as own:
        result = await client.barrier("name", 1, namespace=own)
    return result.parties[0]


def _announced(place: Place) -> Announced:
    declared = place.declaration
    steps = ("check",) if place.gate else ("init", "process", "activate", "abort", "stop")
    return Announced(
        id=place.id,
        name=place.name,
        version=declared.version,
        timeout=max(map(declared.timeout, steps)) + _HANGING,
        serialize=declared.serialize and not place.gate,
        keystone=declared.keystone and not place.gate,
        on_failure=declared.on_failure,
    )
