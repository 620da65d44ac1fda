"""Exchanges: members give and get data, and waits for dead members fail."""

from __future__ import annotations

import pytest

from linesync.errors import Aborted, LinesyncError, LinesyncFailed, MemberLost, Mismatch, TimedOut, UsageError
from linesync.model.decisions import Event, Exchanged, Outcome
from linesync.model.hosts.membership import Membership
from linesync.model.participants import Cause, Client
from linesync.model.sync.barriers.service import Barriers
from linesync.model.sync.barriers.terms import Terms
from linesync.model.sync.exchange import EXCHANGE_BYTES, Exchanges
from linesync.model.sync.kept_results import RESULT_LIFE
from linesync.model.sync.services import SyncServices
from linesync.model.sync.waits import Acting, Place, Wait, Waits

from ..helpers import assert_empty, client, failed, granted, only_error

ALL = ("a", "b", "c")


class FakeHosts:
    """The state of the hosts, as a test sets it."""

    def __init__(self) -> None:
        self.dead: dict[str, tuple[Cause, str]] = {}
        self.words: dict[str, str] = {}

    def lost(self, host: str) -> tuple[Cause, str] | None:
        return self.dead.get(host)

    def remark(self, host: str) -> str:
        return self.words.get(host, "")


class ExchangeHarness:
    """Exchanges, and the keys that they dropped."""

    def __init__(self) -> None:
        self.waits = Waits()
        self.hosts = FakeHosts()
        self.exchanges = Exchanges(self.waits, self.hosts)
        self.dropped: list[int] = []
        self.exchanges.dropped = self.dropped.append

    def open(
        self,
        host: str,
        *,
        members: tuple[str, ...] = ALL,
        member: str = "",
        size: int = 3,
        name: str = "keys",
        timeout: float | None = None,
        now: float = 0.0,
        arrival: str = "",
        who: Client | None = None,
    ) -> list[Outcome]:
        arrival, who = arrival or f"{member or host}@{name}", who or client(host)
        return self.exchanges.open(arrival, "default", name, members, member, size, who, now, timeout)

    def given(self, host: str, key: int, *, name: str = "keys", arrival: str = "", now: float = 0.0) -> list[Outcome]:
        return self.exchanges.given(arrival or f"{host}@{name}", client(host), key, now)

    def give(self, host: str, key: int, *, timeout: float | None = None, now: float = 0.0) -> list[Outcome]:
        """Arrive and give."""
        return [*self.open(host, timeout=timeout, now=now), *self.given(host, key, now=now)]

    def gone(self, host: str, cause: Cause = Cause.CLIENT_GONE, now: float = 0.0) -> list[Outcome]:
        return self.waits.client_gone(client(host), now, cause)

    def missing(self) -> object:
        return self.exchanges.status(0.0)[0].missing


def check_exchanged(events: list[Outcome], keys: tuple[int, ...], generation: int = 1) -> None:
    values = list(granted(events).values())
    assert values == [Exchanged(generation=generation, members=ALL, keys=keys)] * len(values)


# -- success -----------------------------------------------------------------------------------------------------------


def test_all_members_get_the_data_of_all_when_the_last_member_gives() -> None:
    harness = ExchangeHarness()
    assert harness.give("b", 2) == harness.give("a", 1) == []
    outcomes = harness.give("c", 3)
    assert set(granted(outcomes)) == {"a@keys", "b@keys", "c@keys"}
    check_exchanged(outcomes, (1, 2, 3))
    assert harness.dropped == [], "the keys belong to the receivers of the outcome"
    assert len(harness.exchanges) == 0


def test_members_are_sorted_independently_of_the_order_of_the_lists() -> None:
    harness = ExchangeHarness()
    harness.open("b", members=("c", "b", "a"))
    assert harness.open("a", members=("b", "a", "c")) == []


def test_an_exchange_is_complete_only_when_all_data_has_arrived() -> None:
    harness = ExchangeHarness()
    for host in ALL:
        assert harness.open(host) == []
    assert harness.given("a", 1) == harness.given("c", 3) == []
    check_exchanged(harness.given("b", 2), (1, 2, 3))


def test_each_use_of_a_name_is_a_new_generation() -> None:
    harness = ExchangeHarness()
    for generation in (1, 2):
        for host in ALL:
            outcomes = harness.exchanges.open(
                f"{host}{generation}", "default", "keys", ALL, "", 1, client(host), 0.0
            ) or harness.given(host, 1, arrival=f"{host}{generation}")
        check_exchanged(outcomes, (1, 1, 1), generation)


def test_different_names_and_namespaces_are_different_exchanges() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    for host in ALL:
        harness.open(host, name="other")
        outcomes = harness.given(host, 9, name="other")
    assert len(granted(outcomes)) == 3
    assert len(harness.exchanges) == 1 and harness.exchanges.status(0.0)[0].given == ("a",)
    assert harness.exchanges.open("x", "elsewhere", "keys", ("a", "z"), "", 1, client("a"), 0.0) == []


def test_one_host_may_be_several_members() -> None:
    harness = ExchangeHarness()
    members = ("a#1", "a#2")
    for member in members:
        harness.open("a", member=member, members=members)
    assert harness.given("a", 1, arrival="a#1@keys") == []
    assert len(granted(harness.given("a", 2, arrival="a#2@keys"))) == 2


def test_a_single_member_gets_its_own_data() -> None:
    harness = ExchangeHarness()
    harness.open("a", members=("a",))
    assert len(granted(harness.given("a", 7))) == 1


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_other_members_are_a_mismatch_that_names_both_lists() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    error = only_error(harness.open("b", members=("a", "b")))
    assert isinstance(error, Mismatch)
    assert "a,b,c" in error.message and "for a,b;" in error.message
    assert harness.give("c", 3) == [], "the earlier arrival still waits"


def test_a_client_that_is_not_a_member_is_refused() -> None:
    harness = ExchangeHarness()
    error = only_error(harness.open("d"))
    assert isinstance(error, Mismatch) and "d is not a member" in error.message and len(harness.exchanges) == 0


def test_a_second_live_client_with_the_same_member_name_is_refused() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    error = only_error(harness.open("b", member="a", arrival="twin"))
    assert isinstance(error, Mismatch) and "member a is already waiting" in error.message
    assert harness.dropped == []


def test_too_much_data_is_refused_before_anything_is_opened() -> None:
    harness = ExchangeHarness()
    assert harness.open("a", size=EXCHANGE_BYTES) == []
    error = only_error(harness.open("b", size=EXCHANGE_BYTES + 1))
    assert isinstance(error, UsageError) and "16,777,217" in error.message and "16,777,216" in error.message
    assert harness.missing() == {"a": "still giving", "b": "has not arrived", "c": "has not arrived"}


@pytest.mark.parametrize("members", [(), ("a", "b c"), ("a", "b#"), tuple(f"h{n}" for n in range(10_001))])
def test_invalid_lists_of_members_are_refused(members: tuple[str, ...]) -> None:
    harness = ExchangeHarness()
    assert isinstance(only_error(harness.open("a", members=members)), UsageError) and len(harness.exchanges) == 0


def test_an_arrival_id_that_another_service_uses_is_refused() -> None:
    harness = ExchangeHarness()
    barriers = Barriers(harness.waits, Membership())
    barriers.arrive("same", "default", "gate", Terms(count=2), client("a"), 0.0)
    with pytest.raises(UsageError, match="barrier 'gate'"):
        harness.open("a", arrival="same")


# -- death -------------------------------------------------------------------------------------------------------------


def test_the_others_succeed_when_a_member_dies_after_it_gave() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    assert set(failed(harness.gone("a"))) == {"a@keys"}
    harness.give("b", 2)
    outcomes = harness.give("c", 3)
    assert set(granted(outcomes)) == {"b@keys", "c@keys"}
    check_exchanged(outcomes, (1, 2, 3))


@pytest.mark.parametrize("cause", [Cause.LINE_LOST, Cause.STOPPED, Cause.RESTARTED])
def test_the_others_succeed_when_a_host_dies_after_its_member_gave(cause: Cause) -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    harness.give("b", 2)
    assert harness.exchanges.host_lost("a", cause, "why", 0.0) == []
    harness.waits.host_gone("a", 0.0, cause)
    check_exchanged(harness.give("c", 3), (1, 2, 3))


def test_a_client_that_dies_while_it_gives_fails_the_exchange_for_all() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    harness.open("b")
    errors = failed(harness.gone("b"))
    assert set(errors) == {"a@keys", "b@keys"}
    error = errors["a@keys"]
    assert isinstance(error, MemberLost) and error.exit_code == 4
    assert "b was lost before it gave its data (client gone)" in error.message and "gave their data: a" in error.message
    assert error.details["lost"] == {"b": "client gone"}
    assert harness.dropped == [1] and len(harness.exchanges) == 0


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("cause", [Cause.LINE_LOST, Cause.STOPPED])
def test_a_host_that_is_lost_before_its_data_is_complete_fails_the_exchange_for_all(opened: bool, cause: Cause) -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    if opened:
        harness.open("b")
    errors = failed(harness.exchanges.host_lost("b", cause, "nothing heard for 20 s", 5.0))
    assert set(errors) == ({"a@keys", "b@keys"} if opened else {"a@keys"})
    error = errors["a@keys"]
    assert isinstance(error, MemberLost) and f"{cause}: nothing heard for 20 s" in error.message
    assert harness.dropped == [1] and len(harness.exchanges) == 0


def test_a_restart_fails_the_exchange_only_while_the_host_gives() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    assert harness.exchanges.host_lost("b", Cause.RESTARTED, "", 0.0) == []
    harness.open("b")
    errors = failed(harness.exchanges.host_lost("b", Cause.RESTARTED, "", 0.0))
    assert isinstance(errors["a@keys"], MemberLost) and "b was lost before it gave its data (restarted)" in str(errors)


def test_a_member_that_gives_from_another_host_does_not_need_its_own_host() -> None:
    harness = ExchangeHarness()
    harness.open("hub", member="b", arrival="for b")
    harness.give("a", 1)
    assert harness.exchanges.host_lost("b", Cause.LINE_LOST, "", 0.0) == []
    assert harness.given("hub", 2, arrival="for b") == []
    assert len(failed(harness.exchanges.host_lost("c", Cause.LINE_LOST, "", 0.0))) == 2


def test_an_arrival_while_another_members_host_is_lost_fails_immediately() -> None:
    harness = ExchangeHarness()
    harness.hosts.dead["c"] = (Cause.LINE_LOST, "its line /dev/ttyS0 is down")
    error = only_error(harness.open("a"))
    assert isinstance(error, MemberLost) and "c was lost" in error.message and "/dev/ttyS0" in error.message
    assert harness.open("c", name="again") == [], "the lost member itself may arrive, because it is evidently alive"


def test_a_host_that_restarted_may_arrive() -> None:
    harness = ExchangeHarness()
    harness.hosts.dead["c"] = (Cause.RESTARTED, "")
    assert harness.open("a") == []


def test_a_member_that_had_not_arrived_at_a_failed_exchange_gets_the_error_once() -> None:
    harness = ExchangeHarness()
    harness.open("b")
    harness.gone("b")
    error = only_error(harness.open("a", now=1.0))
    assert isinstance(error, MemberLost) and "b was lost" in error.message
    assert harness.open("a", now=2.0, arrival="again") == []
    assert harness.open("b", now=2.0, arrival="back") == [], "the member that died starts again"


def test_a_member_that_returns_before_the_end_replaces_its_data() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    harness.gone("a")
    assert harness.open("a", arrival="again") == [] and harness.dropped == [1]
    harness.give("b", 2)
    harness.give("c", 3)
    check_exchanged(harness.given("a", 4, arrival="again"), (4, 2, 3))


def test_data_is_kept_for_ten_minutes_when_no_arrival_waits() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    harness.gone("a", now=10.0)
    assert harness.exchanges.next_timer() == 10.0 + RESULT_LIFE
    harness.exchanges.handle_timer(10.0 + RESULT_LIFE - 1)
    assert harness.dropped == []
    harness.exchanges.handle_timer(10.0 + RESULT_LIFE)
    assert harness.dropped == [1] and len(harness.exchanges) == 0 and harness.exchanges.next_timer() is None


def test_data_is_kept_while_an_arrival_waits() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    harness.gone("a")
    harness.give("b", 2, now=5.0)
    assert harness.exchanges.next_timer() is None
    harness.exchanges.handle_timer(RESULT_LIFE * 5)
    check_exchanged(harness.give("c", 3, now=RESULT_LIFE * 5), (1, 2, 3))


def test_data_that_cannot_be_stored_fails_the_exchange_for_all_with_the_reason() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    harness.open("b")
    errors = failed(harness.exchanges.cannot_keep("b@keys", client("b"), "No space left on device", 0.0))
    assert set(errors) == {"a@keys", "b@keys"}
    for error in errors.values():
        assert isinstance(error, LinesyncFailed) and "data of b: No space left" in error.message
    assert harness.dropped == [1]


# -- timeouts, giving up and resets ------------------------------------------------------------------------------------


def test_a_timeout_names_the_members_that_gave_and_why_the_others_are_missing() -> None:
    harness = ExchangeHarness()
    members = ("a", "b", "c", "d", "e", "f")
    harness.hosts.words = {"c": "never seen", "d": "its line /dev/ttyS1 is down"}
    harness.open("a", members=members, timeout=5.0)
    harness.given("a", 1)
    harness.open("b", members=members)
    harness.open("f", members=members)
    harness.waits.withdraw("f@keys", client("f"), 1.0, Cause.GAVE_UP)
    harness.hosts.dead["e"] = (Cause.LINE_LOST, "nothing heard")
    error = only_error(harness.waits.handle_timer(5.0))
    assert isinstance(error, TimedOut)
    assert error.message == (
        "timed out after 5 s at exchange 'keys': 1 of 6 members gave their data: a; missing: b (still giving), c (never seen),"
        " d (its line /dev/ttyS1 is down), e (line lost: nothing heard), f (left: gave up)"
    )
    assert error.details["given"] == ["a"] and list(error.details["missing"]) == ["b", "c", "d", "e", "f"]  # type: ignore[call-overload]


@pytest.mark.parametrize("how", ["times out", "gives up"])
def test_the_data_of_a_member_that_times_out_or_gives_up_is_dropped_and_the_others_wait(how: str) -> None:
    harness = ExchangeHarness()
    harness.give("a", 1, timeout=5.0)
    harness.give("b", 2, timeout=9.0)
    if how == "times out":
        (outcome,) = harness.waits.handle_timer(5.0)
    else:
        (outcome,) = harness.waits.withdraw("a@keys", client("a"), 5.0, Cause.GAVE_UP)
    assert outcome.arrival == "a@keys" and harness.dropped == [1]
    assert harness.open("c", now=6.0) == [] and harness.given("c", 3, now=6.0) == [], "the data of a was dropped"
    error = only_error(harness.waits.handle_timer(9.0))
    assert "a (left: timed out)" in error.message or "a (left: gave up)" in error.message


def test_data_that_arrives_after_the_end_is_dropped() -> None:
    harness = ExchangeHarness()
    harness.open("a", timeout=1.0)
    harness.waits.handle_timer(1.0)
    assert harness.given("a", 5) == [] and harness.dropped == [5]
    assert harness.given("nobody", 6) == [] and harness.dropped == [5, 6]


def test_a_poll_succeeds_only_as_the_last_arrival() -> None:
    harness = ExchangeHarness()
    error = only_error(harness.open("a", timeout=0.0))
    assert isinstance(error, TimedOut) and "missing: b (has not arrived), c (has not arrived)" in error.message
    assert len(harness.exchanges) == 0
    harness.give("b", 2)
    harness.give("c", 3)
    assert harness.open("a", timeout=0.0, arrival="last", now=5.0) == []
    assert harness.waits.handle_timer(500.0) == [], "a poll has no deadline for its data"
    check_exchanged(harness.given("a", 1, arrival="last", now=500.0), (1, 2, 3))


def test_a_poll_fails_when_another_member_left_while_it_gave() -> None:
    harness = ExchangeHarness()
    harness.give("b", 2)
    harness.give("c", 3, timeout=5.0)
    harness.open("a", timeout=0.0)
    harness.waits.handle_timer(5.0)
    error = only_error(harness.given("a", 1, now=6.0))
    assert isinstance(error, TimedOut) and "c (left: timed out)" in error.message
    assert sorted(harness.dropped) == [1, 3]


def test_a_reset_forgets_data_and_fails_the_waiting_members() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    harness.gone("a")
    harness.give("b", 2)
    harness.open("a", name="other", members=("a", "b"))
    found, waits = harness.exchanges.reset("default", ["keys", "keys", "unknown"], 0.0)
    assert found == 1 and [wait.name for wait in waits] == ["b"]
    outcomes = harness.waits.fail([(wait, Aborted("reset")) for wait in waits], Cause.ABORTED, 0.0)
    assert isinstance(only_error(outcomes), Aborted)
    assert sorted(harness.dropped) == [1, 2] and len(harness.exchanges) == 1
    assert harness.exchanges.reset("elsewhere", None, 0.0) == (0, [])
    found, waits = harness.exchanges.reset("default", None, 0.0)
    assert found == 1 and len(waits) == 1


def test_a_reset_forgets_data_when_no_arrival_waits() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    harness.gone("a")
    assert harness.exchanges.reset("default", None, 0.0) == (1, [])
    assert harness.dropped == [1] and len(harness.exchanges) == 0 and harness.exchanges.next_timer() is None


# -- retries -----------------------------------------------------------------------------------------------------------


def test_a_retry_joins_once_and_continues_the_arrival() -> None:
    harness = ExchangeHarness()
    harness.open("a")
    again = client("a", "2")
    assert harness.open("a", who=again) == []
    assert not harness.exchanges.has_given("a@keys", again)
    assert harness.exchanges.given("a@keys", client("a"), 1, 0.0) == [] and harness.dropped == [1], (
        "the old connection can no longer give"
    )
    assert harness.exchanges.given("a@keys", again, 2, 0.0) == []
    assert harness.exchanges.has_given("a@keys", again)
    assert harness.exchanges.given("a@keys", again, 3, 0.0) == [] and harness.dropped == [1, 3], "it has already given"
    assert harness.waits.client_gone(client("a"), 0.0, Cause.CLIENT_GONE) == [], "the old connection owns nothing"


def test_a_retry_after_the_end_gets_the_same_keys_for_ten_minutes() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    harness.give("b", 2)
    outcomes = harness.give("c", 3, now=7.0)
    (again,) = harness.open("a", now=8.0)
    assert again == outcomes[0]
    assert harness.waits.confirm("a@keys", client("a"))
    harness.waits.handle_timer(7.0 + RESULT_LIFE)
    assert harness.open("b", now=7.0 + RESULT_LIFE) == [], "the result is forgotten, so this is a new arrival"


# -- deadlocks, services, sizes ----------------------------------------------------------------------------------------


class OnlyActing(Acting):
    """A state in which only the named members can act."""

    def __init__(self, *acting: str) -> None:
        self.acting = acting

    def holder(self, wait: Wait) -> bool:
        return False

    def holder_waits(self, wait: Wait) -> list[Wait]:
        return []

    def client(self, client: Client) -> bool:
        return False

    def client_waits(self, client: Client) -> list[Wait]:
        return []

    def member(self, name: str, at: Place | None = None) -> bool:
        return name in self.acting

    def waits_of(self, name: str) -> list[Wait]:
        return []


def test_a_wait_could_proceed_while_all_missing_members_can_act() -> None:
    harness = ExchangeHarness()
    harness.give("a", 1)
    wait = harness.waits.find("a", "a@keys")
    assert wait is not None and wait.place.OWNED
    assert wait.place.could_proceed(wait, OnlyActing("b", "c"))
    assert not wait.place.could_proceed(wait, OnlyActing("b"))
    (edge,) = wait.place.waits_for(wait, OnlyActing("b"))
    assert edge.why == "exchange 'keys', to which c has not given its data"
    harness.open("c")
    assert wait.place.could_proceed(wait, OnlyActing("b")), "c has arrived and is giving"


def hosts_up(*names: str) -> SyncServices:
    services = SyncServices(lease=20.0)
    for name in names:
        services.register(name, f"s-{name}", "boot", f"line-{name}", 0.0)
    return services


def test_the_loss_of_a_host_fails_its_exchange() -> None:
    services = hosts_up("a", "b")
    services.exchanges.open("x", "default", "keys", ("a", "b"), "", 1, client("a"), 0.0)
    services.heard("a", "s-a", 15.0)
    events: list[Event] = services.handle_timer(20.0)
    errors = failed(events)
    assert isinstance(errors["x"], MemberLost) and "line lost: nothing heard on line-b" in errors["x"].message
    assert services.status(20.0).exchanges == ()


def test_an_exchange_survives_the_loss_of_a_host_that_gave() -> None:
    services = hosts_up("a", "b")
    for host in "ab":
        services.exchanges.open(host, "default", "keys", ("a", "b"), "", 1, client(host), 0.0)
    services.exchanges.given("a", client("a"), 1, 0.0)
    events = services.ended("a", "s-a", Cause.STOPPED, "the agent was stopped", 1.0)
    assert set(failed(events)) == {"a"}
    assert granted(services.exchanges.given("b", client("b"), 2, 2.0)) == {
        "b": Exchanged(generation=1, members=("a", "b"), keys=(1, 2))
    }


def test_an_exchange_without_members_and_data_leaves_nothing() -> None:
    harness = ExchangeHarness()
    harness.open("a", timeout=3.0)
    harness.waits.handle_timer(3.0)
    harness.waits.handle_timer(3.0 + RESULT_LIFE)
    assert_empty(harness.waits)
    assert len(harness.exchanges) == 0


def test_the_errors_of_ten_thousand_members_are_short() -> None:
    harness = ExchangeHarness()
    members = tuple(f"h{n}" for n in range(10_000))
    harness.open("h0", members=members, timeout=1.0)
    error = only_error(harness.waits.handle_timer(1.0))
    assert isinstance(error, LinesyncError) and len(error.message) < 1000 and "9988 more" in error.message
    assert len(error.details["missing"]) == 100  # type: ignore[arg-type]
    harness.open("h0", members=members, arrival="again")
    for others in (members[:-1], tuple(f"h{n}x{n * 7 % 9973}" for n in range(10_000))):
        error = only_error(harness.open("h1", members=others, arrival=others[-1]))
        assert isinstance(error, Mismatch) and len(error.message) < 1000
