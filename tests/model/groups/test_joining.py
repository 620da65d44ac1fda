"""Members that join while others have not acknowledged the view: they share the next one."""

from __future__ import annotations

from typing import Any

import pytest

from linesync.errors import Aborted, Mismatch
from linesync.model.groups.group import SHARED

from .play import Actor, Play


def views(actor: Actor) -> list[Any]:
    return [one[1] for one in actor.log if one[0] == "view"]


def crowd(**terms: Any) -> tuple[Play, Actor, list[Actor]]:
    """A member that has not acknowledged its first view, and others that have joined since then."""
    play = Play(**terms)
    first = play.join("a", 1, act=False)
    return play, first, [play.join(name, 1, act=False) for name in "bcd"]


def test_members_that_join_before_the_view_is_acknowledged_share_the_next_view() -> None:
    play, first, others = crowd()
    play.restart_hub()
    state = play.state()
    assert ([one.name for one in state.members], state.joining) == (["a"], tuple("bcd")) and views(first) == []
    play.settle()
    assert views(first) == [("a",), tuple("abcd")]
    assert all(views(other) == [tuple("abcd")] for other in others)
    assert first.view is not None and first.view.joined == tuple("bcd")
    assert all(one.log[-1] == ("completed", -1) for one in (first, *others))


def test_members_that_join_wait_only_some_seconds_for_a_member_that_does_not_answer() -> None:
    play, first, others = crowd()
    first.deaf = True
    play.settle()
    play.pass_time(SHARED - 0.1)
    assert views(others[0]) == []
    play.pass_time(0.2)
    assert views(others[0]) == [tuple("abcd")]


def test_a_member_that_leaves_ends_the_wait_of_the_members_that_join() -> None:
    play, first, others = crowd()
    play.end_client(first)
    play.settle()
    assert all(views(other) == [tuple("bcd")] for other in others)


def test_a_member_that_leaves_before_its_first_view_is_in_no_view() -> None:
    play, first, (b, c, d) = crowd()
    with pytest.raises(Mismatch, match="b is already a member"):
        play.join("b")
    play.end_client(b)
    play.restart_hub()
    play.settle()
    assert views(first) == [("a",), ("a", "c", "d")] and first.view is not None and first.view.left == ()
    assert views(c) == views(d) == [("a", "c", "d")]


def test_all_members_may_leave_before_the_view_of_those_that_join() -> None:
    play, first, others = crowd()
    for other in others:
        play.end_client(other)
    play.end_client(first)
    play.restart_hub()
    assert play.state().members == () and not play.state().ring
    last = play.join("e", 1)
    assert views(last) == [("e",)]


def test_a_member_without_a_view_can_neither_send_messages_nor_end_a_round() -> None:
    play = Play()
    first = play.join("a", 1)
    first.slow = {("process", 1)}
    play.tell(play.groups.rerun("default", "net", None, play.now))
    play.settle()
    first.deaf = True
    first.cast("x")
    play.settle()
    new = play.join("b", 1)
    assert views(new) == []
    new.view = first.view
    with pytest.raises(Aborted, match="the view in which it was sent has ended"):
        new.cast("x")
    new.ask(1, "ended", "it broke")
    assert play.state().round.state == "process"
    assert play.state().joining == ("b",)
    play.pass_time(SHARED)
    assert views(new) == [("a", "b")]


def test_a_stopped_group_also_removes_the_members_without_a_view() -> None:
    play, first, others = crowd()
    play.tell(play.groups.stop("default", "net", play.now))
    play.settle()
    assert play.state().members == ()
    assert all(one.inbox.ended == "the group was stopped" for one in (first, *others))


def test_a_newcomer_of_a_short_group_gets_the_state_with_its_first_view_that_has_the_quorum() -> None:
    play = Play(quorum=3)
    a, b, c = (play.join(name) for name in "abc")
    a.cast("state", state=True)
    play.settle()
    for actor in (b, c):
        play.end_client(actor)
    d = play.join("d")
    assert [one for one in d.log if one[0] in ("view", "message")] == [("view", ("a", "d"))]
    play.restart_hub()
    play.join("e")
    assert [one for one in d.log if one[0] in ("view", "message")][1:] == [
        ("view", ("a", "d", "e")),
        ("message", "a", b"state"),
    ]
