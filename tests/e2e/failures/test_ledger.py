"""Compare the results of real commands with the hub's state, while agents, commands and the hub are killed.

A round starts commands on one side (on a host with a serial line of 115200 baud, or on the controller). Then it starts the
*decision*: the commands that end the waits of the first commands. It kills a process (the *victim*) or cuts the line when a
random part of the decision's bytes has been sent on the line, or after a random time if the decision sends no bytes on the line.
At the end it compares the reports of the commands with the state of the hub. Exit code 0 means that the command had its effect,
125 with "may have" that this is unknown, and any other code that it had no effect.

The rounds use the rows of a table of operations, sides and victims. The first rounds test each operation once.
``LINESYNC_ROUNDS=140`` tests the whole table, and more rounds test it again with other delays. After the first 140 rounds, some
commands have a timeout, and some cuts are longer than the lease.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.e2e.kit import SerialSite, serial_site

from .ledger import OPERATIONS, Lost, Report

ROUNDS = int(os.environ.get("LINESYNC_ROUNDS") or len(OPERATIONS))
SEED = int(os.environ.get("LINESYNC_SEED") or 0)
_LEASE = 4.0
_SIDES = ("c1", "hub")
_VICTIMS = ("agent", "hub", "line", "command", "decider")
_VICTIMS_AND_SIDES = tuple(itertools.product(_VICTIMS, _SIDES))


@pytest.fixture(scope="module")
def site() -> Iterator[SerialSite]:
    with serial_site(*Round.HUB, hosts=("c1",)) as place:
        yield place


def measured(site: SerialSite) -> float:
    """Seconds from the start of a command to its end."""

    def once() -> float:
        began = time.monotonic()
        site.type("c1", "sem", "start-up", "0")
        return time.monotonic() - began

    return min(once() for _ in range(3))


@pytest.fixture(scope="module")
def start_up(site: SerialSite) -> float:
    return measured(site)


class Round:
    """One round: the operation, the victim, and the reports of the commands."""

    HUB: tuple[str, ...] = ("--lease", f"{_LEASE:g}")
    """The options of the hub."""

    def __init__(self, site: SerialSite, number: int, start_up: float) -> None:
        self.site = site
        self.random = random.Random(SEED * 100_000 + number)
        lap, position = divmod(number, len(OPERATIONS))
        kind = OPERATIONS[position]
        self.victim, side = self._victim_and_side(position + lap)
        traffic = self.random.uniform(0.0, kind.TRAFFIC[side == "hub"])
        self.bytes = traffic or math.inf
        self.delay = start_up * (10.0 if traffic else self.random.uniform(0.7, 3.0))
        self.cut = self.random.uniform(0.1, 1.0)
        timeout = ""
        if lap and self.random.random() < 0.3:
            self.cut = _LEASE + 1.0
        if lap and self.random.random() < 0.3:
            timeout = f"{self.random.uniform(2.0, 10.0) * start_up:.2f}"
        self.operation = kind(site, f"n{number}", side, ("--timeout", timeout) if timeout else ())
        self.reports: list[Report] = []
        self.decisions: list[Report] = []
        self._before = {daemon.log_file: daemon.log_file.stat().st_size for daemon in site.daemons}
        delay = f"{self.bytes:.0f} bytes" if traffic else f"{self.delay:.2f} s"
        self.title = f"n{number}: {kind.__name__} on {side}, {self.victim} lost after {delay}"
        self.title += f", timeout {timeout} s" if timeout else ""
        self.title += f", line cut for {self.cut:.1f} s" if self.victim == "line" else ""

    def _victim_and_side(self, number: int) -> tuple[str, str]:
        """The victim, and the side of the commands."""
        return _VICTIMS_AND_SIDES[number % len(_VICTIMS_AND_SIDES)]

    def __str__(self) -> str:
        ends = "\n".join(f"  {report}" for report in self.reports)
        decided = "\n".join(f"  {report}" for report in self.decisions)
        advice = f"run it again: LINESYNC_SEED={SEED} LINESYNC_ROUNDS={ROUNDS} pytest tests/e2e -k ledger"
        return f"{self.title}\ncommands:\n{ends}\ndeciders:\n{decided}\n{self._logs()}\n{advice}"

    def _logs(self) -> str:
        """The log lines of the hub and the agent since the start of the round."""
        texts = ((path, path.read_bytes()[size:].decode("utf-8", "replace")) for path, size in self._before.items())
        return "\n".join(f"-- {path.name}:\n{text}" for path, text in texts)

    def play(self) -> None:
        operation = self.operation
        operation.start()
        before = self._traffic()
        operation.decide()
        deadline = time.monotonic() + self.delay
        while self._traffic() - before < self.bytes and time.monotonic() < deadline and not self._have_ended(0.0):
            time.sleep(0.001)
        self._lose()
        self.site.agents["c1"].says("is registered")  # after that, the hub knows that the earlier agent has ended
        self.site.await_host("c1")
        if not self._have_ended(1.0):
            operation.unblock()
        self.reports = [Report(command.wait()) for command in operation.commands]
        shared = dict(zip(operation.commands, self.reports, strict=True))
        self.decisions = [shared.get(decider) or Report(decider.wait()) for decider in operation.deciders]
        self.site.type(
            "c1", "sem", "start-up", "0"
        )  # afterwards, the hub has handled all earlier messages of the agent
        operation.judge(self.reports, self.decisions, self._lost())
        codes = {report.code for report in (*self.reports, *self.decisions)}
        assert codes <= operation.CODES, f"unexpected exit codes: {codes - operation.CODES}"

    def _traffic(self) -> int:
        """The number of bytes that were sent on the line."""
        counters = self.site.cables["c1"].counters()
        return sum(counters[way]["bytes_in"] for way in ("ab", "ba"))

    def _have_ended(self, seconds: float) -> bool:
        """Whether all commands end within this time."""
        deadline = time.monotonic() + seconds
        commands = [*self.operation.commands, *self.operation.deciders]
        while any(command.running for command in commands) and time.monotonic() < deadline:
            time.sleep(0.01)
        return not any(command.running for command in commands)

    def _lose(self) -> None:
        match self.victim:
            case "agent":
                self.site.agents["c1"].kill()
                self.site.start_agent("c1")
            case "command":
                self.random.choice(self.operation.commands).process.kill()
            case "decider":
                self.operation.deciders[-1].process.kill()
            case "hub":
                self.site.daemons[0].kill()
                self.site.daemons[0] = self.site.start_hub(*self.HUB)
                self.site.daemons.pop()
                self.site.start(
                    "c1", "sem", "start-up", "0"
                )  # an idle agent would notice the new hub only seconds later
            case "line":
                self.site.cables["c1"].pull()
                time.sleep(self.cut)
                self.site.cables["c1"].plug()

    def _lost(self) -> Lost:
        cut_off = self.victim == "line" and self.cut > _LEASE
        return Lost(hub=self.victim == "hub", host=self.victim in ("agent", "hub") or cut_off)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_the_results_of_commands_match_the_state_of_the_hub(site: SerialSite, number: int, start_up: float) -> None:
    round = Round(site, number, start_up)
    try:
        round.play()
    except AssertionError as error:
        pytest.fail(f"{error}\n{round}")
    print(round.title, [report.code for report in round.reports], [report.code for report in round.decisions])
