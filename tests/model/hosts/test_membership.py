"""Membership: the hosts of the names, the live hosts and the causes of losses; with a search against a reference model."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from linesync.errors import LinesyncFailed, NotAllowed, UsageError
from linesync.model.decisions import HostEvent, HostLost, HostUp
from linesync.model.hosts import membership as membership_module
from linesync.model.hosts.membership import LEASE, REBOOT_PATIENCE, Membership
from linesync.model.participants import Cause

from ..helpers import profile


def up(host: str, session: str, *, resumed: bool = False) -> HostUp:
    return HostUp(host=host, session=session, resumed=resumed)


def causes(events: list[HostEvent]) -> list[tuple[str, Cause]]:
    return [(event.session, event.cause) for event in events if isinstance(event, HostLost)]


@pytest.fixture
def hosts() -> Membership:
    return Membership()


def test_a_host_is_up_once_registered_and_never_seen_before(hosts: Membership) -> None:
    assert hosts.absent("sut1") is Cause.NEVER_SEEN
    assert hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0) == [up("sut1", "s1")]
    assert hosts.absent("sut1") is None
    assert hosts.absent("hub") is None


def test_the_end_of_a_lease_is_reported_once(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0)
    assert hosts.next_timer() == LEASE
    (event,) = hosts.handle_timer(20.0)
    assert event == HostLost(host="sut1", session="s1", cause=Cause.LINE_LOST, why="nothing heard on ttyS0 for 20 s")
    assert hosts.handle_timer(50.0) == [] and hosts.next_timer() is None
    assert hosts.absent("sut1") is Cause.LINE_LOST


def test_any_frame_renews_the_lease(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0)
    assert hosts.heard("sut1", "s1", 15.0) == []
    assert hosts.handle_timer(20.0) == []
    assert hosts.next_timer() == 35.0
    assert causes(hosts.handle_timer(35.0)) == [("s1", Cause.LINE_LOST)]


def test_a_lost_line_fails_nothing_before_the_lease_ends_and_is_named_when_it_ends(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyUSB0", 0.0)
    hosts.line_lost("sut1", "s1", "the device vanished")
    assert hosts.absent("sut1") is None
    (event,) = hosts.handle_timer(20.0)
    assert isinstance(event, HostLost) and event.why == "its line ttyUSB0 is down (the device vanished)"


def test_a_host_whose_line_is_restored_within_the_lease_is_not_lost(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyUSB0", 0.0)
    hosts.line_lost("sut1", "s1")
    assert hosts.line_back("sut1", "s1", "ttyUSB1", 10.0) == []
    assert hosts.handle_timer(20.0) == []
    assert hosts.status(20.0)[0].line == "ttyUSB1"


def test_a_session_may_resume_after_it_was_lost_and_be_lost_again(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0)
    hosts.handle_timer(20.0)
    assert hosts.heard("sut1", "s1", 100.0) == [up("sut1", "s1", resumed=True)]
    assert hosts.absent("sut1") is None
    assert causes(hosts.handle_timer(120.0)) == [("s1", Cause.LINE_LOST)]


def test_the_name_of_a_live_host_is_refused_with_an_instruction(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "ab12cd", "/dev/ttyS0", 0.0)
    hosts.heard("sut1", "s1", 3.0)
    with pytest.raises(NotAllowed) as caught:
        hosts.register("sut1", "s2", "ff00ff", "/dev/ttyS1", 3.4)
    assert str(caught.value) == (
        "the name 'sut1' is taken by the agent on /dev/ttyS0 (boot ab12…), heard 0.4 s ago; "
        "start this agent with another --name, or stop the other agent"
    )
    assert hosts.heard("sut1", "s2", 4.0) == [] and hosts.next_timer() == LEASE


def test_the_same_process_keeps_its_name_on_a_new_session(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0)
    events = hosts.register("sut1", "s2", "boot1", "tcp", 1.0)
    assert causes(events) == [("s1", Cause.RESTARTED)] and events[-1] == up("sut1", "s2")


@pytest.mark.parametrize(
    ("system", "words"),
    [("k1", "its agent was restarted"), ("k2", "it was rebooted"), ("", "")],
)
def test_the_event_of_a_new_life_says_whether_the_system_was_booted_again(
    hosts: Membership, system: str, words: str
) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0, system="k1")
    lost, back = hosts.register("sut1", "s2", "boot2", "ttyS0", 1.0, system=system)
    assert isinstance(lost, HostLost) and lost.why == f"{words or 'its agent started again'} on ttyS0"
    assert back == HostUp(host="sut1", session="s2", resumed=False, again=words)
    assert hosts.status(1.0)[0].system == system


def test_another_life_on_the_same_line_is_a_restart(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0)
    events = hosts.register("sut1", "s2", "boot2", "ttyS0", 1.0)
    assert causes(events) == [("s1", Cause.RESTARTED)]


def test_another_life_may_take_the_name_while_the_old_line_is_down(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "tcp1", 0.0)
    hosts.line_lost("sut1", "s1")
    assert causes(hosts.register("sut1", "s2", "boot2", "tcp2", 1.0)) == [("s1", Cause.RESTARTED)]


def test_a_new_life_after_a_loss_does_not_report_a_second_loss(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0)
    hosts.handle_timer(20.0)
    assert hosts.register("sut1", "s2", "boot2", "ttyS1", 30.0) == [up("sut1", "s2")]


def test_calls_for_an_old_session_are_ignored(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0)
    hosts.register("sut1", "s2", "boot2", "ttyS0", 1.0)
    hosts.line_lost("sut1", "s1")
    assert hosts.heard("sut1", "s1", 15.0) == []
    assert hosts.ended("sut1", "s1", Cause.STOPPED, "", 15.0) == []
    assert hosts.line_back("sut1", "s1", "ttyS9", 15.0) == []
    assert hosts.status(2.0)[0].line == "ttyS0"
    assert causes(hosts.handle_timer(21.0)) == [("s2", Cause.LINE_LOST)]


def test_a_stale_frame_does_not_revive_a_host_that_stopped(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0)
    events = hosts.ended("sut1", "s1", Cause.STOPPED, "its agent was stopped", 1.0)
    assert causes(events) == [("s1", Cause.STOPPED)]
    assert hosts.heard("sut1", "s1", 1.1) == []
    assert hosts.absent("sut1") is Cause.STOPPED and hosts.next_timer() is None


def test_a_stalled_hub_gives_every_host_a_full_lease(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0)
    hosts.extend_all(100.0)
    assert hosts.handle_timer(100.0) == []
    assert causes(hosts.handle_timer(120.0)) == [("s1", Cause.LINE_LOST)]


def test_registering_again_in_the_same_session_renews_the_values(hosts: Membership) -> None:
    hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0, capabilities=["run"], published={"ip": "1"})
    assert hosts.register("sut1", "s1", "boot1", "ttyS0", 5.0, published={"ip": "2"}) == []
    (row,) = hosts.status(5.0)
    assert row.published == {"ip": "2"} and row.capabilities == () and row.since == 5.0


def test_status_distinguishes_up_quiet_and_lost(hosts: Membership) -> None:
    hosts.register("c", "s1", "boot1", "ttyS0", 0.0)
    hosts.register("b", "s2", "boot2", "ttyS1", 0.0)
    hosts.register("a", "s3", "boot3", "ttyS2", 0.0)
    hosts.heard("b", "s2", 12.0)
    hosts.heard("a", "s3", 12.0)
    hosts.line_lost("a", "s3", "unplugged")
    hosts.handle_timer(20.0)
    rows = {row.name: row for row in hosts.status(15.0)}
    assert list(rows) == ["a", "b", "c"]
    assert [row.state for row in rows.values()] == ["quiet", "up", "lost"]
    assert rows["a"].why == "its line ttyS2 is down (unplugged)"
    assert rows["c"].cause == "line lost"
    assert hosts.status(21.0)[1].state == "quiet"


def test_the_hubs_own_name_is_refused(hosts: Membership) -> None:
    with pytest.raises(NotAllowed, match="--name"):
        hosts.register("hub", "s1", "boot1", "ttyS0", 0.0)


@pytest.mark.parametrize("name", ["", "a b", "a#b", "a,b", "a:b", "x" * 65, "a\n", "é"])
def test_an_invalid_host_name_is_refused(hosts: Membership, name: str) -> None:
    with pytest.raises(UsageError, match="invalid host name"):
        hosts.register(name, "s1", "boot1", "ttyS0", 0.0)


def test_too_much_to_publish_is_refused(hosts: Membership) -> None:
    for published in ({f"k{n}": "" for n in range(65)}, {"k": "x" * 1025}, {"": "x"}):
        with pytest.raises(UsageError):
            hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0, published=published)
    with pytest.raises(UsageError):
        hosts.register("sut1", "s1", "boot1", "ttyS0", 0.0, capabilities=["x" * 201])
    assert len(hosts) == 0


def test_when_the_table_is_full_the_longest_lost_host_makes_room(
    hosts: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership_module, "HOSTS_MAX", 2)
    hosts.register("a", "s1", "boot1", "ttyS0", 0.0)
    hosts.register("b", "s2", "boot2", "ttyS1", 0.0)
    with pytest.raises(LinesyncFailed):
        hosts.register("c", "s3", "boot3", "ttyS2", 0.0)
    hosts.ended("a", "s1", Cause.STOPPED, "", 1.0)
    hosts.register("c", "s3", "boot3", "ttyS2", 2.0)
    assert hosts.absent("a") is Cause.NEVER_SEEN and len(hosts) == 2


def test_a_host_that_restarted_and_made_room_has_no_lease_left(
    hosts: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership_module, "HOSTS_MAX", 1)
    hosts.register("a", "s1", "boot1", "ttyS0", 0.0)
    hosts.ended("a", "s1", Cause.RESTARTED, "", 1.0)
    hosts.register("b", "s2", "boot2", "ttyS1", 2.0)
    assert [event.host for event in hosts.handle_timer(22.0)] == ["b"]


def test_a_host_that_goes_down_without_a_goodbye_restarts_when_its_lease_ends(hosts: Membership) -> None:
    hosts.register("a", "s1", "boot1", "ttyS0", 0.0)
    hosts.going_down("a", "s1")
    assert causes(hosts.handle_timer(20.0)) == [("s1", Cause.RESTARTED)]
    assert hosts.ended("a", "s1", Cause.STOPPED, "", 30.0) == []
    hosts.extend_all(40.0)
    assert hosts.next_timer() == 20.0 + REBOOT_PATIENCE
    assert causes(hosts.handle_timer(20.0 + REBOOT_PATIENCE)) == [("s1", Cause.LINE_LOST)]
    assert hosts.next_timer() is None


def test_the_holds_of_a_host_that_goes_down_return_after_a_lease(hosts: Membership) -> None:
    hosts.register("a", "s1", "boot1", "ttyS0", 0.0)
    hosts.going_down("a", "s1")
    (event,) = hosts.ended("a", "s1", Cause.STOPPED, "", 5.0)
    assert event == HostLost(host="a", session="s1", cause=Cause.RESTARTED, why="its system is going down")
    assert hosts.lease_end("a") == 5.0 + LEASE and hosts.next_timer() == 5.0 + REBOOT_PATIENCE


def test_the_next_life_of_a_host_that_went_down_is_not_going_down(hosts: Membership) -> None:
    hosts.register("a", "s1", "boot1", "ttyS0", 0.0)
    hosts.going_down("a", "s1")
    hosts.register("a", "s2", "boot2", "ttyS0", 1.0)
    hosts.going_down("a", "s1")
    assert causes(hosts.ended("a", "s2", Cause.STOPPED, "", 2.0)) == [("s2", Cause.STOPPED)]


@dataclass
class Life:
    """The reference of a host in its simplest form."""

    session: str
    boot: str
    line: str
    end: float
    down: bool = False
    lost: Cause | None = None
    over: bool = False
    going_down: bool = False
    lost_at: float = 0.0

    def lose(self, cause: Cause, now: float) -> tuple[str, Cause]:
        self.lost, self.lost_at = cause, now
        return self.session, cause

    def deadline(self) -> float | None:
        if self.lost is Cause.RESTARTED:
            return max(self.end, self.lost_at + REBOOT_PATIENCE)
        return None if self.lost else self.end


HOSTS = st.sampled_from(["a", "b"])
BOOTS = st.sampled_from(["boot1", "boot2"])
LINES = st.sampled_from(["ttyS0", "ttyS1"])
SESSIONS = st.integers(0, 2)  # 0 is the current session of the host, 1 the session before it


class MembershipSearch(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.hosts = Membership()
        self.lives: dict[str, Life] = {}
        self.sessions: dict[str, list[str]] = {"a": ["none"], "b": ["none"]}

    def earlier_session(self, host: str, ago: int) -> tuple[str, Life | None]:
        session = self.sessions[host][-1 - min(ago, len(self.sessions[host]) - 1)]
        life = self.lives.get(host)
        return session, life if life and life.session == session and not life.over else None

    def revive(self, host: str, life: Life | None) -> list[HostEvent]:
        if life is None:
            return []
        was_lost, life.lost, life.end = life.lost, None, self.now + LEASE
        return [up(host, life.session, resumed=True)] if was_lost else []

    @rule(host=HOSTS, boot=BOOTS, line=LINES)
    def register(self, host: str, boot: str, line: str) -> None:
        session = f"s{len(self.sessions[host])}{host}"
        old = self.lives.get(host)
        taken = old and not old.lost and not old.down and old.boot != boot and old.line != line
        if taken:
            with pytest.raises(NotAllowed):
                self.hosts.register(host, session, boot, line, self.now)
            return
        events = self.hosts.register(host, session, boot, line, self.now)
        assert causes(events) == ([(old.session, Cause.RESTARTED)] if old and not old.lost else [])
        assert events[-1] == up(host, session)
        self.lives[host] = Life(session, boot, line, self.now + LEASE)
        self.sessions[host].append(session)

    @rule(host=HOSTS, ago=SESSIONS)
    def heard(self, host: str, ago: int) -> None:
        session, life = self.earlier_session(host, ago)
        assert self.hosts.heard(host, session, self.now) == self.revive(host, life)

    @rule(host=HOSTS, ago=SESSIONS)
    def line_lost(self, host: str, ago: int) -> None:
        session, life = self.earlier_session(host, ago)
        self.hosts.line_lost(host, session, "unplugged")
        if life:
            life.down = True

    @rule(host=HOSTS, ago=SESSIONS, line=LINES)
    def line_back(self, host: str, ago: int, line: str) -> None:
        session, life = self.earlier_session(host, ago)
        assert self.hosts.line_back(host, session, line, self.now) == self.revive(host, life)
        if life:
            life.down, life.line = False, line

    @rule(host=HOSTS, ago=SESSIONS)
    def going_down(self, host: str, ago: int) -> None:
        session, life = self.earlier_session(host, ago)
        self.hosts.going_down(host, session)
        if life:
            life.going_down = True

    @rule(host=HOSTS, ago=SESSIONS)
    def stop(self, host: str, ago: int) -> None:
        session, life = self.earlier_session(host, ago)
        reported = causes(self.hosts.ended(host, session, Cause.STOPPED, "", self.now))
        if life and not life.lost:
            cause = Cause.RESTARTED if life.going_down else Cause.STOPPED
            assert reported == [life.lose(cause, self.now)]
        else:
            assert reported == []
        if life:
            life.over = True

    @rule(seconds=st.sampled_from([1.0, 7.0, 19.0, 20.0, 590.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        reported = sorted(causes(self.hosts.handle_timer(self.now)))
        due = [life for life in self.lives.values() if (end := life.deadline()) is not None and end <= self.now]
        expected = [
            life.lose(Cause.RESTARTED if life.going_down and not life.lost else Cause.LINE_LOST, self.now)
            for life in due
        ]
        assert reported == sorted(expected)

    @rule()
    def stall(self) -> None:
        self.now += 30.0
        self.hosts.extend_all(self.now)
        for life in self.lives.values():
            life.end = self.now + LEASE

    @invariant()
    def absence_and_timer_agree(self) -> None:
        for host in "ab":
            life = self.lives.get(host)
            assert self.hosts.absent(host) == (life.lost if life else Cause.NEVER_SEEN)
        ends = [end for life in self.lives.values() if (end := life.deadline()) is not None]
        timer = self.hosts.next_timer()
        assert (timer is not None and timer <= min(ends)) if ends else timer is None


MembershipSearch.TestCase.settings = profile()
TestMembershipSearch = MembershipSearch.TestCase
