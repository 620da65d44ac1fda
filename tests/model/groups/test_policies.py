"""The reaction to a failed step: the policy of its service, or else that of the group."""

from __future__ import annotations

import pytest

from linesync.errors import UsageError

from .play import Play, services


def failed(play: Play, name: str, service: int) -> None:
    """Let ``process`` of a service fail once on a member, in another round."""
    actor = next(actor for actor in play.actors.values() if actor.name == name)
    actor.results = {("process", service): [("failed", "broken")]}
    play.tell(play.groups.rerun("default", "net", None, play.now))
    play.settle()


@pytest.mark.parametrize("of_group", ["retry", "exclude", "stop"])
def test_a_service_has_its_own_policy(of_group: str) -> None:
    play = Play(on_failure=of_group, retries=3)
    own = [services(n, on_failure=policy)[0] for n, policy in enumerate(("retry", "exclude", "stop", ""), 1)]
    a = play.join("a", *own)
    play.join("b", *own)
    failed(play, "a", 1)
    assert play.state().round.state == "failed"
    play.pass_time(1.1)
    assert play.state().round.state == "completed", "the next try"
    failed(play, "a", 3)
    play.pass_time(100.0)
    assert play.state().round.state == "failed"
    failed(play, "b", 4)
    play.pass_time(100.0)
    state = play.state()
    expected = {"retry": (["a", "b"], "completed"), "exclude": (["a"], "completed"), "stop": (["a", "b"], "failed")}
    assert ([one.name for one in state.members], state.round.state) == expected[of_group]
    failed(play, "a", 2)
    assert "a" not in [one.name for one in play.state().members]
    assert a.inbox.ended is not None and a.inbox.ended.startswith(
        "excluded: a: process of service 2 's2' failed: broken"
    )


def test_the_retries_of_a_service_are_those_of_the_group() -> None:
    play = Play(on_failure="stop", retries=2)
    a = play.join("a", services(1, on_failure="retry")[0])
    a.results = {("process", 1): [("failed", "broken")] * 9}
    play.tell(play.groups.rerun("default", "net", None, play.now))
    play.settle()
    play.pass_time(100.0)
    assert a.steps.count(("failed", -1)) == 3 and play.state().round.state == "failed"


def test_an_unknown_policy_of_a_service_is_refused() -> None:
    with pytest.raises(
        UsageError, match="invalid on_failure 'ignore' of service 's1': expected retry or exclude or stop"
    ):
        Play().join("a", services(1, on_failure="ignore")[0])


def test_a_step_has_a_timeout_by_default_and_a_stop_step_always() -> None:
    play = Play(on_failure="stop")
    a = play.join("a", 1, act=False)
    a.slow = {"init"}
    play.settle()
    play.pass_time(299.0)
    assert play.state().round.state == "init"
    play.pass_time(2.0)
    assert play.state().round.why == "a: init of service 1 's1' was not done within 300 s"
    endless = Play()
    b = endless.join("b", services(1, timeout=0.0)[0])
    b.slow = {"stop"}
    endless.tell(endless.groups.stop("default", "net", endless.now))
    endless.settle()
    assert endless.state().round.state == "stopping"
    endless.pass_time(301.0)
    assert endless.state().members == ()


def test_the_next_step_has_its_whole_time_after_its_member_has_withdrawn_the_step_before_it() -> None:
    play = Play(on_failure="stop")
    a = play.join("a", *services(1, 2, timeout=10.0), act=False)
    a.slow = {"init"}
    play.settle()
    play.now += 9.0
    play.tell(play.groups.announce(a.member.number, a.client, services(2, timeout=10.0), play.now))
    play.pass_time(9.0)
    assert play.state().round.state == "init"
    play.pass_time(2.0)
    assert play.state().round.why == "a: init of service 2 's2' was not done within 10 s"


def test_a_withdrawn_step_that_was_not_sent_is_not_run() -> None:
    play = Play()
    a = play.join("a", 1, 2, act=False)
    play.tell(play.groups.announce(a.member.number, a.client, services(2), play.now))
    play.restart_hub()
    play.settle()
    assert a.steps == [("init", 2), ("process", 2), ("activate", 2), ("completed", -1)]
