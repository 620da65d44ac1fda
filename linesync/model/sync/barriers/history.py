"""The history of past generations. It keeps these facts for the 10,000 names that were used most recently:

1. The number of the last generation, so that no name repeats a number. A name that was forgotten continues above the
   highest number that was ever forgotten.
2. A release with ``once``, so that later arrivals are refused; and a release with ``linger``, so that later arrivals pass.
3. A failure (an abort or a lost member) with the parties that had not arrived. Each of them gets the error once, within ten
   minutes.

Lingering releases and failures keep lists of members. All lists together have at most 200,000 names; beyond this limit, the
oldest lists are removed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from ....errors import LinesyncError, Mismatch
from ...decisions import Released
from ...journal import Journal
from ...kept.objects import KeptFailure, KeptLingering, KeptMark, KeptPast
from ...kept.rows import Rows, by_number
from ...kept.values import KeptError
from ...participants import names_in_words, seconds_in_words
from ..kept_results import RESULT_LIFE
from .terms import Terms

__all__ = ["Failure", "Past"]

NAMES_REMEMBERED = 10_000  # the maximum number of names whose last generation is kept
MEMBERS_REMEMBERED = 200_000  # the maximum number of members in the lists of all lingering releases and failures
PARTIES_SHOWN = 32  # the maximum number of listed parties of a past generation


@dataclass(slots=True)
class Failure:
    """A generation that failed before all its parties had arrived.

    :ivar absent: the members that have not got the error yet.
    :ivar others: for a barrier by count, the number of parties that have not got the error yet.
    :ivar since: the time of the failure, in monotonic seconds.
    :ivar notified: the members that had not arrived and have got the error since then.
    """

    terms: Terms
    error: LinesyncError
    absent: set[str]
    others: int
    since: float
    notified: set[str] = field(default_factory=set)

    def error_for(self, terms: Terms, name: str, now: float) -> LinesyncError | None:
        """The error for an arrival of the party ``name``, or None if this failure does not concern it. Each party gets the
        error once."""
        if now >= self.since + RESULT_LIFE or terms != self.terms:
            return None
        if name in self.absent:
            self.absent.discard(name)
            self.notified.add(name)
        elif self.others > 0:
            self.others -= 1
        else:
            return None
        return self.error

    @property
    def delivered(self) -> bool:
        return not self.absent and self.others <= 0


@dataclass(slots=True)
class _Last:
    """The last generation of a name.

    :ivar once: whether the name could be used only once.
    :ivar lingers: the terms of a release that lingers, or None.
    :ivar parties: the first 32 parties.
    :ivar all_named: whether ``parties`` contains all parties.
    :ivar came: the number of parties that arrived, including arrivals after the release.
    :ivar number: a number that grows with each use of a name.
    :ivar weighed: a number that grows with each stored list of members.
    """

    generation: int = 0
    once: bool = False
    lingers: Terms | None = None
    parties: tuple[str, ...] = ()
    all_named: bool = True
    lost: tuple[str, ...] = ()
    since: float = 0.0
    came: int = 0
    failure: Failure | None = None
    number: int = 0
    weighed: int = 0

    def members(self) -> int:
        """The number of members' names in this record."""
        kept = [self.lingers, self.failure.terms if self.failure is not None else None]
        return sum(len(terms.members) for terms in kept if terms is not None and terms.members is not None)


class Past:
    """The history of all names, by namespace and name.

    :param journal: gets the changes.
    :param kind: the kind of the names: ``barrier`` or ``exchange``.
    """

    def __init__(self, journal: Journal, kind: str) -> None:
        self._journal = journal
        self._past, self._lingering, self._failure, self._notified, self._forgotten = (
            f"{kind} {suffix}" for suffix in ("past", "lingering", "failure", "notified", "forgotten")
        )
        journal.source(self._past, self._kept, lambda: self._last)
        journal.source(self._lingering, self._kept_lingering, lambda: self._last)
        journal.source(self._failure, self._kept_failure, lambda: self._last)
        journal.source(self._notified, self._kept_notified, self._all_notified)
        journal.counter(self._forgotten, lambda: self._highest_forgotten)
        self._last: OrderedDict[tuple[str, str], _Last] = OrderedDict()
        self._highest_forgotten = 0
        self._members: OrderedDict[tuple[str, str], int] = OrderedDict()
        """The number of members' names in each record, the oldest record first; records without names are omitted."""
        self._names = 0  # the sum of these numbers

    def __len__(self) -> int:
        return len(self._last)

    def next_generation(self, key: tuple[str, str]) -> int:
        """The number for the next generation of a name."""
        last = self._last.get(key)
        return (last.generation if last is not None else self._highest_forgotten) + 1

    def released(
        self,
        key: tuple[str, str],
        terms: Terms,
        generation: int,
        parties: tuple[str, ...],
        lost: tuple[str, ...],
        now: float,
    ) -> None:
        """Record the release of a generation.

        :param parties: the names of all parties in order of arrival.
        :param lost: the lost members that the barrier did not wait for.
        """
        last = self._touch(key)
        self._forget(key, last)
        last.generation, last.once, last.since, last.came = generation, terms.reuse.once, now, len(parties)
        if terms.reuse.linger:
            last.lingers = terms
            self._journal.mark(self._lingering, key)
        last.all_named = len(parties) <= PARTIES_SHOWN
        last.parties = parties[:PARTIES_SHOWN] if last.once or last.lingers is not None else ()
        last.lost = lost if last.lingers is not None else ()
        self._weigh(key, last)

    def failed(self, key: tuple[str, str], failure: Failure) -> None:
        """Record the failure of a generation. The next generation gets its number."""
        last = self._touch(key)
        self._end_failure(key, last)
        last.failure = failure
        self._journal.mark(self._failure, key)
        self._weigh(key, last)

    def used_up(self, key: tuple[str, str], title: str, now: float) -> Mismatch | None:
        """The error for an arrival at a name that could be used only once and was used; otherwise None.

        :param title: the title of the barrier in messages.
        """
        last = self._last.get(key)
        if last is None or not last.once:
            return None
        arrived = names_in_words(last.parties, last.came)
        return Mismatch(
            f"{title} was for one use and was released {seconds_in_words(now - last.since)} ago (arrived: {arrived}); "
            "use another name, or run 'linesync reset' first",
            details={"generation": last.generation, "arrived": list(last.parties), "released": now - last.since},
        )

    def late(
        self, key: tuple[str, str], title: str, terms: Terms, name: str, now: float
    ) -> Released | LinesyncError | None:
        """The outcome for an arrival after the end of its generation; None if a new generation is open for it."""
        return self.failure(key, terms, name, now) or self.passed(key, title, terms, now)

    def failure(self, key: tuple[str, str], terms: Terms, name: str, now: float) -> LinesyncError | None:
        """The error of a failed generation for the party ``name``, once for each party that had not arrived; else None."""
        last = self._last.get(key)
        if last is None or last.failure is None:
            return None
        before = len(last.failure.notified)
        error = last.failure.error_for(terms, name, now)
        if len(last.failure.notified) > before:
            self._journal.mark(self._notified, (*key, name), new=True)
        elif error is not None:
            self._journal.mark(self._past, key)
        if last.failure.delivered:
            self._end_failure(key, last)
            self._weigh(key, last)
        return error

    def passed(self, key: tuple[str, str], title: str, terms: Terms, now: float) -> Released | LinesyncError | None:
        """The outcome for an arrival after a release: the same release while it lingers, an error, or None."""
        last = self._last.get(key)
        if last is None:
            return None
        if last.once:
            return self.used_up(key, title, now)
        if last.lingers is None or now >= last.since + last.lingers.reuse.linger:
            return None
        if terms != last.lingers:
            return Mismatch(
                f"{title} is {last.lingers}, but this arrival is {terms}; use the same terms everywhere, or another name",
                details={"stands": str(last.lingers), "yours": str(terms)},
            )
        last.came += 1
        self._journal.mark(self._past, key)
        return Released(
            generation=last.generation,
            parties=last.parties if last.all_named else (),
            position=last.came,
            count=last.came,
            lost=last.lost,
        )

    def names(self) -> list[tuple[str, str]]:
        """The names with a failure, or with a use that excludes further uses (``once``)."""
        return [key for key, last in self._last.items() if last.failure is not None or last.once]

    def forget(self, namespace: str, keys: list[tuple[str, str]] | None) -> int:
        """Forget the releases and failures of names, but not their numbers.

        :param keys: the names; None for all names of the namespace.
        :returns: the number of names that had a failure, or a use that excludes further uses.
        """
        found = 0
        for key in list(self._last) if keys is None else keys:
            last = self._last.get(key)
            if last is None or key[0] != namespace:
                continue
            found += last.failure is not None or last.once
            last.once = False
            self._forget(key, last)
        return found

    def _touch(self, key: tuple[str, str]) -> _Last:
        last = self._last.setdefault(key, _Last(generation=self._highest_forgotten))
        last.number = self._journal.number()
        self._last.move_to_end(key)
        self._journal.mark(self._past, key)
        if len(self._last) > NAMES_REMEMBERED:
            oldest, forgotten = self._last.popitem(last=False)
            self._forget(oldest, forgotten)
            self._highest_forgotten = max(self._highest_forgotten, forgotten.generation)
            self._journal.mark("counter", self._forgotten)
        return last

    def _weigh(self, key: tuple[str, str], last: _Last) -> None:
        """Count the members' names in a record, and forget the oldest lists if there are too many names."""
        self._names -= self._members.pop(key, 0)
        members = last.members()
        if members:
            last.weighed = self._journal.number()
            self._journal.mark(self._past, key)
            self._members[key] = members
            self._names += members
        while self._names > MEMBERS_REMEMBERED:
            oldest = next(iter(self._members))
            self._forget(oldest, self._last[oldest])

    def _forget(self, key: tuple[str, str], last: _Last) -> None:
        if last.lingers is not None:
            self._journal.mark(self._lingering, key)
        self._journal.mark(self._past, key)
        self._end_failure(key, last)
        last.lingers = None
        last.lost = ()
        self._names -= self._members.pop(key, 0)

    def _end_failure(self, key: tuple[str, str], last: _Last) -> None:
        if last.failure is None:
            return
        self._journal.mark(self._failure, key)
        for name in last.failure.notified:
            self._journal.mark(self._notified, (*key, name))
        last.failure = None

    # -- storing -----------------------------------------------------------------------------------------------------------

    def _kept(self, key: tuple[str, str]) -> KeptPast | None:
        last = self._last.get(key)
        if last is None:
            return None
        return KeptPast(
            number=last.number,
            weighed=last.weighed,
            generation=last.generation,
            once=last.once,
            parties=last.parties,
            all_named=last.all_named,
            since=last.since,
            came=last.came,
            others=last.failure.others if last.failure is not None else 0,
        )

    def _kept_lingering(self, key: tuple[str, str]) -> KeptLingering | None:
        last = self._last.get(key)
        return None if last is None or last.lingers is None else KeptLingering(last.lingers.kept(), last.lost)

    def _kept_failure(self, key: tuple[str, str]) -> KeptFailure | None:
        last = self._last.get(key)
        if last is None or last.failure is None:
            return None
        failure = last.failure
        absent = tuple(sorted(failure.absent | failure.notified))
        return KeptFailure(failure.terms.kept(), KeptError.keep(failure.error), absent, failure.since)

    def _kept_notified(self, key: tuple[str, str, str]) -> KeptMark | None:
        namespace, name, member = key
        last = self._last.get((namespace, name))
        is_notified = last is not None and last.failure is not None and member in last.failure.notified
        return KeptMark() if is_notified else None

    def _all_notified(self) -> list[tuple[str, str, str]]:
        return [(*key, member) for key, last in self._last.items() if last.failure for member in last.failure.notified]

    def restore(self, rows: Rows) -> None:
        """Restore the history from the rows of a store.

        :raises BadRow: a row is not valid.
        """
        self._highest_forgotten = rows.counter(self._forgotten, 0)

        def past(key: list[str], kept: KeptPast) -> None:
            namespace, name = key
            last = self._last[namespace, name] = _Last(kept.generation, kept.once, None, kept.parties, kept.all_named)
            last.since, last.came = kept.since + rows.shift, kept.came
            last.number = self._journal.numbered(kept.number)
            last.weighed = self._journal.numbered(kept.weighed)
            others[namespace, name] = kept.others

        def lingering(key: list[str], kept: KeptLingering) -> None:
            namespace, name = key
            last = self._last[namespace, name]
            last.lingers, last.lost = Terms.restore(kept.terms), kept.lost

        def failure(key: list[str], kept: KeptFailure) -> None:
            namespace, name = key
            terms, error = Terms.restore(kept.terms), kept.error.restore()
            failed = Failure(terms, error, set(kept.absent), others[namespace, name], kept.since + rows.shift)
            self._last[namespace, name].failure = failed

        def notified(key: list[str], kept: KeptMark) -> None:
            namespace, name, member = key
            failed = self._last[namespace, name].failure
            if failed is None or member not in failed.absent:
                raise ValueError("the failure that the member has got is not stored")
            failed.absent.remove(member)
            failed.notified.add(member)

        others: dict[tuple[str, str], int] = {}
        rows.each(self._past, KeptPast, past, by_number)
        rows.each(self._lingering, KeptLingering, lingering)
        rows.each(self._failure, KeptFailure, failure)
        rows.each(self._notified, KeptMark, notified)
        for key, last in sorted(self._last.items(), key=lambda item: item[1].weighed):
            if last.members():
                self._members[key] = last.members()
                self._names += last.members()
