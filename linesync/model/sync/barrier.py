"""Barriers: those who arrive at a name wait until all are there, and go on together.

1. The first arrival opens a generation of its name and fixes its :class:`Terms`: how many parties, or which members, and
   how the name is used again. Later ones join it if they came with the same terms, and are refused with both if not.
2. By count, parties are invocations: three arrivals from one host are three; an arrival *as* a member is that one member.
   By members, each arrives once. A second live client under one name is refused; once the first is gone its place is
   free, so a member that died and came back replaces its dead self.
3. The arrival that completes it releases everybody at once, in order of arrival, if the host of each was heard from
   within three seconds. The hosts that were not are asked through their lines first: each answers, or its lease runs out.
   Who arrives meanwhile waits for the next generation, or takes the place of one who is dead.
4. An arrival that times out, gives up or whose client dies is taken out again; those that stay remember why, so that
   their own errors can say who left.
5. By members, a member whose host is lost fails the generation for all at once, and a newcomer while it is lost; with
   *tolerate*, lost members are not waited for. A member may abort the generation with a reason. Those who had not
   arrived yet are told the same when they do, once, for ten minutes.
6. Released ``once``, a name refuses whoever comes after; ``linger=S`` lets them pass for S seconds; else the next arrival
   opens the next generation. A generation that everybody left is forgotten, and its number used again.

A poll (timeout 0) that does not complete it leaves no trace. Whoever waits counts as arrived in the messages sent to it.
What a name is remembered for after its generations, for the 10,000 names used most recently, is in :mod:`.past`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from ...errors import Aborted, LinesyncError, MemberLost, Mismatch, TimedOut, UsageError
from ..decisions import ArrivalId, Outcome, Released
from ..hosts.membership import Membership
from ..participants import (
    NAMES_TOLD,
    Cause,
    Client,
    check_member,
    check_name,
    check_timeout,
    names_in_words,
    seconds_in_words,
)
from .barrier_history import Failure, Past
from .barrier_terms import CYCLIC, Terms
from .waits import Acting, Edge, Place, Wait, Waits

__all__ = ["Barriers"]

GONE_REMEMBERED = 32  # parties that left one generation and are still named with their cause
ARRIVED_LISTED = 100  # names that one error goes through, whatever the count
PARTIES_TOLD = 32  # parties that a result names without being asked to: a name for each of a thousand is a megabyte
REASON_BYTES = 1024  # of UTF-8 in the reason of an abort
CHECK_PATIENCE = 1.0  # seconds that a poll which completes a barrier waits for hosts that were asked whether they live
_FATAL = (Cause.LINE_LOST, Cause.STOPPED)  # a host lost like this cannot arrive; one that restarted can


class Barriers:
    """All barriers of a hub, by namespace and name."""

    def __init__(self, waits: Waits, hosts: Membership) -> None:
        self.waits = waits
        self.hosts = hosts
        self.past = Past()
        self._open: dict[tuple[str, str], _Barrier] = {}
        self._asking: dict[str, dict[_Barrier, None]] = {}
        """Host to the complete barriers that wait to hear from it."""

    def __len__(self) -> int:
        return len(self._open)

    def arrive(
        self,
        arrival: ArrivalId,
        namespace: str,
        name: str,
        terms: Terms,
        client: Client,
        now: float,
        timeout: float | None = None,
        as_member: str | None = None,
        *,
        abort: str = "",
        all_parties: bool = False,
        within: str = "",
    ) -> list[Outcome]:
        """Arrive at a barrier, or abort it.

        :param timeout: seconds; 0 polls, None waits for ever.
        :param as_member: the member (``host`` or ``host#tag``) that arrives; None for the client's host, which is one
            of the members or, by count, a party without a name of its own.
        :param abort: the reason why it fails for all.
        :param all_parties: the result names the parties even when they are more than 32.
        :returns: :class:`Released` for everybody when this arrival completes it; nothing while it waits; else its
            failure: UsageError (a bad name, count or timeout), Mismatch (other terms, one too many), MemberLost,
            Aborted, TimedOut (a poll that came too early), LinesyncFailed (too many waits).
        """

        def join() -> list[Outcome]:
            check_name("namespace", namespace)
            check_name("barrier", name)
            check_timeout(timeout)
            terms.check()
            if len(abort.encode(errors="surrogatepass")) > REASON_BYTES:
                raise UsageError(f"the reason of an abort has at most {REASON_BYTES} bytes; make it shorter")
            member = client.host if as_member is None and terms.members is not None else as_member
            if member is not None:
                check_member(member)
            shown = member or client.host
            barrier = self._open.get((namespace, name)) or _Barrier(self, namespace, name, terms)
            barrier.refuse(terms, member, aborts=bool(abort))
            failure = self.past.failure(barrier.key, terms, shown, now)
            if abort and not (isinstance(failure, Aborted) and not barrier.everybody()):  # two may abort one generation
                used_up = self.past.used_up(barrier.key, barrier.title, now)
                if used_up is not None:
                    raise used_up
                error, outcomes = barrier.abort(shown, abort, now)
                return [*outcomes, self.waits.refuse(arrival, client, error, now)]
            if failure is not None:
                raise failure
            late = self.past.passed(barrier.key, barrier.title, terms, now)
            if isinstance(late, Released):
                return [self.waits.answer(arrival, client, late, now)]
            if late is not None:
                raise late
            barrier.refuse_lost(member)
            patience = timeout
            if timeout == 0:
                barrier.refuse_poll(shown)
                patience = CHECK_PATIENCE
            wait = self.waits.open(arrival, client, barrier, shown, now, patience, within)
            self._open[barrier.key] = barrier
            barrier.join(wait, member, all_parties)
            return barrier.settle(now)

        return self.waits.admit(arrival, client, now, join)

    def heard(self, host: str, now: float) -> list[Outcome]:
        """A host was heard from; barriers may have waited for that."""
        outcomes: list[Outcome] = []
        for barrier in list(self._asking.get(host, ())):
            outcomes += barrier.settle(now)
        return outcomes

    def host_lost(self, host: str, cause: Cause, why: str, now: float) -> list[Outcome]:
        """A host is lost: fail the barriers that need it. Its clients' own waits are still in place."""
        if cause not in _FATAL:
            return []
        outcomes: list[Outcome] = []
        for barrier in list(self._open.values()):
            outcomes += barrier.host_lost(host, f"{cause}: {why}" if why else str(cause), now)
        return outcomes

    def recount(self, now: float) -> list[Outcome]:
        """A host was lost and its waits are withdrawn: barriers that tolerate it may be complete now."""
        outcomes: list[Outcome] = []
        for barrier in [barrier for barrier in self._open.values() if barrier.terms.tolerate]:
            outcomes += barrier.settle(now)
        return outcomes

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Forget what names of a namespace are remembered for (None: of all).

        :returns: how many were forgotten, and the waits that are to fail.
        """
        keys = [(namespace, name) for name in dict.fromkeys(names)] if names is not None else None
        forgotten = self.past.forget(namespace, keys)
        open_keys = [key for key in (keys or self._open) if key[0] == namespace and key in self._open]
        return forgotten + len(open_keys), [wait for key in open_keys for wait in self._open[key].everybody()]

    def status(self, now: float) -> list[dict[str, object]]:
        """One JSON-able row for each open generation; ``waiting`` is in seconds."""
        return [barrier.status(now) for barrier in self._open.values()]

    def close(self, barrier: _Barrier) -> None:
        """A generation is over."""
        if self._open.get(barrier.key) is barrier:
            del self._open[barrier.key]

    def ask(self, barrier: _Barrier, hosts: Iterable[str], now: float) -> None:
        """Ask these hosts whether they live, each once, for this barrier, and for it no others any more."""
        for host in barrier.asked - set(hosts):
            waiting = self._asking[host]
            del waiting[barrier]
            if not waiting:
                del self._asking[host]
        for host in sorted(set(hosts) - barrier.asked):
            self._asking.setdefault(host, {})[barrier] = None
            self.hosts.ask(host)
        barrier.asked = set(hosts)


class _Barrier(Place):
    """One open generation of one name."""

    def __init__(self, home: Barriers, namespace: str, name: str, terms: Terms) -> None:
        super().__init__("barrier", namespace, name)
        self.terms = terms
        self.asked: set[str] = set()
        """The hosts that were asked whether they live; not empty only while the generation is complete."""
        self._home = home
        self._generation = home.past.next_generation(self.key)
        self._parties: dict[Wait, str | None] = {}  # in order of arrival; the member it arrived as
        self._later: dict[Wait, str | None] = {}  # who came while it was complete
        self._members: set[str] = set()
        self._absent_sorted: tuple[str, ...] | None = None
        self._hosts = {_host_of(member) for member in terms.members or ()}
        self._all_parties: set[Wait] = set()  # those whose result names all parties
        self._gone: dict[str, Cause] = {}

    def owned(self) -> bool:
        return self.terms.members is not None

    def everybody(self) -> list[Wait]:
        return [*self._parties, *self._later]

    # -- who is there and who is not ------------------------------------------------------------------------------------

    def _absent(self) -> tuple[str, ...]:
        """The members that are not there, sorted."""
        if self._absent_sorted is None:
            self._absent_sorted = tuple(sorted((self.terms.members or frozenset()) - self._members))
        return self._absent_sorted

    def _lost(self, member: str) -> str | None:
        """Why a member's host is lost, None while it is not."""
        lost = self._home.hosts.lost(_host_of(member))
        return None if lost is None or lost[0] not in _FATAL else f"{lost[0]}: {lost[1]}" if lost[1] else str(lost[0])

    def _missing(self) -> int:
        """How many arrivals it still lacks."""
        if self.terms.members is None:
            return self.terms.count - len(self._parties)
        if self.terms.tolerate and self._any_lost():
            return sum(self._lost(member) is None for member in self._absent())
        return len(self.terms.members) - len(self._members)

    def _any_lost(self) -> bool:
        """Whether any member's host is lost; there are fewer hosts than members."""
        return any(self._lost(host) is not None for host in self._hosts)

    def _listed(self) -> list[str]:
        """The names of those who are there, in order of arrival; the first 100 of them."""
        return [wait.name for wait in islice(self._parties, ARRIVED_LISTED)]

    # -- refusals ---------------------------------------------------------------------------------------------------------

    def refuse(self, terms: Terms, member: str | None, *, aborts: bool) -> None:
        """Raise Mismatch for a newcomer who does not fit to those already there."""
        there = self._listed()
        if terms != self.terms:
            raise Mismatch(
                f"{self.title} stands {self.terms}, set by those already there "
                f"({names_in_words(there, len(self._parties))}), and you came {terms}; "
                "use the same everywhere, or another name",
                details={"stands": str(self.terms), "yours": str(terms), "count": self.terms.count, "arrived": there},
            )
        if terms.members is not None and member not in terms.members:
            raise Mismatch(
                f"{member} is no member of {self.title}, which is {terms}; arrive as one of these (--as), or name all",
                details={"member": member, "members": sorted(terms.members)[:ARRIVED_LISTED]},
            )
        if member in self._members and not aborts:
            raise Mismatch(
                f"one too many at {self.title}: member {member} is already there and alive; "
                "end that one first, or arrive as another member",
                details={"count": self.terms.count, "member": member, "arrived": there},
            )

    def refuse_lost(self, newcomer: str | None) -> None:
        """Raise MemberLost for a newcomer while another member is lost."""
        if self.terms.members is None or self.terms.tolerate or not self._any_lost():
            return
        lost = {member: why for member in self._absent() if (why := self._lost(member)) is not None}
        lost.pop(newcomer or "", None)  # it speaks
        if lost:
            raise self._member_lost(lost)

    def refuse_poll(self, shown: str) -> None:
        """Raise TimedOut for a poll that does not complete it."""
        missing = self._missing()
        others = missing if shown in self._lost_names() else missing - 1
        if others > 0 or self.asked:
            raise self._incomplete(f"{self.title} is not complete", shown)

    def _lost_names(self) -> set[str]:
        if not (self.terms.tolerate and self._any_lost()):
            return set()
        return {member for member in self._absent() if self._lost(member)}

    def _member_lost(self, lost: dict[str, str]) -> MemberLost:
        told = "; ".join(f"{member} is lost ({why})" for member, why in islice(lost.items(), NAMES_TOLD))
        told += f"; and {len(lost) - NAMES_TOLD} more" if len(lost) > NAMES_TOLD else ""
        there = names_in_words(self._listed(), len(self._parties))
        return MemberLost(
            f"{self.title} cannot be complete: {told}; arrived: {there}; bring the host back and arrive again",
            details={
                "lost": dict(islice(lost.items(), ARRIVED_LISTED)),
                "arrived": self._listed(),
                "generation": self._generation,
            },
        )

    def _incomplete(self, headline: str, poller: str | None = None) -> TimedOut:
        """Word a timeout: who arrived (a poller among them), how many or who are missing, who left and why."""
        arrived = self._listed() if poller is None else [*self._listed(), poller]
        there = len(self._parties) + (poller is not None)
        details: dict[str, object] = {
            "count": self.terms.count,
            "generation": self._generation,
            "arrived": arrived,
            "gone": {name: str(cause) for name, cause in self._gone.items()},
        }
        if self.asked:
            missing = f"no sign of life from {names_in_words(sorted(self.asked), len(self.asked))} yet"
            details |= {"missing": 0, "unheard": sorted(self.asked)}
        elif self.terms.members is None:
            missing = f"{self.terms.count - there} missing"
            missing += "".join(f"; {name} left ({cause})" for name, cause in self._gone.items())
            details["missing"] = self.terms.count - there
        else:
            absent = self._absent()
            listed = (member for member in absent if member != poller)
            reasons = {member: self._why_absent(member) for member in islice(listed, ARRIVED_LISTED)}
            told = [f"{member} ({why})" for member, why in islice(reasons.items(), NAMES_TOLD)]
            missing = "missing: " + names_in_words(told, len(absent) - (poller in absent))
            details["missing"] = reasons
        return TimedOut(
            f"{headline}: {there} of {self.terms.count} arrived: {names_in_words(arrived, there)}; {missing}",
            details=details,
        )

    def _why_absent(self, member: str) -> str:
        left = self._gone.get(member)
        if left is not None:
            return f"left: {left}"
        return self._lost(member) or self._home.hosts.word(_host_of(member)) or "has not arrived"

    # -- coming and going ---------------------------------------------------------------------------------------------------

    def join(self, wait: Wait, member: str | None, all_parties: bool) -> None:
        """Add an arrival that fits."""
        if self.asked and self.terms.members is None:
            self._later[wait] = member
        else:
            self._parties[wait] = member
        self._gone.pop(wait.name, None)
        if member is not None:
            self._members.add(member)
            self._absent_sorted = None
        if all_parties:
            self._all_parties.add(wait)

    def timed_out(self, wait: Wait) -> TimedOut:
        return self._incomplete(f"timed out after {seconds_in_words(wait.timeout or 0)} at {self.title}")

    def leave(self, wait: Wait, cause: Cause) -> None:
        there = self._parties if wait in self._parties else self._later
        member = there.pop(wait)
        self._all_parties.discard(wait)
        if member is not None:
            self._members.discard(member)
            self._absent_sorted = None
        self._gone.pop(wait.name, None)
        if len(self._gone) >= GONE_REMEMBERED:
            del self._gone[next(iter(self._gone))]
        self._gone[wait.name] = cause

    def abort(self, shown: str, reason: str, now: float) -> tuple[LinesyncError, list[Outcome]]:
        """Fail it for all, those included who have not arrived; the error is also for the one who does it."""
        error = Aborted(
            f"{self.title} was aborted by {shown}: {reason}",
            details={"by": shown, "reason": reason, "arrived": self._listed(), "generation": self._generation},
        )
        return error, self._fail(error, {shown}, Cause.ABORTED, now)

    def host_lost(self, host: str, why: str, now: float) -> list[Outcome]:
        """Fail it for all if it needs the host."""
        if self.terms.members is None or self.terms.tolerate:
            return []
        dead = {wait.name for wait in self._parties if wait.client.host == host}
        dead |= {member for member in self._absent() if _host_of(member) == host}
        if not dead:
            return []
        return self._fail(self._member_lost(dict.fromkeys(sorted(dead), why)), dead, Cause.LINE_LOST, now)

    def _fail(self, error: LinesyncError, told: set[str], cause: Cause, now: float) -> list[Outcome]:
        """Fail everybody here, and remember it for those who have not come."""
        everybody = self.everybody()
        absent = set(self._absent()) - told
        came = len(everybody) + len(told - self._members)
        others = self.terms.count - came if self.terms.members is None else 0
        if absent or others > 0:
            self._home.past.failed(self.key, Failure(self.terms, error, absent, max(others, 0), now))
        return self._home.waits.fail([(wait, error) for wait in everybody], cause, now)

    def settle(self, now: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while self._ready(now):
            outcomes += self._release(now)
        return outcomes

    def _ready(self, now: float) -> bool:
        """Whether it is complete and all of them live; asks those that were silent, and closes when nobody is there."""
        while self._later and self._missing() > 0:
            wait = next(iter(self._later))
            self._parties[wait] = self._later.pop(wait)
        if not self._parties:
            self._home.close(self)
        complete = bool(self._parties) and self._missing() <= 0
        hosts = {wait.client.host for wait in self._parties} if complete else ()
        silent = [host for host in hosts if self._home.hosts.silent(host, now)]
        self._home.ask(self, silent, now)
        return complete and not silent

    def _release(self, now: float) -> list[Outcome]:
        """Let all go. Those who came while it was complete are the first of the next generation, or late."""
        home = self._home
        parties = tuple(wait.name for wait in self._parties)
        lost = tuple(member for member in self._absent() if self.terms.tolerate)
        values = {
            wait: Released(
                generation=self._generation,
                parties=parties if len(parties) <= PARTIES_TOLD or wait in self._all_parties else (),
                position=position,
                count=len(parties),
                lost=lost,
            )
            for position, wait in enumerate(self._parties, start=1)
        }
        home.past.released(self.key, self.terms, self._generation, parties, lost, now)
        self._parties.clear()
        self._members = {member for member in self._later.values() if member is not None}
        self._absent_sorted = None
        self._all_parties -= values.keys()
        self._gone.clear()
        outcomes: list[Outcome] = [home.waits.grant(wait, value, now) for wait, value in values.items()]
        if self.terms.reuse == CYCLIC:
            self._generation = home.past.next_generation(self.key)
            return outcomes
        home.close(self)
        late = [(wait, home.past.passed(self.key, self.title, self.terms, now)) for wait in self._later]
        refused = [(wait, answer) for wait, answer in late if isinstance(answer, LinesyncError)]
        for wait, answer in late:
            if isinstance(answer, Released):
                del self._later[wait]
                outcomes.append(home.waits.grant(wait, answer, now))
        return outcomes + home.waits.fail(refused, Cause.ABORTED, now)

    # -- deadlocks and status -----------------------------------------------------------------------------------------------

    def could_proceed(self, wait: Wait, acting: Acting) -> bool:
        return all(acting.member(member, self) for member in self._absent())

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        first = {_host_of(member): member for member in reversed(self._absent()) if not acting.member(member, self)}
        return [
            Edge(tuple(acting.waits_of(host)), f"{self.title}, where {member} has not arrived")
            for host, member in reversed(first.items())
        ]

    def status(self, now: float) -> dict[str, object]:
        namespace, name = self.key
        return {
            "namespace": namespace,
            "name": name,
            "count": self.terms.count,
            "members": sorted(self.terms.members) if self.terms.members is not None else None,
            "reuse": str(self.terms.reuse),
            "generation": self._generation,
            "missing": self._missing()
            if self.terms.members is None
            else {member: self._why_absent(member) for member in self._absent()},
            "unheard": sorted(self.asked),
            "arrived": [
                {"name": wait.name, "client": wait.client.number, "waiting": now - wait.since}
                for wait in self.everybody()
            ],
            "gone": {name: str(cause) for name, cause in self._gone.items()},
        }


def _host_of(member: str) -> str:
    return member.partition("#")[0]
