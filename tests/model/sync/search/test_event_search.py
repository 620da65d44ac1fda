"""Events against a reference model: set, cleared and reset while waits come, die, retry, give up and time out."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from linesync.errors import Aborted, TimedOut
from linesync.model.decisions import Failed, Granted, Names, Outcome
from linesync.model.participants import Cause, Client
from linesync.model.sync.event import Events
from linesync.model.sync.kept_results import RESULT_LIFE
from linesync.model.sync.waits import Waits

from ...helpers import assert_empty, profile

CLIENTS = st.builds(Client, st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]))
NAMES = st.lists(st.sampled_from("pqr"), min_size=1, max_size=3).map(tuple)
FEW_NAMES = st.lists(st.sampled_from("pqr"), min_size=1, max_size=2).map(tuple)
TIMEOUTS = st.sampled_from([None, None, 0, 1.0, 2.5])
DRAW = st.randoms(use_true_random=False)


class EventsSearch(RuleBasedStateMachine):
    """The reference consists of the events that are set, and the waits in order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waits = Waits()
        self.events = Events(self.waits)
        self.is_set: set[str] = set()
        self.queue: list[tuple[str, tuple[str, ...], bool, float | None]] = []  # arrival, names, any, deadline
        self.asked: dict[str, tuple[Client, str, tuple[str, ...], bool, float | None]] = {}
        self.last: dict[str, Outcome] = {}
        self.confirmed: set[str] = set()

    def call(self, arrival: str) -> list[Outcome]:
        client, action, names, any_, timeout = self.asked[arrival]
        if action == "wait":
            return self.events.wait(arrival, "default", names, any_, client, self.now, timeout)
        change = self.events.set if action == "set" else self.events.clear
        return change(arrival, "default", names, client, self.now)

    def present(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in dict.fromkeys(names) if name in self.is_set)

    def answered(self, names: tuple[str, ...], any_: bool) -> bool:
        return bool(self.present(names)) if any_ else self.is_set.issuperset(names)

    def serve(self) -> dict[str, tuple[str, ...]]:
        """End the waits whose events are set. Returns the events that each of them gets."""
        served = {arrival: self.present(names) for arrival, names, any_, _ in self.queue if self.answered(names, any_)}
        self.queue = [entry for entry in self.queue if entry[0] not in served]
        return served

    def check(self, outcomes: list[Outcome], failed: list[str], served: dict[str, tuple[str, ...]]) -> None:
        """Check that exactly these arrivals fail and then these are granted, in this order, each for the first time."""
        assert [outcome.arrival for outcome in outcomes] == [*failed, *served]
        for outcome in outcomes:
            assert outcome.arrival not in self.last
            assert isinstance(outcome, Failed) == (outcome.arrival in failed)
            if isinstance(outcome, Granted):
                assert outcome.value == Names(names=served[outcome.arrival]) and not outcome.provisional
            self.last[outcome.arrival] = outcome

    def new(self, client: Client, action: str, names: tuple[str, ...], any_: bool, timeout: float | None) -> str:
        arrival = f"x{len(self.asked)}"
        self.asked[arrival] = (client, action, names, any_, timeout)
        return arrival

    @rule(
        client=CLIENTS,
        changes=st.lists(st.tuples(st.sampled_from(["set", "clear"]), FEW_NAMES), min_size=1, max_size=4),
    )
    def change(self, client: Client, changes: list[tuple[str, tuple[str, ...]]]) -> None:
        for action, names in changes:
            arrival = self.new(client, action, names, False, None)
            if action == "set":
                self.is_set.update(names)
            else:
                self.is_set.difference_update(names)
            self.check(self.call(arrival), [], {arrival: (), **self.serve()})

    @rule(client=CLIENTS, questions=st.lists(st.tuples(NAMES, st.booleans(), TIMEOUTS), min_size=1, max_size=4))
    def wait(self, client: Client, questions: list[tuple[tuple[str, ...], bool, float | None]]) -> None:
        for names, any_, timeout in questions:
            arrival = self.new(client, "wait", names, any_, timeout)
            if timeout == 0 and not self.answered(names, any_):
                self.check(self.call(arrival), [arrival], {})
                continue
            self.queue.append((arrival, names, any_, None if timeout is None else self.now + timeout))
            self.check(self.call(arrival), [], self.serve())

    @precondition(lambda self: set(self.asked) - self.confirmed)
    @rule(draw=DRAW)
    def retry(self, draw: DRAW) -> None:
        arrival = draw.choice(sorted(set(self.asked) - self.confirmed))
        assert self.call(arrival) == ([self.last[arrival]] if arrival in self.last else [])

    @precondition(lambda self: self.queue)
    @rule(draw=DRAW)
    def give_up(self, draw: DRAW) -> None:
        entry = draw.choice(self.queue)
        self.queue.remove(entry)
        client = self.asked[entry[0]][0]
        self.check(self.waits.withdraw(entry[0], client, self.now, Cause.GAVE_UP), [entry[0]], {})

    @rule(client=CLIENTS, whole_host=st.booleans())
    def die(self, client: Client, whole_host: bool) -> None:
        owners = {arrival: self.asked[arrival][0] for arrival, *_ in self.queue}
        if whole_host:
            gone = [arrival for arrival, owner in owners.items() if owner.host == client.host]
            outcomes = self.waits.host_gone(client.host, self.now, Cause.LINE_LOST)
        else:
            gone = [arrival for arrival, owner in owners.items() if owner == client]
            outcomes = self.waits.client_gone(client, self.now, Cause.CLIENT_GONE)
        self.queue = [entry for entry in self.queue if entry[0] not in gone]
        self.check(outcomes, gone, {})

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = [(at, int(arrival[1:])) for arrival, _, _, at in self.queue if at is not None and at <= self.now]
        gone = [f"x{number}" for _, number in sorted(due)]
        self.queue = [entry for entry in self.queue if entry[0] not in gone]
        outcomes = self.waits.handle_timer(self.now)
        self.check(outcomes, gone, {})
        for outcome in outcomes:
            assert isinstance(outcome, Failed) and isinstance(outcome.error, TimedOut)
            names = dict.fromkeys(self.asked[outcome.arrival][2])
            assert outcome.error.details["set"] == [name for name in names if name in self.is_set]
            assert outcome.error.details["missing"] == [name for name in names if name not in self.is_set]

    @precondition(lambda self: self.asked)
    @rule(draw=DRAW)
    def confirm(self, draw: DRAW) -> None:
        arrival = draw.choice(sorted(self.asked))
        stands = isinstance(self.last.get(arrival), Granted) and arrival not in self.confirmed
        assert self.waits.confirm(arrival, self.asked[arrival][0]) == stands
        if arrival in self.last:
            self.confirmed.add(arrival)

    @rule(names=st.sampled_from([None, ("p",), ("p", "q"), ("none",), ("none",)]))
    def reset(self, names: tuple[str, ...] | None) -> None:
        chosen = set("pqr" if names is None else names)
        forgotten, waits = self.events.reset("default", names, self.now)
        assert forgotten == len(self.is_set & chosen)
        self.is_set -= chosen
        gone = [arrival for arrival, asked, *_ in self.queue if chosen.intersection(asked)]
        self.queue = [entry for entry in self.queue if entry[0] not in gone]
        self.check(self.waits.fail([(wait, Aborted("reset")) for wait in waits], Cause.RESET, self.now), gone, {})

    @invariant()
    def status_is_the_reference(self) -> None:
        rows = self.events.status(self.now)
        assert {row.name for row in rows if row.set} == self.is_set
        waiting: dict[str, list[tuple[str, bool]]] = {name: [] for name in self.is_set}
        for arrival, names, any_, _ in self.queue:
            for name in dict.fromkeys(names):
                waiting.setdefault(name, []).append((self.asked[arrival][0].number, any_))
        assert {row.name: [(wait.client, wait.any) for wait in row.waiting] for row in rows} == waiting
        assert len(rows) == len(self.events)

    @invariant()
    def the_timer_is_never_late(self) -> None:
        due = [at for *_, at in self.queue if at is not None]
        timer = self.waits.next_timer()
        assert not due or (timer is not None and timer <= min(due))

    def teardown(self) -> None:
        for host in "ab":
            gone = [arrival for arrival, *_ in self.queue if self.asked[arrival][0].host == host]
            self.queue = [entry for entry in self.queue if entry[0] not in gone]
            self.check(self.waits.host_gone(host, self.now, Cause.RESTARTED), gone, {})
        assert set(self.last) == set(self.asked), "every arrival ends"
        self.events.clear("drain", "default", tuple("pqr"), Client("c", "1"), self.now)
        self.waits.handle_timer(self.now + RESULT_LIFE)
        assert_empty(self.waits)
        remaining = {name: len(table) for name, table in vars(self.events).items() if isinstance(table, dict) and table}
        assert remaining == {} and self.events._awaited == 0


EventsSearch.TestCase.settings = profile()
TestEventsSearch = EventsSearch.TestCase
