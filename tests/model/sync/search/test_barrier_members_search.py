"""Barriers by members and by count against a reference model of one name: aborts, one use, lingering, and hosts that become
silent, die and return."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from linesync.errors import Aborted, LinesyncFailed, MemberLost, Mismatch, TimedOut
from linesync.model.decisions import Event, Failed, Granted, HostLost, HostUp, Released
from linesync.model.hosts.membership import LEASE, RECENT
from linesync.model.participants import Cause, Client
from linesync.model.sync.barriers.terms import Reuse, Terms
from linesync.model.sync.kept_results import RESULT_LIFE
from linesync.model.sync.services import SyncServices

from ...helpers import assert_empty, profile

MEMBERS = frozenset({"a", "b#1", "hub"})
REUSES = [Reuse(), Reuse(), Reuse(once=True), Reuse(linger=2.5)]
KINDS = [
    Terms(count=3, members=MEMBERS, reuse=reuse, tolerate=late, rejoin=again)
    for reuse in REUSES
    for late, again in ((False, False), (False, False), (True, False), (False, True), (True, True))
]
KINDS += [Terms(count=2, reuse=reuse) for reuse in REUSES]
CLIENTS = st.sampled_from([Client("a", "1"), Client("a", "2"), Client("b", "1"), Client("b", "2"), Client("hub", "1")])
ERRORS = {Mismatch: "mismatch", Aborted: "aborted", MemberLost: "lost", TimedOut: "late", LinesyncFailed: "withdrawn"}
PAUSES = st.sampled_from([0.0, 0.5, 1.0, 3.5, 3.5, 9.0])
DRAW = st.randoms(use_true_random=False)


@dataclass(eq=False)
class Party:
    arrival: str
    client: Client
    member: str | None
    due: float | None = None

    @property
    def name(self) -> str:
        return self.member or self.client.host


@dataclass
class Reference:
    """One name. A failure is (arrival, cause), a release is (arrival, generation, position, count, lost)."""

    now: float = 0.0
    terms: Terms | None = None
    arrived: list[Party] = field(default_factory=list)
    next_arrivals: list[Party] = field(default_factory=list)
    generation: int = 0
    used: bool = False
    lingering: tuple[Terms, float, int, tuple[str, ...]] | None = (
        None  # the end in seconds, the number of parties, the lost hosts
    )
    failure: tuple[Terms, str, set[str], int, float] | None = None  # absent members, absent others, since when
    heard: dict[str, float] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # hosts that cannot arrive
    asked: set[str] = field(default_factory=set)
    restarted: set[str] = field(default_factory=set)  # members that a tolerant generation does not wait for

    def absent(self, terms: Terms, but: str | None = None) -> list[str]:
        present = {party.member for party in self.arrived} | {but}
        return sorted((terms.members or frozenset()) - present)

    def is_lost(self, member: str) -> bool:
        return member.partition("#")[0] in self.lost or member in self.restarted

    def missing(self, terms: Terms, but: str | None = None) -> int:
        if terms.members is None:
            return terms.count - len(self.arrived)
        return sum(not (terms.tolerate and self.is_lost(member)) for member in self.absent(terms, but))

    def arrive(self, party: Party, terms: Terms, timeout: float | None, abort: bool) -> list[tuple[object, ...]]:
        everyone = self.arrived + self.next_arrivals
        standing = self.terms if everyone and self.terms else terms
        double = party.member is not None and party.member in [other.member for other in everyone]
        stranger = terms.members is not None and party.member not in terms.members
        if terms != standing or stranger or (double and not abort):
            return [(party.arrival, "mismatch")]
        self.terms = terms
        notified = self.earlier_failure(party, terms)
        if abort and (everyone or notified != "aborted"):
            if self.used:
                return [(party.arrival, "mismatch")]
            return [*self.fail("aborted", {party.name}), (party.arrival, "aborted")]
        if notified:
            return [(party.arrival, notified)]
        if self.used:
            return [(party.arrival, "mismatch")]
        if self.lingering and self.now < self.lingering[1]:
            return [self.pass_late(party, terms)]
        if not terms.tolerate and any(map(self.is_lost, self.absent(terms, party.member))):
            return [(party.arrival, "lost")]
        others = self.missing(terms, party.member) - (terms.members is None)
        if timeout == 0 and (others > 0 or self.asked):
            return [(party.arrival, "late")]
        self.restarted.discard(party.name)
        party.due = None if timeout is None else self.now + (timeout or 1.0)
        (self.next_arrivals if self.asked and terms.members is None else self.arrived).append(party)
        return self.settle()

    def earlier_failure(self, party: Party, terms: Terms) -> str:
        """The outcome for an arrival after a failed generation."""
        if self.failure is None:
            return ""
        failed, outcome, absent, others, since = self.failure
        if failed != terms or self.now >= since + RESULT_LIFE or not (party.name in absent or others):
            return ""
        others -= party.name not in absent
        absent.discard(party.name)
        self.failure = (failed, outcome, absent, others, since) if absent or others else None
        return outcome

    def pass_late(self, party: Party, terms: Terms) -> tuple[object, ...]:
        assert self.lingering is not None
        lingers, until, came, lost = self.lingering
        if terms != lingers:
            return (party.arrival, "mismatch")
        self.lingering = (lingers, until, came + 1, lost)
        return (party.arrival, self.generation, came + 1, came + 1, lost)

    def fail(self, outcome: str, notified: set[str]) -> list[tuple[object, ...]]:
        everyone, terms = self.arrived + self.next_arrivals, self.terms
        assert terms is not None
        absent = set(self.absent(terms)) - notified
        new = len(notified - {party.member for party in everyone})
        others = max(0, terms.count - len(everyone) - new) if terms.members is None else 0
        if absent or others:
            self.failure = (terms, outcome, absent, others, self.now)
        self.restarted = set()
        self.arrived, self.next_arrivals, self.asked = [], [], set()
        return [(party.arrival, outcome) for party in everyone]

    def settle(self) -> list[tuple[object, ...]]:
        ended: list[tuple[object, ...]] = []
        terms = self.terms
        while terms is not None:
            while self.next_arrivals and self.missing(terms) > 0:
                self.arrived.append(self.next_arrivals.pop(0))
            complete = self.arrived and self.missing(terms) <= 0
            silent = {
                p.client.host for p in self.arrived if self.now - self.heard.get(p.client.host, self.now) > RECENT
            }
            self.asked = silent if complete else set()
            if not complete or silent:
                break
            ended += self.release(terms)
        return ended

    def release(self, terms: Terms) -> list[tuple[object, ...]]:
        self.generation += 1
        lost, count = tuple(self.absent(terms)), len(self.arrived)
        ended: list[tuple[object, ...]] = [
            (party.arrival, self.generation, place, count, lost) for place, party in enumerate(self.arrived, start=1)
        ]
        self.failure, self.arrived, self.restarted = None, [], set()
        self.used = terms.reuse.once
        self.lingering = (terms, self.now + terms.reuse.linger, count, lost) if terms.reuse.linger else None
        if self.used:
            ended += [(party.arrival, "mismatch") for party in self.next_arrivals]
            self.next_arrivals = []
        if self.lingering:
            ended += [self.pass_late(party, terms) for party in self.next_arrivals]
            self.next_arrivals = []
        return ended

    def leave(self, outcome: str, gone: list[Party]) -> list[tuple[object, ...]]:
        self.arrived = [party for party in self.arrived if party not in gone]
        self.next_arrivals = [party for party in self.next_arrivals if party not in gone]
        ended: list[tuple[object, ...]] = [(party.arrival, outcome) for party in gone]
        ended += self.settle() if gone else []
        if not (self.arrived or self.next_arrivals):
            self.restarted = set()  # a generation that all parties left is forgotten
        return ended

    def host_lost(self, host: str, fatal: bool) -> list[tuple[object, ...]]:
        """Return the outcomes of a loss: of barriers that need the host, of its clients, of barriers that tolerate the loss."""
        if fatal:
            self.lost.add(host)
        ended: list[tuple[object, ...]] = []
        terms, everyone = self.terms, self.arrived + self.next_arrivals
        if everyone and terms is not None and terms.members is not None and (fatal or not terms.rejoin):
            dead = {party.name for party in self.arrived if party.client.host == host}
            if terms.tolerate:
                self.restarted |= set() if fatal else dead
            else:
                if fatal:
                    dead |= {member for member in self.absent(terms) if member.partition("#")[0] == host}
                if dead:
                    ended += self.fail("lost", dead)
        gone = [party for party in self.arrived + self.next_arrivals if party.client.host == host]
        ended += self.leave("withdrawn", sorted(gone, key=lambda party: int(party.arrival[1:])))
        if (self.arrived or self.next_arrivals) and terms is not None and terms.tolerate:
            ended += self.settle()
        return ended


class BarrierMembersSearch(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.reference = Reference()
        self.services = SyncServices()
        self.made: dict[str, tuple[Client, Terms, float | None, str | None, bool]] = {}
        self.outcomes: dict[str, tuple[object, ...]] = {}
        self.lives = {"a": 0, "b": 0}
        self.up: set[str] = set()
        self.asked: set[str] = set()
        for host in self.lives:
            self.start(host)

    @property
    def now(self) -> float:
        return self.reference.now

    @initialize(terms=st.sampled_from(KINDS))
    def choose(self, terms: Terms) -> None:
        self.usual = terms

    def start(self, host: str) -> list[Event]:
        self.lives[host] += 1
        self.up.add(host)
        self.reference.heard[host] = self.now
        life = f"{host}{self.lives[host]}"
        return self.services.register(host, life, life, f"line of {host}", self.now)

    def outcome_of(self, event: Event) -> tuple[object, ...] | None:
        if isinstance(event, HostLost | HostUp):
            return None
        if isinstance(event, Failed):
            return (event.arrival, ERRORS[type(event.error)])
        assert isinstance(event, Granted) and isinstance(event.value, Released)
        value = event.value
        return (event.arrival, value.generation, value.position, value.count, value.lost)

    def check(self, events: list[Event], expected: list[tuple[object, ...]]) -> None:
        outcomes = [outcome for outcome in map(self.outcome_of, events) if outcome is not None]
        assert outcomes == expected
        for outcome in outcomes:
            assert str(outcome[0]) not in self.outcomes
            self.outcomes[str(outcome[0])] = outcome
        new = self.reference.asked - self.asked
        assert set(self.services.take_asked()) >= new, "the silent hosts are asked"
        self.asked = set(self.reference.asked)

    def call(self, arrival: str) -> list[Event]:
        client, terms, timeout, member, abort = self.made[arrival]
        reason = "no disk" if abort else ""
        asked = ("default", "boot", terms, client, self.now, timeout, member)
        return [*self.services.barriers.arrive(arrival, *asked, abort=reason)]

    def host_heard(self, host: str) -> None:
        """Register that a host was heard, because each request of its clients arrives in a frame."""
        if host in self.up:
            self.reference.heard[host] = self.now
            self.reference.lost.discard(host)
            self.check(self.services.heard(host, f"{host}{self.lives[host]}", self.now), self.after_heard(host))

    def after_heard(self, host: str) -> list[tuple[object, ...]]:
        return self.reference.settle() if host in self.reference.asked else []

    def arrive(
        self, client: Client, member: str | None, timeout: float | None, terms: Terms, *, abort: bool = False
    ) -> None:
        if client.host != "hub" and client.host not in self.up:
            return
        if terms.members is not None and member is None:
            member = "b#1" if client.host == "b" else None
        self.host_heard(client.host)
        arrival = f"x{len(self.made)}"
        self.made[arrival] = (client, terms, timeout, member, abort)
        shown = member or (client.host if terms.members is not None else None)
        expected = self.reference.arrive(Party(arrival, client, shown), terms, timeout, abort)
        self.check(self.call(arrival), expected)

    @rule(client=CLIENTS)
    def arrive_as_usual(self, client: Client) -> None:
        self.arrive(client, None, None, self.usual)

    @rule(clients=st.permutations([Client("a", "2"), Client("b", "2"), Client("hub", "2")]), pause=PAUSES)
    def arrive_all(self, clients: list[Client], pause: float) -> None:
        """Let one client of each host arrive. The last client arrives later, when the other hosts may be silent."""
        self.arrive(clients[0], None, None, self.usual)
        self.arrive(clients[1], None, None, self.usual)
        self.time_passes(pause, "")
        self.arrive(clients[2], None, None, self.usual)

    @rule(
        client=CLIENTS,
        member=st.sampled_from([None, None, "a", "b#1", "x"]),
        timeout=st.sampled_from([None, 0, 0, 1.5, 6.0]),
        other=st.sampled_from([None] * 5 + KINDS),
    )
    def arrive_somehow(self, client: Client, member: str | None, timeout: float | None, other: Terms | None) -> None:
        self.arrive(client, member, timeout, other or self.usual)

    @rule(client=CLIENTS)
    def abort(self, client: Client) -> None:
        self.arrive(client, None, None, self.usual, abort=True)

    @precondition(lambda self: self.made)
    @rule(draw=DRAW)
    def retry(self, draw: DRAW) -> None:
        arrival = draw.choice(sorted(self.made))
        outcomes = [self.outcome_of(event) for event in self.call(arrival)]
        assert outcomes == ([self.outcomes[arrival]] if arrival in self.outcomes else [])

    @precondition(lambda self: self.reference.arrived or self.reference.next_arrivals)
    @rule(draw=DRAW, how=st.sampled_from(["give up", "die"]))
    def leave(self, draw: DRAW, how: str) -> None:
        party = draw.choice(self.reference.arrived + self.reference.next_arrivals)
        if how == "give up":
            gone, events = [party], self.services.withdraw(party.arrival, party.client, self.now)
            self.check([*events], self.reference.leave("withdrawn", gone))
        else:
            everyone = self.reference.arrived + self.reference.next_arrivals
            gone = [other for other in everyone if other.client == party.client]
            gone.sort(key=lambda other: int(other.arrival[1:]))
            events = self.services.client_gone(party.client, self.now)
            self.check([*events], self.reference.leave("withdrawn", gone))

    @rule(host=st.sampled_from(["a", "b"]))
    def stop(self, host: str) -> None:
        if host in self.up:
            self.up.discard(host)
            was_lost = host in self.reference.lost
            expected = [] if was_lost else self.reference.host_lost(host, fatal=True)
            life = f"{host}{self.lives[host]}"
            self.check(self.services.ended(host, life, Cause.STOPPED, "", self.now), expected)

    @rule(host=st.sampled_from(["a", "b"]))
    def restart(self, host: str) -> None:
        lost = host in self.reference.lost
        self.reference.lost.discard(host)
        expected = [] if lost else self.reference.host_lost(host, fatal=False)
        self.check(self.start(host), expected)

    @rule(host=st.sampled_from(["a", "b"]))
    def hear(self, host: str) -> None:
        self.host_heard(host)

    @rule(seconds=PAUSES, hear=st.sampled_from(["", "a", "b", "ab", "ab"]))
    def time_passes(self, seconds: float, hear: str) -> None:
        self.reference.now += seconds
        for host in hear:
            self.host_heard(host)
        expected: list[tuple[object, ...]] = []
        due = [host for host in self.up if self.reference.heard[host] + LEASE <= self.now]
        events = self.services.handle_timer(self.now)
        lost = [event.host for event in events if isinstance(event, HostLost)]
        assert set(lost) == {host for host in due if host not in self.reference.lost}
        for host in lost:
            expected += self.reference.host_lost(host, fatal=True)
        late = [
            p for p in self.reference.arrived + self.reference.next_arrivals if p.due is not None and p.due <= self.now
        ]
        late.sort(key=lambda party: (party.due, int(party.arrival[1:])))
        self.check(events, expected + self.reference.leave("late", late))

    @rule()
    def reset(self) -> None:
        reference = self.reference
        everyone = reference.arrived + reference.next_arrivals
        _, waits, events = self.services.reset("default", ("boot",), "hub", self.now)
        assert [wait.arrival for wait in waits] == [party.arrival for party in everyone]
        reference.arrived, reference.next_arrivals, reference.asked, reference.restarted = [], [], set(), set()
        reference.used, reference.lingering, reference.failure = False, None, None
        self.check([*events], [(party.arrival, "aborted") for party in everyone])

    @invariant()
    def status_is_the_reference(self) -> None:
        rows = self.services.barriers.status(self.now)
        reference = self.reference
        everyone = reference.arrived + reference.next_arrivals
        assert len(rows) == bool(everyone)
        for row in rows:
            assert [who.name for who in row.arrived] == [party.name for party in everyone]
            assert row.generation == reference.generation + 1
            assert row.unheard == tuple(sorted(reference.asked))

    @invariant()
    def the_timer_is_never_late(self) -> None:
        due = [p.due for p in self.reference.arrived + self.reference.next_arrivals if p.due is not None]
        due += [self.reference.heard[host] + LEASE for host in self.up - self.reference.lost]
        timer = self.services.next_timer()
        assert not due or (timer is not None and timer <= min(due))

    def teardown(self) -> None:
        self.reset()
        assert set(self.outcomes) == set(self.made), "every arrival ends once"
        assert self.services.barriers._asking == {}
        for host in sorted(self.up):
            self.stop(host)
        self.reference.now += RESULT_LIFE
        self.services.handle_timer(self.now)
        assert_empty(self.services._waits)


BarrierMembersSearch.TestCase.settings = profile()
TestBarrierMembersSearch = BarrierMembersSearch.TestCase
