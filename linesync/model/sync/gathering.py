"""Gathering: a wait until every other host of a group, or of one role in it, has sent to a topic (LAVA's wait-all).

1. Hosts count, not members: a host has sent when it or any of its members (``host#tag``) has sent. A reader does not wait
   for its own host.
2. A group is complete when the number of known hosts equals the published size of the group. Without a published size, the
   known hosts are the group. While no other host is known, the wait continues. The reader's group is its group at the start
   of the wait.
3. When a host is lost before it has sent, the waits that need it fail immediately. A wait for a role also fails if no host
   of a complete group of known size has the role. The loss of a host that has sent changes nothing, because its message
   remains.
4. The answer contains the last message of each host, in order of the message numbers.

All readers that wait at the same topic for the same group and role share one list of the hosts that have not sent. The cost
of a message is therefore one step for all of these readers together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from ...errors import LinesyncError, LinesyncFailed, MemberLost, Mismatch, TimedOut
from ..decisions import Message, Messages, Outcome
from ..kept.waits import AtGathering
from ..participants import NAMES_SHOWN, Cause, host_of, names_in_words, seconds_in_words
from ..state.sync.topic import GroupReader
from .place import Place
from .waits import Wait, Waits

__all__ = ["Gathering", "Group", "Groups", "Last"]

ANSWER_ROOM = 512 << 10  # the maximum size of one answer in bytes, counted as in the mailbox
LISTED = 100  # the maximum number of names in the details of one error, and in one row of status


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The known hosts of a group.

    :ivar members: the role of each host that was seen, including lost hosts; an empty role for none.
    :ivar size: the number of hosts that the group will have; None if no host has published it.
    """

    members: Mapping[str, str]
    size: int | None = None


class Groups(Protocol):
    """The groups of hosts, as a gathering uses them. The hub calls the mailbox's ``hosts_changed`` and ``host_lost`` after a
    change."""

    def name_of(self, host: str) -> str:
        """The group of a host. Unknown hosts and hosts that publish no group belong to the group with the empty name."""

    def group(self, name: str, stopped: Collection[str] = ()) -> Group:
        """The hosts of a group.

        :param stopped: stopped hosts that still belong to it.
        """

    def lost(self, host: str) -> str | None:
        """The reason why a host is lost, as a phrase for an error; None while it is alive or if it was never seen."""


@dataclass(frozen=True, slots=True)
class Last:
    """The last message of a host at a topic.

    :ivar room: the counted size of the message in bytes.
    """

    message: Message
    room: int


class Gathering(Place):
    """The waits for the same hosts at one topic.

    :param key: the namespace and the name of the topic.
    :param last: the last message of each host that has sent to the topic; the topic keeps this up to date.
    :param group: the group's name.
    :param role: the role in the group; empty for all roles.
    :param ended: called when the last wait has left.
    :param stopped: for a restored gathering, the stopped hosts that still belong to it.
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
        stopped: Collection[str] = (),
    ) -> None:
        super().__init__("topic", *key)
        self.selection = (group, role)
        self._waits = waits
        self._groups = groups
        self._last = last
        self._ended = ended
        self._waiting: dict[Wait, None] = {}
        self.stopped = tuple(stopped)
        """The hosts that have stopped since the group was last read. They still belong to it, because they have sent."""
        self._look()

    def _look(self) -> None:
        name, wanted = self.selection
        self._group = self._groups.group(name, self.stopped)
        self._expected = [host for host, role in self._group.members.items() if wanted in ("", role)]
        self._missing = {host: None for host in self._expected if host not in self._last}

    # -- the hosts that a reader needs -------------------------------------------------------------------------------------------

    def host_lost(self, host: str, now: float) -> list[Outcome]:
        """Fail the waits that need a lost host."""
        if host in self._group.members:
            known = self._groups.group(self.selection[0]).members
            stopped = tuple([host for host in self._group.members if host not in known])
            if stopped != self.stopped:
                self.stopped = stopped
                self._waits.journal.mark("gathering", self.number)
        return self.end_hopeless(now) if host in self._missing else []

    def ready(self, reader: str) -> bool:
        """Whether every host that the reader waits for has sent."""
        host = host_of(reader)
        if self._unseen() or len(self._missing) > (host in self._missing):
            return False
        return self._group.size is not None or any(other != host for other in self._expected)

    def refuse(self, reader: str) -> None:
        """Raise MemberLost or Mismatch if the reader's wait can no longer succeed."""
        error = self._hopeless(reader, self._lost())
        if error is not None:
            raise error

    def read(self, reader: str) -> Messages:
        """The answer for a reader that is ready.

        :raises LinesyncFailed: the messages are too large for one answer.
        """
        return self._read(reader, self._collected())

    def _unseen(self) -> int:
        """The number of hosts of the group that were never seen."""
        return max((self._group.size or 0) - len(self._group.members), 0)

    def _role_is_missing(self) -> bool:
        return bool(self._group.size is not None and self.selection[1] and not self._expected and not self._unseen())

    def _lost(self) -> dict[str, str]:
        """The lost hosts that have not sent, each with the reason of its loss."""
        return {host: why for host in self._missing if (why := self._groups.lost(host)) is not None}

    def _collected(self) -> list[tuple[str, Last]]:
        """The last message of each expected host that has sent, in order."""
        found = [(host, self._last[host]) for host in self._expected if host in self._last]
        return sorted(found, key=lambda entry: entry[1].message.number)

    def _read(self, reader: str, collected: list[tuple[str, Last]]) -> Messages:
        reader_host = host_of(reader)
        others = [last for host, last in collected if host != reader_host]
        room = sum(last.room for last in others)
        if room > ANSWER_ROOM:
            raise LinesyncFailed(
                f"{self.title}: the last messages of {len(others)} hosts have {room >> 10} KiB together, but an answer "
                f"has at most {ANSWER_ROOM >> 10} KiB; read them one by one, or send less"
            )
        return Messages(messages=tuple(last.message for last in others))

    # -- waits -------------------------------------------------------------------------------------------------------------

    def all_waits(self) -> list[Wait]:
        return list(self._waiting)

    def enter(self, wait: Wait) -> None:
        """Add the wait of a reader that is not ready."""
        self._waiting[wait] = None

    def sent(self, host: str, now: float) -> list[Outcome]:
        """Record that a host has sent, and serve the readers that are ready."""
        if host not in self._missing:
            return []
        del self._missing[host]
        return self._serve(now)

    def look_again(self, now: float) -> list[Outcome]:
        """Read the group again after a change, and end the waits that are ready or can no longer succeed."""
        if self.stopped:
            self.stopped = ()
            self._waits.journal.mark("gathering", self.number)
        self._look()
        return [*self.end_hopeless(now), *self._serve(now)]

    def end_hopeless(self, now: float) -> list[Outcome]:
        """Fail the waits that can no longer succeed."""
        lost = self._lost()
        ending = [(wait, error) for wait in self._waiting if (error := self._hopeless(wait.name, lost)) is not None]
        return self._waits.fail(ending, Cause.LINE_LOST, now)

    def _serve(self, now: float) -> list[Outcome]:
        if len(self._missing) > 1:
            return []
        collected = self._collected()
        outcomes: list[Outcome] = []
        too_long: list[tuple[Wait, LinesyncError]] = []
        for wait in [wait for wait in self._waiting if self.ready(wait.name)]:
            try:
                value = self._read(wait.name, collected)
            except LinesyncFailed as error:
                too_long.append((wait, error))
                continue
            del self._waiting[wait]
            outcomes.append(self._waits.grant(wait, value, now))
        return [*outcomes, *self._waits.fail(too_long, Cause.ABORTED, now), *self.settle(now)]

    def kept(self, wait: Wait) -> AtGathering:
        return AtGathering(self.number)

    def restore_wait(self, wait: Wait, at: AtGathering) -> None:
        if wait.granted is not None:
            raise ValueError(f"a wait at {self.title} is not granted before it ends")
        self.enter(wait)

    def leave(self, wait: Wait, cause: Cause) -> None:
        del self._waiting[wait]

    def settle(self, now: float) -> list[Outcome]:
        if not self._waiting:
            self._ended(self)
        return []

    # -- as text ------------------------------------------------------------------------------------------------------------

    def _selection_in_words(self) -> str:
        group, role = self.selection
        return (f"group '{group}'" if group else "the hosts without a group") + (f", role '{role}'" if role else "")

    def _sent(self, reader: str) -> list[str]:
        """The hosts that the reader waits for and that have sent."""
        reader_host = host_of(reader)
        return [host for host in self._expected if host in self._last and host != reader_host]

    @staticmethod
    def _sent_in_words(sent: list[str]) -> str:
        return f"have sent: {names_in_words(sent, len(sent))}" if sent else "no host has sent"

    def _hopeless(self, reader: str, lost: dict[str, str]) -> LinesyncError | None:
        if self._role_is_missing():
            roles = dict.fromkeys(role for role in self._group.members.values() if role)
            return Mismatch(
                f"{self.title}: no host matches {self._selection_in_words()}: all {self._group.size} hosts of the group are "
                f"known, and their roles are: {', '.join(islice(roles, NAMES_SHOWN)) or 'none'}; name one of these roles",
                details={"role": self.selection[1], "roles": list(islice(roles, LISTED)), "group": self.selection[0]},
            )
        others = {host: why for host, why in lost.items() if host != host_of(reader)}
        if not others:
            return None
        parts = "; ".join(
            f"{host} was lost before it had sent ({why})" for host, why in islice(others.items(), NAMES_SHOWN)
        )
        sent = self._sent(reader)
        return MemberLost(
            f"{self.title}: {parts}; {self._sent_in_words(sent)}; bring the host back and wait again",
            details={"lost": dict(islice(others.items(), LISTED)), "sent": sent[:LISTED], "group": self.selection[0]},
        )

    def missing(self, headline: str, reader: str) -> TimedOut:
        """The error for a timeout: the hosts that have sent, the missing hosts with the reasons, and the number of hosts
        that were never seen.

        :param headline: the first clause of the message.
        """
        sent = self._sent(reader)
        absent = {
            host: f"lost: {why}" if (why := self._groups.lost(host)) is not None else "has not sent"
            for host in self._missing
            if host != host_of(reader)
        }
        parts = [self._sent_in_words(sent)]
        if absent:
            parts.append("missing: " + names_in_words([f"{host} ({why})" for host, why in absent.items()], len(absent)))
        if self._unseen():
            parts.append(f"{self._unseen()} of {self._group.size} hosts never seen")
        if not (sent or absent or self._unseen()):
            parts.append("no other host is known")
        return TimedOut(
            f"{headline} ({self._selection_in_words()}): {'; '.join(parts)}",
            details={
                "sent": sent[:LISTED],
                "missing": dict(islice(absent.items(), LISTED)),
                "unseen": self._unseen(),
                "group": self.selection[0],
                "role": self.selection[1],
            },
        )

    def timed_out(self, wait: Wait) -> TimedOut:
        after = seconds_in_words(wait.timeout or 0)
        return self.missing(f"timed out after {after} at {self.title}", wait.name)

    def state(self, now: float) -> list[GroupReader]:
        """The state of each wait."""
        missing = list(islice(self._missing, LISTED))
        return [
            GroupReader(
                name=wait.name,
                client=wait.client.number,
                waiting=now - wait.since,
                group=self.selection[0],
                role=self.selection[1],
                missing=tuple([host for host in missing if host != host_of(wait.name)]),
            )
            for wait in self._waiting
        ]
