"""Exchanges against a reference model: members die before and after giving, return, retry, time out and are reset."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from linesync.errors import Aborted, LinesyncError, LinesyncFailed, MemberLost, Mismatch, TimedOut
from linesync.model.decisions import Exchanged, Failed, Outcome
from linesync.model.participants import Cause, Client
from linesync.model.sync.exchange import Exchanges
from linesync.model.sync.kept_results import RESULT_LIFE
from linesync.model.sync.waits import Waits

from ...helpers import assert_empty, profile

HOSTS = ("a", "b", "c")
CLIENTS = st.builds(Client, st.sampled_from(HOSTS), st.sampled_from(["1", "2"]))
NAMES = st.sampled_from(["keys", "keys", "logs"])
TIMEOUTS = st.sampled_from([None, None, None, 0, 1.0, 2.5])
FATAL = [Cause.LINE_LOST, Cause.STOPPED]
DRAW = st.randoms(use_true_random=False)


class Member:
    """The reference of an arrival that waits."""

    def __init__(self, arrival: str, client: Client, due: float | None, poll: bool) -> None:
        self.arrival, self.client, self.due, self.poll = arrival, client, due, poll


class Reference:
    """The reference of one name: the arrivals, the data, and the members that have not been notified of a failure."""

    def __init__(self) -> None:
        self.arrived: dict[str, Member] = {}
        self.data: dict[str, int] = {}
        self.unnotified: set[str] = set()
        self.failed_at = 0.0
        self.left_at: float | None = None
        self.generation = 0


class ExchangeSearch(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lost_hosts: dict[str, Cause] = {}
        self.waits = Waits()
        self.exchanges = Exchanges(self.waits, self)
        self.exchanges.dropped = lambda key: self.dropped.append(key)
        self.dropped: list[int] = []
        self.names = {"keys": Reference(), "logs": Reference()}
        self.asked: dict[str, tuple[Client, str, float | None, str]] = {}
        self.outcomes: dict[str, tuple[Outcome, float]] = {}
        self.confirmed: set[str] = set()
        self.keys = 0
        self.released: dict[tuple[int, ...], list[str]] = {}
        """The keys of each complete exchange, and its arrivals, whose results need the data."""

    def lost(self, host: str) -> tuple[Cause, str] | None:
        return (self.lost_hosts[host], "why") if host in self.lost_hosts else None

    def remark(self, host: str) -> str:
        return ""

    # -- the reference -------------------------------------------------------------------------------------------------

    def check(self, outcomes: list[Outcome], expected: dict[str, type[LinesyncError] | None]) -> None:
        """Check that exactly these arrivals end now, each for the first time, with an error of this type or success (None)."""
        assert {outcome.arrival for outcome in outcomes} == set(expected) and len(outcomes) == len(expected)
        for outcome in outcomes:
            assert outcome.arrival not in self.outcomes
            self.outcomes[outcome.arrival] = (outcome, self.now)
            error = expected[outcome.arrival]
            got = type(outcome.error) if isinstance(outcome, Failed) else None
            assert got is error, (outcome, error)

    def drop(self, exchange: Reference, member: str) -> None:
        key = exchange.data.pop(member, None)
        if key is not None:
            assert key in self.dropped, "data that is no longer needed is dropped immediately"

    def settle(self, exchange: Reference) -> None:
        exchange.left_at = (
            self.now if exchange.data and not exchange.arrived and exchange.left_at is None else exchange.left_at
        )
        if exchange.arrived or not exchange.data:
            exchange.left_at = None

    def fail(
        self, exchange: Reference, dead: set[str], error: type[LinesyncError]
    ) -> dict[str, type[LinesyncError] | None]:
        """End all waiting arrivals with this error. Members that have not arrived get it later."""
        exchange.unnotified, exchange.failed_at = set(HOSTS) - set(exchange.arrived) - dead, self.now
        ended: dict[str, type[LinesyncError] | None] = {
            participant.arrival: error for participant in exchange.arrived.values()
        }
        exchange.arrived.clear()
        for member in list(exchange.data):
            self.drop(exchange, member)
        self.settle(exchange)
        return ended

    def leave(
        self, gone: list[Member], cause: Cause, error: type[LinesyncError]
    ) -> dict[str, type[LinesyncError] | None]:
        """End these arrivals, and return all arrivals that end as a result, with their errors."""
        ended: dict[str, type[LinesyncError] | None] = {participant.arrival: error for participant in gone}
        for exchange in self.names.values():
            dead = set()
            for member, participant in list(exchange.arrived.items()):
                if participant not in gone:
                    continue
                del exchange.arrived[member]
                if cause in (Cause.TIMED_OUT, Cause.GAVE_UP, Cause.RESET):
                    self.drop(exchange, member)
                elif member not in exchange.data:
                    dead.add(member)
            if dead:
                ended |= self.fail(exchange, dead, MemberLost)
            self.settle(exchange)
        return ended

    def waiting(self) -> list[Member]:
        return [participant for exchange in self.names.values() for participant in exchange.arrived.values()]

    # -- actions -------------------------------------------------------------------------------------------------------

    def call(self, arrival: str) -> list[Outcome]:
        client, name, timeout, member = self.asked[arrival]
        return self.exchanges.open(arrival, "default", name, HOSTS, member, 1, client, self.now, timeout)

    @rule(client=CLIENTS, name=NAMES, timeout=TIMEOUTS, other=st.sampled_from([False, False, False, True]))
    def arrive(self, client: Client, name: str, timeout: float | None, other: bool) -> None:
        arrival, exchange = f"x{len(self.asked)}", self.names[name]
        member = client.host if not other else "c"
        self.asked[arrival] = (client, name, timeout, member)
        opens = not exchange.arrived and not exchange.data
        outcomes = self.call(arrival)
        others = set(HOSTS) - {member} - set(exchange.data)
        if member in exchange.arrived:
            self.check(outcomes, {arrival: Mismatch})
        elif member in exchange.unnotified and self.now < exchange.failed_at + RESULT_LIFE:
            exchange.unnotified.discard(member)
            self.check(outcomes, {arrival: MemberLost})
        elif opens and any(self.lost_hosts.get(host) in FATAL for host in others):
            self.check(outcomes, {arrival: MemberLost})
        elif timeout == 0 and others:
            self.check(outcomes, {arrival: TimedOut})
        else:
            self.check(outcomes, {})
            due = self.now + timeout if timeout else None
            exchange.arrived[member] = Member(arrival, client, due, timeout == 0)
            self.drop(exchange, member)
            exchange.left_at = None

    @rule(client=CLIENTS, timeout=TIMEOUTS, more=st.sampled_from(["", "dies", "dies"]))
    def arrive_and_give(self, client: Client, timeout: float | None, more: str) -> None:
        self.arrive(client, "keys", timeout, False)
        exchange = self.names["keys"]
        if client.host in exchange.arrived and exchange.arrived[client.host].client == client:
            self.give_as(exchange, client.host)
            if more:
                self.client_dies(client)

    @rule(client=CLIENTS, name=NAMES)
    def arrive_with_another_list(self, client: Client, name: str) -> None:
        exchange = self.names[name]
        if exchange.arrived or exchange.data:
            arrival = f"y{len(self.outcomes)}"
            (outcome,) = self.exchanges.open(arrival, "default", name, ("a", "b"), "a", 1, client, self.now, None)
            assert isinstance(outcome, Failed) and isinstance(outcome.error, Mismatch)

    @precondition(lambda self: self.waiting())
    @rule(draw=DRAW)
    def give(self, draw: DRAW) -> None:
        exchange = draw.choice([exchange for exchange in self.names.values() if exchange.arrived])
        self.give_as(exchange, draw.choice(sorted(exchange.arrived)))

    def give_as(self, exchange: Reference, member: str) -> None:
        participant = exchange.arrived[member]
        self.keys += 1
        outcomes = self.exchanges.given(participant.arrival, participant.client, self.keys, self.now)
        if member in exchange.data:
            assert self.dropped[-1] == self.keys and outcomes == []
            return
        exchange.data[member] = self.keys
        if len(exchange.data) == len(HOSTS):
            self.check(outcomes, {participant.arrival: None for participant in exchange.arrived.values()})
            exchange.generation += 1
            keys = tuple(exchange.data[host] for host in HOSTS)
            value = Exchanged(generation=exchange.generation, members=HOSTS, keys=keys)
            assert all(not isinstance(outcome, Failed) and outcome.value == value for outcome in outcomes)
            self.released[keys] = [participant.arrival for participant in exchange.arrived.values()]
            exchange.arrived, exchange.data, exchange.unnotified, exchange.left_at = {}, {}, set(), None
        elif participant.poll:
            self.check(outcomes, self.leave([participant], Cause.TIMED_OUT, TimedOut))
        else:
            self.check(outcomes, {})

    @precondition(lambda self: self.asked)
    @rule(draw=DRAW)
    def retry(self, draw: DRAW) -> None:
        known = [
            arrival
            for arrival in sorted(set(self.asked) - self.confirmed)
            if arrival not in self.outcomes or self.now < self.outcomes[arrival][1] + RESULT_LIFE
        ]
        if known:
            arrival = draw.choice(known)
            ended = self.outcomes.get(arrival)
            assert self.call(arrival) == ([ended[0]] if ended else [])

    @precondition(lambda self: self.waiting())
    @rule(draw=DRAW)
    def give_up(self, draw: DRAW) -> None:
        participant = draw.choice(self.waiting())
        outcomes = self.waits.withdraw(participant.arrival, participant.client, self.now, Cause.GAVE_UP)
        self.check(outcomes, self.leave([participant], Cause.GAVE_UP, LinesyncFailed))

    @rule(client=CLIENTS)
    def client_dies(self, client: Client) -> None:
        gone = [participant for participant in self.waiting() if participant.client == client]
        outcomes = self.waits.client_gone(client, self.now, Cause.CLIENT_GONE)
        self.check(outcomes, self.leave(gone, Cause.CLIENT_GONE, LinesyncFailed))

    @rule(host=st.sampled_from(HOSTS), cause=st.sampled_from([*FATAL, Cause.RESTARTED]))
    def host_dies(self, host: str, cause: Cause) -> None:
        outcomes = self.exchanges.host_lost(host, cause, "why", self.now)
        outcomes += self.waits.host_gone(host, self.now, cause)
        expected: dict[str, type[LinesyncError] | None] = {}
        for exchange in self.names.values():
            begun = bool(exchange.arrived or exchange.data)
            dead = {
                name
                for name, participant in exchange.arrived.items()
                if participant.client.host == host and name not in exchange.data
            }
            if cause in FATAL and begun and host not in exchange.arrived and host not in exchange.data:
                dead.add(host)
            if dead:
                expected |= self.fail(exchange, dead, MemberLost)
        gone = [participant for participant in self.waiting() if participant.client.host == host]
        self.check(outcomes, expected | self.leave(gone, cause, LinesyncFailed))
        self.lost_hosts[host] = cause

    @precondition(lambda self: self.lost_hosts)
    @rule(draw=DRAW)
    def host_returns(self, draw: DRAW) -> None:
        del self.lost_hosts[draw.choice(sorted(self.lost_hosts))]

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0, RESULT_LIFE / 2]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = [
            participant for participant in self.waiting() if participant.due is not None and participant.due <= self.now
        ]
        outcomes = self.waits.handle_timer(self.now)
        self.check(outcomes, self.leave(due, Cause.TIMED_OUT, TimedOut))
        self.exchanges.handle_timer(self.now)
        for exchange in self.names.values():
            if exchange.left_at is not None and self.now >= exchange.left_at + RESULT_LIFE:
                for member in list(exchange.data):
                    self.drop(exchange, member)
                self.settle(exchange)

    @rule(name=st.sampled_from(["keys", "logs", None]))
    def reset(self, name: str | None) -> None:
        chosen = [self.names[name]] if name else list(self.names.values())
        _, waits = self.exchanges.reset("default", [name] if name else None, self.now)
        gone = [participant for exchange in chosen for participant in exchange.arrived.values()]
        assert {wait.arrival for wait in waits} == {participant.arrival for participant in gone}
        outcomes = self.waits.fail([(wait, Aborted("reset")) for wait in waits], Cause.RESET, self.now)
        self.check(outcomes, self.leave(gone, Cause.RESET, Aborted))
        for exchange in chosen:
            exchange.unnotified = set()
            for member in list(exchange.data):
                self.drop(exchange, member)
            self.settle(exchange)

    @precondition(lambda self: self.asked)
    @rule(draw=DRAW)
    def confirm(self, draw: DRAW) -> None:
        arrival = draw.choice(sorted(self.asked))
        ended = self.outcomes.get(arrival)
        kept = ended is not None and self.now < ended[1] + RESULT_LIFE and arrival not in self.confirmed
        self.waits.handle_timer(self.now)
        assert self.waits.confirm(arrival, self.asked[arrival][0]) == (kept and not isinstance(ended[0], Failed))  # type: ignore[index]
        if ended is not None:
            self.confirmed.add(arrival)

    # -- invariants ----------------------------------------------------------------------------------------------------

    @invariant()
    def status_is_the_reference(self) -> None:
        shown = {row.name: row for row in self.exchanges.status(self.now)}
        for name, exchange in self.names.items():
            if not exchange.arrived and not exchange.data:
                assert name not in shown
                continue
            assert [participant.name for participant in shown[name].arrived] == list(exchange.arrived)
            assert shown[name].given == tuple(sorted(exchange.data))
            assert list(shown[name].missing) == sorted(set(HOSTS) - set(exchange.data))

    @invariant()
    def every_key_is_in_one_place(self) -> None:
        held = [key for exchange in self.names.values() for key in exchange.data.values()]
        kept = [key for keys in self.released for key in keys if key not in self.dropped]
        assert len(self.dropped) == len(set(self.dropped))
        assert sorted([*held, *self.dropped, *kept]) == list(range(1, self.keys + 1))

    @invariant()
    def data_is_kept_while_a_result_needs_it(self) -> None:
        for keys, arrivals in self.released.items():
            if any(arrival not in self.confirmed and self.now < self.ends_at(arrival) for arrival in arrivals):
                assert not set(keys) & set(self.dropped)
            elif all(arrival in self.confirmed for arrival in arrivals):
                assert set(keys) <= set(self.dropped)

    def ends_at(self, arrival: str) -> float:
        """The time at which the result of an arrival is forgotten."""
        return self.outcomes[arrival][1] + RESULT_LIFE

    @invariant()
    def timers_are_never_late(self) -> None:
        due = [participant.due for participant in self.waiting() if participant.due is not None]
        timer = self.waits.next_timer()
        assert not due or (timer is not None and timer <= min(due))
        ends = [exchange.left_at + RESULT_LIFE for exchange in self.names.values() if exchange.left_at is not None]
        assert self.exchanges.next_timer() == min(ends, default=None)

    def teardown(self) -> None:
        for host in HOSTS:
            outcomes = self.exchanges.host_lost(host, Cause.STOPPED, "", self.now)
            outcomes += self.waits.host_gone(host, self.now, Cause.STOPPED)
            for outcome in outcomes:
                assert outcome.arrival not in self.outcomes
                self.outcomes[outcome.arrival] = (outcome, self.now)
        assert set(self.outcomes) == set(self.asked), "every arrival ends once"
        self.waits.handle_timer(self.now + RESULT_LIFE)
        self.exchanges.handle_timer(self.now + RESULT_LIFE)
        assert_empty(self.waits)
        assert len(self.exchanges) == 0 and self.exchanges.next_timer() is None
        assert sorted(self.dropped) == list(range(1, self.keys + 1)), "no data is left anywhere"


ExchangeSearch.TestCase.settings = profile()
TestExchangeSearch = ExchangeSearch.TestCase
