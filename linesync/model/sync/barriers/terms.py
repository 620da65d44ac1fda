"""The terms of a barrier, which are the same for all its arrivals: the parties, and the reuse of the name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....errors import Mismatch, UsageError
from ....numbers import read_seconds
from ...hosts.members import fold
from ...kept.objects import KeptTerms
from ...participants import names_in_words, seconds_in_words

__all__ = ["CYCLIC", "PARTIES_MAX", "Reuse", "Terms"]

PARTIES_MAX = 10_000  # the maximum number of parties
MEMBERS_SHOWN = 300  # the maximum length of a list of members in an error, in characters


@dataclass(frozen=True, slots=True)
class Reuse:
    """The reuse of a barrier's name after a release.

    With the default values (``cyclic``), the next arrival opens the next generation.

    :ivar once: whether every later arrival is an error.
    :ivar linger: seconds in which later arrivals pass immediately, as part of the same generation; 0 for none.
    """

    once: bool = False
    linger: float = 0.0

    @classmethod
    def read(cls, text: str) -> Reuse:
        """Parse ``cyclic`` (or an empty text), ``once`` or ``linger=S``.

        :raises UsageError: the text has another form.
        """
        if text in ("", "cyclic"):
            return cls()
        if text == "once":
            return cls(once=True)
        mode, equals, number = text.partition("=")
        try:
            linger = read_seconds(number)
        except UsageError:
            linger = 0.0
        if mode != "linger" or not equals or not linger:
            raise UsageError(
                f"invalid reuse mode {text[:32]!a}: expected cyclic, once or linger=S, with S in seconds above 0"
            )
        return cls(linger=linger)

    def __str__(self) -> str:
        if self.once:
            return "once"
        return f"lingering {seconds_in_words(self.linger)}" if self.linger else "cyclic"


CYCLIC = Reuse()


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one generation; the same for all its arrivals.

    :ivar count: the number of parties, 1 to 10,000.
    :ivar members: the members; None for a barrier by count, at which any party may arrive.
    :ivar reuse: the reuse of the name after a release.
    :ivar tolerate: whether the barrier does not wait for lost members.
    :ivar rejoin: whether a member that had arrived may arrive again after its host restarts.
    """

    count: int
    members: frozenset[str] | None = None
    reuse: Reuse = CYCLIC
    tolerate: bool = False
    rejoin: bool = False

    def check(self) -> None:
        """Raise UsageError if these terms are not valid."""
        if not 1 <= self.count <= PARTIES_MAX:
            raise UsageError(f"invalid count {self.count}: a barrier is for 1 to {PARTIES_MAX} parties")
        if self.members is None and self.tolerate:
            raise UsageError("a barrier by count has no members whose loss it could tolerate; name the members")
        if self.members is None and self.rejoin:
            raise UsageError("a barrier by count has no members that could arrive again; name the members")
        if self.members is not None and self.count != len(self.members):
            raise UsageError(f"the count is {self.count}, but {len(self.members)} members are named; omit the count")

    def kept(self) -> KeptTerms:
        """The record of these terms for a store."""
        members = tuple(sorted(self.members)) if self.members is not None else None
        return KeptTerms(self.count, members, self.reuse.once, self.reuse.linger, self.tolerate, self.rejoin)

    @classmethod
    def restore(cls, kept: KeptTerms) -> Terms:
        """Make the terms from a result of :meth:`kept`.

        :raises UsageError: the terms are not valid.
        """
        members = frozenset(kept.members) if kept.members is not None else None
        terms = cls(kept.count, members, Reuse(kept.once, kept.linger), kept.tolerate, kept.rejoin)
        terms.check()
        return terms

    def mismatch(self, others: Terms, title: str, arrived: Sequence[str], total: int) -> Mismatch:
        """The error for an arrival with other terms.

        :param others: the terms of that arrival.
        :param title: the barrier's title in messages.
        :param arrived: the first parties that have arrived.
        :param total: the number of parties that have arrived.
        """
        return Mismatch(
            f"{title} is {self}, which its first arrival fixed (arrived: {names_in_words(arrived, total)}), but this arrival is"
            f" {others}; use the same terms everywhere, or another name",
            details={"stands": str(self), "yours": str(others), "count": self.count, "arrived": arrived},
        )

    def __str__(self) -> str:
        """The terms in words, as the end of the sentence ``the barrier is ...``."""
        text = f"for a count of {self.count}" if self.members is None else f"for {_short(self.members)}"
        if self.reuse != CYCLIC:
            text += f", {self.reuse}"
        text += ", without those lost" if self.tolerate else ""
        return text + (", with rejoin" if self.rejoin else "")


def _short(members: frozenset[str]) -> str:
    text = fold(members)
    return text if len(text) <= MEMBERS_SHOWN else f"{text[:MEMBERS_SHOWN]}... ({len(members)} members)"
