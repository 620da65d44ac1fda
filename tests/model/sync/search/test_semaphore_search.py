"""Semaphores against a reference model: takers hold, die, retry, give up, time out and confirm, in any order; bounds, resets."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from linesync.errors import Aborted, LinesyncError, Mismatch, TimedOut
from linesync.model.decisions import Failed, Granted, Level, Outcome, Revoked
from linesync.model.participants import Cause, Client
from linesync.model.sync.kept_results import RESULT_LIFE
from linesync.model.sync.semaphore import Semaphores
from linesync.model.sync.waits import Waits

from ...helpers import assert_empty, profile

CLIENTS = st.builds(Client, st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]))
DELTAS = st.sampled_from([-3, -2, -1, -1, 0, 1, 2, 4])
TIMEOUTS = st.sampled_from([None, None, 0, 1.0, 2.5])
BOUNDS = st.sampled_from([0] * 9 + [3, 5, 5])
DRAW = st.randoms(use_true_random=False)


class SemaphoreSearch(RuleBasedStateMachine):
    """The reference consists of the value, the bound, the queue in order, the unconfirmed grants and the holders."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waits = Waits()
        self.semaphores = Semaphores(self.waits)
        self.value = 0
        self.queue: list[tuple[str, int, float | None]] = []  # arrival, units, deadline
        self.unconfirmed: dict[str, int] = {}
        self.held: dict[str, int] = {}
        self.order: list[str] = []
        self.bound = 0
        self.given = 0
        self.kept = 0
        self.asked: dict[str, tuple[Client, int, float | None, bool, int]] = {}
        self.last: dict[str, Outcome] = {}
        self.confirmed: set[str] = set()

    def call(self, arrival: str) -> list[Outcome]:
        client, delta, timeout, hold, bound = self.asked[arrival]
        return self.semaphores.change(
            arrival, "default", "slots", delta, client, self.now, timeout, hold=hold, bound=bound
        )

    def serve(self) -> dict[str, int]:
        """Return each arrival that is granted now, in order of arrival, with the value of the semaphore after the grant."""
        served = {}
        while self.queue and self.queue[0][1] <= self.value:
            arrival, units, _ = self.queue.pop(0)
            self.value -= units
            self.unconfirmed[arrival] = units
            self.order.append(arrival)
            served[arrival] = self.value
        return served

    def check(self, outcomes: list[Outcome], failed: list[str], served: dict[str, int]) -> None:
        """Check that exactly these arrivals fail or lose their holds and then these are granted, in this order."""
        assert [outcome.arrival for outcome in outcomes] == [*failed, *served]
        for outcome in outcomes:
            if isinstance(outcome, Revoked):
                assert outcome.arrival in self.confirmed and outcome.client == self.asked[outcome.arrival][0]
                continue
            before = self.last.get(outcome.arrival)
            assert before is None or (isinstance(before, Granted) and before.provisional)
            assert isinstance(outcome, Failed) == (outcome.arrival in failed)
            if isinstance(outcome, Granted):
                assert before is None and outcome.provisional
                assert outcome.value == Level(value=served[outcome.arrival])
            self.last[outcome.arrival] = outcome

    def end(self, arrivals: list[str]) -> None:
        self.queue = [entry for entry in self.queue if entry[0] not in arrivals]
        self.value += sum(self.unconfirmed.pop(arrival, 0) + self.held.pop(arrival, 0) for arrival in arrivals)

    def live(self) -> list[str]:
        live = [*self.unconfirmed, *self.held, *(arrival for arrival, _, _ in self.queue)]
        return sorted(live, key=lambda arrival: int(arrival[1:]))

    def lent(self) -> int:
        return sum(self.unconfirmed.values()) + sum(self.held.values())

    def refused(self, delta: int, bound: int) -> bool:
        """Whether a bound differs from the current bound, is not possible, or would be exceeded."""
        units, most = self.value + self.lent(), bound or self.bound or 1000
        queued = [wanted for _, wanted, _ in self.queue]
        if bound and (
            self.bound not in (0, bound) or units > bound or (not self.bound and max(queued, default=0) > bound)
        ):
            return True
        return -delta > most or (delta > 0 and units + delta > most)

    @rule(client=CLIENTS, delta=DELTAS, timeout=TIMEOUTS, hold=st.booleans(), bound=BOUNDS)
    def change(self, client: Client, delta: int, timeout: float | None, hold: bool, bound: int) -> None:
        arrival = f"x{len(self.asked)}"
        self.asked[arrival] = (client, delta, timeout, hold and delta < 0, bound)
        outcomes = self.call(arrival)
        if self.refused(delta, bound):
            self.check(outcomes, [arrival], {})
            assert isinstance(self.error(outcomes[0]), Mismatch)
            return
        if delta < 0 and timeout == 0 and (self.queue or self.value < -delta):
            self.check(outcomes, [arrival], {})
            assert isinstance(self.error(outcomes[0]), TimedOut)
            return
        if delta != 0:
            self.bound = bound or self.bound
        if delta >= 0:
            self.value += delta
            self.given += delta
            served = self.serve()
            assert outcomes[0] == Granted(arrival=arrival, client=client, value=Level(value=self.value))
            self.last[arrival] = outcomes[0]
            self.check(outcomes[1:], [], served)
        else:
            self.queue.append((arrival, -delta, None if timeout is None else self.now + timeout))
            self.check(outcomes, [], self.serve())

    @staticmethod
    def error(outcome: Outcome) -> LinesyncError:
        assert isinstance(outcome, Failed)
        return outcome.error

    @rule()
    def reset(self) -> None:
        gone = [*(arrival for arrival, _, _ in self.queue), *self.lent_in_order()]
        found, waits = self.semaphores.reset("default", None, self.now)
        assert [wait.arrival for wait in waits] == gone and found == bool(gone or self.value or self.bound)
        self.given -= self.value
        self.value = 0
        for arrival in gone:
            self.given -= self.unconfirmed.pop(arrival, 0) + self.held.pop(arrival, 0)
        self.queue, self.bound = [], 0
        self.check(self.waits.fail([(wait, Aborted("reset")) for wait in waits], Cause.RESET, self.now), gone, {})

    def lent_in_order(self) -> list[str]:
        """The arrivals that have units, in the order in which they got them."""
        return sorted([*self.unconfirmed, *self.held], key=self.order.index)

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
        notified = [] if arrival in self.held else [arrival]
        self.end([arrival])
        outcomes = self.waits.withdraw(arrival, self.asked[arrival][0], self.now, Cause.GAVE_UP)
        self.check(outcomes, notified, self.serve())

    @rule(client=CLIENTS, whole_host=st.booleans())
    def die(self, client: Client, whole_host: bool) -> None:
        gone = []
        for arrival in self.live():
            owner = self.asked[arrival][0]
            if owner == client or (whole_host and owner.host == client.host):
                gone.append(arrival)
        notified = [arrival for arrival in gone if whole_host or arrival not in self.held]
        self.end(gone)
        if whole_host:
            outcomes = self.waits.host_gone(client.host, self.now, Cause.LINE_LOST)
        else:
            outcomes = self.waits.client_gone(client, self.now, Cause.CLIENT_GONE)
        self.check(outcomes, notified, self.serve())

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = [(at, int(arrival[1:])) for arrival, _, at in self.queue if at is not None and at <= self.now]
        gone = [f"x{number}" for _, number in sorted(due)]
        self.end(gone)
        outcomes = self.waits.handle_timer(self.now)
        self.check(outcomes, gone, self.serve())
        for outcome in outcomes[: len(gone)]:
            assert isinstance(outcome, Failed) and isinstance(outcome.error, TimedOut)

    @precondition(lambda self: self.asked)
    @rule(draw=DRAW)
    def confirm(self, draw: DRAW) -> None:
        arrival = draw.choice(sorted(self.asked))
        stands = (isinstance(self.last.get(arrival), Granted) and arrival not in self.confirmed) or arrival in self.held
        assert self.waits.confirm(arrival, self.asked[arrival][0]) == stands
        units = self.unconfirmed.pop(arrival, 0)
        if units and self.asked[arrival][3]:
            self.held[arrival] = units
        else:
            self.kept += units
        self.serve()
        if arrival in self.last:
            self.confirmed.add(arrival)

    @invariant()
    def units_are_conserved(self) -> None:
        assert self.value == self.given - self.kept - self.lent() >= 0
        rows = self.semaphores.status(self.now)
        if not (self.value or self.queue or self.lent() or self.bound):
            assert rows == [] and len(self.semaphores) == 0
            return
        (row,) = rows
        assert row.value == self.value
        assert [who.wants for who in row.queue] == [units for _, units, _ in self.queue]
        assert row.bound == (self.bound or None)
        in_order = [arrival for arrival in self.lent_in_order() if arrival in self.unconfirmed]
        assert [who.units for who in row.unconfirmed] == [self.unconfirmed[arrival] for arrival in in_order]
        in_order = [arrival for arrival in self.lent_in_order() if arrival in self.held]
        assert [who.units for who in row.holders] == [self.held[arrival] for arrival in in_order]

    @invariant()
    def the_timer_is_never_late(self) -> None:
        due = [at for _, _, at in self.queue if at is not None]
        timer = self.waits.next_timer()
        assert not due or (timer is not None and timer <= min(due))

    def teardown(self) -> None:
        for host in "ab":
            gone = [arrival for arrival in self.live() if self.asked[arrival][0].host == host]
            self.end(gone)
            self.check(self.waits.host_gone(host, self.now, Cause.RESTARTED), gone, self.serve())
        assert set(self.last) == set(self.asked), "every arrival ends"
        if self.value:
            self.semaphores.change("drain", "default", "slots", -self.value, Client("c", "1"), self.now, None)
            assert self.waits.confirm("drain", Client("c", "1"))
        self.semaphores.reset("default", None, self.now)  # the bound stays until then
        self.waits.handle_timer(self.now + RESULT_LIFE)
        assert_empty(self.waits)
        assert len(self.semaphores) == 0


SemaphoreSearch.TestCase.settings = profile()
TestSemaphoreSearch = SemaphoreSearch.TestCase
