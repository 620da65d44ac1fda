"""Operations that change the state under a name immediately: events and ``reset``. Each command uses a different name."""

from __future__ import annotations

from collections.abc import Sequence

from tests.e2e.kit import Command

from .operation import KILLED, Lost, Operation, Report

__all__ = ["ClearEvents", "Reset", "SetEvents"]


class SetEvents(Operation):
    """Each command sets two events.

    After exit code 0, both are set. After a failure, neither is set. If the result is unknown, both are set or neither.
    """

    TRAFFIC = (210, 0)
    ACTION, FINAL_STATE = "set", True

    def start(self) -> None:
        pass

    def decide(self) -> None:
        for name in self.names():
            self.launch("event", self.ACTION, f"{name}.a", f"{name}.b")
        self.deciders = self.commands[-1:]

    def judge(self, reports: Sequence[Report], decisions: Sequence[Report], lost: Lost) -> None:
        if lost.hub:
            return
        rows = self.rows("events")
        for name, report in zip(self.names(), reports, strict=True):
            are_set = [bool(rows.get(f"{name}.{letter}", {}).get("set")) for letter in "ab"]
            assert are_set[0] == are_set[1], f"one event of {name} was changed alone"
            assert report.unknown or are_set[0] == (self.FINAL_STATE if report.succeeded else not self.FINAL_STATE), (
                f"the events of {name} are {'' if are_set[0] else 'not '}set"
            )


class ClearEvents(SetEvents):
    """Each command clears two events, which were set. The rules are the same."""

    ACTION, FINAL_STATE = "clear", False

    def start(self) -> None:
        events = [f"{name}.{letter}" for name in self.names() for letter in "ab"]
        assert self.site.type("hub", "event", "set", *events).code == 0


class Reset(Operation):
    """Each command resets a name. The semaphore with this name has one unit, and a waiter on the other side waits for two units.

    After exit code 0, the semaphore is removed and the waiter has failed with 3. After a failure, the semaphore exists and the
    waiter waits. If the result is unknown, one of these two states is possible.
    """

    TRAFFIC = (180, 280)

    def start(self) -> None:
        for name in self.names():
            assert self.site.type("hub", "sem", name, "+1").code == 0
        self._waiters: list[Command] = [self.site.start(self.other, "sem", name, "-2") for name in self.names()]
        for name in self.names():
            self.site.await_waiting("semaphores", name, 1)

    def decide(self) -> None:
        for name in self.names():
            self.launch("reset", name)
        self.deciders = self.commands[-1:]

    def judge(self, reports: Sequence[Report], decisions: Sequence[Report], lost: Lost) -> None:
        rows = {} if lost.hub else self.rows("semaphores")
        ended = []
        for name, waiter in zip(self.names(), self._waiters, strict=True):
            if name in rows and rows[name]["queue"]:
                assert waiter.running, f"the waiter at {name} has ended"
                waiter.kill()
            ended.append(KILLED if name in rows and rows[name]["queue"] else waiter.wait().code)
        if lost.hub:
            return
        for name, report, code in zip(self.names(), reports, ended, strict=True):
            assert not (report.succeeded and name in rows), f"{name} was reset, and still exists: {rows[name]}"
            assert not report.failed or name in rows, f"{name} failed, and was reset"
            if not (lost.host and self.other == "c1"):
                assert (code == 3) == (name not in rows), f"the waiter at {name} ended with {code}"
