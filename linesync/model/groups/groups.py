"""All groups of a hub, by namespace and name.

1. A client joins a group as a member, and stays a member until it leaves or is gone. A *passive* member belongs to its host
   instead: it counts in the views, and gets no events.
2. Each member that is not passive always has one request for events at the hub, which also acknowledges earlier events and
   reports the end of a step. These requests and the replies to messages that wait for room are part of the member, not of
   the table of waits: they have no timeout, and they wait for an object that has no owner.
3. After each input, :meth:`Groups._settle` sends what has become due in each changed group. The hub therefore sends the events
   of one input in one batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...errors import LinesyncFailed, NotAllowed, UsageError
from ...group_kinds import LEFT
from ..decisions import ArrivalId, Names, Outcome
from ..kept.rows import Rows
from ..kept.waits import AtGroup
from ..participants import Client, check_member, check_name, check_timeout
from ..state.group import Announced, GroupState, Ring, Terms
from ..sync.place import Place
from ..sync.waits import Wait, Waits
from ..timers import Timers
from .checks import check_services, check_terms
from .group import GAVE_UP, Group
from .group_limits import MEMBERS_MAX, MEMBERS_OF_HOST, SERVICES_OF_HOST
from .log import Room
from .member import Member
from .members import Members
from .members_wait import MembersPlace
from .storing import GroupRows

__all__ = ["Groups"]

GROUPS_MAX = 1000  # the maximum number of groups of a hub
TEXT_MAX = 1000  # the maximum length of the stored text of a report, in characters

_Key = tuple[str, str]


class Groups:
    """All groups of one hub.

    :ivar hub: the boot id of the hub, which is part of the ids of views.
    """

    def __init__(self, waits: Waits) -> None:
        self.waits = waits
        self.hub = ""
        self._groups: dict[_Key, Group] = {}
        self._places: dict[_Key, MembersPlace] = {}
        self._timers: Timers[_Key] = Timers()
        self._epoch = 0
        self._room = Room()
        journal = waits.journal
        self._members = Members(journal)
        self._rows = GroupRows(journal, self._groups, self._members)
        journal.counter("group epoch", lambda: self._epoch)

    # -- members -------------------------------------------------------------------------------------------------------

    def join(
        self,
        namespace: str,
        name: str,
        member: str,
        client: Client,
        terms: Terms,
        services: Iterable[Announced],
        now: float,
        *,
        passive: bool = False,
        arrival: ArrivalId = "",
    ) -> tuple[Member, list[Outcome]]:
        """Make a client a member of a group.

        :param member: its name: the client's host, perhaps with a tag.
        :param terms: the terms of the group, if this is its first member; else they must be the same.
        :param passive: its host is the member, even after the client has ended. It gets no events.
        :param arrival: the id of the request, for :meth:`withdraw`.
        :raises UsageError: an invalid name, term or service.
        :raises Mismatch: the member is there already, or the group has other terms.
        :raises LinesyncFailed: there are too many groups or members, or the group is being stopped.
        """
        check_member(member)
        services = tuple(services)
        check_terms(terms)
        check_services(services, passive=passive)
        group = self._group(namespace, name)
        if (
            group.key not in self._groups
            and len(self._groups) >= GROUPS_MAX
            and all(one.members for one in self._groups.values())
        ):
            raise LinesyncFailed(
                f"{group.title} cannot begin: there are {GROUPS_MAX} groups with members; stop some first"
            )
        if len(group.members) >= MEMBERS_MAX:
            raise LinesyncFailed(f"{group.title} has {MEMBERS_MAX} members, which is the limit; let some leave first")
        self._check_host(client.host, len(services))
        by_id = {one.id: one for one in services}
        found = Member(self._members.next_number(), member, client, arrival, passive, by_id, now, 0)
        group.join(found, terms, now)
        self._keep(group)
        self._members.add(group, found)
        return found, self._settle([group], now)

    def _check_host(self, host: str, services: int, members: int = 1) -> None:
        """Refuse further members or services of a host that has too many."""
        found = [member for _, member in self._members.of_host(host)]
        if len(found) + members > MEMBERS_OF_HOST:
            raise LinesyncFailed(
                f"{host} is a member of groups {MEMBERS_OF_HOST} times, which is the limit; leave some first"
            )
        if services > 0 and sum(len(member.services) for member in found) + services > SERVICES_OF_HOST:
            raise LinesyncFailed(
                f"the members of {host} have too many services: at most {SERVICES_OF_HOST} in all groups; leave some first"
            )

    def leave(
        self, namespace: str, name: str, member: str, client: Client, now: float, number: int = 0
    ) -> list[Outcome]:
        """Remove a member, at the request of its client or of another client of its host.

        :param number: the number of the member, which must belong to the client; 0 for the member with this name.
        :raises LinesyncFailed: there is no such member.
        :raises NotAllowed: the member is on another host.
        """
        group = self._find(namespace, name)
        if number and (member not in group.by_name or group.by_name[member].number != number):
            self._members.get(number, client)
        found = self._member(group, member, client)
        return self._remove([(group, found, LEFT)], now)

    @staticmethod
    def _member(group: Group, member: str, client: Client) -> Member:
        """The member with a name, for a script of its host."""
        found = group.by_name.get(member)
        if found is None:
            raise LinesyncFailed(
                f"{member} is not a member of {group.title}; see 'linesync group members {group.key[1]}'"
            )
        if found.client.host != client.host:
            raise NotAllowed(
                f"{client.host} cannot act as {member} in {group.title}: only a script on its own host can"
            )
        return found

    def withdraw(self, arrival: ArrivalId, client: Client, now: float) -> list[Outcome]:
        """Remove the member of a client that gave up its request to join, because the client got no reply."""
        found = self._members.of_host(client.host) if arrival else []
        leaving = [
            (group, member, GAVE_UP) for group, member in found if member.arrival == arrival and member.client == client
        ]
        return self._remove(leaving, now)

    def announce(self, member: int, client: Client, services: Iterable[Announced], now: float) -> list[Outcome]:
        """Replace the services of a member. The new services take part from the next round."""
        services = tuple(services)
        group, found = self._members.get(member, client)
        check_services(services)
        self._check_host(client.host, len(services) - len(found.services), members=0)
        found.announce(services, now)
        group.touch_services(found)
        group.round.advance(now)
        return self._settle([group], now)

    # -- events --------------------------------------------------------------------------------------------------------

    def next(
        self,
        arrival: ArrivalId,
        member: int,
        client: Client,
        after: int,
        now: float,
        *,
        number: int = 0,
        result: str = "done",
        text: str = "",
        runs: int = 0,
        full: bool = False,
    ) -> list[Outcome]:
        """Handle the request of a member for its events after a number. An earlier request of the member ends without
        events.

        :param number: the step that it reports, or the service that has ended by itself; 0 with ``done`` for no report.
        :param result: ``done``, ``again``, ``failed`` or ``ended``.
        :param runs: the step that it runs now, while later steps wait; 0 if it is not known.
        :param full: it has many unread messages: it gets events only when its round has ended.
        :raises Aborted: it is no longer a member.
        """
        group, found = self._members.get(member, client, last=True)
        if result not in ("done", "again", "failed", "ended"):
            raise UsageError(f"invalid result '{result[:20]}': expected done, again, failed or ended")
        outcomes = group.poll(arrival, found, runs=runs, full=full)
        if number or result == "ended":
            outcomes += group.report(found, number, result, text[:TEXT_MAX], now)
        return outcomes + self._settle([group], now)

    def cast(
        self,
        arrival: ArrivalId,
        member: int,
        client: Client,
        epoch: int,
        data: str,
        size: int,
        now: float,
        *,
        part: bool = False,
        more: bool = False,
        state: bool = False,
    ) -> list[Outcome]:
        """Send a message of a member, or a part of one. The parameters and errors are those of
        :meth:`Messages.cast`."""
        group, found = self._members.get(member, client)
        outcomes = group.messages.cast(arrival, found, epoch, data, size, part=part, more=more, state=state)
        return outcomes + self._settle([group], now)

    def post(
        self,
        arrival: ArrivalId,
        namespace: str,
        name: str,
        member: str,
        client: Client,
        data: str,
        size: int,
        now: float,
        *,
        part: bool = False,
        more: bool = False,
    ) -> list[Outcome]:
        """Send a message as a member, for a script on the host of the member; see :meth:`Messages.post`.

        :raises LinesyncFailed: there is no such member.
        """
        group = self._find(namespace, name)
        found = self._member(group, member, client)
        outcomes = group.messages.post(arrival, found, client, data, size, part=part, more=more)
        return outcomes + self._settle([group], now)

    # -- requests of others --------------------------------------------------------------------------------------------

    def wait(
        self,
        arrival: ArrivalId,
        namespace: str,
        name: str,
        count: int,
        client: Client,
        now: float,
        timeout: float | None = None,
    ) -> list[Outcome]:
        """Wait until a group has at least ``count`` members.

        :returns: :class:`Names` of the members; else as other waits.
        """

        def join() -> list[Outcome]:
            check_timeout(timeout)
            if not 1 <= count <= MEMBERS_MAX:
                raise UsageError(f"invalid number of members {count}: expected 1 to {MEMBERS_MAX}")
            check_name("namespace", namespace)
            check_name("group", name)
            key = (namespace, name)
            place = self._places.get(key) or MembersPlace(self, key)
            members = self.member_names(key)
            if len(members) >= count:
                return [self.waits.answer(arrival, client, Names(names=members), now)]
            if timeout == 0:
                raise place.too_few("poll failed at", count)
            place.enter(self.waits.open(arrival, client, place, client.host, now, timeout), count)
            self._places[key] = place
            return []

        return self.waits.admit(arrival, client, now, join)

    def rerun(self, namespace: str, name: str, service: int | None, now: float) -> list[Outcome]:
        """Begin another round, in a new view with the same members.

        :param service: the only service of the round; None for all.
        :raises LinesyncFailed: there is no such group or service, or the group is short or is being stopped.
        """
        group = self._find(namespace, name)
        if not group.members:
            raise LinesyncFailed(f"{group.title} has no members, so there is nothing to run")
        if service is not None and all(service not in member.services for member in group.active):
            raise LinesyncFailed(f"{group.title} has no service {service}; see 'linesync group members {name}'")
        if group.short or group.stopping:
            why = "it is being stopped" if group.stopping else "it has fewer members than its quorum"
            raise LinesyncFailed(f"no round of {group.title} can begin: {why}")
        group.rerun("rerun", now, service)
        return self._settle([group], now)

    def stop(self, namespace: str, name: str, now: float) -> list[Outcome]:
        """Stop a group: its services run their stop steps in reverse order, then all members leave.

        :raises LinesyncFailed: there is no such group.
        """
        group = self._find(namespace, name)
        group.stop(now)
        return self._settle([group], now)

    def state(self, namespace: str, name: str, now: float) -> GroupState:
        """The state of one group; raises LinesyncFailed if there is no such group."""
        return self._state(self._find(namespace, name), now)

    def status(self, now: float) -> list[GroupState]:
        """The state of each group."""
        return [self._state(group, now) for group in self._groups.values()]

    def _state(self, group: Group, now: float) -> GroupState:
        place = self._places.get(group.key)
        return group.status(len(place) if place is not None else 0, now)

    # -- hosts and clients ---------------------------------------------------------------------------------------------

    def clients_gone(self, clients: Iterable[Client], cause: str, now: float) -> list[Outcome]:
        """Remove the members of clients that are gone, except the passive members."""
        clients = list(clients)
        leaving = [(*found, cause) for client in clients for found in self._members.of_client(client)]
        self._members.forget_ended(clients)
        return self._remove(leaving, now)

    def hosts_gone(self, hosts: Mapping[str, str], now: float) -> list[Outcome]:
        """Remove all members of hosts that are lost, restarted or stopped.

        :param hosts: host to cause.
        """
        leaving = [(*found, cause) for host, cause in hosts.items() for found in self._members.of_host(host)]
        return self._remove(leaving, now)

    def extend_all(self, now: float) -> None:
        """Give all members their full time again, because the hub itself was stalled or away."""
        for group in self._groups.values():
            group.extend(now)
            self._set_timer(group)

    def clients(self) -> list[Client]:
        """The clients that are members."""
        return list(self._members.clients())

    def has(self, client: Client) -> bool:
        """Whether a client is a member of a group."""
        return self._members.has(client)

    def member_names(self, key: _Key) -> tuple[str, ...]:
        """The members of the view of a group, the oldest first."""
        group = self._groups.get(key)
        return tuple([member.name for member in group.in_view]) if group is not None else ()

    def _remove(self, leaving: list[tuple[Group, Member, str]], now: float) -> list[Outcome]:
        """Remove members, each with a cause; those of one group leave in one view."""
        groups: dict[Group, dict[Member, str]] = {}
        for group, member, cause in leaving:
            groups.setdefault(group, {})[member] = cause
        outcomes: list[Outcome] = []
        for group, members in groups.items():
            outcomes += group.remove_each(members, now)
        return outcomes + self._settle(groups, now)

    # -- time ----------------------------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        return self._timers.next_timer()

    def handle_timer(self, now: float) -> list[Outcome]:
        """Handle what is due in each group."""
        outcomes: list[Outcome] = []
        for key in self._timers.pop_due(now):
            group = self._groups[key]
            outcomes += group.handle_timer(now)
            outcomes += self._settle([group], now)
        return outcomes

    # -- names ---------------------------------------------------------------------------------------------------------

    def names(self) -> set[_Key]:
        """The namespaces and names that are in use."""
        return {key for key, group in self._groups.items() if group.members} | self._places.keys()

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait], list[Outcome]]:
        """Forget groups of a namespace (None: all of them).

        :returns: the number of groups that had members; the waits for members, which the caller must fail; and the outcomes of
            the members.
        """
        all_keys = [*self._groups, *self._places]
        keys = dict.fromkeys(all_keys if names is None else [(namespace, name) for name in names])
        outcomes: list[Outcome] = []
        waits: list[Wait] = []
        forgotten = 0
        for key in [key for key in keys if key[0] == namespace]:
            if key in self._places:
                waits += self._places[key].all()
            if key in self._groups:
                forgotten += bool(self._groups[key].members)
                outcomes += self._delete(self._groups[key], now)
        return forgotten, waits, outcomes

    def _delete(self, group: Group, now: float) -> list[Outcome]:
        """Remove all members of a group, and the group."""
        outcomes = group.remove(list(group.members.values()), "the group was reset", now)
        outcomes += self._settle([group], now)
        del self._groups[group.key]
        self._timers.cancel(group.key)
        group.touch()
        for epoch in group.round.past:
            group.touch_past(epoch)
        return outcomes

    def forget_place(self, place: MembersPlace) -> None:
        """Forget a place at which no request waits any more."""
        if self._places.get(place.key) is place:
            del self._places[place.key]

    # -- inside --------------------------------------------------------------------------------------------------------

    def _group(self, namespace: str, name: str) -> Group:
        """The group with a name, or a new one."""
        check_name("namespace", namespace)
        check_name("group", name)
        found = self._groups.get((namespace, name))
        if found is None:
            found = self._made((namespace, name))
        return found

    def _made(self, key: _Key) -> Group:
        return Group(key, self.waits.journal, self._next_ring, self.waits.note, self._room)

    def _keep(self, group: Group) -> None:
        """Keep a group that has its first member. Forget the oldest group without members if there are too many."""
        if group.key in self._groups:
            return
        group.number = self.waits.journal.number()
        self._groups[group.key] = group
        self.waits.journal.mark("group", group.key, new=True)
        if len(self._groups) > GROUPS_MAX:
            empty = next((one for one in self._groups.values() if not one.members), None)
            if empty is not None:
                self._delete(empty, 0.0)

    def _find(self, namespace: str, name: str) -> Group:
        check_name("namespace", namespace)
        check_name("group", name)
        found = self._groups.get((namespace, name))
        if found is None:
            where = f" in namespace '{namespace}'" if namespace != "default" else ""
            raise LinesyncFailed(f"there is no group '{name}'{where}; join it first, or see 'linesync status'")
        return found

    def _next_ring(self) -> Ring:
        self._epoch += 1
        self.waits.journal.mark("counter", "group epoch")
        return Ring(self._epoch, self.hub)

    def _settle(self, groups: Iterable[Group], now: float) -> list[Outcome]:
        """Send what has become due in these groups, and set their timers."""
        outcomes: list[Outcome] = []
        for group in groups:
            outcomes += group.settle(now)
            for member, cause in group.take_removed():
                self._members.drop(group, member, cause)
            place = self._places.get(group.key)
            if place is not None:
                outcomes += place.settle(now)
            self._set_timer(group)
        return outcomes

    def _set_timer(self, group: Group) -> None:
        due = group.next_timer()
        if due is None:
            self._timers.cancel(group.key)
        elif self._timers.due(group.key) != due:
            self._timers.set(group.key, due)

    # -- storing -------------------------------------------------------------------------------------------------------

    def restore(self, rows: Rows) -> None:
        """Restore the groups, without the waits for members; raises BadRow."""
        self._epoch = rows.counter("group epoch", 0)
        self._members.last_number = rows.counter("group members", 0)
        self._rows.restore(rows, self._made, self.waits.journal.numbered)
        for found in self._groups.values():
            self._set_timer(found)

    def place(self, at: AtGroup) -> Place:
        """The place of a stored wait."""
        key = (at.namespace, at.group)
        return self._places.setdefault(key, MembersPlace(self, key))
