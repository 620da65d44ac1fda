"""Operations that count: units of a semaphore, and messages."""

from __future__ import annotations

from collections.abc import Sequence

from tests.real import wait_for

from .operation import MANY, Lost, Operation, Report, at_least, at_most

__all__ = ["Give", "Hold", "Receive", "Send", "Take"]


class Take(Operation):
    """Each command waits for one unit, and the decider gives one unit for each command.

    The commands took the units that are missing at the end: at least one for each exit code 0, and at most one more for each
    command with an unknown result. If the hub was lost, its count is lost, too. The test then only checks that the commands did
    not take more units than the decider gave.
    """

    def start(self) -> None:
        for _ in range(MANY):
            self.launch("sem", self.name, "-1", *self.timeout_options)
        self.await_commands("semaphores")

    def decide(self) -> None:
        self.deciders.append(self.site.start(self.other, "sem", self.name, str(MANY)))

    def unblock(self) -> None:
        self.deciders.append(self.site.start("hub", "sem", self.name, str(MANY)))

    def judge(self, reports: Sequence[Report], decisions: Sequence[Report], lost: Lost) -> None:
        assert at_least(reports) <= MANY * at_most(decisions), "more units were taken than given"
        if not lost.hub:
            given = [MANY * count for count in range(at_least(decisions), at_most(decisions) + 1)]
            self._compare(reports, given)

    def _compare(self, reports: Sequence[Report], given: Sequence[int]) -> None:
        left = self.value()
        fits = any(at_least(reports) <= units - left <= at_most(reports) for units in given)
        assert fits, f"{left} units are left of {given}"

    def value(self) -> int:
        return int(self.site.type("hub", "sem", self.name, "0").text)


class Hold(Take):
    """The same with units that a command holds while it runs another command. At the end, all units are returned."""

    TRAFFIC = (430, 60)

    def start(self) -> None:
        for _ in range(MANY):
            self.launch("sem", self.name, "-1", "--hold", *self.timeout_options, "--", "true")
        self.await_commands("semaphores")

    def _compare(self, reports: Sequence[Report], given: Sequence[int]) -> None:
        wait_for(lambda: self.value() in given, f"the return of all units ({given}, now {self.value()})", every=0.1)


class Give(Operation):
    """Each command gives a unit. The semaphore has one unit for each exit code 0, and may have one more for each unknown
    result."""

    TRAFFIC = (170, 0)

    def start(self) -> None:
        pass

    def decide(self) -> None:
        for _ in range(MANY):
            self.launch(*self.words())
        self.deciders = self.commands[-1:]

    def words(self) -> tuple[str, ...]:
        return ("sem", self.name, "+1")

    def judge(self, reports: Sequence[Report], decisions: Sequence[Report], lost: Lost) -> None:
        if not lost.hub:
            count = self.count()
            assert at_least(reports) <= count <= at_most(reports), f"the hub counts {count}"

    def count(self) -> int:
        row = self.site.row("semaphores", self.name)
        return 0 if row is None else int(row["value"])


class Send(Give):
    """Each command sends a message. The topic has one message for each exit code 0, and may have one more for each unknown
    result."""

    def words(self) -> tuple[str, ...]:
        return ("send", self.name, f"n={len(self.commands)}")

    def count(self) -> int:
        row = self.site.row("topics", self.name)
        return 0 if row is None else int(row["messages"])


class Receive(Operation):
    """Commands wait for a message, and the decider sends it.

    Exit code 0 means that a command printed the first messages of the topic. The topic has a message for each sender with
    exit code 0, and may have a message for each sender with an unknown result. Reading does not change the topic.
    """

    def start(self) -> None:
        for n in range(MANY):
            self.launch("wait", self.name, "--as", f"{self.side}#{n}", "--json", *self.timeout_options)
        self.await_commands("topics")

    def decide(self) -> None:
        self.deciders.append(self.site.start(self.other, "send", self.name, "n=first", "k=v"))

    def unblock(self) -> None:
        self.deciders.append(self.site.start("hub", "send", self.name, "n=again", "--as", "again"))

    def judge(self, reports: Sequence[Report], decisions: Sequence[Report], lost: Lost) -> None:
        assert at_most(decisions) > 0 or not at_least(reports), "a message was received that was not sent"
        if lost.hub:
            return
        done = self.site.type("hub", "wait", self.name, "--as", "reader", "--timeout", "0", "--json")
        messages = Report(done).json if done.code == 0 else []
        assert at_least(decisions) <= len(messages) <= at_most(decisions), f"the topic has {messages}"
        for report in reports:
            if report.succeeded:
                assert report.json and report.json == messages[: len(report.json)], (
                    f"{report.json} is not from {messages}"
                )
