"""Messages against a reference model: sent and reset while readers come, die, retry, give up, time out and change groups."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from linesync.errors import Aborted, LinesyncError, MemberLost, Mismatch, TimedOut
from linesync.model.decisions import Failed, Granted, Message, Messages, Outcome, Posted
from linesync.model.participants import Cause, Client
from linesync.model.sync.kept_results import RESULT_LIFE
from linesync.model.sync.mailbox import Group, Mailbox
from linesync.model.sync.waits import Waits

from ...helpers import assert_empty, profile

HOSTS = st.sampled_from(["a", "b", "c", "d"])
MEMBERS = st.sampled_from(["a", "a", "a#1", "b", "b", "c", "d#2"])
NUMBERS = st.sampled_from(["1", "2"])
TOPICS = st.sampled_from(["t", "t", "t", "u"])
TIMEOUTS = st.sampled_from([None, None, 0, 1.0, 2.5])
DRAW = st.randoms(use_true_random=False)

Asked = tuple[Client, str, str, str, tuple[int, int, bool] | tuple[str, str]]
"""Client, ``read`` or ``gather``, topic, reader, and (first, most, others) or (role, the reader's group)."""


def host_of(member: str) -> str:
    return member.split("#")[0]


class MailboxSearch(RuleBasedStateMachine):
    """The reference consists of the topics' messages, the groups of the hosts and the waits. Each change checks all waits.

    It also answers the mailbox's questions about hosts and groups.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waits = Waits()
        self.mailbox = Mailbox(self.waits, self)
        self.topics: dict[str, list[tuple[str, str]]] = {"t": [], "u": []}  # sender, text
        self.where = {"a": ("g", "r"), "b": ("g", ""), "c": ("g", "r")}  # host: group, role
        self.sizes: dict[str, int] = {}
        self.dead: set[str] = set()
        self.queue: dict[str, float | None] = {}  # arrival: deadline
        self.asked: dict[str, Asked] = {}
        self.posted: dict[str, tuple[Client, str, str]] = {}
        self.timeouts: dict[str, float | None] = {}
        self.last: dict[str, Outcome] = {}
        self.confirmed: set[str] = set()

    # -- the hosts and groups, for the mailbox -----------------------------------------------------------------------------

    def name_of(self, host: str) -> str:
        return self.where.get(host, ("", ""))[0]

    def group(self, name: str, stopped: Collection[str] = ()) -> Group:
        members = {host: role for host, (group, role) in self.where.items() if group == name}
        return Group(members=members, size=self.sizes.get(name))

    def lost(self, host: str) -> str | None:
        return "gone" if host in self.dead else None

    # -- the reference ---------------------------------------------------------------------------------------------------

    def expected_outcome(self, arrival: str) -> Messages | type[LinesyncError] | None:
        """The outcome with which a wait ends now; None if it continues."""
        _, action, topic, reader, terms = self.asked[arrival]
        if action == "gather":
            return self.gathered(topic, host_of(reader), *terms)
        first, most, others = terms
        counted = [message for message in self.topics[topic] if not (others and message[0] == reader)]
        chosen = list(enumerate(counted, start=1))[first - 1 : first - 1 + most]
        return self.answer((number, *message) for number, message in chosen) if chosen else None

    def gathered(self, topic: str, own: str, role: str, group: str) -> Messages | type[LinesyncError] | None:
        known, size = self.group(group).members, self.sizes.get(group)
        expected = [host for host in known if role in ("", known[host])]
        last = {host_of(sender): (n, sender, text) for n, (sender, text) in enumerate(self.topics[topic], start=1)}
        missing = [host for host in expected if host != own and host not in last]
        if any(host in self.dead for host in missing):
            return MemberLost
        complete = len(known) >= size if size is not None else any(host != own for host in expected)
        if complete and role and not expected:
            return Mismatch
        if missing or not complete:
            return None
        return self.answer(sorted(last[host] for host in expected if host != own))

    @staticmethod
    def answer(rows: object) -> Messages:
        return Messages(messages=tuple(Message(number=n, sender=who, items=(text,)) for n, who, text in rows))

    def settle(self, outcomes: list[Outcome], gone: tuple[str, ...] = ()) -> None:
        """Check the outcomes: the waits ``gone`` fail, in this order, and then the waits end that the reference ends now."""
        for arrival in gone:
            del self.queue[arrival]
        expected = {
            arrival: outcome for arrival in self.queue if (outcome := self.expected_outcome(arrival)) is not None
        }
        for arrival in expected:
            del self.queue[arrival]
        assert tuple(outcome.arrival for outcome in outcomes[: len(gone)]) == gone
        assert {outcome.arrival for outcome in outcomes[len(gone) :]} == set(expected)
        assert len(outcomes) == len(gone) + len(expected)
        reads = [outcome.arrival for outcome in outcomes if self.asked[outcome.arrival][1] == "read"]
        assert reads[len(set(reads) & set(gone)) :] == [arrival for arrival in expected if arrival in reads]
        for outcome in outcomes:
            assert outcome.arrival not in self.last
            wanted = expected.get(outcome.arrival)
            if isinstance(wanted, Messages):
                assert isinstance(outcome, Granted) and outcome.value == wanted and not outcome.provisional
            else:
                assert isinstance(outcome, Failed) and (wanted is None or type(outcome.error) is wanted)
            self.last[outcome.arrival] = outcome

    def call(self, arrival: str) -> list[Outcome]:
        if arrival in self.posted:
            client, topic, sender = self.posted[arrival]
            return self.mailbox.send(arrival, "default", topic, (arrival,), sender, client, self.now)
        client, action, topic, reader, terms = self.asked[arrival]
        timeout = self.timeouts[arrival]
        if action == "gather":
            return self.mailbox.receive_all(arrival, "default", topic, reader, terms[0], client, self.now, timeout)
        return self.mailbox.receive(arrival, "default", topic, *terms, reader, client, self.now, timeout)

    def everybody(self) -> dict[str, Client]:
        return {arrival: entry[0] for arrival, entry in {**self.asked, **self.posted}.items()}

    def arrive(self, reader: str, number: str, timeout: float | None, action: str, topic: str, terms: tuple) -> None:
        arrival = f"x{len(self.asked)}"
        self.asked[arrival] = (Client(host_of(reader), number), action, topic, reader, terms)
        self.timeouts[arrival] = timeout
        self.queue[arrival] = None if timeout is None else self.now + timeout
        outcomes = self.call(arrival)
        poll_fails = timeout == 0 and self.expected_outcome(arrival) is None
        self.settle(outcomes, (arrival,) if poll_fails else ())
        if poll_fails:
            (outcome,) = outcomes
            assert isinstance(outcome, Failed) and isinstance(outcome.error, TimedOut)

    # -- actions ---------------------------------------------------------------------------------------------------------

    @rule(senders=st.lists(MEMBERS, min_size=1, max_size=4), number=NUMBERS, topic=TOPICS)
    def send(self, senders: list[str], number: str, topic: str) -> None:
        for sender in senders:
            arrival = f"s{len(self.posted)}"
            self.posted[arrival] = (Client(host_of(sender), number), topic, sender)
            self.topics[topic].append((sender, arrival))
            done, *others = self.call(arrival)
            assert isinstance(done, Granted) and done.value == Posted(number=len(self.topics[topic]))
            self.last[arrival] = done
            self.settle(others)

    @rule(
        reader=MEMBERS,
        number=NUMBERS,
        timeout=TIMEOUTS,
        topic=TOPICS,
        first=st.sampled_from([1, 1, 2, 3, 5, 8]),
        most=st.sampled_from([1, 2, 1000]),
        others=st.booleans(),
    )
    def receive(self, reader: str, number: str, timeout: float | None, topic: str, **terms: int) -> None:
        self.arrive(reader, number, timeout, "read", topic, (terms["first"], terms["most"], bool(terms["others"])))

    @rule(reader=MEMBERS, number=NUMBERS, timeout=TIMEOUTS, topic=TOPICS, role=st.sampled_from(["", "", "r", "s"]))
    def gather(self, reader: str, number: str, timeout: float | None, topic: str, role: str) -> None:
        self.arrive(reader, number, timeout, "gather", topic, (role, self.name_of(host_of(reader))))

    @rule(host=HOSTS, group=st.sampled_from(["", "g", "g"]), role=st.sampled_from(["", "r"]))
    def register(self, host: str, group: str, role: str) -> None:
        self.dead.discard(host)
        self.where[host] = (group, role)
        self.settle(self.mailbox.hosts_changed(self.now))

    @rule(size=st.sampled_from([None, 1, 2, 3, 4]))
    def set_group_size(self, size: int | None) -> None:
        self.sizes = {} if size is None else {"g": size}
        self.settle(self.mailbox.hosts_changed(self.now))

    @rule(host=HOSTS)
    def lose(self, host: str) -> None:
        self.dead.add(host)
        self.settle(self.mailbox.host_lost(host, self.now))
        gone = tuple(arrival for arrival in self.queue if self.asked[arrival][0].host == host)
        self.settle(self.waits.host_gone(host, self.now, Cause.LINE_LOST), gone)

    @precondition(lambda self: set(self.everybody()) - self.confirmed)
    @rule(draw=DRAW)
    def retry(self, draw: DRAW) -> None:
        arrival = draw.choice(sorted(set(self.everybody()) - self.confirmed))
        assert self.call(arrival) == ([self.last[arrival]] if arrival in self.last else [])

    @precondition(lambda self: self.queue)
    @rule(draw=DRAW)
    def give_up(self, draw: DRAW) -> None:
        arrival = draw.choice(list(self.queue))
        self.settle(self.waits.withdraw(arrival, self.asked[arrival][0], self.now, Cause.GAVE_UP), (arrival,))

    @rule(host=HOSTS, number=NUMBERS)
    def die(self, host: str, number: str) -> None:
        client = Client(host, number)
        gone = tuple(arrival for arrival in self.queue if self.asked[arrival][0] == client)
        self.settle(self.waits.client_gone(client, self.now, Cause.CLIENT_GONE), gone)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = [(at, int(arrival[1:])) for arrival, at in self.queue.items() if at is not None and at <= self.now]
        gone = tuple(f"x{number}" for _, number in sorted(due))
        outcomes = self.waits.handle_timer(self.now)
        self.settle(outcomes, gone)
        assert all(isinstance(outcome, Failed) and isinstance(outcome.error, TimedOut) for outcome in outcomes)

    @precondition(lambda self: self.everybody())
    @rule(draw=DRAW)
    def confirm(self, draw: DRAW) -> None:
        everybody = self.everybody()
        arrival = draw.choice(sorted(everybody))
        stands = isinstance(self.last.get(arrival), Granted) and arrival not in self.confirmed
        assert self.waits.confirm(arrival, everybody[arrival]) == stands
        if arrival in self.last:
            self.confirmed.add(arrival)

    @rule(names=st.sampled_from([None, ("t", "t", "none"), ("u",), ("u",), ("none",), ("none",)]))
    def reset(self, names: tuple[str, ...] | None) -> None:
        chosen = [topic for topic in self.topics if names is None or topic in names]
        forgotten, waits = self.mailbox.reset("default", names, self.now)
        assert forgotten == sum(bool(self.topics[topic]) for topic in chosen)
        for topic in chosen:
            self.topics[topic].clear()
        gone = {arrival for arrival in self.queue if self.asked[arrival][2] in chosen}
        outcomes = self.waits.fail([(wait, Aborted("reset")) for wait in waits], Cause.RESET, self.now)
        notified = tuple(outcome.arrival for outcome in outcomes)
        assert set(notified) == gone
        self.settle(outcomes, notified)

    # -- invariants ------------------------------------------------------------------------------------------------------

    @invariant()
    def status_is_the_reference(self) -> None:
        rows = {row.name: row for row in self.mailbox.status(self.now)}
        waiting = [self.asked[arrival] for arrival in self.queue]
        assert set(rows) == {topic for topic, message in self.topics.items() if message} | {
            entry[2] for entry in waiting
        }
        for topic, row in rows.items():
            assert row.messages == len(self.topics[topic])
            assert row.senders == tuple(dict.fromkeys(sender for sender, _ in self.topics[topic]))
            shown = [
                (who.name, who.client, getattr(who, "first", None), getattr(who, "role", None)) for who in row.waiting
            ]
            wanted = [
                (reader, client.number, *((terms[0], None) if action == "read" else (None, terms[0])))
                for client, action, where, reader, terms in waiting
                if where == topic
            ]
            assert sorted(map(str, shown)) == sorted(map(str, wanted))

    @invariant()
    def the_timer_is_never_late(self) -> None:
        due = [at for at in self.queue.values() if at is not None]
        timer = self.waits.next_timer()
        assert not due or (timer is not None and timer <= min(due))

    def teardown(self) -> None:
        for host in "abcd":
            gone = tuple(arrival for arrival in self.queue if self.asked[arrival][0].host == host)
            self.settle(self.waits.host_gone(host, self.now, Cause.RESTARTED), gone)
        assert set(self.last) == set(self.everybody()), "every arrival ends"
        assert self.mailbox.reset("default", None, self.now)[1] == []
        self.waits.handle_timer(self.now + RESULT_LIFE)
        assert_empty(self.waits)
        assert len(self.mailbox) == len(self.mailbox.gatherings) == self.mailbox._written == self.mailbox._taken == 0


MailboxSearch.TestCase.settings = profile()
TestMailboxSearch = MailboxSearch.TestCase
