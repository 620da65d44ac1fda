"""The stored rows of all groups.

A row is written each time its object changes. A row therefore does not contain both small data that changes often and large
data: the services of a member, the state of a group and each of its earlier rounds have rows of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...group_kinds import KINDS
from ..decisions import GroupEvent
from ..journal import Journal
from ..kept.groups import (
    KeptEndedMember,
    KeptEntry,
    KeptGroup,
    KeptGroupData,
    KeptGroupMember,
    KeptPastRound,
    KeptServices,
)
from ..kept.rows import Rows, by_key, by_number
from .group import Group
from .member import Member
from .members import Members

__all__ = ["GroupRows"]

_Key = tuple[str, str]
_Numbered = tuple[str, str, int]


class GroupRows:
    """Makes the rows of groups and their members, and restores them.

    :param groups: the groups by namespace and name.
    :param members: their members.
    """

    def __init__(self, journal: Journal, groups: dict[_Key, Group], members: Members) -> None:
        self._groups = groups
        self._members = members
        journal.source("group", self._group, lambda: groups)
        journal.source("group data", self._data, lambda: groups)
        journal.source("group past", self._past, lambda: self._keys(lambda group: group.round.past))
        journal.source("group member", self._member, lambda: self._keys(lambda group: group.members))
        journal.source("group services", self._services, lambda: self._keys(lambda group: group.members))
        journal.source("group entry", self._entry, lambda: self._keys(lambda group: group.log))

    def _keys(self, numbers: Callable[[Group], Iterable[int]]) -> Iterable[_Numbered]:
        return [(*key, number) for key, group in self._groups.items() for number in numbers(group)]

    def _group(self, key: _Key) -> KeptGroup | None:
        group = self._groups.get(key)
        return group.kept() if group is not None else None

    def _data(self, key: _Key) -> KeptGroupData | None:
        group = self._groups.get(key)
        return group.messages.kept() if group is not None else None

    def _past(self, key: _Numbered) -> KeptPastRound | None:
        group = self._groups.get(key[:2])
        return group.round.past.get(key[2]) if group is not None else None

    def _member(self, key: _Numbered) -> KeptGroupMember | None:
        group = self._groups.get(key[:2])
        member = group.members.get(key[2]) if group is not None else None
        return member.kept() if member is not None else None

    def _services(self, key: _Numbered) -> KeptServices | None:
        group = self._groups.get(key[:2])
        member = group.members.get(key[2]) if group is not None else None
        return (
            KeptServices(services=tuple(member.services.values())) if member is not None and member.services else None
        )

    def _entry(self, key: _Numbered) -> KeptEntry | None:
        group = self._groups.get(key[:2])
        return group.log.kept(key[2]) if group is not None else None

    def restore(self, rows: Rows, make: Callable[[_Key], Group], numbered: Callable[[int], int]) -> None:
        """Restore the groups and their members; raises BadRow.

        :param make: makes an empty group.
        :param numbered: registers the number of a group.
        """
        services: dict[tuple[str, ...], KeptServices] = {}

        def group(key: list[str], kept: KeptGroup) -> None:
            namespace, name = key
            found = self._groups[namespace, name] = make((namespace, name))
            found.restore(kept, rows.shift)
            numbered(found.number)

        def data(key: list[str], kept: KeptGroupData) -> None:
            namespace, name = key
            self._groups[namespace, name].messages.restore(kept)

        def past(key: list[str], kept: KeptPastRound) -> None:
            namespace, name, epoch = key
            shifted = kept.but(began=kept.began + rows.shift, ended=kept.ended + rows.shift)
            self._groups[namespace, name].round.past[int(epoch)] = shifted

        def of_member(key: list[str], kept: KeptServices) -> None:
            services[tuple(key)] = kept

        def member(key: list[str], kept: KeptGroupMember) -> None:
            namespace, name, number = key
            found = self._groups[namespace, name]
            client = rows.clients.client(kept.host, kept.client, kept.principal)
            announced = services.pop(tuple(key), KeptServices(services=())).services
            one = Member.restore(int(number), kept, announced, client, rows.shift)
            if one.name in found.by_name:
                raise ValueError(f"{one.name} is a member twice")
            found.put_back(one)
            self._members.add(found, one)

        def entry(key: list[str], kept: KeptEntry) -> None:
            namespace, name, number = key
            log = self._groups[namespace, name].log
            if kept.kind not in KINDS or not 0 < int(number) <= log.last:
                raise ValueError("its kind is not known, or its group has fewer events")
            log.put(GroupEvent(int(number), kept.kind, kept.service, kept.sender, kept.data, kept.only))

        def ended(key: list[str], kept: KeptEndedMember) -> None:
            self._members.ended[int(key[0])] = kept

        rows.each("group", KeptGroup, group, by_number)
        rows.each("group data", KeptGroupData, data)
        rows.each("group past", KeptPastRound, past, by_key)
        rows.each("group services", KeptServices, of_member)
        rows.each("group member", KeptGroupMember, member, by_key)
        rows.each("group entry", KeptEntry, entry, by_key)
        rows.each("group ended", KeptEndedMember, ended, by_key)
