"""Operations on locks: for a command, and for a host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .operation import MANY, Lost, Operation, Report

__all__ = ["Keep", "Lock", "Unlock"]


class Lock(Operation):
    """Commands wait for a lock, under which each of them runs another command. First, the decider holds the lock.

    Tokens grow from holder to holder. A command with exit code 0 had the lock from the start to the end of the command under
    it, and no other such command started in this time. A command that certainly failed did not run a command, unless it
    reports that it lost its hold. At the end the lock is free.
    """

    TRAFFIC = (550, 75)

    def start(self) -> None:
        self._log, go = self.site.folder / f"{self.name}.log", self.site.folder / f"{self.name}.go"
        self._log.touch()
        self._go = go
        waits = f"until [ -e {go} ]; do sleep 0.01; done"
        self.deciders.append(self.site.start(self.other, "lock", self.name, "--", "sh", "-c", waits))
        self.site.until(lambda: self._owner() == self.other, "the first holder")
        for n in range(MANY):
            self.launch("lock", self.name, *self.timeout_options, "--", "sh", "-c", self._script(n))
        self.await_commands("locks")

    def _script(self, n: int) -> str:
        mark = f"echo $when {n} $LINESYNC_FENCING_TOKEN >> {self._log}"
        return f"when=begin; {mark}; sleep 0.03; when=end; {mark}"

    def _owner(self) -> str | None:
        row = self.site.row("locks", self.name)
        owner: dict[str, Any] | None = None if row is None else row["owner"]
        return None if owner is None or not owner["confirmed"] else str(owner["name"])

    def decide(self) -> None:
        self._go.touch()

    def judge(self, reports: Sequence[Report], decisions: Sequence[Report], lost: Lost) -> None:
        marks = [line.split() for line in self._log.read_text().splitlines()]
        tokens = [int(token) for point, _, token in marks if point == "begin"]
        assert tokens == sorted(set(tokens)), f"the tokens do not grow: {tokens}"
        for n, report in enumerate(reports):
            positions = [position for position, (_, number, _) in enumerate(marks) if int(number) == n]
            if report.succeeded:
                assert len(positions) == 2 and positions[1] == positions[0] + 1, f"command {n} was not alone: {marks}"
            elif report.failed and "hold was lost" not in report.err:
                assert not positions, f"command {n} ran without the lock: {marks}"
        done = self.site.type("hub", "lock", self.name, "--timeout", "10", "--", "true")
        assert done.code == 0, f"the lock is not free: {done.err}"


class Keep(Operation):
    """Each command takes a different lock for its host, which keeps the lock.

    After exit code 0, the host has the lock, with the printed token. After a failure, it does not have the lock. If the result
    is unknown, both are possible. A host that was lost or restarted may have lost the lock.
    """

    TRAFFIC = (450, 0)

    def start(self) -> None:
        pass

    def decide(self) -> None:
        for name in self.names():
            self.launch("lock", name)
        self.deciders = self.commands[-1:]

    def judge(self, reports: Sequence[Report], decisions: Sequence[Report], lost: Lost) -> None:
        tokens = [int(report.out) for report in reports if report.succeeded]
        assert len(tokens) == len(set(tokens)), f"a token was granted twice: {tokens}"
        if lost.hub:
            return
        rows = self.rows("locks")
        for name, report in zip(self.names(), reports, strict=True):
            row = rows.get(name)
            assert row is None or row["owner"]["name"] == self.side, row
            assert not (report.failed and row), f"{name} failed, and is held: {row}"
            if report.succeeded:
                assert row or (lost.host and self.side == "c1"), f"{name} was taken, and is free"
                assert row is None or row["token"] == int(report.out), f"{row} has another token than {report.out!r}"


class Unlock(Operation):
    """A host has locks, and each command gives one lock back.

    After exit code 0, the lock is free. After a failure, it is still held. If the result is unknown, both are possible. A
    host that was lost or restarted has lost its locks; then a command may report that the host does not own the lock.
    """

    TRAFFIC = (190, 0)
    CODES = Operation.CODES | {7}

    def start(self) -> None:
        taken = [self.site.start(self.side, "lock", name).wait() for name in self.names()]
        self._tokens = [done.text.strip() for done in taken]

    def decide(self) -> None:
        for name, token in zip(self.names(), self._tokens, strict=True):
            self.launch("lock", name, "--release", token)
        self.deciders = self.commands[-1:]

    def judge(self, reports: Sequence[Report], decisions: Sequence[Report], lost: Lost) -> None:
        if lost.hub:
            return
        host_lost = lost.host and self.side == "c1"
        rows = self.rows("locks")
        for name, report in zip(self.names(), reports, strict=True):
            assert not (report.succeeded and name in rows), f"{name} was given back, and is held: {rows[name]}"
            assert host_lost or not report.failed or name in rows, f"{name} failed, and is free"
            assert report.code != 7 or host_lost, f"{name} was not owned"
