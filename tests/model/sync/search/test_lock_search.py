"""Locks against a reference model: owners and waiting clients die, retry, keep, unlock, give up and time out, in any order."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from linesync.errors import Aborted, NotAllowed, TimedOut
from linesync.model.decisions import Failed, Granted, Outcome, Revoked, Token
from linesync.model.participants import Cause, Client
from linesync.model.sync.kept_results import RESULT_LIFE
from linesync.model.sync.lock import Locks
from linesync.model.sync.waits import Waits

from ...helpers import assert_empty, profile

CLIENTS = st.builds(Client, st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]))
NAMES = st.sampled_from(["flash", "flash", "power"])
TIMEOUTS = st.sampled_from([None, None, None, 0, 1.0, 2.5])
DRAW = st.randoms(use_true_random=False)


class LockSearch(RuleBasedStateMachine):
    """The reference is ``self.queues``: for each name the arrivals in order. The first arrival has the lock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waits = Waits()
        self.locks = Locks(self.waits, first_token=7)
        self.queues: dict[str, list[str]] = {"flash": [], "power": []}
        self.asked: dict[str, tuple[Client, str, float | None, bool]] = {}
        self.due: dict[str, float] = {}
        self.tokens: dict[str, int] = {}
        self.last: dict[str, Outcome] = {}
        self.confirmed: set[str] = set()

    def call(self, arrival: str) -> list[Outcome]:
        client, name, timeout, keep = self.asked[arrival]
        return self.locks.take(arrival, "default", name, client, self.now, timeout, keep=keep)

    def live(self) -> list[str]:
        return sorted(
            (arrival for queue in self.queues.values() for arrival in queue), key=lambda arrival: int(arrival[1:])
        )

    def is_held(self, arrival: str) -> bool:
        return arrival in self.confirmed and arrival in self.live()

    def end(self, outcomes: list[Outcome], gone: list[str], *, notified: list[str]) -> None:
        """End these arrivals. Expects the outcomes of the notified clients, then the grants in the order of the names."""
        released = dict.fromkeys(self.asked[arrival][1] for arrival in gone)
        for queue in self.queues.values():
            queue[:] = [arrival for arrival in queue if arrival not in gone]
        self.check(outcomes, notified, released)

    def check(self, outcomes: list[Outcome], notified: list[str], names: dict[str, None]) -> None:
        new = [self.queues[name][0] for name in names if self.queues[name] and self.queues[name][0] not in self.tokens]
        assert [outcome.arrival for outcome in outcomes] == notified + new
        for outcome in outcomes[len(notified) :]:
            highest = max(self.tokens.values(), default=6)
            assert isinstance(outcome, Granted) and outcome.provisional
            assert outcome.value == Token(token=highest + 1), "tokens grow over all locks"
            self.tokens[outcome.arrival] = highest + 1
        for outcome in outcomes:
            assert isinstance(outcome, Revoked) == (outcome.arrival in self.confirmed)
            self.last[outcome.arrival] = outcome

    @rule(client=CLIENTS, name=NAMES, timeout=TIMEOUTS, keep=st.booleans())
    def take(self, client: Client, name: str, timeout: float | None, keep: bool) -> None:
        arrival = f"x{len(self.asked)}"
        self.asked[arrival] = (client, name, timeout, keep)
        outcomes = self.call(arrival)
        if timeout == 0 and self.queues[name]:
            self.check(outcomes, [arrival], {})
            assert isinstance(outcomes[0], Failed) and isinstance(outcomes[0].error, TimedOut)
            return
        self.queues[name].append(arrival)
        if timeout:
            self.due[arrival] = self.now + timeout
        self.check(outcomes, [], {name: None})

    @precondition(lambda self: self.asked)
    @rule(draw=DRAW)
    def retry(self, draw: DRAW) -> None:
        arrival = draw.choice(sorted(set(self.asked) - self.confirmed) or ["none"])
        if arrival != "none":
            assert self.call(arrival) == ([self.last[arrival]] if arrival in self.last else [])

    @precondition(lambda self: self.live())
    @rule(draw=DRAW)
    def give_up(self, draw: DRAW) -> None:
        arrival = draw.choice(self.live())
        notified = [] if self.is_held(arrival) else [arrival]
        outcomes = self.waits.withdraw(arrival, self.asked[arrival][0], self.now, Cause.GAVE_UP)
        self.end(outcomes, [arrival], notified=notified)

    @precondition(lambda self: self.tokens)
    @rule(draw=DRAW, host=st.sampled_from(["a", "b"]), name=NAMES)
    def unlock(self, draw: DRAW, host: str, name: str) -> None:
        token = draw.choice(sorted(self.tokens.values()))
        owner = self.queues[name][0] if self.queues[name] else ""
        if not owner or self.tokens[owner] != token or self.asked[owner][0].host != host:
            with pytest.raises(NotAllowed):
                self.locks.give_back("default", name, token, host, self.now)
            return
        notified = [] if self.is_held(owner) else [owner]
        self.end(self.locks.give_back("default", name, token, host, self.now), [owner], notified=notified)

    @precondition(lambda self: self.live())
    @rule(draw=DRAW)
    def unlock_own(self, draw: DRAW) -> None:
        owner = draw.choice([queue[0] for queue in self.queues.values() if queue])
        notified = [] if self.is_held(owner) else [owner]
        client, name, _, _ = self.asked[owner]
        self.end(
            self.locks.give_back("default", name, self.tokens[owner], client.host, self.now), [owner], notified=notified
        )

    @rule(client=CLIENTS, whole_host=st.booleans())
    def die(self, client: Client, whole_host: bool) -> None:
        gone = []
        for arrival in self.live():
            owner, _, _, keep = self.asked[arrival]
            kept = keep and self.is_held(arrival)
            if (owner.host == client.host) if whole_host else (owner == client and not kept):
                gone.append(arrival)
        notified = [arrival for arrival in gone if whole_host or not self.is_held(arrival)]
        if whole_host:
            outcomes = self.waits.host_gone(client.host, self.now, Cause.LINE_LOST)
        else:
            outcomes = self.waits.client_gone(client, self.now, Cause.CLIENT_GONE)
        self.end(outcomes, gone, notified=notified)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        waiting = [arrival for queue in self.queues.values() for arrival in queue[1:]]
        late = [arrival for arrival in waiting if self.due.get(arrival, self.now + 1) <= self.now]
        late.sort(key=lambda arrival: (self.due[arrival], int(arrival[1:])))
        self.end(self.waits.handle_timer(self.now), late, notified=late)

    @precondition(lambda self: self.asked)
    @rule(draw=DRAW)
    def confirm(self, draw: DRAW) -> None:
        arrival = draw.choice(sorted(self.asked))
        is_kept = arrival in self.tokens and arrival in self.live()
        assert self.waits.confirm(arrival, self.asked[arrival][0]) == is_kept
        if arrival in self.last:
            self.confirmed.add(arrival)

    @rule(names=st.sampled_from([None, ["flash"], ["power", "power", "none"]]))
    def reset(self, names: list[str] | None) -> None:
        chosen = [name for name in self.locks_by_age() if names is None or name in names]
        gone = [arrival for name in chosen for arrival in self.queues[name]]
        found, waits = self.locks.reset("default", names, self.now)
        assert found == len(chosen) and [wait.arrival for wait in waits] == gone
        ending = [(wait, Aborted("reset")) for wait in waits]
        self.end(self.waits.fail([*ending], Cause.RESET, self.now), gone, notified=gone)

    def locks_by_age(self) -> list[str]:
        return [row.name for row in self.locks.status(self.now)]

    @invariant()
    def status_is_the_reference(self) -> None:
        rows = {row.name: row for row in self.locks.status(self.now)}
        assert sorted(rows) == sorted(name for name, queue in self.queues.items() if queue)
        for name, row in rows.items():
            owner, waiting = row.owner, row.queue
            first, *others = self.queues[name]
            client, _, _, keep = self.asked[first]
            assert owner is not None
            assert (owner.name, row.token) == (client.host, self.tokens[first])
            assert owner.confirmed == self.is_held(first) and owner.client == (None if keep else client.number)
            assert [row.client for row in waiting] == [self.asked[other][0].number for other in others]

    @invariant()
    def the_timer_is_never_late(self) -> None:
        due = [self.due[arrival] for queue in self.queues.values() for arrival in queue[1:] if arrival in self.due]
        timer = self.waits.next_timer()
        assert not due or (timer is not None and timer <= min(due))

    def teardown(self) -> None:
        for host in "ab":
            self.die(Client(host, "1"), True)
        assert self.live() == [] and len(self.locks) == 0
        self.waits.handle_timer(self.now + RESULT_LIFE)
        assert_empty(self.waits)


LockSearch.TestCase.settings = profile()
TestLockSearch = LockSearch.TestCase
