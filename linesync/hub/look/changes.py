"""The changes of the hub's state, for the clients that follow them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from ...model.decisions import Noted
from ...model.participants import Client
from ...model.state.change import LOST, Change
from ...timestamps import utc
from .follower import Follower

__all__ = ["Changes", "lost"]

_BEHIND = 1 << 18  # the maximum number of waiting bytes of a follower; above it, the oldest changes are lost
_WHY = 500  # the maximum number of characters of a reason


class Changes:
    """Numbers the changes of one hub, and sends each change to all followers as a line of JSON."""

    def __init__(self) -> None:
        self.number = 0
        """The number of the last change."""
        self._followers: set[Follower] = set()  # bound: limits.CHANNELS, limits.SESSIONS

    def add(self, noted: Sequence[Noted], asker: Client | None) -> None:
        """Send changes that have just happened to the followers.

        :param asker: the client whose request caused the changes; None if no request caused them. A change that names a
            client keeps that client.
        """
        if not self._followers:
            self.number += len(noted)
            return
        now = utc(time.time())
        for entry in noted:
            self.number += 1
            client = entry.client or asker
            namespace, name = entry.key
            line = _line(
                Change(
                    number=self.number,
                    time=now,
                    kind=entry.kind,
                    namespace=namespace,
                    name=name,
                    who=entry.who,
                    value=entry.value,
                    why=entry.why[:_WHY],
                    by=client.principal if client is not None else None,
                )
            )
            for follower in self._followers:
                follower.put(line)

    def follow(self) -> Follower:
        follower = Follower(_BEHIND)
        self._followers.add(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        self._followers.discard(follower)


def lost(count: int, number: int) -> bytes:
    """The line for a follower that has lost changes.

    :param count: the number of lost changes.
    :param number: the number of the last lost change.
    """
    change = Change(
        number=number,
        time=utc(time.time()),
        kind=LOST,
        namespace="",
        name="",
        who="",
        value=count,
        why="this follower did not read them in time",
        by=None,
    )
    return _line(change)


def _line(change: Change) -> bytes:
    return json.dumps(change.as_json(), separators=(",", ":")).encode() + b"\n"
