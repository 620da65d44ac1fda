"""Waits until a group has enough members."""

from __future__ import annotations

from typing import Protocol

from ...errors import TimedOut
from ..decisions import Names, Outcome
from ..kept.waits import AtGroup
from ..participants import Cause, names_in_words, seconds_in_words
from ..sync.place import Place
from ..sync.waits import Wait, Waits

__all__ = ["MembersPlace"]


class Home(Protocol):
    """The part of the groups that these waits use."""

    waits: Waits

    def member_names(self, key: tuple[str, str]) -> tuple[str, ...]: ...
    def forget_place(self, place: MembersPlace) -> None: ...


class MembersPlace(Place):
    """The waits for members of one group. The group may not exist yet."""

    def __init__(self, home: Home, key: tuple[str, str]) -> None:
        super().__init__("group", *key)
        self._home = home
        self._waits: dict[Wait, int] = {}

    def __len__(self) -> int:
        return len(self._waits)

    def all(self) -> list[Wait]:
        """The waits, in order of arrival."""
        return list(self._waits)

    def enter(self, wait: Wait, least: int) -> None:
        """Add a wait for a number of members."""
        self._waits[wait] = least

    def too_few(self, headline: str, least: int) -> TimedOut:
        """The error for a group with too few members. It names the current members."""
        members = self._home.member_names(self.key)
        found = f"{len(members)} of {least} members: {names_in_words(members, len(members))}"
        return TimedOut(f"{headline} {self.title}: it has {found}", details={"members": list(members), "count": least})

    def timed_out(self, wait: Wait) -> TimedOut:
        return self.too_few(f"timed out after {seconds_in_words(wait.timeout or 0)} at", self._waits[wait])

    def leave(self, wait: Wait, cause: Cause) -> None:
        del self._waits[wait]
        if not self._waits:
            self._home.forget_place(self)

    def settle(self, now: float) -> list[Outcome]:
        members = self._home.member_names(self.key)
        ready = [wait for wait, least in self._waits.items() if least <= len(members)]
        outcomes = []
        for wait in ready:
            self.leave(wait, Cause.GAVE_UP)
            outcomes.append(self._home.waits.grant(wait, Names(names=members), now))
        return outcomes

    def kept(self, wait: Wait) -> AtGroup:
        return AtGroup(*self.key, self._waits[wait])

    def restore_wait(self, wait: Wait, at: AtGroup) -> None:
        if len(self._home.member_names(self.key)) >= at.least:
            raise ValueError(f"a wait for {at.least} members of the {self.title} would have ended")
        self.enter(wait, at.least)
