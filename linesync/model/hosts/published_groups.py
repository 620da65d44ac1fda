"""Groups and roles, as hosts publish them: ``group=...``, ``role=...``, ``group_size=N``.

Hosts that publish no group are one, of an empty name. The controller's own scripts are in it as readers, and nobody waits
for them. Where nobody has said how many a group has, a host that was stopped is in it no more.
"""

from __future__ import annotations

import re

from ..participants import Cause
from ..sync.gathering import Group
from .membership import Membership

__all__ = ["PublishedGroups"]

_GROUP, _ROLE, _SIZE = "group", "role", "group_size"
_NUMBER = re.compile(r"[0-9]{1,5}")


class PublishedGroups:
    """The groups of a hub's hosts."""

    def __init__(self, hosts: Membership) -> None:
        self._hosts = hosts

    def name_of(self, host: str) -> str:
        """The group that a host is in."""
        return self._hosts.published(host).get(_GROUP, "")

    def group(self, name: str) -> Group:
        """Who is in a group; its size is the largest that one of them published."""
        published = {host: values for host, values in self._hosts.all_published() if values.get(_GROUP, "") == name}
        texts = [values.get(_SIZE, "") for values in published.values()]
        size = max((int(text) for text in texts if _NUMBER.fullmatch(text)), default=None)
        if size is None:
            published = {host: values for host, values in published.items() if not self._stopped(host)}
        return Group(members={host: values.get(_ROLE, "") for host, values in published.items()}, size=size)

    def _stopped(self, host: str) -> bool:
        lost = self._hosts.lost(host)
        return lost is not None and lost[0] is Cause.STOPPED

    def lost(self, host: str) -> str | None:
        """Why a host is lost, as half a sentence."""
        lost = self._hosts.lost(host)
        return None if lost is None else f"{lost[0]}: {lost[1]}" if lost[1] else str(lost[0])
