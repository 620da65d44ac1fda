"""Ordered messages: once, in their own view, in one order, and with room for each sender."""

from __future__ import annotations

from typing import Any

import pytest

from linesync.errors import Aborted, LinesyncFailed, UsageError
from linesync.model.groups import messages as model_messages
from linesync.model.groups.group import SHARED
from linesync.model.groups.messages import PART_MAX, SLOW, WINDOW

from .play import Actor, Play

LOG_MAX = 40  # instead of the real limit, so that the tests are fast


def messages(actor: Actor) -> list[tuple[Any, ...]]:
    return [one for one in actor.log if one[0] == "message"]


def test_all_members_get_views_and_messages_in_one_order() -> None:
    play = Play()
    a, b = play.join("a"), play.join("b")
    a.deaf = True
    a.cast("1")
    b.cast("2")
    c = play.join("c")
    play.pass_time(SHARED)
    c.cast("3")
    a.deaf = False
    play.settle()
    ordered = [("message", "a", b"1"), ("message", "b", b"2"), ("view", ("a", "b", "c")), ("message", "c", b"3")]
    rest = [[one for one in actor.log if one[0] != "completed"] for actor in (a, b, c)]
    assert rest[0][-4:] == rest[1][-4:] == ordered
    assert rest[2] == ordered[2:]


def test_a_message_whose_view_has_ended_is_dropped_and_counted() -> None:
    play = Play()
    a = play.join("a")
    assert a.view is not None
    old = a.view.ring.epoch
    play.join("b")
    with pytest.raises(Aborted, match="the view in which it was sent has ended"):
        a.cast("late", old)
    assert play.state().dropped == 1 and messages(a) == []


def test_a_member_that_was_cut_off_gets_the_messages_of_a_view_before_the_next_view() -> None:
    play = Play()
    a, b = play.join("a"), play.join("b")
    b.deaf = True
    a.cast("x")
    play.restart_hub()
    play.join("c")
    b.deaf = False
    play.settle()
    kinds = [one for one in b.log if one[0] in ("view", "message")]
    assert kinds[-2:] == [("message", "a", b"x"), ("view", ("a", "b", "c"))]


def test_a_newcomer_gets_the_state_of_the_group_before_its_first_message() -> None:
    play = Play()
    a = play.join("a")
    a.cast("old", state=True)
    a.cast("new", state=True)
    play.settle()
    b = play.join("b", act=False)
    a.cast("more", play.state().ring.epoch)
    play.restart_hub()
    play.settle()
    assert [one for one in b.log if one[0] in ("view", "message")] == [
        ("view", ("a", "b")),
        ("message", "a", b"new"),
        ("message", "a", b"more"),
    ]
    assert messages(a)[-1] == ("message", "a", b"more"), "the state itself is for the newcomer only"
    assert len(messages(a)) == 3


def test_the_parts_of_a_message_are_one_message_and_are_dropped_without_the_last_one() -> None:
    play = Play()
    a, b = play.join("a"), play.join("b")
    a.cast("1", more=True)
    b.cast("between")
    a.cast("+", part=True, more=True)
    a.cast("2", part=True)
    with pytest.raises(UsageError, match="belongs to no message"):
        a.cast("more", part=True)
    a.cast("given up", more=True)
    a.cast("whole")
    a.cast("lost", more=True)
    play.settle()
    c = play.join("c")
    a.cast("3")
    play.settle()
    texts = [one[2] for one in messages(b)]
    assert texts == [b"between", b"1+2", b"whole", b"3"]
    assert messages(c) == [("message", "a", b"3")]


def test_a_message_that_is_too_large_is_refused_and_changes_nothing() -> None:
    play = Play()
    a = play.join("a")
    with pytest.raises(UsageError, match="too large"):
        a.cast("x" * PART_MAX)
    for number in range(32):
        a.cast("x" * (PART_MAX - 1), part=number > 0, more=True)
        play.settle()
    with pytest.raises(UsageError, match="too large"):
        a.cast("y" * 100, part=True)
    with pytest.raises(UsageError, match="too large"):
        a.cast("y", state=True, more=True)


def fill(play: Play, actor: Actor) -> int:
    """Send messages until a reply does not come; return how many were answered."""
    count = 0
    while actor.cast("x" * 10_000):
        count += 1
        assert count < 100
    play.posted.clear()
    return count


def test_a_sender_waits_while_a_member_does_not_receive_its_messages() -> None:
    play = Play()
    a, b = play.join("a"), play.join("b")
    b.deaf = True
    answered = fill(play, a)
    assert answered == WINDOW // 10_065 + 1, "b had asked for the first one"
    with pytest.raises(LinesyncFailed, match="a must wait for the reply"):
        a.cast("more")
    play.restart_hub()
    assert play.posted == []
    b.deaf = False
    play.settle()
    assert len(play.posted) == 1 and len(messages(b)) == answered + 1


def test_a_member_for_which_senders_wait_is_named_and_then_removed() -> None:
    play = Play()
    a, b = play.join("a"), play.join("b")
    b.deaf = True
    fill(play, a)
    play.settle()
    assert [(one.name, one.slow) for one in play.state().members] == [("a", False), ("b", True)]
    play.pass_time(SLOW - 1)
    assert len(play.state().members) == 2
    play.pass_time(2)
    assert a.view is not None and a.view.left == (("b", "too slow"),)
    assert len(play.posted) == 1, "the sender goes on"
    b.deaf = False
    b.ask()
    assert b.error is not None and "no longer a member of group 'net': too slow" in b.error.message


def test_a_member_that_receives_slowly_is_not_removed() -> None:
    play = Play()
    a, b = play.join("a"), play.join("b")
    b.deaf = True
    fill(play, a)
    for _ in range(5):
        play.pass_time(SLOW - 1)
        b.ask()
        b.ask()
        if play.posted:
            fill(play, a)
    assert len(play.state().members) == 2


def test_a_member_that_asks_for_nothing_while_very_many_events_wait_is_removed_after_some_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_messages, "LOG_MAX", LOG_MAX)
    play = Play()
    a, b = play.join("a"), play.join("b")
    b.deaf = True
    for number in range(LOG_MAX + 10):
        a.cast(str(number % 10))
        play.settle()
    assert len(play.state().members) == 2
    play.pass_time(SLOW + 1)
    assert a.view is not None and a.view.left == (("b", "too slow"),)
    assert play.state().members[0].behind == 0


def test_members_that_read_are_not_removed_however_many_steps_others_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_messages, "LOG_MAX", LOG_MAX)
    play = Play()
    for number, name in enumerate("abc"):
        play.join(name, *range(number * 20, number * 20 + 20))
    play.pass_time(SLOW + 1)
    assert [one.name for one in play.state().members] == ["a", "b", "c"] and play.state().round.state == "completed"
    a, b, _ = play.actors.values()
    a.results = {("process", 0): [("again", "")] * (LOG_MAX + 10)}
    play.tell(play.groups.rerun("default", "net", 0, play.now))
    play.settle()
    play.pass_time(SLOW + 1)
    assert len(play.state().members) == 3 and b.log[-1] == ("completed", -1)


def test_a_member_that_sends_more_than_its_window_waits_for_itself_only_until_it_asks() -> None:
    play = Play()
    a = play.join("a")
    a.deaf = True
    a.open = ""
    fill(play, a)
    a.deaf = False
    play.settle()
    assert len(play.posted) == 1


def test_a_member_with_many_unread_messages_gets_events_only_when_its_round_has_ended() -> None:
    play = Play()
    a, b = play.join("a", 1), play.join("b", 1, 2)
    play.settle()
    play.tell(play.groups.rerun("default", "net", None, play.now))
    b.slow = {("activate", 1)}
    play.settle()
    assert b.inbox.queued, "the process of service 2 waits for the end of an activate"
    b.ask(full=True)
    for number in range(5):
        a.cast(str(number))
    play.restart_hub()
    play.settle()
    assert messages(b) == [] and len(messages(a)) == 5
    a.cast("x" * 20_000)
    play.join("c")
    play.settle()
    assert len(messages(b)) == 6 and b.log.index(messages(b)[-1]) < b.log.index(("abort", 2))


def test_the_time_of_a_slow_member_begins_again_when_another_sender_waits() -> None:
    play = Play()
    a, b, c = (play.join(name) for name in "abc")
    b.deaf = True
    fill(play, a)
    play.settle()
    play.pass_time(SLOW - 1)
    play.end_client(a)
    play.settle()
    assert play.groups.next_timer() is None, "no sender waits"
    fill(play, c)
    play.pass_time(SLOW - 1)
    assert [one.name for one in play.state().members] == ["b", "c"]
    play.pass_time(2.0)
    assert [one.name for one in play.state().members] == ["c"]


def test_the_removal_of_a_slow_member_can_end_the_stop_of_the_group() -> None:
    play = Play()
    a, b = play.join("a"), play.join("b", 1)
    b.slow = {("stop", 1)}
    b.deaf = True
    fill(play, a)
    play.tell(play.groups.stop("default", "net", play.now))
    play.settle()
    assert play.state().round.state == "stopping"
    play.pass_time(SLOW + 1)
    assert play.state().members == () and a.inbox.ended == "the group was stopped"
