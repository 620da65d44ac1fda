"""What those who meet at a barrier have to agree on: for how many or for whom it is, and how its name is used again."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UsageError
from ..hosts.members import fold
from ..participants import check_timeout, seconds_in_words

__all__ = ["CYCLIC", "PARTIES_MAX", "Reuse", "Terms"]

PARTIES_MAX = 10_000  # the highest count
MEMBERS_TOLD = 300  # characters of a list of members in a message


@dataclass(frozen=True, slots=True)
class Reuse:
    """What becomes of a barrier's name once it is released.

    :ivar once: another arrival is an error.
    :ivar linger: seconds in which further arrivals pass at once, in the same generation.

    With neither, the next arrival opens the next generation.
    """

    once: bool = False
    linger: float = 0.0

    @classmethod
    def read(cls, text: str) -> Reuse:
        """Read ``cyclic`` (or nothing), ``once`` or ``linger=S``.

        :raises UsageError: it is none of these.
        """
        if text in ("", "cyclic"):
            return cls()
        if text == "once":
            return cls(once=True)
        word, equals, number = text.partition("=")
        try:
            linger = float(number)
            check_timeout(linger)
        except (ValueError, UsageError):
            linger = 0.0
        if word != "linger" or not equals or not linger:
            raise UsageError(f"{text[:32]!a} is no reuse of a barrier; give cyclic, once or linger=S with S in seconds")
        return cls(linger=linger)

    def __str__(self) -> str:
        if self.once:
            return "once"
        return f"lingering {seconds_in_words(self.linger)}" if self.linger else "cyclic"


CYCLIC = Reuse()


@dataclass(frozen=True, slots=True)
class Terms:
    """What all arrivals of one generation have in common.

    :ivar count: how many parties it takes, 1 to 10,000.
    :ivar members: who takes part, None for any parties.
    :ivar reuse: what becomes of the name afterwards.
    :ivar tolerate: lost members are not waited for.
    """

    count: int
    members: frozenset[str] | None = None
    reuse: Reuse = CYCLIC
    tolerate: bool = False

    def check(self) -> None:
        """Raise UsageError for what cannot be."""
        if not 1 <= self.count <= PARTIES_MAX:
            raise UsageError(f"a barrier is for 1 to {PARTIES_MAX} parties, not for {self.count}")
        if self.members is None and self.tolerate:
            raise UsageError("a barrier for a count of parties knows no members to lose; name the members")
        if self.members is not None and self.count != len(self.members):
            raise UsageError(
                f"the count is {self.count} and {len(self.members)} members are named; leave the count out"
            )

    def __str__(self) -> str:
        """In words, as the end of ``it stands ...``."""
        words = f"for a count of {self.count}" if self.members is None else f"for {_short(self.members)}"
        if self.reuse != CYCLIC:
            words += f", {self.reuse}"
        return words + (", without those lost" if self.tolerate else "")


def _short(members: frozenset[str]) -> str:
    text = fold(members)
    return text if len(text) <= MEMBERS_TOLD else f"{text[:MEMBERS_TOLD]}... ({len(members)} members)"
