"""The limits of groups: refused requests, and accepted requests."""

from __future__ import annotations

import pytest

from linesync.errors import LinesyncFailed, Mismatch
from linesync.model.groups import group as model_group
from linesync.model.groups import groups as model_groups
from linesync.model.groups import messages as model_messages
from linesync.model.state.group import Terms

from .play import Play, services


def test_members_join_existing_groups_when_no_further_group_may_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_groups, "GROUPS_MAX", 2)
    play = Play()
    play.join("a", group="one")
    play.join("a", group="two")
    with pytest.raises(LinesyncFailed, match="group 'three' cannot begin"):
        play.join("a", group="three")
    play.join("b", group="two")
    assert [one.name for one in play.state("two").members] == ["a", "b"]


def test_a_host_has_a_limit_of_members_and_of_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_groups, "MEMBERS_OF_HOST", 3)
    monkeypatch.setattr(model_groups, "SERVICES_OF_HOST", 4)
    play = Play()
    a = play.join("a", 1, 2)
    play.join("a#x", 3, 4)
    with pytest.raises(LinesyncFailed, match="the members of a have too many services: at most 4 in all groups"):
        play.join("a#y", 5)
    with pytest.raises(LinesyncFailed, match="the members of a have too many services"):
        play.groups.announce(a.member.number, a.client, services(1, 2, 3), play.now)
    play.tell(play.groups.announce(a.member.number, a.client, services(5, 6), play.now))
    play.join("a#y", passive=True)
    with pytest.raises(LinesyncFailed, match="a is a member of groups 3 times, which is the limit"):
        play.join("a", group="other")
    play.join("b", 1, 2, 3, 4)


def test_senders_of_large_logs_wait_when_the_logs_of_all_groups_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_messages, "WINDOW", 100_000)
    monkeypatch.setattr(model_messages, "ROOM_OF_LOGS", 130_000)
    play = Play()
    deaf = play.join("d")
    deaf.deaf = True
    senders = [play.join(name) for name in "abc"]
    play.pass_time(2.0)
    for sender in senders:
        for _ in range(3):
            assert sender.cast("x" * 10_000)
    other = play.join("a", group="other")
    silent = play.join("b", group="other")
    silent.deaf = True
    counts = [0, 0]
    for number, sender in enumerate((other, senders[0])):
        while sender.cast("x" * 10_000):
            counts[number] += 1
    assert counts[0] > 8, "a small log has room"
    assert counts[1] < 4, "a large log has none"
    deaf.deaf = silent.deaf = False
    play.settle()
    assert len(play.posted) > 0 and play.groups._room.used == 0


def test_a_host_joins_with_the_terms_of_the_group_unless_it_names_others() -> None:
    play = Play(on_failure="exclude", quorum=2, init="in-turn")
    play.join("a")
    play.join("b", passive=True, terms=Terms())
    play.join("c", passive=True, terms=Terms(quorum=2))
    with pytest.raises(Mismatch, match="the group has quorum 2, not 3; use the same"):
        play.join("d", passive=True, terms=Terms(quorum=3))
    assert play.state().terms == Terms(on_failure="exclude", quorum=2, init="in-turn")


def test_the_state_of_a_group_with_very_many_services_shows_those_with_an_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_group, "SERVICES_SHOWN", 5)
    play = Play(on_failure="stop")
    a = play.join("a", 1, 2)
    play.join("b", 1, 2, 3)
    shown = [[one.id for one in member.services] for member in play.state().members]
    assert shown == [[1, 2], [1, 2, 3]]
    play.join("c", *range(4, 8))
    shown = [[one.id for one in member.services] for member in play.state().members]
    assert shown == [[], [], []]
    a.results = {("process", 2): [("failed", "broken")]}
    play.tell(play.groups.rerun("default", "net", None, play.now))
    play.settle()
    shown = [[one.id for one in member.services] for member in play.state().members]
    assert shown == [[1, 2], [1, 2, 3], []], "aborted and failed services, at most 5"
