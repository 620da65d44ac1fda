"""The members of all groups of a hub by number, client and host, and the removed members that have not been notified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ...errors import Aborted
from ..journal import Journal
from ..kept.groups import KeptEndedMember
from ..participants import Client
from .group import Group, kind_of_end
from .member import Member

__all__ = ["Members"]

ENDED_MAX = 1000  # removed members that have not been notified yet

Found = tuple[Group, Member]


class Members:
    """The members of all groups, and their numbers.

    :ivar ended: the removed members that have not been notified, by number.
    :ivar last_number: the number of the newest member.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_number: dict[int, Group] = {}
        self._by_client: dict[Client, dict[int, Group]] = {}
        self._by_host: dict[str, dict[int, Group]] = {}
        self.ended: dict[int, KeptEndedMember] = {}
        self.last_number = 0
        journal.source("group ended", lambda number: self.ended.get(number), lambda: self.ended)
        journal.counter("group members", lambda: self.last_number)

    def next_number(self) -> int:
        """A number that no member has ever had."""
        self.last_number += 1
        self._journal.mark("counter", "group members")
        return self.last_number

    def add(self, group: Group, member: Member) -> None:
        """Add a member of a group."""
        self._by_number[member.number] = group
        self._by_host.setdefault(member.client.host, {})[member.number] = group
        if not member.passive:
            self._by_client.setdefault(member.client, {})[member.number] = group
        group.touch_services(member)

    def drop(self, group: Group, member: Member, cause: str) -> None:
        """Drop a member that its group has removed.

        :param cause: the cause that the member gets with its next request; empty if it needs none.
        """
        del self._by_number[member.number]
        owners: list[tuple[dict[Any, dict[int, Group]], Any]] = [(self._by_host, member.client.host)]
        if not member.passive:
            owners.append((self._by_client, member.client))
        for table, owner in owners:
            del table[owner][member.number]
            if not table[owner]:
                del table[owner]
        if cause:
            client = member.client
            self.ended[member.number] = KeptEndedMember(
                host=client.host, client=client.number, kind=kind_of_end(cause), why=cause, group=group.title
            )
            self._journal.mark("group ended", member.number, new=True)
            if len(self.ended) > ENDED_MAX:
                self._forget(next(iter(self.ended)))

    def get(self, number: int, client: Client, *, last: bool = False) -> Found:
        """The member with a number, and its group. The member must belong to this client.

        :param last: whether to forget the cause after this error, so that later errors of a removed member do not
            contain it.
        :raises Aborted: it is no longer a member.
        """
        group = self._by_number.get(number)
        found = group.members.get(number) if group is not None else None
        if group is None or found is None or found.client != client:
            ended = self.ended.get(number)
            if ended is not None and (ended.host, ended.client) != (client.host, client.number):
                ended = None
            if ended is not None and last:
                self._forget(number)
            where, why = (ended.group, f": {ended.why}") if ended is not None else ("the group", "")
            raise Aborted(
                f"this script is no longer a member of {where}{why}; join again",
                details={"cause": ended.why, "end": ended.kind} if ended is not None else {},
            )
        return group, found

    def forget_ended(self, clients: Iterable[Client]) -> None:
        """Forget the removed members of these clients, because the clients are gone."""
        gone = {(client.host, client.number) for client in clients}
        for number in [number for number, ended in self.ended.items() if (ended.host, ended.client) in gone]:
            self._forget(number)

    def _forget(self, number: int) -> None:
        del self.ended[number]
        self._journal.mark("group ended", number)

    def of_client(self, client: Client) -> list[Found]:
        """The members of a client, without passive members."""
        return _found(self._by_client.get(client, {}))

    def of_host(self, host: str) -> list[Found]:
        """The members of all clients of a host."""
        return _found(self._by_host.get(host, {}))

    def clients(self) -> Iterator[Client]:
        """The clients that are members."""
        return iter(self._by_client)

    def has(self, client: Client) -> bool:
        """Whether a client is a member of a group."""
        return client in self._by_client


def _found(groups: dict[int, Group]) -> list[Found]:
    return [(group, group.members[number]) for number, group in groups.items()]
