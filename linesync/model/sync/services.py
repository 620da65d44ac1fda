"""All sync services of a hub as one state machine without I/O, with the registry of hosts.

The hub calls the services, and reports lost clients, lost hosts and the time to this object. It sends each returned decision
to the client concerned. It asks the hosts that ``take_asked`` returns, and calls ``handle_timer`` at the time that
``next_timer`` returns. Only this module connects the services:

1. When a host is lost, restarts or stops, all waits that need the host fail in the same call. All waits, holds and
   unconfirmed grants of its clients end in the same call too. The decision about the host comes first, then the outcomes.
2. The leases of hosts are checked before deadlines. A wait whose host is dead therefore fails with that cause.
3. An outcome is sent again only if a retry asks for it.
4. The code that changes the state also marks the change in the journal. The hub takes the rows after each call, stores them,
   and then sends the outcomes. Only transient data has no row: the time of the last frame of a live host, the questions to
   hosts, the search for deadlocks, and the changes for followers.

Times are monotonic seconds and never run backwards. Only these calls raise for an invalid request: ``register``, ``commit``,
``give_back``, ``reset``, the ``give_back`` of the locks, and the calls for namespaces.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...errors import Aborted, LinesyncError, LinesyncFailed
from ..decisions import ArrivalId, Event, HostEvent, HostLost, HostUp, Noted, Outcome
from ..groups.groups import Groups
from ..hosts.membership import LEASE, Membership
from ..hosts.published_groups import PublishedGroups
from ..journal import Journal
from ..kept.rows import Rows
from ..kept.waits import (
    At,
    AtBarrier,
    AtClaim,
    AtDeletion,
    AtEvents,
    AtExchange,
    AtGathering,
    AtGroup,
    AtLock,
    AtProcess,
    AtSemaphore,
    AtTopic,
)
from ..participants import Cause, Client, cause_in_words, check_name
from ..state.hosts import HostState
from ..state.namespace import NamespaceState
from ..state.status import ClientState, Status
from ..testbus.bus import Bus
from .barriers.service import Barriers
from .deadlock import Activity, Deadlocks
from .event import Events
from .exchange import Exchanges
from .lock import Locks
from .mailbox import Mailbox
from .namespaces import Namespaces, Owner
from .place import Place
from .semaphore import Semaphores
from .waits import Wait, Waits

__all__ = ["SyncServices"]


class SyncServices:
    """All services of one hub, in all namespaces.

    :param lease: seconds without a valid frame after which a host is lost.
    :param first_token: the first fencing token, larger than all tokens of earlier lives of this hub.
    :param stored: whether the state is stored, so that the journal keeps marks of changes.
    :ivar journal: tracks the changed objects, and makes their rows for a store.
    """

    def __init__(self, *, lease: float = LEASE, first_token: int = 1, stored: bool = False) -> None:
        self.journal = Journal(on=stored)
        self._waits = Waits(self.journal)
        self._hosts = Membership(lease=lease, journal=self.journal)
        self._deadlocks = Deadlocks(self._waits, self._hosts)
        self.barriers = Barriers(self._waits, self._hosts)
        self.semaphores = Semaphores(self._waits)
        self.locks = Locks(self._waits, first_token=first_token)
        self.exchanges = Exchanges(self._waits, self._hosts)
        self.events = Events(self._waits)
        self.mailbox = Mailbox(self._waits, PublishedGroups(self._hosts))
        self._all = (self.barriers, self.semaphores, self.locks, self.exchanges, self.events, self.mailbox)
        self.groups = Groups(self._waits)
        self.namespaces = Namespaces(self.journal)
        self.testbus = Bus(self._waits, self._hosts)

    @classmethod
    def restore(
        cls,
        rows: Iterable[tuple[str, str, str]],
        shift: float,
        now: float,
        *,
        lease: float = LEASE,
        first_token: int = 1,
        stored: bool = True,
    ) -> SyncServices:
        """Restore the services from the rows of a store.

        Hosts get a new lease, and count as silent until their first frame. The search for deadlocks begins again. The
        caller calls ``take_asked`` after this.

        :param rows: kind, key and JSON of each stored record, in any order.
        :param shift: the number of seconds that is added to the times in the rows: the current monotonic time of this
            machine, minus the current monotonic time of the machine that stored the rows. If it is not 0, the journal marks
            all rows as changed, because they get new times.
        :param first_token: the smallest token that a lock may get.
        :raises BadRow: a row is not valid, contradicts other rows, or is from a newer version.
        """
        services = cls(lease=lease, first_token=first_token)
        collection_enabled = gc.isenabled()
        gc.disable()  # the restored objects are not garbage, and a search for garbage would take most of the time
        try:
            services._restore(Rows(rows, shift, now))
        finally:
            if collection_enabled:
                gc.enable()
        services.journal.on = stored
        services.testbus.add_missing_hosts()
        if shift:
            services.journal.mark_all()  # all times in the store must be of one clock
        return services

    def _restore(self, rows: Rows) -> None:
        self._hosts.restore(rows)
        self.namespaces.restore(rows)
        for service in self._all:
            service.restore(rows)
        self.groups.restore(rows)
        self.testbus.restore(rows)
        places: dict[type[At], Callable[[Any], Place]] = {
            AtBarrier: self.barriers.place,
            AtSemaphore: self.semaphores.place,
            AtLock: self.locks.place,
            AtExchange: self.exchanges.place,
            AtEvents: self.events.place,
            AtTopic: self.mailbox.place,
            AtGathering: self.mailbox.place,
            AtGroup: self.groups.place,
            AtClaim: self.testbus.place,
            AtProcess: self.testbus.place,
            AtDeletion: self.testbus.place,
        }
        self._waits.restore(rows, lambda at: places[type(at)](at))
        self.barriers.ask_again(rows.now)

    # -- requests of all services ---------------------------------------------------------------------------------------

    def confirm(self, arrival: ArrivalId, client: Client) -> bool:
        """Record that the client has received its outcome. Return whether the outcome was a grant that the client keeps."""
        return self._waits.confirm(arrival, client)

    def commit(self, arrival: ArrivalId, client: Client, now: float) -> None:
        """Make the client's grant final. The exceptions are those of :meth:`Waits.commit`."""
        self._waits.commit(arrival, client, now)

    def withdraw(self, arrival: ArrivalId, client: Client, now: float, cause: Cause = Cause.GAVE_UP) -> list[Outcome]:
        """End an arrival because its client gives up or gives back its hold. Return the outcomes: its failure or its
        earlier outcome, and the outcomes of waits that are served. Units and hosts that the arrival has taken are
        returned."""
        taken = self._waits.take_back(arrival, client, now)
        if isinstance(taken, AtClaim):
            return self.testbus.take_back(taken, now)
        if taken is not None:
            return self.semaphores.give_back(taken, client, now)
        return self._waits.withdraw(arrival, client, now, cause)

    def give_back(self, arrival: ArrivalId, client: Client, now: float) -> list[Outcome]:
        """Give back the hold with this arrival id. Any client of the host may give it back.

        :raises LinesyncFailed: no client of the host has a hold with this id.
        """
        wait = self._waits.find(client.host, arrival)
        if wait is None or wait.held is None:
            raise LinesyncFailed(
                f"arrival {arrival} no longer holds anything: its hold ended when its client, its host or its line was "
                "lost, or with a reset; another client may have had it since then",
                details={"arrival": arrival},
            )
        return self._waits.give_back(wait, now)

    def reset(
        self, namespace: str, names: tuple[str, ...], by: str, now: float
    ) -> tuple[int, list[Wait], list[Outcome]]:
        """Forget all objects with these names in a namespace, and fail the arrivals that wait at them.

        :param names: the names; empty for all names of the namespace.
        :param by: the host that resets, for the errors of other clients.
        :returns: the number of forgotten objects, the waits that failed, and all outcomes.
        :raises UsageError: a name is not valid.
        """
        check_name("namespace", namespace)
        for name in names:
            check_name("reset", name)
        for name in names or [""]:
            self._waits.note("reset", (namespace, name), by)
        return self._forget(namespace, names or None, lambda wait: _reset(wait, by), now)

    def _forget(
        self, namespace: str, names: tuple[str, ...] | None, error: Callable[[Wait], LinesyncError], now: float
    ) -> tuple[int, list[Wait], list[Outcome]]:
        forgotten, waits = 0, []
        for service in self._all:
            found, service_waits = service.reset(namespace, names, now)
            forgotten += found
            waits += service_waits
        found, service_waits, outcomes = self.groups.reset(namespace, names, now)
        forgotten += found
        waits += service_waits
        waiting = [wait for wait in waits if wait.held is None]
        outcomes += self._waits.fail([(wait, error(wait)) for wait in waits], Cause.RESET, now)
        return forgotten, waiting, outcomes

    # -- namespaces with an owner ----------------------------------------------------------------------------------------

    def begin_namespace(self, name: str, owner: Owner, now: float) -> None:
        """Begin a namespace with an owner. The exceptions are those of :meth:`Namespaces.begin`."""
        self.namespaces.begin(name, owner, now, self._things()[name])
        self._waits.note("namespace begun", (name, ""), owner.host)

    def end_namespace(self, name: str, by: str, now: float) -> tuple[int, list[Wait], list[Outcome]]:
        """End a namespace with an owner, and forget all objects in it. The result is that of :meth:`reset`.

        :param by: the host that ends it, for the errors of other clients.
        :raises LinesyncFailed: there is no such namespace.
        """
        self.namespaces.end(name)
        self._waits.note("namespace ended", (name, ""), by)
        return self._forget(name, None, lambda wait: _ended(wait, by, f"{by} ended it"), now)

    def owner_gone(self, host: str, pid: int, begin: str, now: float) -> list[Outcome]:
        """End the tests and the namespaces of a process that has ended."""
        why = f"its owner, process {pid} on {host}, has ended"
        outcomes = self.testbus.owner_gone(host, pid, begin, now)
        return outcomes + self._end_namespaces(self.namespaces.of_process(host, pid, begin), host, why, now)

    def knows(self, arrival: ArrivalId, client: Client) -> bool:
        """Whether an arrival waits, is held, or has a result that is kept."""
        return self._waits.knows(client.host, arrival)

    def check_namespace(self, name: str, arrival: ArrivalId, client: Client) -> None:
        """Refuse a new arrival in a namespace that has ended. A retry still gets its outcome.

        :raises Aborted: the namespace has ended.
        """
        if not self._waits.knows(client.host, arrival):
            self.namespaces.check(name)

    def namespace_states(self, now: float) -> list[NamespaceState]:
        """The namespaces with an owner in the order in which they began, and then the other used namespaces by name."""
        return self.namespaces.states(self._things(), now)

    def _things(self) -> Counter[str]:
        """The number of named objects (barriers, semaphores ...) in each namespace."""
        return Counter(namespace for service in (*self._all, self.groups) for namespace, _ in service.names())

    def _end_namespaces(self, names: list[str], by: str, why: str, now: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for name in names:
            self.namespaces.end(name)
            self._waits.note("namespace ended", (name, ""), by, why=why)
            outcomes += self._forget(name, None, lambda wait: _ended(wait, by, why), now)[2]
        return outcomes

    # -- hosts and clients come and go --------------------------------------------------------------------------------------

    def client_gone(
        self, client: Client, now: float, cause: Cause = Cause.CLIENT_GONE, why: str = "", *, lease_end: float = 0.0
    ) -> list[Outcome]:
        """Handle the end of a client's connection: withdraw its waits, take back its holds and its unconfirmed grants, and
        end its tests and namespaces.

        :param why: the reason as a clause; empty if it is not known.
        :param lease_end: the time at which the hub takes back the holds of the client; a past time for immediately.
        """
        outcomes = self._waits.client_gone(client, now, cause, why, lease_end)
        outcomes += self.groups.clients_gone([client], cause_in_words(cause, why), now)
        outcomes += self.testbus.client_gone(client, now)
        owned = self.namespaces.of_client(client)
        return outcomes + self._end_namespaces(
            owned, client.host, f"its owner, a script on {client.host}, has ended", now
        )

    @property
    def holds(self) -> bool:
        """Whether there is a hold, or clients of an earlier hub may have a hold."""
        return self._waits.holds

    def grant_no_holds_before(self, when: float) -> None:
        """Grant no holds before this time, because clients of an earlier hub may have holds that this hub does not know."""
        self._waits.grant_no_holds_before(when)

    def register(
        self,
        name: str,
        session: str,
        boot: str,
        line: str,
        now: float,
        *,
        capabilities: Iterable[str] = (),
        published: Mapping[str, str] | None = None,
        system: str = "",
    ) -> list[Event]:
        """Register a host. The parameters and exceptions are those of :meth:`Membership.register`."""
        events = self._hosts.register(
            name, session, boot, line, now, capabilities=capabilities, published=published, system=system
        )
        return [*self._spread(events, now), *self.mailbox.hosts_changed(now), *self.testbus.hosts_changed(now)]

    def heard(self, name: str, session: str, now: float) -> list[Event]:
        """Handle a valid frame from a host. This is fast enough to be called for each frame."""
        return [*self._spread(self._hosts.heard(name, session, now), now), *self.barriers.heard(name, now)]

    def answered(self, name: str, activity: Activity, now: float) -> list[Event]:
        """Handle the answer of a host about its active clients."""
        return [*self.barriers.heard(name, now), *self._deadlocks.answered(name, activity, now)]

    def line_lost(self, name: str, session: str, why: str = "") -> None:
        """Handle the loss of a host's line. No wait fails before the host's lease ends."""
        self._hosts.line_lost(name, session, why)

    def line_back(self, name: str, session: str, line: str, now: float) -> list[Event]:
        """Handle the resumption of a host's session, possibly on another line."""
        events = self._hosts.line_back(name, session, line, now)
        return [*self._spread([*events], now), *self.barriers.heard(name, now)]

    def going_down(self, name: str, session: str) -> None:
        """Record that the system of a host is going down. The end of its session then counts as a restart."""
        self._hosts.going_down(name, session)

    def ended(self, name: str, session: str, cause: Cause, why: str, now: float) -> list[Event]:
        """Handle the end of a host's session: the host stopped or restarted."""
        return self._spread(self._hosts.ended(name, session, cause, why, now), now)

    def extend_all(self, now: float) -> None:
        """Start all leases again, because the hub itself was stalled."""
        self._hosts.extend_all(now)
        self.groups.extend_all(now)

    def absent(self, host: str) -> Cause | None:
        """The cause of a host's absence; None while it is alive."""
        return self._hosts.absent(host)

    def take_noted(self) -> list[Noted]:
        """Return the changes of the state since the last call, in order, for the followers."""
        return self._waits.take_noted()

    def take_asked(self) -> list[str]:
        """Return the hosts that the hub must ask for their active clients. The hub passes each answer to
        :meth:`answered`."""
        return self._hosts.take_asked()

    # -- time and status ---------------------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """The time of the next :meth:`handle_timer`, or None. It may be earlier than necessary, but not later."""
        times = (
            self._hosts.next_timer(),
            self._waits.next_timer(),
            self.exchanges.next_timer(),
            self._deadlocks.next_timer(),
            self.groups.next_timer(),
        )
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> list[Event]:
        """Handle all due timers: leases, then deadlines and old results, then exchanges, then the search for deadlocks."""
        events = self._spread(self._hosts.handle_timer(now), now)
        events += self._waits.handle_timer(now)
        self.exchanges.handle_timer(now)
        self._deadlocks.handle_timer(now)
        events += self.groups.handle_timer(now)
        return events

    def waits_by_client(self) -> dict[Client, int]:
        """The number of live arrivals of each client: waits and holds."""
        return self._waits.by_client()

    def arrivals_of(self, client: Client) -> list[ArrivalId]:
        """The ids of the live arrivals of a client."""
        return [wait.arrival for wait in self._waits.of_client(client)]

    def keeps_for(self, client: Client) -> bool:
        """Whether a client has a wait, a hold, an unconfirmed grant, a namespace or a test, or is a member of a group."""
        owned = self.namespaces.of_client(client) or self.testbus.owns(client)
        return bool(self._waits.of_client(client) or owned or self.groups.has(client))

    def hosts(self, now: float) -> tuple[HostState, ...]:
        """The state of each host, sorted by name."""
        return tuple(self._hosts.status(now))

    def status(self, now: float, clients: Iterable[ClientState] = ()) -> Status:
        """The state of all services.

        :param clients: the states of the clients, which the model does not know.
        """
        return Status(
            hosts=self.hosts(now),
            barriers=tuple(self.barriers.status(now)),
            semaphores=tuple(self.semaphores.status(now)),
            locks=tuple(self.locks.status(now)),
            exchanges=tuple(self.exchanges.status(now)),
            events=tuple(self.events.status(now)),
            topics=tuple(self.mailbox.status(now)),
            held=self._waits.sizes(),
            clients=tuple(clients),
            groups=tuple(self.groups.status(now)),
        )

    def _spread(self, events: list[HostEvent], now: float) -> list[Event]:
        spread: list[Event] = []
        for event in events:
            spread.append(event)
            self._waits.note(*_host_change(event))
            if isinstance(event, HostUp):
                self.testbus.host_up(event.host)
            else:
                spread += self.barriers.host_lost(event.host, event.cause, event.why, now)
                spread += self.exchanges.host_lost(event.host, event.cause, event.why, now)
                spread += self.mailbox.host_lost(event.host, now)
                lease_end = self._hosts.lease_end(event.host)
                spread += self._waits.host_gone(event.host, now, event.cause, event.why, lease_end)
                why = f"its owner's host {event.host} is lost: {cause_in_words(event.cause, event.why)}"
                spread += self._end_namespaces(self.namespaces.of_host(event.host), event.host, why, now)
                spread += self.testbus.host_gone(event.host, cause_in_words(event.cause, event.why), now)
                spread += self.barriers.recount(now)
        lost = {one.host: cause_in_words(one.cause, one.why) for one in events if isinstance(one, HostLost)}
        spread += self.groups.hosts_gone(lost, now)
        return [*spread, *self.testbus.hosts_changed(now)] if events else spread


def _host_change(event: HostEvent) -> tuple[str, tuple[str, str], str, int | None, str]:
    """The change that reports the loss or the return of a host."""
    if isinstance(event, HostLost):
        kind = {Cause.STOPPED: "host stopped", Cause.RESTARTED: "host restarted"}.get(event.cause, "host lost")
        return kind, ("", event.host), event.host, None, event.why
    return "host up", ("", event.host), event.host, None, ""


def _reset(wait: Wait, by: str) -> LinesyncError:
    advice = "" if wait.held is not None else "; arrive again, with a new id"
    return Aborted(
        f"{wait.place.title} was reset by {by}{advice}",
        details={"cause": str(Cause.RESET), "by": by},
    )


def _ended(wait: Wait, by: str, why: str) -> LinesyncError:
    return Aborted(
        f"{wait.place.title} was reset, because the namespace has ended: {why}",
        details={"cause": str(Cause.RESET), "by": by, "namespace": wait.place.key[0]},
    )
