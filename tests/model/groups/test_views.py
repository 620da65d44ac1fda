"""Views: members, causes, quorum, and ids that never repeat."""

from __future__ import annotations

import pytest

from linesync.errors import Aborted, LinesyncFailed, Mismatch, NotAllowed, TimedOut, UsageError
from linesync.model.participants import Cause
from linesync.model.state.group import Terms

from .play import NS, Play, services


def test_each_join_makes_a_view_with_the_oldest_member_first() -> None:
    play = Play()
    first = play.join("zoe")
    second = play.join("adam")
    assert [one[1] for one in first.log if one[0] == "view"] == [("zoe",), ("zoe", "adam")]
    assert second.view is not None and second.view == first.view
    assert second.view.joined == ("adam",) and second.view.carried == ("zoe",)
    assert second.view.index("adam") == 1


def test_a_member_that_leaves_is_named_with_the_cause() -> None:
    play = Play()
    stays = play.join("a")
    leaves = play.join("b")
    dies = play.join("c")
    restarts = play.join("d")
    play.tell(play.groups.leave(NS, "net", "b", leaves.client, play.now))
    play.settle()
    assert stays.view is not None and stays.view.left == (("b", "left"),)
    assert leaves.inbox.ended == "left"
    play.end_client(dies)
    play.settle()
    assert stays.view.left == (("c", "client gone"),)
    play.lose("d")
    play.settle()
    assert stays.view.left == (("d", "restarted"),) and stays.view.members == ("a",)
    assert restarts.view is not None and restarts.view.ring.epoch < stays.view.ring.epoch


def test_members_of_one_host_leave_in_one_view() -> None:
    play = Play()
    stays = play.join("a")
    play.join("b#1")
    play.join("b#2")
    play.lose("b", Cause.STOPPED)
    play.settle()
    views = [one[1] for one in stays.log if one[0] == "view"]
    assert views[-1] == ("a",) and views[-2] == ("a", "b#1", "b#2")


def test_the_ring_id_never_repeats_over_groups_and_restarts_of_the_hub() -> None:
    play = Play()
    actors = [play.join("a"), play.join("b"), play.join("a#x", group="other")]
    rings = {str(actor.view.ring) for actor in actors if actor.view is not None}
    assert rings == {"2@h", "3@h"}
    for actor in actors:
        play.end_client(actor)
    play.restart_hub()
    again = play.join("a")
    assert again.view is not None and str(again.view.ring) == "7@h2"


def test_a_view_stays_when_the_hub_restarts() -> None:
    play = Play()
    first, second = play.join("a", 1), play.join("b", 1)
    play.restart_hub()
    play.settle()
    third = play.join("c")
    for actor in (first, second, third):
        assert actor.view is not None and actor.view.members == ("a", "b", "c")
        assert actor.log[-1] == ("completed", -1)


def test_a_group_below_its_quorum_delivers_nothing_and_names_who_is_missing() -> None:
    play = Play(quorum=2)
    first = play.join("a", 1)
    assert first.view is not None and first.view.short and first.steps == []
    with pytest.raises(LinesyncFailed, match="1 of at least 2 members"):
        first.cast("x")
    second = play.join("b", 1)
    assert ("completed", -1) in first.log and not first.view.short
    play.end_client(second)
    play.settle()
    assert first.view.short and first.view.missing == (("b", "client gone"),)
    with pytest.raises(LinesyncFailed, match=r"missing: b \(client gone\)"):
        first.cast("x")


def test_a_member_joins_once() -> None:
    play = Play()
    play.join("a")
    with pytest.raises(Mismatch, match="a is already a member of group 'net'"):
        play.join("a")


def test_the_first_member_sets_the_terms() -> None:
    play = Play()
    first = play.join("a", terms=Terms(quorum=1))
    with pytest.raises(Mismatch, match="b cannot join group 'net': the group has quorum 1, not 2"):
        play.join("b", terms=Terms(quorum=2))
    play.end_client(first)
    play.join("b", terms=Terms(quorum=1, init="in-turn"))
    assert play.state().terms.init == "in-turn"


@pytest.mark.parametrize(
    ("terms", "announced", "words"),
    [
        (Terms(init="last"), (), "invalid init 'last'"),
        (Terms(quorum=1001), (), "invalid quorum 1001"),
        (Terms(backoff=99.0), (), "invalid retries"),
        (Terms(), (*services(1), *services(1)), "have the same id 1"),
        (Terms(), services(-1), "invalid id -1"),
        (Terms(), services(1, timeout=-1.0), "invalid version or timeout of service 's1'"),
    ],
)
def test_invalid_terms_and_services_are_refused(terms: Terms, announced: tuple[object, ...], words: str) -> None:
    play = Play()
    with pytest.raises(UsageError, match=words):
        play.join("a", *announced, terms=terms)
    with pytest.raises(LinesyncFailed, match="there is no group 'net'"):
        play.state()


def test_a_passive_member_counts_in_views_and_outlives_its_client() -> None:
    play = Play()
    first = play.join("a", 1)
    host = play.join("b", passive=True)
    assert first.view is not None and first.view.members == ("a", "b") and ("completed", -1) in first.log
    play.tell(play.model.client_gone(host.client, play.now))
    play.settle()
    assert first.view.members == ("a", "b")
    other = play.client("c")
    with pytest.raises(NotAllowed, match="only a script on its own host"):
        play.groups.leave(NS, "net", "b", other, play.now)
    play.tell(play.groups.leave(NS, "net", "b", play.client("b"), play.now))
    play.settle()
    assert first.view.members == ("a",)


def test_a_wait_for_members_ends_when_there_are_enough() -> None:
    play = Play()
    client = play.client("hub")
    play.tell(play.groups.wait("w1", NS, "net", 2, client, play.now, 5.0))
    play.join("a")
    assert play.names == []
    play.restart_hub()
    play.join("b")
    assert play.names == [("a", "b")]
    (failed,) = play.groups.wait("w2", NS, "net", 3, client, play.now, 0)
    assert isinstance(failed.error, TimedOut) and "2 of 3 members: a, b" in failed.error.message


def test_a_join_whose_client_gave_up_is_undone() -> None:
    play = Play()
    stays = play.join("a")
    joined = play.join("b", arrival="3/1", act=False)
    play.tell(play.groups.withdraw("3/2", joined.client, play.now))
    assert play.groups.member_names((NS, "net")) == ("a", "b")
    play.restart_hub()
    play.tell(play.groups.withdraw("3/1", joined.client, play.now))
    play.settle()
    assert stays.view is not None and stays.view.left == (("b", "gave up"),)


def test_the_number_of_a_member_is_never_used_again() -> None:
    play = Play()
    play.join("a")
    old = play.join("b")
    play.tell(play.groups.leave(NS, "net", "b", old.client, play.now))
    play.restart_hub()
    again = play.join("b")
    assert again.member.number > old.member.number


def test_hosts_that_are_lost_at_the_same_time_leave_in_one_view() -> None:
    play = Play()
    a = play.join("a", 1)
    play.join("b", 1)
    play.join("c", 1)
    play.now += 30.0
    (session,) = [one.session for one in play.model.hosts(play.now) if one.name == "a"]
    play.tell(play.model.heard("a", session, play.now))
    play.tell(play.model.handle_timer(play.now))
    play.settle()
    views = [one[1] for one in a.log if one[0] == "view"]
    assert views[-2:] == [("a", "b", "c"), ("a",)]
    assert a.view is not None and [name for name, _ in a.view.left] == ["b", "c"]


def test_only_the_removed_member_itself_learns_the_cause_and_only_with_its_request_for_events() -> None:
    play = Play()
    play.join("a")
    b = play.join("b")
    b.deaf, b.open = True, ""
    member = play.groups._members.get(b.member.number, b.member.client)[1]
    member.poll = ""
    play.model.groups._groups[NS, "net"].remove([member], "too slow", play.now)
    play.tell(play.groups._settle([play.groups._groups[NS, "net"]], play.now))
    with pytest.raises(Aborted) as stranger:
        play.groups.next("9", b.member.number, play.client("a"), 0, play.now)
    assert "too slow" not in stranger.value.message
    with pytest.raises(Aborted, match="too slow"):
        b.cast("x")
    play.restart_hub()
    b.deaf = False
    b.ask()
    assert b.inbox.ended == "too slow"
    b.inbox.ended = None
    b.ask()
    assert b.inbox.ended == ""


def test_a_member_leaves_by_its_number_even_if_another_one_has_its_name() -> None:
    play = Play()
    a = play.join("a")
    old = play.join("b")
    play.end_client(old)
    new = play.join("b")
    with pytest.raises(Aborted):
        play.groups.leave(NS, "net", "b", old.client, play.now, old.member.number)
    assert play.groups.member_names((NS, "net")) == ("a", "b")
    play.tell(play.groups.leave(NS, "net", "b", new.client, play.now, new.member.number))
    play.settle()
    assert a.view is not None and a.view.members == ("a",)


def test_a_reset_removes_all_members() -> None:
    play = Play()
    actor = play.join("a", 1)
    forgotten, waits, outcomes = play.model.reset(NS, ("net",), "hub", play.now)
    play.tell(outcomes)
    play.settle()
    assert (forgotten, waits) == (1, []) and actor.inbox.ended == "the group was reset"
    assert play.groups.status(play.now) == []
