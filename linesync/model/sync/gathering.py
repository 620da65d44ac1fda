"""Gathering: to wait until every other host of a group, or of one role in it, has sent to a topic (LAVA's wait-all).

1. Here hosts count: one has sent when it, or any of its members (``host#tag``), has; and none waits for itself.
2. A group is complete when as many hosts are known to be in it as its size says. Without a size those that are known are
   all; while there is no other one to wait for, the wait goes on. The reader's group is the one that it is in when it
   begins to wait.
3. A host that is lost before it has sent ends the waits that need it at once; so does a role that nobody in a complete
   group of known size has. A host that has sent may be lost: its message is there.
4. The answer is the last message of each, in order of their numbers.

All who gather at the same topic for the same group and role share one list of the hosts that have not sent, so that a message
costs one step for all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from ...errors import LinesyncError, LinesyncFailed, MemberLost, Mismatch, TimedOut
from ..decisions import Message, Messages, Outcome
from ..participants import NAMES_TOLD, Cause, names_in_words, seconds_in_words
from .waits import Place, Wait, Waits

__all__ = ["Gathering", "Group", "Groups", "Last", "host_of"]

ANSWER_ROOM = 512 << 10  # bytes of one answer, counted as those of all messages are
LISTED = 100  # names in the details of one error, and in one row of status


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Who is in a group, as far as is known.

    :ivar members: the hosts that were seen, lost ones included, with their roles (empty for none).
    :ivar size: how many hosts it will have, or None when nobody has said so.
    """

    members: Mapping[str, str]
    size: int | None = None


class Groups(Protocol):
    """What gathering has to know of hosts. When any of it changes, the mailbox is told (``hosts_changed``, ``host_lost``)."""

    def name_of(self, host: str) -> str:
        """The group that a host is in; all who say nothing, and whoever is unknown, are in the group of an empty name."""

    def group(self, name: str) -> Group:
        """Who is in a group."""

    def lost(self, host: str) -> str | None:
        """Why a host is lost, as half a sentence; None while it lives or if it was never seen."""


@dataclass(frozen=True, slots=True)
class Last:
    """The last message of a host at a topic.

    :ivar room: the bytes it takes in an answer.
    """

    message: Message
    room: int


class Gathering(Place):
    """Those who wait for the same hosts at one topic.

    :param key: the topic's namespace and name.
    :param last: the last message of each host that has sent to it; a live view.
    :param group: the group's name.
    :param role: the role in it, empty for all.
    :param ended: called when nobody waits here any more.
    """

    def __init__(
        self,
        waits: Waits,
        groups: Groups,
        key: tuple[str, str],
        last: Mapping[str, Last],
        group: str,
        role: str,
        ended: Callable[[Gathering], None],
    ) -> None:
        super().__init__("topic", *key)
        self.whom = (group, role)
        self._waits = waits
        self._groups = groups
        self._last = last
        self._ended = ended
        self._here: dict[Wait, None] = {}
        self._look()

    def _look(self) -> None:
        name, wanted = self.whom
        self._group = self._groups.group(name)
        self._expected = [host for host, role in self._group.members.items() if wanted in ("", role)]
        self._missing = {host: None for host in self._expected if host not in self._last}

    # -- what a reader needs -----------------------------------------------------------------------------------------------

    def needs(self, host: str) -> bool:
        """Whether somebody here may wait for that host."""
        return host in self._missing

    def ready(self, reader: str) -> bool:
        """Whether everybody has sent whom the reader waits for, and does not wait for in vain."""
        host = host_of(reader)
        if self._unseen() or len(self._missing) > (host in self._missing):
            return False
        return self._group.size is not None or any(other != host for other in self._expected)

    def refuse(self, reader: str) -> None:
        """Raise MemberLost or Mismatch when the reader would wait in vain."""
        error = self._hopeless(reader, self._lost())
        if error is not None:
            raise error

    def read(self, reader: str) -> Messages:
        """What a reader gets who is ready.

        :raises LinesyncFailed: it is too much for one answer.
        """
        return self._read(reader, self._collected())

    def _unseen(self) -> int:
        """How many hosts of the group nobody has seen."""
        return max((self._group.size or 0) - len(self._group.members), 0)

    def _nobody_has_the_role(self) -> bool:
        return bool(self._group.size is not None and self.whom[1] and not self._expected and not self._unseen())

    def _lost(self) -> dict[str, str]:
        """The lost hosts that have not sent, and why they are lost."""
        return {host: why for host in self._missing if (why := self._groups.lost(host)) is not None}

    def _collected(self) -> list[tuple[str, Last]]:
        """The last message of each that is waited for, in order."""
        found = [(host, self._last[host]) for host in self._expected if host in self._last]
        return sorted(found, key=lambda entry: entry[1].message.number)

    def _read(self, reader: str, collected: list[tuple[str, Last]]) -> Messages:
        own = host_of(reader)
        others = [last for host, last in collected if host != own]
        room = sum(last.room for last in others)
        if room > ANSWER_ROOM:
            raise LinesyncFailed(
                f"{self.title}: the last messages of {len(others)} hosts take {room >> 10} KiB together, and one answer "
                f"holds {ANSWER_ROOM >> 10}; read them one by one, or send less"
            )
        return Messages(messages=tuple(last.message for last in others))

    # -- coming and going --------------------------------------------------------------------------------------------------

    def everybody(self) -> list[Wait]:
        return list(self._here)

    def enter(self, wait: Wait) -> None:
        """Add a reader that is not ready."""
        self._here[wait] = None

    def sent(self, host: str, now: float) -> list[Outcome]:
        """A host has sent: serve those who waited for it alone."""
        if host not in self._missing:
            return []
        del self._missing[host]
        return self._serve(now)

    def look_again(self, now: float) -> list[Outcome]:
        """The group may have changed."""
        self._look()
        return [*self.end_hopeless(now), *self._serve(now)]

    def end_hopeless(self, now: float) -> list[Outcome]:
        """Fail those who wait in vain."""
        lost = self._lost()
        ending = [(wait, error) for wait in self._here if (error := self._hopeless(wait.name, lost)) is not None]
        return self._waits.fail(ending, Cause.LINE_LOST, now)

    def _serve(self, now: float) -> list[Outcome]:
        if len(self._missing) > 1:
            return []
        collected = self._collected()
        outcomes: list[Outcome] = []
        too_long: list[tuple[Wait, LinesyncError]] = []
        for wait in [wait for wait in self._here if self.ready(wait.name)]:
            try:
                value = self._read(wait.name, collected)
            except LinesyncFailed as error:
                too_long.append((wait, error))
                continue
            del self._here[wait]
            outcomes.append(self._waits.grant(wait, value, now))
        return [*outcomes, *self._waits.fail(too_long, Cause.ABORTED, now), *self.settle(now)]

    def leave(self, wait: Wait, cause: Cause) -> None:
        del self._here[wait]

    def settle(self, now: float) -> list[Outcome]:
        if not self._here:
            self._ended(self)
        return []

    # -- in words ------------------------------------------------------------------------------------------------------------

    def _whom_in_words(self) -> str:
        group, role = self.whom
        return (f"group '{group}'" if group else "the hosts without a group") + (f", role '{role}'" if role else "")

    def _sent(self, reader: str) -> list[str]:
        """Who is waited for and has sent."""
        own = host_of(reader)
        return [host for host in self._expected if host in self._last and host != own]

    def _hopeless(self, reader: str, lost: dict[str, str]) -> LinesyncError | None:
        if self._nobody_has_the_role():
            roles = dict.fromkeys(role for role in self._group.members.values() if role)
            return Mismatch(
                f"{self.title} waits for nobody: {self._whom_in_words()}: its {self._group.size} hosts are all known, and "
                f"have other roles ({', '.join(islice(roles, NAMES_TOLD)) or 'none'}); name one of these",
                details={"role": self.whom[1], "roles": list(islice(roles, LISTED)), "group": self.whom[0]},
            )
        gone = {host: why for host, why in lost.items() if host != host_of(reader)}
        if not gone:
            return None
        told = "; ".join(
            f"{host} was lost before it had sent ({why})" for host, why in islice(gone.items(), NAMES_TOLD)
        )
        sent = self._sent(reader)
        return MemberLost(
            f"{self.title}: {told}; have sent: {names_in_words(sent, len(sent))}; bring it back and wait again",
            details={"lost": dict(islice(gone.items(), LISTED)), "sent": sent[:LISTED], "group": self.whom[0]},
        )

    def missing(self, headline: str, reader: str) -> TimedOut:
        """Word a timeout: who has sent, who has not and why, how many were never seen."""
        sent = self._sent(reader)
        absent = {
            host: f"lost: {why}" if (why := self._groups.lost(host)) is not None else "has not sent"
            for host in self._missing
            if host != host_of(reader)
        }
        told = [f"have sent: {names_in_words(sent, len(sent))}"]
        if absent:
            told.append("missing: " + names_in_words([f"{host} ({why})" for host, why in absent.items()], len(absent)))
        if self._unseen():
            told.append(f"{self._unseen()} of {self._group.size} hosts never seen")
        if not (sent or absent or self._unseen()):
            told.append("no other host is known")
        return TimedOut(
            f"{headline} ({self._whom_in_words()}): {'; '.join(told)}",
            details={
                "sent": sent[:LISTED],
                "missing": dict(islice(absent.items(), LISTED)),
                "unseen": self._unseen(),
                "group": self.whom[0],
                "role": self.whom[1],
            },
        )

    def timed_out(self, wait: Wait) -> TimedOut:
        after = seconds_in_words(wait.timeout or 0)
        return self.missing(f"timed out after {after} at {self.title}", wait.name)

    def rows(self, now: float) -> list[dict[str, object]]:
        """Who waits here, for ``status``."""
        missing = list(islice(self._missing, LISTED))
        return [
            {
                "name": wait.name,
                "client": wait.client.number,
                "waiting": now - wait.since,
                "group": self.whom[0],
                "role": self.whom[1],
                "missing": [host for host in missing if host != host_of(wait.name)],
            }
            for wait in self._here
        ]


def host_of(member: str) -> str:
    """The host of a member."""
    return member.partition("#")[0]
