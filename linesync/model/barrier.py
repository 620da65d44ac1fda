"""Count barriers: the first COUNT arrivals at a name go on together.

1. The first arrival opens a generation of its name and fixes the count; later ones join it if they name the
   same count and are refused with both counts if not.
2. Parties are counted by invocation: three arrivals from one host are three. An arrival *as* a member is that
   one member: a second live one is refused; once the first is gone its place is free, so a member that died
   and came back replaces its dead self.
3. The arrival that completes the count releases everybody at once, in order of arrival, and closes the
   generation; the next arrival at the name opens the next one.
4. An arrival that times out, gives up or dies is taken out again; those that stay remember why, so that their
   own errors can say who left. A generation that everybody left is forgotten, and its number used again.
5. Only the last number of each name outlives its generations, for the 10,000 names used most recently. A name
   that falls out of these continues above every number that fell out, so that no name repeats a generation.

A poll (timeout 0) that does not complete the count leaves no trace. Whoever waits counts as arrived in the
messages sent to it.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

from ..errors import Mismatch, TimedOut, UsageError
from .outcomes import ArrivalId, Outcome, Released
from .party import Cause, Client, check_member, check_name, check_timeout, names_in_words, seconds_in_words
from .waits import Place, Wait, Waits

__all__ = ["CountBarriers"]

PARTIES_MAX = 10_000  # the highest count
NAMES_REMEMBERED = 10_000  # names whose last generation number is kept
GONE_REMEMBERED = 32  # parties that left one generation and are still named with their cause
ARRIVED_LISTED = 100  # names that one error goes through, whatever the count


class CountBarriers:
    """All count barriers of a hub, by namespace and name."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._open: dict[tuple[str, str], _Barrier] = {}
        self._past: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._highest_forgotten = 0

    def __len__(self) -> int:
        return len(self._open)

    def arrive(
        self,
        arrival: ArrivalId,
        namespace: str,
        name: str,
        count: int,
        client: Client,
        now: float,
        timeout: float | None = None,
        as_member: str | None = None,
    ) -> list[Outcome]:
        """Arrive at a barrier for ``count`` parties (1 to 10,000).

        :param timeout: seconds; 0 polls, None waits for ever.
        :param as_member: the member (``host`` or ``host#tag``) that arrives; None for a party without a name
            of its own.
        :returns: :class:`Released` for everybody when this arrival completes the count; nothing while it
            waits; else its failure: UsageError (a bad name, count or timeout), Mismatch (another count, or
            the member is already there), TimedOut (a poll that came too early), LinesyncFailed (too many
            waits).
        """

        def join() -> list[Outcome]:
            check_name("namespace", namespace)
            check_name("barrier", name)
            check_timeout(timeout)
            if not 1 <= count <= PARTIES_MAX:
                raise UsageError(f"a barrier is for 1 to {PARTIES_MAX} parties, not for {count}")
            if as_member is not None:
                check_member(as_member)
            barrier = self._open.get((namespace, name)) or _Barrier(self, self._waits, namespace, name, count)
            barrier.refuse(count, as_member)
            shown = as_member or client.host
            if timeout == 0 and barrier.missing > 1:
                raise barrier.incomplete(f"{barrier.title} is not complete", shown)
            wait = self._waits.open(arrival, client, barrier, shown, now, timeout)
            self._open[barrier.key] = barrier
            barrier.join(wait, as_member)
            return barrier.settle(now)

        return self._waits.admit(arrival, client, now, join)

    def status(self, now: float) -> list[dict[str, object]]:
        """One JSON-able row for each open generation; ``waiting`` is in seconds."""
        return [barrier.status(now) for barrier in self._open.values()]

    def next_generation(self, key: tuple[str, str]) -> int:
        """The number that the next generation of a name gets."""
        return self._past.get(key, self._highest_forgotten) + 1

    def close(self, key: tuple[str, str], released: int | None) -> None:
        """A generation is over: released under that number, or left by everybody (None)."""
        del self._open[key]
        if released is None:
            return
        self._past[key] = released
        self._past.move_to_end(key)
        if len(self._past) > NAMES_REMEMBERED:
            _, forgotten = self._past.popitem(last=False)
            self._highest_forgotten = max(self._highest_forgotten, forgotten)


class _Barrier(Place):
    """One open generation of one name."""

    def __init__(self, home: CountBarriers, waits: Waits, namespace: str, name: str, count: int) -> None:
        super().__init__("barrier", namespace, name)
        self._home = home
        self._waits = waits
        self._count = count
        self._generation = home.next_generation(self.key)
        self._parties: dict[Wait, str | None] = {}  # in order of arrival; the member it arrived as
        self._members: set[str] = set()
        self._gone: dict[str, Cause] = {}

    @property
    def missing(self) -> int:
        """How many arrivals the count still lacks."""
        return self._count - len(self._parties)

    def _listed(self) -> list[str]:
        """The names of those who are there, in order of arrival; the first 100 of them."""
        return [wait.name for wait in islice(self._parties, ARRIVED_LISTED)]

    def refuse(self, count: int, member: str | None) -> None:
        """Raise Mismatch for a newcomer who does not fit to those already there."""
        if count != self._count:
            there = self._listed()
            raise Mismatch(
                f"{self.title} stands at a count of {self._count}, set by those already there "
                f"({names_in_words(there, len(self._parties))}), and you came with {count}; "
                "use one count everywhere, or another name",
                details={"count": self._count, "yours": count, "arrived": there},
            )
        if member in self._members:
            raise Mismatch(
                f"one too many at {self.title}: member {member} is already there and alive; "
                "end that one first, or arrive as another member",
                details={"count": self._count, "member": member, "arrived": self._listed()},
            )

    def join(self, wait: Wait, member: str | None) -> None:
        """Add an arrival that fits."""
        self._parties[wait] = member
        self._gone.pop(wait.name, None)
        if member is not None:
            self._members.add(member)

    def incomplete(self, headline: str, poller: str | None = None) -> TimedOut:
        """Word a timeout: who arrived (a poller among them), how many are missing, who left and why."""
        arrived = self._listed() if poller is None else [*self._listed(), poller]
        there = len(self._parties) + (poller is not None)
        left = "".join(f"; {name} left ({cause})" for name, cause in self._gone.items())
        return TimedOut(
            f"{headline}: {there} of {self._count} arrived: {names_in_words(arrived, there)}; "
            f"{self._count - there} missing{left}",
            details={
                "count": self._count,
                "generation": self._generation,
                "arrived": arrived,
                "missing": self._count - there,
                "gone": {name: str(cause) for name, cause in self._gone.items()},
            },
        )

    def timed_out(self, wait: Wait) -> TimedOut:
        return self.incomplete(f"timed out after {seconds_in_words(wait.timeout or 0)} at {self.title}")

    def leave(self, wait: Wait, cause: Cause) -> None:
        member = self._parties.pop(wait)
        if member is not None:
            self._members.discard(member)
        self._gone.pop(wait.name, None)
        if len(self._gone) >= GONE_REMEMBERED:
            del self._gone[next(iter(self._gone))]
        self._gone[wait.name] = cause

    def confirmed(self, wait: Wait) -> None:
        raise AssertionError("a barrier grants nothing provisionally")

    def settle(self, now: float) -> list[Outcome]:
        if not self._parties:
            self._home.close(self.key, None)
        if not self._parties or self.missing:
            return []
        self._home.close(self.key, self._generation)
        waits, parties = list(self._parties), tuple(wait.name for wait in self._parties)
        self._parties.clear()
        return [
            self._waits.grant(wait, Released(generation=self._generation, parties=parties, position=position), now)
            for position, wait in enumerate(waits, start=1)
        ]

    def status(self, now: float) -> dict[str, object]:
        namespace, name = self.key
        return {
            "namespace": namespace,
            "name": name,
            "count": self._count,
            "generation": self._generation,
            "missing": self.missing,
            "arrived": [
                {"name": wait.name, "client": wait.client.number, "waiting": now - wait.since} for wait in self._parties
            ],
            "gone": {name: str(cause) for name, cause in self._gone.items()},
        }
