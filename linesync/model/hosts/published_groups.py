"""Groups and roles, as hosts publish them: ``group=...``, ``role=...``, ``group_size=N``.

Hosts that publish no group form the group with the empty name. The controller's own scripts can read its messages, but no
host waits for them. If no host has published the size of a group, a host that was stopped is no longer part of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from ..participants import Cause, cause_in_words
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
        """The group of a host."""
        return self._hosts.published(host).get(_GROUP, "")

    def group(self, name: str, stopped: Collection[str] = ()) -> Group:
        """The hosts of a group; its size is the largest that any of them publishes.

        :param stopped: stopped hosts that still belong to it.
        """
        published = {host: values for host, values in self._hosts.all_published() if values.get(_GROUP, "") == name}
        texts = [values.get(_SIZE, "") for values in published.values()]
        size = max((int(text) for text in texts if _NUMBER.fullmatch(text)), default=None)
        if size is None:
            published = {
                host: values for host, values in published.items() if host in stopped or not self._stopped(host)
            }
        return Group(members={host: values.get(_ROLE, "") for host, values in published.items()}, size=size)

    def _stopped(self, host: str) -> bool:
        lost = self._hosts.lost(host)
        return lost is not None and lost[0] is Cause.STOPPED

    def lost(self, host: str) -> str | None:
        """Why a host is lost, as a phrase for an error; None if it is not. A host that restarts may still send."""
        lost = self._hosts.lost(host)
        if lost is None or lost[0] is Cause.RESTARTED:
            return None
        return cause_in_words(*lost)
