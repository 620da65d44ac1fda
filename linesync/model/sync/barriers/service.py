"""Barriers: arrivals at a name wait until all parties have arrived, and are then released together.

1. The first arrival opens a generation of its name and sets its :class:`Terms`: the number of parties or the members, and
   the reuse of the name. A later arrival joins if it has the same terms. Otherwise it is refused, and the error shows the
   terms of both.
2. By count, each arrival is a party: three arrivals from one host are three parties. An arrival *as* a member counts as
   that member. By members, each member arrives once. A second arrival of a member is refused while the client of the first
   arrival is alive. When that client is gone, the member can arrive again.
3. The arrival that completes the barrier releases all parties in order of arrival, if the hub received a frame from each
   party's host in the last three seconds. Otherwise the hub first asks the silent hosts for a sign of life. Each of them
   answers, or its lease ends. A further arrival during this time waits for the next generation, or replaces a party that
   died.
4. An arrival leaves the barrier when it times out, when it gives up, or when its client is gone. The barrier keeps the cause
   for the errors of the other parties.
5. By members, the loss of a member's host fails the generation for all parties immediately. New arrivals then fail until the
   host is up again. When a host restarts, the arrivals of its members end and their earlier work is lost. The restart
   therefore counts as a loss of the members that had arrived. A member that had not arrived may restart, because a test can
   wait for a reboot in this way. With *rejoin*, a member that had arrived may also restart, and arrive again. With
   *tolerate*, the barrier does not wait for lost members. A member may abort the generation with a reason. A member that had
   not arrived at a failed generation gets the same error when it arrives, once, within ten minutes.
6. After a release, ``once`` refuses every later arrival, and ``linger=S`` lets later arrivals pass for S seconds. Without
   these, the next arrival opens the next generation. A generation that all parties left is forgotten, and the next
   generation gets its number.

A poll (timeout 0) that does not complete the barrier changes nothing. An error counts its receiver as arrived.
:mod:`.history` keeps the facts about past generations that later arrivals need.
"""

from __future__ import annotations

from collections.abc import Iterable

from ....errors import Aborted, UsageError
from ...decisions import ArrivalId, Outcome, Released
from ...hosts.membership import Membership
from ...kept.objects import KeptBarrier, KeptTerms
from ...kept.rows import Rows, by_number
from ...kept.waits import AtBarrier
from ...participants import Cause, Client, check_member, check_name, check_timeout
from ...state.sync.barrier import BarrierState
from ..place import Place
from ..waits import Wait, Waits
from .generation import Generation
from .history import Past
from .terms import Terms

__all__ = ["Barriers"]

REASON_BYTES = 1024  # the maximum size of the reason of an abort, in bytes of UTF-8
CHECK_PATIENCE = 1.0  # seconds that a poll which completes a barrier waits for the answers of silent hosts


class Barriers:
    """All barriers of a hub, by namespace and name."""

    def __init__(self, waits: Waits, hosts: Membership) -> None:
        self.waits = waits
        self.hosts = hosts
        self.past = Past(waits.journal, "barrier")
        self._open: dict[tuple[str, str], Generation] = {}
        waits.journal.source("barrier", self._kept, lambda: self._open)
        waits.journal.source("barrier terms", self._kept_terms, lambda: self._open)
        self._asking: dict[str, dict[Generation, None]] = {}
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
        :param as_member: the member (``host`` or ``host#tag``) that arrives. None stands for the client's host: by members
            that is the member, by count it is a party without a name.
        :param abort: the reason for an abort, which fails the barrier for all parties; empty to arrive.
        :param all_parties: whether the result lists all parties even if there are more than 32.
        :param within: the arrival id of the hold on whose behalf this arrival waits; empty for none.
        :returns: :class:`Released` for each party if this arrival completes the barrier; an empty list while it waits;
            else the failure of this arrival: UsageError (an invalid name, count or timeout), Mismatch (other terms, not a
            member, a member that has already arrived, a name that cannot be used again), MemberLost, Aborted, TimedOut (a
            poll of an incomplete barrier), LinesyncFailed (too many waits).
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
            barrier = self._open.get((namespace, name)) or Generation(self, namespace, name, terms)
            barrier.refuse(terms, member, aborts=bool(abort))
            failure = self.past.failure(barrier.key, terms, shown, now)
            # Two members may abort the same generation. The second member then gets the error of the first.
            if abort and not (isinstance(failure, Aborted) and not barrier.all_waits()):
                used_up = self.past.used_up(barrier.key, barrier.title, now)
                if used_up is not None:
                    raise used_up
                error, outcomes = barrier.abort(shown, abort, now)
                return [*outcomes, self.waits.refuse(arrival, client, error, now)]
            if failure is not None:
                raise failure
            earlier = self.past.passed(barrier.key, barrier.title, terms, now)
            if isinstance(earlier, Released):
                return [self.waits.answer(arrival, client, earlier, now)]
            if earlier is not None:
                raise earlier
            barrier.refuse_lost(member)
            patience = timeout
            if timeout == 0:
                barrier.refuse_poll(shown)
                patience = CHECK_PATIENCE
            wait = self.waits.open(arrival, client, barrier, shown, now, patience, within)
            if barrier.key not in self._open:
                barrier.number = self.waits.journal.number()
                self._open[barrier.key] = barrier
                self._mark(barrier.key, new=True)
            barrier.join(wait, member, all_parties)
            return barrier.settle(now)

        return self.waits.admit(arrival, client, now, join)

    def heard(self, host: str, now: float) -> list[Outcome]:
        """Settle the barriers that waited for a sign of life of this host."""
        outcomes: list[Outcome] = []
        for barrier in list(self._asking.get(host, ())):
            outcomes += barrier.settle(now)
        return outcomes

    def host_lost(self, host: str, cause: Cause, why: str, now: float) -> list[Outcome]:
        """Fail the barriers that need a lost host. The caller withdraws the waits of its clients after this call."""
        outcomes: list[Outcome] = []
        for barrier in list(self._open.values()):
            outcomes += barrier.host_lost(host, cause, why, now)
        return outcomes

    def recount(self, now: float) -> list[Outcome]:
        """Release the barriers that tolerate lost members and are complete without them. The waits of the lost host are
        already withdrawn."""
        outcomes: list[Outcome] = []
        for barrier in [barrier for barrier in self._open.values() if barrier.terms.tolerate]:
            outcomes += barrier.settle(now)
        return outcomes

    def names(self) -> set[tuple[str, str]]:
        """The namespace and name of each object that a reset would forget."""
        return {*self._open, *self.past.names()}

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Forget the history of names of a namespace.

        :param names: the names; None for all names of the namespace.
        :returns: the number of names with a history or an open generation, and the waits that the caller must fail.
        """
        keys = [(namespace, name) for name in dict.fromkeys(names)] if names is not None else None
        forgotten = self.past.forget(namespace, keys)
        open_keys = [key for key in (keys or self._open) if key[0] == namespace and key in self._open]
        return forgotten + len(open_keys), [wait for key in open_keys for wait in self._open[key].all_waits()]

    def status(self, now: float) -> list[BarrierState]:
        """The state of each open generation."""
        return [barrier.state(now) for barrier in self._open.values()]

    def close(self, barrier: Generation) -> None:
        """Forget a generation that has ended."""
        if self._open.get(barrier.key) is barrier:
            del self._open[barrier.key]
            self._mark(barrier.key)

    def _mark(self, key: tuple[str, str], *, new: bool = False) -> None:
        """Mark the records of a generation that was opened or has ended."""
        self.waits.journal.mark("barrier", key, new=new)
        self.waits.journal.mark("barrier terms", key, new=new)

    def ask(self, barrier: Generation, hosts: Iterable[str], now: float) -> None:
        """Ask these hosts, each once, for a sign of life on behalf of this barrier. It no longer waits for other hosts."""
        for host in barrier.asked - set(hosts):
            waiting = self._asking[host]
            del waiting[barrier]
            if not waiting:
                del self._asking[host]
        for host in sorted(set(hosts) - barrier.asked):
            self._asking.setdefault(host, {})[barrier] = None
            self.hosts.ask(host)
        barrier.asked = set(hosts)

    # -- storing ---------------------------------------------------------------------------------------------------------

    def _kept(self, key: tuple[str, str]) -> KeptBarrier | None:
        barrier = self._open.get(key)
        return barrier.kept_itself() if barrier is not None else None

    def _kept_terms(self, key: tuple[str, str]) -> KeptTerms | None:
        barrier = self._open.get(key)
        return barrier.terms.kept() if barrier is not None else None

    def restore(self, rows: Rows) -> None:
        """Restore the history and the open generations, but not the arrivals.

        :raises BadRow: a row is not valid.
        """
        terms: dict[tuple[str, ...], Terms] = {}

        def read_terms(key: list[str], kept: KeptTerms) -> None:
            terms[tuple(key)] = Terms.restore(kept)

        def restore_row(key: list[str], kept: KeptBarrier) -> None:
            namespace, name = key
            barrier = Generation(self, namespace, name, terms[namespace, name])
            barrier.restore(kept)
            barrier.number = self.waits.journal.numbered(kept.number)
            self._open[barrier.key] = barrier

        self.past.restore(rows)
        rows.each("barrier terms", KeptTerms, read_terms)
        rows.each("barrier", KeptBarrier, restore_row, by_number)

    def place(self, at: AtBarrier) -> Place:
        """The open generation of a stored arrival.

        :raises KeyError: it is not stored.
        """
        return self._open[at.namespace, at.barrier]

    def ask_again(self, now: float) -> None:
        """Ask the silent hosts of complete generations for a sign of life, after the arrivals were restored."""
        for barrier in self._open.values():
            barrier.ask_again(now)
