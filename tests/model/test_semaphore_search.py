"""Semaphores against a reference model: takers die, retry, give up, time out and confirm, in any order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from linesync.errors import TimedOut
from linesync.model.outcomes import Failed, Granted, Level, Outcome
from linesync.model.party import Cause, Client
from linesync.model.results import RESULT_LIFE
from linesync.model.semaphore import Semaphores
from linesync.model.waits import Waits

from .helpers import assert_empty, profile

CLIENTS = st.builds(Client, st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]))
DELTAS = st.sampled_from([-3, -2, -1, -1, 0, 1, 2, 4])
TIMEOUTS = st.sampled_from([None, None, 0, 1.0, 2.5])
DRAW = st.randoms(use_true_random=False)


class SemaphoreSearch(RuleBasedStateMachine):
    """The reference is three things: the value, the queue in order, and who has not confirmed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waits = Waits()
        self.semaphores = Semaphores(self.waits)
        self.value = 0
        self.queue: list[tuple[str, int, float | None]] = []  # arrival, units, deadline
        self.unconfirmed: dict[str, int] = {}
        self.given = 0
        self.kept = 0
        self.asked: dict[str, tuple[Client, int, float | None]] = {}
        self.last: dict[str, Outcome] = {}
        self.confirmed: set[str] = set()

    def call(self, arrival: str) -> list[Outcome]:
        client, delta, timeout = self.asked[arrival]
        return self.semaphores.change(arrival, "default", "slots", delta, client, self.now, timeout)

    def serve(self) -> dict[str, int]:
        """First come, first served: each arrival that is granted now, and the value after it."""
        served = {}
        while self.queue and self.queue[0][1] <= self.value:
            arrival, units, _ = self.queue.pop(0)
            self.value -= units
            self.unconfirmed[arrival] = units
            served[arrival] = self.value
        return served

    def note(self, outcomes: list[Outcome], failed: list[str], served: dict[str, int]) -> None:
        """These fail, in this order, and then these are granted, in this order."""
        assert [outcome.arrival for outcome in outcomes] == [*failed, *served]
        for outcome in outcomes:
            before = self.last.get(outcome.arrival)
            assert before is None or (isinstance(before, Granted) and before.provisional)
            assert isinstance(outcome, Failed) == (outcome.arrival in failed)
            if isinstance(outcome, Granted):
                assert before is None and outcome.provisional
                assert outcome.value == Level(value=served[outcome.arrival])
            self.last[outcome.arrival] = outcome

    def end(self, arrivals: list[str]) -> None:
        self.queue = [entry for entry in self.queue if entry[0] not in arrivals]
        self.value += sum(self.unconfirmed.pop(arrival, 0) for arrival in arrivals)

    def live(self) -> list[str]:
        live = [*self.unconfirmed, *(arrival for arrival, _, _ in self.queue)]
        return sorted(live, key=lambda arrival: int(arrival[1:]))

    @rule(client=CLIENTS, delta=DELTAS, timeout=TIMEOUTS)
    def change(self, client: Client, delta: int, timeout: float | None) -> None:
        arrival = f"x{len(self.asked)}"
        self.asked[arrival] = (client, delta, timeout)
        outcomes = self.call(arrival)
        if delta >= 0:
            self.value += delta
            self.given += delta
            served = self.serve()
            assert outcomes[0] == Granted(arrival=arrival, client=client, value=Level(value=self.value))
            self.last[arrival] = outcomes[0]
            self.note(outcomes[1:], [], served)
        elif timeout == 0 and (self.queue or self.value < -delta):
            self.note(outcomes, [arrival], {})
        else:
            self.queue.append((arrival, -delta, None if timeout is None else self.now + timeout))
            self.note(outcomes, [], self.serve())

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
        self.end([arrival])
        outcomes = self.waits.withdraw(arrival, self.asked[arrival][0], self.now, Cause.GAVE_UP)
        self.note(outcomes, [arrival], self.serve())

    @rule(client=CLIENTS, whole_host=st.booleans())
    def die(self, client: Client, whole_host: bool) -> None:
        gone = []
        for arrival in self.live():
            owner = self.asked[arrival][0]
            if owner == client or (whole_host and owner.host == client.host):
                gone.append(arrival)
        self.end(gone)
        if whole_host:
            outcomes = self.waits.host_gone(client.host, self.now, Cause.LINE_LOST)
        else:
            outcomes = self.waits.client_gone(client, self.now, Cause.CLIENT_GONE)
        self.note(outcomes, gone, self.serve())

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = [(at, int(arrival[1:])) for arrival, _, at in self.queue if at is not None and at <= self.now]
        gone = [f"x{number}" for _, number in sorted(due)]
        self.end(gone)
        outcomes = self.waits.handle_timer(self.now)
        self.note(outcomes, gone, self.serve())
        for outcome in outcomes[: len(gone)]:
            assert isinstance(outcome, Failed) and isinstance(outcome.error, TimedOut)

    @precondition(lambda self: self.asked)
    @rule(draw=DRAW)
    def confirm(self, draw: DRAW) -> None:
        arrival = draw.choice(sorted(self.asked))
        stands = isinstance(self.last.get(arrival), Granted) and arrival not in self.confirmed
        assert self.waits.confirm(arrival, self.asked[arrival][0]) == stands
        self.kept += self.unconfirmed.pop(arrival, 0)
        if arrival in self.last:
            self.confirmed.add(arrival)

    @invariant()
    def units_are_conserved(self) -> None:
        assert self.value == self.given - self.kept - sum(self.unconfirmed.values()) >= 0
        rows = self.semaphores.status(self.now)
        if not (self.value or self.queue or self.unconfirmed):
            assert rows == [] and len(self.semaphores) == 0
            return
        (row,) = rows
        assert row["value"] == self.value
        assert [who["wants"] for who in row["queue"]] == [units for _, units, _ in self.queue]
        assert [who["units"] for who in row["unconfirmed"]] == list(self.unconfirmed.values())

    @invariant()
    def the_timer_is_never_late(self) -> None:
        due = [at for _, _, at in self.queue if at is not None]
        timer = self.waits.next_timer()
        assert not due or (timer is not None and timer <= min(due))

    def teardown(self) -> None:
        for host in "ab":
            gone = [arrival for arrival in self.live() if self.asked[arrival][0].host == host]
            self.end(gone)
            self.note(self.waits.host_gone(host, self.now, Cause.RESTARTED), gone, self.serve())
        assert set(self.last) == set(self.asked), "every arrival ends"
        if self.value:
            self.semaphores.change("drain", "default", "slots", -self.value, Client("c", "1"), self.now, None)
            assert self.waits.confirm("drain", Client("c", "1"))
        self.waits.handle_timer(self.now + RESULT_LIFE)
        assert_empty(self.waits)
        assert len(self.semaphores) == 0


SemaphoreSearch.TestCase.settings = profile()
TestSemaphoreSearch = SemaphoreSearch.TestCase
