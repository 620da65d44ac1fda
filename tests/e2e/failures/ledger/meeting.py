"""Operations at which parties meet: barriers and exchanges. Each command is a party, and the decider is the last party."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .operation import MANY, Lost, Operation, Report, at_least, at_most

__all__ = ["CountBarrier", "Exchange", "MemberBarrier"]

ABORTED, MEMBER_LOST = 3, 4


class CountBarrier(Operation):
    """A barrier by count.

    If a party reported 0, all parties had arrived: no other party certainly failed, their positions differ, and the barrier is
    in its second generation. If all parties certainly failed, it is in its first generation.
    """

    CODES = Operation.CODES | {ABORTED, MEMBER_LOST}

    def start(self) -> None:
        for n in range(MANY):
            self.launch(*self.words(f"{self.side}#{n}"), "--json", *self.timeout_options)
        self.await_commands("barriers")

    def words(self, member: str) -> tuple[str, ...]:
        return ("barrier", self.name, str(MANY + 1))

    def decide(self) -> None:
        self.deciders.append(self.site.start(self.other, *self.words(self.other), "--json"))

    def unblock(self) -> None:
        self.site.type("hub", *self.words(self.other), "--abort", "the round is over")

    def judge(self, reports: Sequence[Report], decisions: Sequence[Report], lost: Lost) -> None:
        parties = [*reports, *decisions]
        passed = [report.json for report in parties if report.succeeded]
        assert not passed or at_most(parties) == MANY + 1, "some passed the barrier, and others certainly failed"
        assert {row["generation"] for row in passed} <= {1} and {row["count"] for row in passed} <= {MANY + 1}, passed
        assert len({row["position"] for row in passed}) == len(passed), f"two parties with one position: {passed}"
        if not lost.hub:
            generation = self._generation()
            possible = {2} if passed else {1} if at_most(parties) == 0 else {1, 2}
            assert generation in possible, f"the barrier is in generation {generation}"

    def _generation(self) -> int:
        """The number of the next release, from the error of a party that arrives alone and does not wait."""
        done = self.site.type("hub", *self.words(self.other), "--timeout", "0", "--json")
        return int(json.loads(done.err)["generation"])


class MemberBarrier(CountBarrier):
    """A barrier by members, with the same rules."""

    def words(self, member: str) -> tuple[str, ...]:
        return ("barrier", self.name, "--members", f"{self.side}#[0-{MANY - 1}],{self.other}", "--as", member)


class Exchange(Operation):
    """Each member gives data.

    A member that reported 0 printed the data of all members. If a member reported 0, no other member certainly failed, because
    the data of all members was used.
    """

    TRAFFIC = (1150, 570)
    CODES = Operation.CODES | {ABORTED, MEMBER_LOST}

    def start(self) -> None:
        self._data = {member: f"{member} {self.name} " * 8 for member in self._members()}
        for n in range(MANY):
            self.launch(*self._words(f"{self.side}#{n}"), *self.timeout_options)
        self.await_commands("exchanges")

    def _members(self) -> list[str]:
        return [*(f"{self.side}#{n}" for n in range(MANY)), self.other]

    def _words(self, member: str) -> tuple[str, ...]:
        members = ",".join(self._members())
        return ("exchange", self.name, self._data[member], "--hosts", members, "--as", member)

    def decide(self) -> None:
        self.deciders.append(self.site.start(self.other, *self._words(self.other)))

    def unblock(self) -> None:
        self.site.type("hub", "reset", self.name)

    def judge(self, reports: Sequence[Report], decisions: Sequence[Report], lost: Lost) -> None:
        parties = [*reports, *decisions]
        assert not at_least(parties) or at_most(parties) == MANY + 1, (
            "some got the data of a member that certainly failed"
        )
        for report in parties:
            assert not report.succeeded or report.json == self._data, f"{report.json} is not the data of all"
