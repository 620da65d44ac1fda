"""Barriers: arrivals at a name wait until all parties have arrived, and are then released together.

1. The first arrival opens a generation of its name and sets its :class:`Terms`: the number of parties or the members,
   and how the name is used again. A later arrival joins if it has the same terms. Otherwise it is refused, and the error
   shows both.
2. By count, each invocation is a party: three arrivals from one host are three parties, and an arrival *as* a member is
   that member. By members, each member arrives once. A second arrival of a member is refused while the first one's client
   is alive. When that client is gone the place is free, so a member that died can come back.
3. The arrival that completes the barrier releases all parties in order of arrival, if each party's host was heard from in
   the last three seconds. The hub first asks the hosts that were not: each of them answers, or its lease ends. An arrival
   in the meantime waits for the next generation, or takes the place of a party that died.
4. An arrival leaves the barrier when it times out, gives up or its client dies. The barrier remembers the cause, so that
   the errors of the others can name it.
5. By members, the loss of a member's host fails the generation for all parties immediately, and fails new arrivals until
   the host is back. A host that restarts ends the arrivals of its members, and what they did before is gone: that is a
   loss of the members that had arrived. A member that had not arrived may restart, since that is how a test waits for a
   reboot. With *rejoin*, a member that had arrived may restart too, and arrive again. With *tolerate*, lost members are not
   waited for. A member may abort the generation with a reason. A member that had not arrived at a failed generation gets
   the same error when it arrives, once, within ten minutes.
6. After a release, ``once`` refuses every later arrival, ``linger=S`` lets later arrivals pass for S seconds, and
   otherwise the next arrival opens the next generation. A generation that all parties left is forgotten, and the next
   one gets its number.

A poll (timeout 0) that does not complete the barrier changes nothing. In an error, the arrival that gets it counts as
arrived. :mod:`.barrier_history` keeps what must be remembered of past generations.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from ...errors import Aborted, LinesyncError, MemberLost, Mismatch, TimedOut, UsageError
from ..decisions import ArrivalId, Outcome, Released
from ..hosts.membership import Membership
from ..participants import (
    LOST,
    NAMES_SHOWN,
    Cause,
    Client,
    cause_in_words,
    check_member,
    check_name,
    check_timeout,
    host_of,
    names_in_words,
    seconds_in_words,
)
from ..state.barrier import BarrierState
from .barrier_history import Failure, Past
from .barrier_terms import CYCLIC, Terms
from .waits import Acting, Edge, Place, Wait, Waits

__all__ = ["Barriers"]

GONE_REMEMBERED = 32  # parties that left a generation whose cause is kept
ARRIVED_LISTED = 100  # most names that one error lists, also for larger counts
PARTIES_SHOWN = 32  # a result lists more parties only on request: a thousand times a thousand names are a megabyte
REASON_BYTES = 1024  # most bytes of UTF-8 in the reason of an abort
CHECK_PATIENCE = 1.0  # seconds that a poll which completes a barrier waits for the answers of silent hosts


class Barriers:
    """All barriers of a hub, by namespace and name."""

    def __init__(self, waits: Waits, hosts: Membership) -> None:
        self.waits = waits
        self.hosts = hosts
        self.past = Past()
        self._open: dict[tuple[str, str], _Barrier] = {}
        self._asking: dict[str, dict[_Barrier, None]] = {}
        """For each host that was asked for a sign of life: the complete barriers that wait for its answer."""

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

        :param timeout: seconds; 0 polls, None waits without limit.
        :param as_member: the member (``host`` or ``host#tag``) that arrives. None for the client's host: by members it
            is that member, by count a party without a name.
        :param abort: the reason for failing the barrier for all parties; empty to arrive.
        :param all_parties: list the parties in the result even if there are more than 32.
        :param within: the arrival id of the held grant on whose behalf this arrival waits; empty for none.
        :returns: :class:`Released` for each party if this arrival completes the barrier; an empty list while it waits;
            else the failure of this arrival: UsageError (a bad name, count or timeout), Mismatch (other terms, not a
            member, a member that has already arrived, a name that is used up), MemberLost, Aborted, TimedOut (a poll of
            an incomplete barrier), LinesyncFailed (too many waits).
        """

        def join() -> list[Outcome]:
            check_name("namespace", namespace)
            check_name("barrier", name)
            check_timeout(timeout)
            terms.check()
            if len(abort.encode(errors="surrogatepass")) > REASON_BYTES:
                raise UsageError(f"the reason of an abort is longer than {REASON_BYTES} bytes; make it shorter")
            member = client.host if as_member is None and terms.members is not None else as_member
            if member is not None:
                check_member(member)
            shown = member or client.host
            barrier = self._open.get((namespace, name)) or _Barrier(self, namespace, name, terms)
            barrier.refuse(terms, member, aborts=bool(abort))
            failure = self.past.failure(barrier.key, terms, shown, now)
            # Two members may abort the same generation: the second one then gets the first one's error.
            if abort and not (isinstance(failure, Aborted) and not barrier.everybody()):
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
        """A host was heard from: settle the barriers that waited for its answer."""
        outcomes: list[Outcome] = []
        for barrier in list(self._asking.get(host, ())):
            outcomes += barrier.settle(now)
        return outcomes

    def host_lost(self, host: str, cause: Cause, why: str, now: float) -> list[Outcome]:
        """A host is lost: fail the barriers that need it. Call this before its clients' own waits are withdrawn."""
        outcomes: list[Outcome] = []
        for barrier in list(self._open.values()):
            outcomes += barrier.host_lost(host, cause, why, now)
        return outcomes

    def recount(self, now: float) -> list[Outcome]:
        """A host was lost and its waits are withdrawn: release the barriers that tolerate this and are now complete."""
        outcomes: list[Outcome] = []
        for barrier in [barrier for barrier in self._open.values() if barrier.terms.tolerate]:
            outcomes += barrier.settle(now)
        return outcomes

    def names(self) -> set[tuple[str, str]]:
        """The namespaces and names that a reset would forget."""
        return {*self._open, *self.past.names()}

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Forget the history of names of a namespace (None: all its names).

        :returns: how many names had a history or an open generation, and the waits that the caller must fail.
        """
        keys = [(namespace, name) for name in dict.fromkeys(names)] if names is not None else None
        forgotten = self.past.forget(namespace, keys)
        open_keys = [key for key in (keys or self._open) if key[0] == namespace and key in self._open]
        return forgotten + len(open_keys), [wait for key in open_keys for wait in self._open[key].everybody()]

    def status(self, now: float) -> list[BarrierState]:
        """The state of each open generation."""
        return [barrier.state(now) for barrier in self._open.values()]

    def close(self, barrier: _Barrier) -> None:
        """Forget a generation that has ended."""
        if self._open.get(barrier.key) is barrier:
            del self._open[barrier.key]

    def ask(self, barrier: _Barrier, hosts: Iterable[str], now: float) -> None:
        """Ask these hosts, each once, for a sign of life for this barrier; it no longer waits for any other host."""
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
        """The hosts that were asked for a sign of life. Empty unless the generation is complete."""
        self._home = home
        self._generation = home.past.next_generation(self.key)
        self._parties: dict[Wait, str | None] = {}  # wait to the member that arrived, in order of arrival
        self._later: dict[Wait, str | None] = {}  # the same for arrivals at a complete generation
        self._members: set[str] = set()
        self._absent_sorted: tuple[str, ...] | None = None
        self._hosts = {host_of(member) for member in terms.members or ()}
        self._all_parties: set[Wait] = set()  # arrivals that asked for a list of all parties
        self._gone: dict[str, Cause] = {}
        self._restarted: dict[str, str] = {}
        """The members whose loss is tolerated and whose host restarted after they had arrived, each with the reason."""

    def owned(self) -> bool:
        return self.terms.members is not None

    def everybody(self) -> list[Wait]:
        return [*self._parties, *self._later]

    # -- present and absent parties -------------------------------------------------------------------------------------

    def _absent(self) -> tuple[str, ...]:
        """The members that have not arrived, sorted."""
        if self._absent_sorted is None:
            self._absent_sorted = tuple(sorted((self.terms.members or frozenset()) - self._members))
        return self._absent_sorted

    def _lost(self, member: str) -> str | None:
        """Why a member is lost; None if it is not."""
        if member in self._restarted:
            return self._restarted[member]
        lost = self._home.hosts.lost(host_of(member))
        return None if lost is None or lost[0] not in LOST else cause_in_words(*lost)

    def _missing(self) -> int:
        """How many arrivals are still missing."""
        if self.terms.members is None:
            return self.terms.count - len(self._parties)
        if self.terms.tolerate and self._any_lost():
            return sum(self._lost(member) is None for member in self._absent())
        return len(self.terms.members) - len(self._members)

    def _any_lost(self) -> bool:
        """Whether any member is lost. Asks by host, since there are often fewer hosts than members."""
        return bool(self._restarted) or any(self._lost(host) is not None for host in self._hosts)

    def _listed(self) -> list[str]:
        """The names of the first 100 parties, in order of arrival."""
        return [wait.name for wait in islice(self._parties, ARRIVED_LISTED)]

    # -- refusals ---------------------------------------------------------------------------------------------------------

    def refuse(self, terms: Terms, member: str | None, *, aborts: bool) -> None:
        """Raise Mismatch for an arrival that does not fit this generation."""
        there = self._listed()
        if terms != self.terms:
            raise self.terms.mismatch(terms, self.title, there, len(self._parties))
        if terms.members is not None and member not in terms.members:
            raise Mismatch(
                f"{member} is not a member of {self.title}, which is {terms}; "
                "arrive as one of its members (--as), or name all members everywhere",
                details={"member": member, "members": sorted(terms.members)[:ARRIVED_LISTED]},
            )
        if member in self._members and not aborts:
            raise Mismatch(
                f"member {member} is already waiting at {self.title}; end that wait first, or arrive as another member",
                details={"count": self.terms.count, "member": member, "arrived": there},
            )

    def refuse_lost(self, newcomer: str | None) -> None:
        """Raise MemberLost for an arrival while another member is lost."""
        if self.terms.members is None or self.terms.tolerate or not self._any_lost():
            return
        lost = {member: why for member in self._absent() if (why := self._lost(member)) is not None}
        lost.pop(newcomer or "", None)  # it has just arrived, so it is back
        if lost:
            raise self._member_lost(lost)

    def refuse_poll(self, shown: str) -> None:
        """Raise TimedOut for a poll that does not complete the barrier."""
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
        there = names_in_words(self._listed(), len(self._parties))
        advice = "bring the host back and arrive again"
        if restarted:
            advice = "arrive again on all hosts, or let members restart (--rejoin)"
        return MemberLost(
            f"{self.title} cannot be complete: {parts}; arrived: {there}; {advice}",
            details={
                "lost": dict(islice(lost.items(), ARRIVED_LISTED)),
                "arrived": self._listed(),
                "generation": self._generation,
            },
        )

    def _incomplete(self, headline: str, poller: str | None = None) -> TimedOut:
        """The error for a timeout: who arrived (including a poller), how many or who are missing, who left and why."""
        arrived = self._listed() if poller is None else [*self._listed(), poller]
        there = len(self._parties) + (poller is not None)
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
            missing = f"{self.terms.count - there} missing"
            missing += "".join(f"; {name} left ({cause})" for name, cause in self._gone.items())
            details["missing"] = self.terms.count - there
        else:
            absent = self._absent()
            listed = (member for member in absent if member != poller)
            reasons = {member: self._why_absent(member) for member in islice(listed, ARRIVED_LISTED)}
            parts = [f"{member} ({why})" for member, why in islice(reasons.items(), NAMES_SHOWN)]
            missing = "missing: " + names_in_words(parts, len(absent) - (poller in absent))
            details["missing"] = reasons
        return TimedOut(
            f"{headline}: {there} of {self.terms.count} arrived: {names_in_words(arrived, there)}; {missing}",
            details=details,
        )

    def _why_absent(self, member: str) -> str:
        left = self._gone.get(member)
        if left is not None:
            return f"left: {left}"
        return self._lost(member) or self._home.hosts.word(host_of(member)) or "has not arrived"

    # -- arrivals, departures and releases ----------------------------------------------------------------------------------

    def join(self, wait: Wait, member: str | None, all_parties: bool) -> None:
        """Add an arrival that was not refused."""
        if self.asked and self.terms.members is None:
            self._later[wait] = member
        else:
            self._parties[wait] = member
        self._gone.pop(wait.name, None)
        self._restarted.pop(wait.name, None)
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
        """Fail the generation for all parties, including those that have not arrived.

        :returns: the error, which the party that aborts also gets, and the outcomes.
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
            self._restarted |= lost if restarted else {}
            return []
        return self._fail(self._member_lost(lost, restarted=restarted), dead, cause, now) if dead else []

    def _fail(self, error: LinesyncError, notified: set[str], cause: Cause, now: float) -> list[Outcome]:
        """Fail all waits here, and remember the error for parties that have not arrived.

        :param notified: members that do not get the error again when they arrive.
        """
        everybody = self.everybody()
        absent = set(self._absent()) - notified
        came = len(everybody) + len(notified - self._members)
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
        """Whether the generation is complete and each host was heard from. Asks the silent hosts of a complete one, and
        closes an empty one."""
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
        """Release all parties. Arrivals that came while the generation was complete open the next one, or are late."""
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
            arrived=tuple([wait.state(now) for wait in self.everybody()]),
            gone={name: str(cause) for name, cause in self._gone.items()},
        )
