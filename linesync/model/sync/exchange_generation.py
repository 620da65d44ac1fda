"""One open generation of an exchange: its arrivals, the keys of the given data, and the missing members."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Protocol

from ...errors import LinesyncError, LinesyncFailed, MemberLost, Mismatch, TimedOut, UsageError
from ..decisions import Exchanged, Outcome
from ..hosts.members import fold
from ..kept.objects import KeptExchange, KeptGiven
from ..kept.waits import AtExchange
from ..participants import LOST, Cause, cause_in_words, host_of, names_in_words, seconds_in_words
from ..state.sync.exchange import ExchangeState
from .barriers.history import Failure, Past
from .barriers.terms import Terms
from .place import Acting, Edge, Place
from .waits import Wait, Waits

__all__ = ["Generation", "Home", "Hosts"]

NAMES_LISTED = 100  # the maximum number of names in one error or status row, for any number of members
FOLDED_SHOWN = 400  # the maximum length of a list of members in one error, in characters
_DEATHS = (*LOST, Cause.RESTARTED, Cause.CLIENT_GONE)
"""The causes with which a client died. With all other causes, the client ended the arrival itself."""


class Hosts(Protocol):
    """The hosts, as an exchange uses them."""

    def lost(self, host: str, /) -> tuple[Cause, str] | None:
        """The cause and the reason (a clause) of a host's loss; None while it is alive or if it was never seen."""

    def remark(self, host: str, /) -> str:
        """A short text about a host that is not lost (``never seen``, ``its line ... is down``); may be empty."""


class Home(Protocol):
    """The service of a generation, as the generation uses it.

    :ivar limit: the limit of the data of one member, in bytes.
    """

    waits: Waits
    hosts: Hosts
    past: Past
    limit: int

    @property
    def dropped(self) -> Callable[[int], None]:
        """Called with the key of data that is no longer needed."""

    def close(self, exchange: Generation) -> None:
        """Forget a generation that has ended."""

    def keep_data(self, exchange: Generation, now: float) -> None:
        """Keep the data of a generation at which no arrival waits for another ten minutes."""


class Generation(Place):
    """One open generation of one name."""

    OWNED = True

    def __init__(self, home: Home, namespace: str, name: str, terms: Terms) -> None:
        super().__init__("exchange", namespace, name)
        self.terms = terms
        self.members = terms.members or frozenset()
        self.data: dict[str, int] = {}
        """Member to the key of its data, for waiting members and for members that are gone."""
        self._home = home
        self._generation = home.past.next_generation(self.key)
        self.until: float | None = None
        """The time at which the data is forgotten, because no arrival waits; None while an arrival waits."""
        self._open: dict[str, Wait] = {}  # member to its open arrival, in order of arrival
        self._polls: set[Wait] = set()
        self._gone: dict[str, Cause] = {}  # members that left and have not arrived again
        self._died: dict[str, str] = {}  # members that died before their data was complete; settle() fails the exchange
        self._over = False

    def all_waits(self) -> list[Wait]:
        return list(self._open.values())

    # -- refusals ------------------------------------------------------------------------------------------------------

    def refuse(self, members: frozenset[str], member: str, size: int) -> None:
        """Raise Mismatch or UsageError for an arrival that does not match this exchange.

        :param size: the size of the arrival's data in bytes.
        """
        if members != self.members:
            arrived = self._arrived()
            raise Mismatch(
                f"{self.title} is for {_folded(self.members)}, which its first arrival fixed (arrived: "
                f"{names_in_words(arrived, len(arrived))}), but this arrival is for {_folded(members)}; "
                "name the same members everywhere, or use another name",
                details={"members": self._some(self.members), "yours": self._some(members), "arrived": arrived},
            )
        if member not in self.members:
            raise Mismatch(
                f"{member} is not a member of {self.title}, which is for {_folded(self.members)}; "
                "give as one of its members (--as), or name all members everywhere",
                details={"member": member, "members": self._some(self.members)},
            )
        if member in self._open:
            raise Mismatch(
                f"member {member} is already waiting at {self.title}; end that wait first, or give as another member",
                details={"member": member, "arrived": self._arrived()},
            )
        if not 0 <= size <= self._home.limit:
            raise UsageError(
                f"{member} cannot give {size:,} bytes to {self.title}: a member gives at most {self._home.limit:,} bytes; "
                "copy larger data as a file (linesync cp)",
                details={"size": size, "limit": self._home.limit},
            )

    def refuse_lost(self, newcomer: str) -> None:
        """Raise MemberLost for an arrival while another member is lost."""
        lost = {member: why for member in sorted(self.members) if member != newcomer and (why := self._lost(member))}
        if lost:
            raise self._member_lost(lost)

    def refuse_poll(self, newcomer: str) -> None:
        """Raise TimedOut for a poll that does not complete the exchange."""
        if any(member not in self.data and member != newcomer for member in self.members):
            raise self._incomplete(f"{self.title} is not complete", newcomer)

    # -- members that have arrived and members that are missing --------------------------------------------------------

    def _missing(self) -> list[str]:
        """The members whose data is not complete, sorted."""
        return sorted(self.members - self.data.keys())

    def _arrived(self) -> list[str]:
        """The members that have arrived, sorted."""
        return self._some(self.data.keys() | self._open.keys())

    @staticmethod
    def _some(names: Iterable[str]) -> list[str]:
        return list(islice(sorted(names), NAMES_LISTED))

    def _lost(self, member: str) -> str:
        """The reason why a member's host is lost, as a clause; empty while it is not lost."""
        lost = self._home.hosts.lost(host_of(member))
        return "" if lost is None or lost[0] not in LOST else cause_in_words(*lost)

    def _why_missing(self, member: str) -> str:
        if member in self._open:
            return "still giving"
        if member in self._gone:
            return f"left: {self._gone[member]}"
        lost = self._home.hosts.lost(host_of(member))
        return cause_in_words(*lost) if lost else self._home.hosts.remark(host_of(member)) or "has not arrived"

    def _details(self) -> dict[str, object]:
        missing = self._missing()
        return {
            "generation": self._generation,
            "count": len(self.members),
            "given": self._some(self.data),
            "missing": {member: self._why_missing(member) for member in missing[:NAMES_LISTED]},
            "gone": {name: str(cause) for name, cause in islice(sorted(self._gone.items()), NAMES_LISTED)},
        }

    def _incomplete(self, headline: str, poller: str = "") -> TimedOut:
        """The error for a timeout: the members that gave their data, and the missing members with the reasons.

        :param headline: the first clause of the message.
        :param poller: the member that polls, which is not listed as missing; empty for none.
        """
        missing = [member for member in self._missing() if member != poller]
        described = [f"{member} ({self._why_missing(member)})" for member in missing[:NAMES_LISTED]]
        gave = names_in_words(self._some(self.data), len(self.data))
        return TimedOut(
            f"{headline}: {len(self.data)} of {len(self.members)} members gave their data: {gave}; missing: "
            + names_in_words(described, len(missing)),
            details=self._details(),
        )

    def _member_lost(self, lost: dict[str, str]) -> MemberLost:
        described = "; ".join(
            f"{member} was lost before it gave its data ({why})" for member, why in islice(lost.items(), 12)
        )
        gave = names_in_words(self._some(self.data), len(self.data))
        return MemberLost(
            f"{self.title} cannot be complete: {described}; gave their data: {gave}; bring the host back and give again",
            details={"lost": dict(islice(lost.items(), NAMES_LISTED)), **self._details()},
        )

    # -- arriving and leaving ------------------------------------------------------------------------------------------

    def join(self, wait: Wait, *, polls: bool) -> None:
        """Add an arrival that matches. Its data will replace earlier data of the same member.

        :param polls: whether the arrival fails if it does not complete the exchange.
        """
        self._open[wait.name] = wait
        if self._gone.pop(wait.name, None) is not None:
            self._changed(wait.name)
        self._drop(wait.name)
        if polls:
            self._polls.add(wait)

    def give(self, wait: Wait, key: int, now: float) -> list[Outcome]:
        """Record the key of the complete data of an arrival."""
        self.data[wait.name] = key
        self._changed(wait.name, new=True)
        if wait in self._polls and len(self.data) < len(self.members):
            error = self._incomplete(f"{self.title} is no longer complete")
            return self._home.waits.fail([(wait, error)], Cause.TIMED_OUT, now)
        return self.settle(now)

    def timed_out(self, wait: Wait) -> TimedOut:
        return self._incomplete(f"timed out after {seconds_in_words(wait.timeout or 0)} at {self.title}")

    def leave(self, wait: Wait, cause: Cause) -> None:
        member = wait.name
        del self._open[member]
        self._polls.discard(wait)
        self._changed(member, new=member not in self.data and member not in self._gone)
        self._gone[member] = cause
        if self._over or cause not in _DEATHS:
            self._drop(member)
        elif member not in self.data:
            self._died[member] = str(cause)

    def host_lost(self, host: str, cause: Cause, why: str, now: float) -> list[Outcome]:
        """Fail the exchange for all members if the data of a member on a lost host is missing."""
        dead = [name for name, wait in self._open.items() if wait.client.host == host and name not in self.data]
        if cause in LOST:
            dead += [name for name in self._missing() if name not in self._open and host_of(name) == host]
        self._died |= dict.fromkeys(sorted(dead), cause_in_words(cause, why))
        return self._fail(self._member_lost(self._died), now) if dead else []

    def cannot_keep(self, wait: Wait, why: str, now: float) -> list[Outcome]:
        """Fail the exchange for all members because the hub cannot store the data of this arrival."""
        error = LinesyncFailed(
            f"{self.title} failed: the hub cannot store the data of {wait.name}: {why}",
            details={"member": wait.name, **self._details()},
        )
        return self._fail(error, now)

    def data_lost(self, why: str, now: float) -> list[Outcome]:
        """Fail the exchange for all members because data that was given is lost."""
        error = LinesyncFailed(
            f"{self.title} failed: the hub does not have the data that was given: {why}; exchange it again"
        )
        return self._fail(error, now)

    def _fail(self, error: LinesyncError, now: float) -> list[Outcome]:
        """Fail all arrivals, and keep the error for the members that have not arrived."""
        absent = set(self.members - self._open.keys() - self._died.keys())
        self._over = True
        self._died = {}
        self.forget_left()
        self._home.close(self)
        if absent:
            self._home.past.failed(self.key, Failure(self.terms, error, absent, 0, now))
        return self._home.waits.fail([(wait, error) for wait in self.all_waits()], Cause.ABORTED, now)

    def forget_left(self) -> None:
        """Drop the data of the members that no longer wait."""
        for member in sorted(self.data):
            if member not in self._open:
                self._drop(member)

    def _drop(self, member: str) -> None:
        key = self.data.pop(member, None)
        if key is not None:
            self._changed(member)
            self._home.dropped(key)

    def _changed(self, member: str, *, new: bool = False) -> None:
        """Mark the stored record of a member as changed."""
        self._home.waits.journal.mark("exchange given", (*self.key, member), new=new)

    def settle(self, now: float) -> list[Outcome]:
        if self._over:
            return []
        if self._died:
            return self._fail(self._member_lost(self._died), now)
        if len(self.data) == len(self.members):
            return self._release(now)
        if not self._open:
            if self.data:
                self._home.keep_data(self, now)
            else:
                self._home.close(self)
        return []

    def _release(self, now: float) -> list[Outcome]:
        members = tuple(sorted(self.members))
        value = Exchanged(
            generation=self._generation, members=members, keys=tuple(self.data[member] for member in members)
        )
        self._over = True
        self._home.waits.note("exchange complete", self.key, value=self._generation)
        waits = self.all_waits()
        self._open.clear()
        self._home.close(self)
        self._home.past.released(self.key, self.terms, self._generation, members, (), now)
        return [self._home.waits.grant(wait, value, now) for wait in waits]

    # -- storing -------------------------------------------------------------------------------------------------------

    def marked(self) -> set[str]:
        """The members that have a stored record."""
        return self.data.keys() | self._gone.keys()

    def kept_itself(self) -> KeptExchange:
        return KeptExchange(self.number, self._generation, self.until)

    def restore(self, kept: KeptExchange, shift: float) -> None:
        self._generation = kept.generation
        self.until = kept.until + shift if kept.until is not None else None

    def kept_member(self, member: str) -> KeptGiven | None:
        key, gone = self.data.get(member), self._gone.get(member)
        return None if key is None and gone is None else KeptGiven(key, str(gone) if gone is not None else None)

    def restore_member(self, member: str, kept: KeptGiven) -> None:
        if member not in self.members:
            raise ValueError(f"{member} is not a member of {self.title}")
        if kept.data is not None:
            self.data[member] = kept.data
        if kept.gone is not None:
            self._gone[member] = Cause(kept.gone)

    def kept(self, wait: Wait) -> AtExchange:
        return AtExchange(*self.key, wait in self._polls)

    def restore_wait(self, wait: Wait, at: AtExchange) -> None:
        if wait.name not in self.members or wait.name in self._open or wait.granted is not None:
            raise ValueError(f"{wait.name} cannot wait at {self.title}")
        self._open[wait.name] = wait
        if at.polls:
            self._polls.add(wait)

    # -- deadlocks and status ------------------------------------------------------------------------------------------

    def could_proceed(self, wait: Wait, acting: Acting) -> bool:
        return all(member in self._open or acting.member(member, self) for member in self._missing())

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        return [
            Edge(tuple(acting.waits_of(member)), f"{self.title}, to which {member} has not given its data")
            for member in self._missing()
            if member not in self._open and not acting.member(member, self)
        ]

    def state(self, now: float) -> ExchangeState:
        namespace, name = self.key
        missing = islice(self._missing(), NAMES_LISTED)
        return ExchangeState(
            namespace=namespace,
            name=name,
            members=fold(self.members),
            arrived=tuple([wait.state(now) for wait in self.all_waits()]),
            generation=self._generation,
            count=len(self.members),
            given=tuple(self._some(self.data)),
            missing={member: self._why_missing(member) for member in missing},
            gone={name: str(cause) for name, cause in islice(sorted(self._gone.items()), NAMES_LISTED)},
        )


def _folded(members: frozenset[str]) -> str:
    """A list of members for a message: the folded list, or only the first names if the folded list is too long."""
    folded = fold(members)
    return folded if 0 < len(folded) <= FOLDED_SHOWN else names_in_words(sorted(members), len(members))
