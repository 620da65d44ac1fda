"""One operation under test, and the reports of its commands."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.e2e.kit import Command, Done, SerialSite

__all__ = ["KILLED", "MANY", "Lost", "Operation", "Report"]

MANY = 4
"""The number of commands in a round."""
KILLED = -9
"""The exit code of a command that was killed."""


@dataclass(frozen=True)
class Lost:
    """The processes that were lost in a round."""

    hub: bool = False
    """The hub was restarted, so its state is lost."""
    host: bool = False
    """The host was restarted, or cut off for longer than its lease, so its holds are lost."""


class Report:
    """The report of a command: *succeeded* (exit code 0), *unknown* (killed, or 125 with "may have") or *failed*."""

    def __init__(self, done: Done) -> None:
        self.code, self.err, self.out = done.code, done.err, done.out
        self.succeeded = done.code == 0
        self.unknown = done.code == KILLED or (done.code == 125 and "may have" in done.err)
        self.failed = not (self.succeeded or self.unknown)

    def __str__(self) -> str:
        return f"{self.code} {self.err.strip()[-250:]}"

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Operation(ABC):
    """One operation in one round. It starts commands, starts the *decision* (the commands that end their waits, for example by
    giving units), and checks the reports.

    :ivar name: the name of the barrier, the lock and so on.
    :ivar side: the side on which the commands run, ``c1`` or ``hub``.
    :ivar other: the other side, on which the deciders run.
    :ivar timeout_options: the options for the timeout of commands that wait.
    :ivar commands: the commands.
    :ivar deciders: the commands that make the decision; those that repeat it come last.
    """

    TRAFFIC: tuple[int, int] = (150, 70)
    """The bytes on the line from the decision to the end, if the commands are on ``c1`` and if they are on ``hub``."""
    CODES: frozenset[int] = frozenset({0, 124, 125, KILLED})
    """The exit codes that are possible."""

    def __init__(self, site: SerialSite, name: str, side: str, timeout_options: Sequence[str]) -> None:
        self.site = site
        self.name = name
        self.side = side
        self.other = "hub" if side == "c1" else "c1"
        self.timeout_options = tuple(timeout_options)
        self.commands: list[Command] = []
        self.deciders: list[Command] = []

    @abstractmethod
    def start(self) -> None:
        """Start everything except the decision. If the commands themselves decide, start them in :meth:`decide`."""

    @abstractmethod
    def decide(self) -> None:
        """Start the deciders."""

    def unblock(self) -> None:  # noqa: B027 - commands that decide themselves do not wait
        """End the waits of commands that still run because the decision or some of the commands were lost."""

    @abstractmethod
    def judge(self, reports: Sequence[Report], decisions: Sequence[Report], lost: Lost) -> None:
        """Compare the reports of the commands and of the deciders with the state of the hub.

        :raises AssertionError: they do not match.
        """

    # -- for the operations --------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """A name for each command, for operations whose commands have separate names."""
        return [f"{self.name}-{n}" for n in range(MANY)]

    def launch(self, *words: str) -> None:
        """Start one of the commands."""
        self.commands.append(self.site.start(self.side, *words))

    def await_commands(self, kind: str) -> None:
        """Wait until all commands wait at the hub, or a command has timed out."""
        self.site.until(
            lambda: self.site.waiting(kind, self.name) >= len(self.commands)
            or not all(command.running for command in self.commands),
            f"the commands at {self.name}",
        )

    def rows(self, kind: str) -> dict[str, Any]:
        """The rows of ``status`` for one kind of object, by name."""
        return {row["name"]: row for row in self.site.json("hub", "status")[kind]}


def at_least(reports: Sequence[Report]) -> int:
    """The number of effects that certainly happened, by the reports."""
    return sum(report.succeeded for report in reports)


def at_most(reports: Sequence[Report]) -> int:
    """The number of effects that may have happened, by the reports."""
    return sum(not report.failed for report in reports)
