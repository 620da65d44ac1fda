"""One open generation of a barrier: its arrived, missing and lost parties, and its release."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from ....errors import Aborted, LinesyncError, MemberLost, Mismatch, TimedOut
from ...decisions import Outcome, Released
from ...hosts.membership import Membership
from ...kept.objects import KeptBarrier
from ...kept.waits import AtBarrier
from ...participants import LOST, NAMES_SHOWN, Cause, cause_in_words, host_of, names_in_words, seconds_in_words
from ...state.sync.barrier import BarrierState
from ..place import Acting, Edge, Place
from ..waits import Wait, Waits
from .history import Failure, Past
from .terms import CYCLIC, Terms

__all__ = ["Generation", "Home"]

GONE_REMEMBERED = 32  # the number of parties that left and whose cause is kept
ARRIVED_LISTED = 100  # the maximum number of names in one error, for any number of parties
PARTIES_SHOWN = 32  # a result has more names only on request, because long results for many parties need much memory


class Home(Protocol):
    """The service of a generation, as the generation uses it."""

    waits: Waits
    hosts: Membership
    past: Past

    def close(self, barrier: Generation) -> None:
        """Forget a generation that has ended."""

    def ask(self, barrier: Generation, hosts: Iterable[str], now: float) -> None:
        """Ask these hosts for a sign of life on behalf of this generation, which no longer waits for any other host."""


class Generation(Place):
    """One open generation of one name."""

    def __init__(self, home: Home, namespace: str, name: str, terms: Terms) -> None:
        super().__init__("barrier", namespace, name)
        self.terms = terms
        self.asked: set[str] = set()
        """The hosts that were asked for a sign of life and have not answered. Empty unless the generation is complete."""
        self._home = home
        self._generation = home.past.next_generation(self.key)
        self._parties: dict[Wait, str | None] = {}  # for each wait the member that arrived, in order of arrival
        self._later: dict[Wait, str | None] = {}  # the same for arrivals at a complete generation
        self._members: set[str] = set()
        self._absent_sorted: tuple[str, ...] | None = None
        self._hosts = {host_of(member) for member in terms.members or ()}
        self._all_parties: set[Wait] = set()  # arrivals that asked for a list of all parties
        self._gone: dict[str, Cause] = {}
        """The last parties that left, in order, each with the cause."""
        self._restarted: dict[str, str] = {}
        """The members whose loss is tolerated and whose host restarted after they had arrived, each with the reason."""

    def owned(self) -> bool:
        return self.terms.members is not None

    def all_waits(self) -> list[Wait]:
        return [*self._parties, *self._later]

    # -- arrived and absent parties -------------------------------------------------------------------------------------

    def _absent(self) -> tuple[str, ...]:
        """The members that have not arrived, sorted."""
        if self._absent_sorted is None:
            self._absent_sorted = tuple(sorted((self.terms.members or frozenset()) - self._members))
        return self._absent_sorted

    def _lost(self, member: str) -> str | None:
        """The reason why a member is lost, as a clause; None if it is not lost."""
        if member in self._restarted:
            return self._restarted[member]
        lost = self._home.hosts.lost(host_of(member))
        return None if lost is None or lost[0] not in LOST else cause_in_words(*lost)

    def _missing(self) -> int:
        """The number of arrivals that are still missing."""
        if self.terms.members is None:
            return self.terms.count - len(self._parties)
        if self.terms.tolerate and self._any_lost():
            return sum(self._lost(member) is None for member in self._absent())
        return len(self.terms.members) - len(self._members)

    def _any_lost(self) -> bool:
        """Whether any member is lost. This checks hosts, because there are often fewer hosts than members."""
        return bool(self._restarted) or any(self._lost(host) is not None for host in self._hosts)

    def _listed(self) -> list[str]:
        """The names of the first 100 parties, in order of arrival."""
        return [wait.name for wait in islice(self._parties, ARRIVED_LISTED)]

    # -- refusals ---------------------------------------------------------------------------------------------------------

    def refuse(self, terms: Terms, member: str | None, *, aborts: bool) -> None:
        """Raise Mismatch for an arrival that does not match this generation.

        :param aborts: whether the arrival aborts the generation.
        """
        arrived = self._listed()
        if terms != self.terms:
            raise self.terms.mismatch(terms, self.title, arrived, len(self._parties))
        if terms.members is not None and member not in terms.members:
            raise Mismatch(
                f"{member} is not a member of {self.title}, which is {terms}; "
                "arrive as one of its members (--as), or name all members everywhere",
                details={"member": member, "members": sorted(terms.members)[:ARRIVED_LISTED]},
            )
        if member in self._members and not aborts:
            raise Mismatch(
                f"member {member} is already waiting at {self.title}; end that wait first, or arrive as another member",
                details={"count": self.terms.count, "member": member, "arrived": arrived},
            )

    def refuse_lost(self, newcomer: str | None) -> None:
        """Raise MemberLost for an arrival while another member is lost."""
        if self.terms.members is None or self.terms.tolerate or not self._any_lost():
            return
        lost = {member: why for member in self._absent() if (why := self._lost(member)) is not None}
        lost.pop(newcomer or "", None)  # the newcomer has just arrived, so its host is alive
        if lost:
            raise self._member_lost(lost)

    def refuse_poll(self, shown: str) -> None:
        """Raise TimedOut for a poll that does not complete the barrier.

        :param shown: the name of the poller in messages.
        """
        missing = self._missing()
        others = missing if shown in self._lost_names() else missing - 1
        if others > 0 or self.asked:
            raise self._incomplete(f"{self.title} is not complete", shown)

    def _lost_names(self) -> set[str]:
        if not (self.terms.tolerate and self._any_lost()):
            return set()
        return {member for member in self._absent() if self._lost(member)}

    def _member_lost(self, lost: dict[str, str], *, restarted: bool = False) -> MemberLost:
        parts = "; ".join(f"{member} is lost ({why})" for member, why in islice(lost.items(), NAMES_SHOWN))
        parts += f"; and {len(lost) - NAMES_SHOWN} more" if len(lost) > NAMES_SHOWN else ""
        arrived = names_in_words(self._listed(), len(self._parties))
        advice = "bring the host back and arrive again"
        if restarted:
            advice = "arrive again on all hosts, or let members restart (--rejoin)"
        return MemberLost(
            f"{self.title} cannot be complete: {parts}; arrived: {arrived}; {advice}",
            details={
                "lost": dict(islice(lost.items(), ARRIVED_LISTED)),
                "arrived": self._listed(),
                "generation": self._generation,
            },
        )

    def _incomplete(self, headline: str, poller: str | None = None) -> TimedOut:
        """The error for a timeout: the arrived parties, the missing parties or their number, and the causes of absence.

        :param headline: the first clause of the message.
        :param poller: the name of a poller, which counts as arrived; None if no poller gets the error.
        """
        arrived = self._listed() if poller is None else [*self._listed(), poller]
        count = len(self._parties) + (poller is not None)
        details: dict[str, object] = {
            "count": self.terms.count,
            "generation": self._generation,
            "arrived": arrived,
            "gone": {name: str(cause) for name, cause in self._gone.items()},
        }
        if self.asked:
            missing = f"no answer yet from {names_in_words(sorted(self.asked), len(self.asked))}"
            details |= {"missing": 0, "unheard": sorted(self.asked)}
        elif self.terms.members is None:
            missing = f"{self.terms.count - count} missing"
            missing += "".join(f"; {name} left ({cause})" for name, cause in self._gone.items())
            details["missing"] = self.terms.count - count
        else:
            absent = self._absent()
            listed = (member for member in absent if member != poller)
            reasons = {member: self._why_absent(member) for member in islice(listed, ARRIVED_LISTED)}
            parts = [f"{member} ({why})" for member, why in islice(reasons.items(), NAMES_SHOWN)]
            missing = "missing: " + names_in_words(parts, len(absent) - (poller in absent))
            details["missing"] = reasons
        return TimedOut(
            f"{headline}: {count} of {self.terms.count} arrived: {names_in_words(arrived, count)}; {missing}",
            details=details,
        )

    def _why_absent(self, member: str) -> str:
        cause = self._gone.get(member)
        if cause is not None:
            return f"left: {cause}"
        return self._lost(member) or self._home.hosts.remark(host_of(member)) or "has not arrived"

    # -- arrivals, departures and releases ----------------------------------------------------------------------------------

    def join(self, wait: Wait, member: str | None, all_parties: bool) -> None:
        """Add an arrival that was not refused."""
        if self.asked and self.terms.members is None:
            self._later[wait] = member
        else:
            self._parties[wait] = member
        if wait.name in self._gone or wait.name in self._restarted:
            self._gone.pop(wait.name, None)
            self._restarted.pop(wait.name, None)
            self._changed()
        self._note(wait, member, all_parties)

    def _note(self, wait: Wait, member: str | None, all_parties: bool) -> None:
        if member is not None:
            self._members.add(member)
            self._absent_sorted = None
        if all_parties:
            self._all_parties.add(wait)

    def _changed(self) -> None:
        """Mark the stored record of the generation as changed."""
        self._home.waits.journal.mark("barrier", self.key)

    def timed_out(self, wait: Wait) -> TimedOut:
        return self._incomplete(f"timed out after {seconds_in_words(wait.timeout or 0)} at {self.title}")

    def leave(self, wait: Wait, cause: Cause) -> None:
        parties = self._parties if wait in self._parties else self._later
        member = parties.pop(wait)
        self._all_parties.discard(wait)
        if member is not None:
            self._members.discard(member)
            self._absent_sorted = None
        self._gone.pop(wait.name, None)
        if len(self._gone) >= GONE_REMEMBERED:
            del self._gone[next(iter(self._gone))]
        self._gone[wait.name] = cause
        self._changed()

    def abort(self, shown: str, reason: str, now: float) -> tuple[LinesyncError, list[Outcome]]:
        """Fail the generation for all parties, including parties that have not arrived.

        :param shown: the name of the aborting party in messages.
        :returns: the error, which the aborting party also gets, and the outcomes.
        """
        error = Aborted(
            f"{self.title} was aborted by {shown}: {reason}",
            details={"by": shown, "reason": reason, "arrived": self._listed(), "generation": self._generation},
        )
        self._home.waits.note("barrier aborted", self.key, shown, why=reason)
        return error, self._fail(error, {shown}, Cause.ABORTED, now)

    def host_lost(self, host: str, cause: Cause, why: str, now: float) -> list[Outcome]:
        """Fail the generation for all parties if it needs the host."""
        restarted = cause not in LOST
        if self.terms.members is None or (restarted and self.terms.rejoin):
            return []
        dead = {wait.name for wait in self._parties if wait.client.host == host}
        if restarted:
            lost = dict.fromkeys(sorted(dead), cause_in_words(f"{cause} after it had arrived", why))
        else:
            dead |= {member for member in self._absent() if host_of(member) == host}
            lost = dict.fromkeys(sorted(dead), cause_in_words(cause, why))
        if self.terms.tolerate:
            if restarted and lost:
                self._restarted |= lost
                self._changed()
            return []
        return self._fail(self._member_lost(lost, restarted=restarted), dead, cause, now) if dead else []

    def _fail(self, error: LinesyncError, notified: set[str], cause: Cause, now: float) -> list[Outcome]:
        """Fail all waits of the generation, and keep the error for parties that have not arrived.

        :param notified: members that do not get the error again when they arrive.
        """
        waits = self.all_waits()
        absent = set(self._absent()) - notified
        informed = len(waits) + len(notified - self._members)
        others = self.terms.count - informed if self.terms.members is None else 0
        if absent or others > 0:
            self._home.past.failed(self.key, Failure(self.terms, error, absent, max(others, 0), now))
        return self._home.waits.fail([(wait, error) for wait in waits], cause, now)

    def settle(self, now: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while self._ready(now):
            outcomes += self._release(now)
        return outcomes

    def _ready(self, now: float) -> bool:
        """Return whether the generation is complete and all its hosts are alive. Ask the silent hosts of a complete
        generation for a sign of life, and close an empty generation."""
        while self._later and self._missing() > 0:
            wait = next(iter(self._later))
            self._parties[wait] = self._later.pop(wait)
            self._home.waits.journal.mark("wait", wait.number)
        if not self._parties:
            self._home.close(self)
        complete = bool(self._parties) and self._missing() <= 0
        hosts = {wait.client.host for wait in self._parties} if complete else ()
        silent = [host for host in hosts if self._home.hosts.silent(host, now)]
        self._home.ask(self, silent, now)
        return complete and not silent

    def _release(self, now: float) -> list[Outcome]:
        """Release all parties.

        Further arrivals, which came after the generation was complete, open the next generation. If the name is not cyclic,
        they get the answer of an arrival after the release.
        """
        home = self._home
        parties = tuple(wait.name for wait in self._parties)
        lost = tuple(member for member in self._absent() if self.terms.tolerate)
        values = {
            wait: Released(
                generation=self._generation,
                parties=parties if len(parties) <= PARTIES_SHOWN or wait in self._all_parties else (),
                position=position,
                count=len(parties),
                lost=lost,
            )
            for position, wait in enumerate(self._parties, start=1)
        }
        home.past.released(self.key, self.terms, self._generation, parties, lost, now)
        home.waits.note("barrier released", self.key, value=self._generation)
        self._parties.clear()
        self._members = {member for member in self._later.values() if member is not None}
        self._absent_sorted = None
        self._all_parties -= values.keys()
        self._gone.clear()
        self._restarted.clear()
        outcomes: list[Outcome] = [home.waits.grant(wait, value, now) for wait, value in values.items()]
        if self.terms.reuse == CYCLIC:
            self._generation = home.past.next_generation(self.key)
            self._changed()
            return outcomes
        home.close(self)
        answers = [(wait, home.past.passed(self.key, self.title, self.terms, now)) for wait in self._later]
        refused = [(wait, answer) for wait, answer in answers if isinstance(answer, LinesyncError)]
        for wait, answer in answers:
            if isinstance(answer, Released):
                del self._later[wait]
                outcomes.append(home.waits.grant(wait, answer, now))
        return outcomes + home.waits.fail(refused, Cause.ABORTED, now)

    # -- storing ------------------------------------------------------------------------------------------------------------

    def kept_itself(self) -> KeptBarrier:
        gone = {name: str(cause) for name, cause in self._gone.items()}
        return KeptBarrier(self.number, self._generation, gone, dict(self._restarted))

    def restore(self, kept: KeptBarrier) -> None:
        self._generation = kept.generation
        self._gone = {name: Cause(cause) for name, cause in kept.gone.items()}
        self._restarted = dict(kept.restarted)

    def kept(self, wait: Wait) -> AtBarrier:
        later = wait in self._later
        member = self._later[wait] if later else self._parties[wait]
        return AtBarrier(*self.key, member, later, wait in self._all_parties)

    def restore_wait(self, wait: Wait, at: AtBarrier) -> None:
        if at.member in self._members or wait.granted is not None:
            raise ValueError(f"{wait.name} cannot wait twice at {self.title}, and is not granted before it ends")
        if self.terms.members is not None and at.member not in self.terms.members:
            raise ValueError(f"{at.member} is not a member of {self.title}")
        (self._later if at.later else self._parties)[wait] = at.member
        self._note(wait, at.member, at.all_parties)

    def ask_again(self, now: float) -> None:
        """Ask the hosts of a restored generation for a sign of life if the generation is complete. It was not released,
        because the earlier hub still waited for answers."""
        if self._parties and self._missing() <= 0:
            hosts = {wait.client.host for wait in self._parties}
            self._home.ask(self, [host for host in hosts if self._home.hosts.silent(host, now)], now)

    # -- deadlocks and status -----------------------------------------------------------------------------------------------

    def could_proceed(self, wait: Wait, acting: Acting) -> bool:
        return all(acting.member(member, self) for member in self._absent())

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        first = {host_of(member): member for member in reversed(self._absent()) if not acting.member(member, self)}
        return [
            Edge(tuple(acting.waits_of(host)), f"{self.title}, where {member} has not arrived")
            for host, member in reversed(first.items())
        ]

    def state(self, now: float) -> BarrierState:
        namespace, name = self.key
        return BarrierState(
            namespace=namespace,
            name=name,
            count=self.terms.count,
            members=tuple(sorted(self.terms.members)) if self.terms.members is not None else None,
            reuse=str(self.terms.reuse),
            generation=self._generation,
            missing=self._missing()
            if self.terms.members is None
            else {member: self._why_absent(member) for member in self._absent()},
            unheard=tuple(sorted(self.asked)),
            arrived=tuple([wait.state(now) for wait in self.all_waits()]),
            gone={name: str(cause) for name, cause in self._gone.items()},
        )
