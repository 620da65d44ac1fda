"""Barriers against a reference model: parties die, retry, give up, time out and disagree."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from linesync.errors import LinesyncFailed, Mismatch, TimedOut
from linesync.model.decisions import Failed, Outcome, Released
from linesync.model.hosts.membership import Membership
from linesync.model.participants import Cause, Client
from linesync.model.sync.barriers.service import Barriers
from linesync.model.sync.barriers.terms import Terms
from linesync.model.sync.kept_results import RESULT_LIFE
from linesync.model.sync.waits import Waits

from ...helpers import assert_empty, profile

CLIENTS = st.builds(Client, st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]))
NAMES = st.sampled_from(["boot", "boot", "net"])
COUNTS = st.sampled_from([3, 3, 3, 3, 3, 2, 1])
TIMEOUTS = st.sampled_from([None, None, 0, 1.0, 2.5])
MEMBERS = st.sampled_from([None, None, "m", "n#1"])
DRAW = st.randoms(use_true_random=False)


class Party:
    """The reference of an arrival that waits."""

    def __init__(self, arrival: str, client: Client, due: float | None, member: str | None) -> None:
        self.arrival, self.client, self.due, self.member = arrival, client, due, member


class BarrierSearch(RuleBasedStateMachine):
    """The reference is ``self.arrived``: for each name the count and the waiting arrivals, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waits = Waits()
        self.barriers = Barriers(self.waits, Membership())
        self.arrived: dict[str, tuple[int, list[Party]]] = {}
        self.generations: dict[str, int] = {}
        self.asked: dict[str, tuple[Client, str, int, float | None, str | None]] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.confirmed: set[str] = set()

    def check(self, outcomes: list[Outcome], expected: list[str]) -> None:
        """Check that exactly the expected arrivals end now, in this order, each for the first time."""
        assert [outcome.arrival for outcome in outcomes] == expected
        for outcome in outcomes:
            assert outcome.arrival not in self.outcomes
            self.outcomes[outcome.arrival] = outcome

    def call(self, arrival: str) -> list[Outcome]:
        client, name, count, timeout, member = self.asked[arrival]
        return self.barriers.arrive(arrival, "default", name, Terms(count=count), client, self.now, timeout, member)

    def remove(self, gone: list[Party]) -> None:
        for name, (count, parties) in list(self.arrived.items()):
            rest = [party for party in parties if party not in gone]
            if rest:
                self.arrived[name] = (count, rest)
            else:
                del self.arrived[name]

    def waiting(self) -> list[Party]:
        return [party for _, parties in self.arrived.values() for party in parties]

    @rule(client=CLIENTS, name=NAMES, count=COUNTS, timeout=TIMEOUTS, member=MEMBERS)
    def arrive(self, client: Client, name: str, count: int, timeout: float | None, member: str | None) -> None:
        arrival = f"x{len(self.asked)}"
        self.asked[arrival] = (client, name, count, timeout, member)
        standing, parties = self.arrived.get(name, (count, []))
        outcomes = self.call(arrival)
        if standing != count or (member and member in [party.member for party in parties]):
            self.check(outcomes, [arrival])
            assert isinstance(outcomes[0], Failed) and isinstance(outcomes[0].error, Mismatch)
        elif len(parties) + 1 == count:
            self.arrived.pop(name, None)
            self.check(outcomes, [party.arrival for party in parties] + [arrival])
            self.generations[name] = self.generations.get(name, 0) + 1
            names = (*[party.member or party.client.host for party in parties], member or client.host)
            values = [outcome.value for outcome in outcomes if not isinstance(outcome, Failed)]
            assert values == [
                Released(generation=self.generations[name], parties=names, position=place + 1, count=count)
                for place in range(count)
            ]
        elif timeout == 0:
            self.check(outcomes, [arrival])
            assert isinstance(outcomes[0], Failed) and isinstance(outcomes[0].error, TimedOut)
        else:
            self.check(outcomes, [])
            due = None if timeout is None else self.now + timeout
            self.arrived[name] = (count, [*parties, Party(arrival, client, due, member)])

    @precondition(lambda self: self.asked)
    @rule(draw=DRAW)
    def retry(self, draw: DRAW) -> None:
        arrival = draw.choice(sorted(set(self.asked) - self.confirmed) or ["none"])
        if arrival != "none":
            ended = self.outcomes.get(arrival)
            assert self.call(arrival) == ([ended] if ended else [])

    @precondition(lambda self: self.arrived)
    @rule(draw=DRAW)
    def give_up(self, draw: DRAW) -> None:
        party = draw.choice(self.waiting())
        self.remove([party])
        outcomes = self.waits.withdraw(party.arrival, party.client, self.now, Cause.GAVE_UP)
        self.check(outcomes, [party.arrival])

    @rule(client=CLIENTS, whole_host=st.booleans())
    def die(self, client: Client, whole_host: bool) -> None:
        gone = [p for p in self.waiting() if p.client == client or (whole_host and p.client.host == client.host)]
        self.remove(gone)
        if whole_host:
            outcomes = self.waits.host_gone(client.host, self.now, Cause.LINE_LOST)
        else:
            outcomes = self.waits.client_gone(client, self.now, Cause.CLIENT_GONE)
        order = sorted((party.arrival for party in gone), key=lambda arrival: int(arrival[1:]))
        self.check(outcomes, order)
        for outcome in outcomes:
            assert isinstance(outcome, Failed) and isinstance(outcome.error, LinesyncFailed)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = [party for party in self.waiting() if party.due is not None and party.due <= self.now]
        due.sort(key=lambda party: (party.due, int(party.arrival[1:])))
        self.remove(due)
        outcomes = self.waits.handle_timer(self.now)
        self.check(outcomes, [party.arrival for party in due])
        for outcome in outcomes:
            assert isinstance(outcome, Failed) and isinstance(outcome.error, TimedOut)

    @precondition(lambda self: self.asked)
    @rule(draw=DRAW)
    def confirm(self, draw: DRAW) -> None:
        arrival = draw.choice(sorted(self.asked))
        ended = self.outcomes.get(arrival)
        stands = ended is not None and not isinstance(ended, Failed) and arrival not in self.confirmed
        assert self.waits.confirm(arrival, self.asked[arrival][0]) == stands
        if ended is not None:
            self.confirmed.add(arrival)

    @invariant()
    def status_is_the_reference(self) -> None:
        shown = {row.name: (row.count, [who.name for who in row.arrived]) for row in self.barriers.status(self.now)}
        assert shown == {
            name: (count, [party.member or party.client.host for party in parties])
            for name, (count, parties) in self.arrived.items()
        }

    @invariant()
    def the_timer_is_never_late(self) -> None:
        due = [party.due for party in self.waiting() if party.due is not None]
        timer = self.waits.next_timer()
        assert not due or (timer is not None and timer <= min(due))

    def teardown(self) -> None:
        for host in "ab":
            outcomes = self.waits.host_gone(host, self.now, Cause.RESTARTED)
            self.check(outcomes, [outcome.arrival for outcome in outcomes])
        assert set(self.outcomes) == set(self.asked), "every arrival ends once"
        self.waits.handle_timer(self.now + RESULT_LIFE)
        assert_empty(self.waits)
        assert len(self.barriers) == 0


BarrierSearch.TestCase.settings = profile()
TestBarrierSearch = BarrierSearch.TestCase
