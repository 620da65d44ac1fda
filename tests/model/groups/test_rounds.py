"""Rounds of services: the order of the steps, aborts, failures, and stopping."""

from __future__ import annotations

import pytest

from linesync.errors import LinesyncFailed
from linesync.model.groups.group import SHARED
from linesync.model.groups.round import PAST_MAX

from .play import NS, Actor, Play, services

DONE = ("completed", -1)


def round_of(actor: Actor, number: int = -1) -> list[object]:
    """The steps of one view of a member's log."""
    parts: list[list[object]] = []
    for one in actor.log:
        if one[0] == "view":
            parts.append([])
        elif one[0] != "message":
            parts[-1].append(one)
    return parts[number]


def steps(text: str) -> list[tuple[str, int]]:
    """``i1 p1 a1 c`` as steps."""
    kinds = {"i": "init", "p": "process", "a": "activate", "x": "abort", "s": "stop"}
    ends = {"c": "completed", "f": "failed", "z": "stopped"}
    return [(ends[word], -1) if word in ends else (kinds[word[0]], int(word[1:])) for word in text.split()]


def test_all_inits_run_first_and_then_each_service_in_order() -> None:
    play = Play()
    a = play.join("a", 7, 2, 30)
    assert a.steps == steps("i2 i7 i30 p2 a2 p7 a7 p30 a30 c")


def test_init_in_turn_and_activate_before_the_barrier_surround_each_process() -> None:
    play = Play(init="in-turn", activate="before")
    a, b = play.join("a", 1, 2), play.join("b", 2)
    assert round_of(a) == steps("i1 p1 a1 i2 p2 a2 c")
    assert round_of(b) == steps("i2 p2 a2 c")


def test_a_service_that_a_member_lacks_takes_its_turn_without_it() -> None:
    play = Play()
    a, b, c = play.join("a", 1, 3), play.join("b", 2), play.join("c")
    assert round_of(a) == steps("i1 i3 p1 a1 p3 a3 c")
    assert round_of(b) == steps("i2 p2 a2 c") and round_of(c) == steps("c")


def test_no_member_begins_a_service_before_all_have_processed_the_one_before() -> None:
    play = Play()
    a = play.join("a", 1, 2)
    b = play.join("b", 1, 2, act=False)
    b.slow = {("process", 1)}
    play.settle()
    assert round_of(a) == steps("i1 i2 p1") and round_of(b) == steps("i1 i2 p1")
    assert play.state().round.waits_for == ("b",)
    b.finish()
    play.settle()
    assert round_of(a)[-1] == DONE and round_of(b)[-1] == DONE


def test_every_announced_service_takes_part_even_200_of_them() -> None:
    play = Play()
    a = play.join("a", *range(0, 400, 2))
    b = play.join("b", *range(1, 400, 2))
    assert play.state().round.services == tuple(range(400))
    assert len(round_of(a)) == len(round_of(b)) == 3 * 200 + 1


def test_a_round_without_services_is_completed_immediately() -> None:
    play = Play()
    a = play.join("a")
    assert a.log == [("view", ("a",)), DONE]


def test_a_process_that_asks_for_it_is_called_again_before_the_barrier() -> None:
    play = Play()
    a = play.join("a", 1, act=False)
    a.results = {("process", 1): [("again", ""), ("again", "")]}
    b = play.join("b", 1)
    assert round_of(a) == steps("i1 p1 p1 p1 a1 c") and round_of(b) == steps("i1 p1 a1 c")


@pytest.mark.parametrize("terms", [{}, {"init": "in-turn"}])
def test_a_view_change_during_process_aborts_what_has_begun(terms: dict[str, str]) -> None:
    play = Play(**terms)
    a = play.join("a", 1, 2, act=False)
    a.slow = {("process", 2)}
    play.settle()
    b = play.join("b")
    a.finish()
    play.settle()
    assert round_of(a, 0)[-2:] == steps("p2 x2"), "service 1 was activated, so it is not aborted"
    assert round_of(a)[-1] == round_of(b)[-1] == DONE
    assert [one.outcome for one in play.state().rounds] == ["aborted", "completed"]


def test_a_view_change_at_the_barrier_aborts_the_members_that_stand_there() -> None:
    play = Play()
    a = play.join("a", 1)
    b = play.join("b", 1, act=False)
    b.slow = {("process", 1)}
    play.settle()
    assert round_of(a) == steps("i1 p1"), "a stands at the barrier"
    play.join("c")
    assert round_of(a, 1) == steps("i1 p1 x1") and round_of(b, 0) == steps("i1 p1 x1")


def test_an_abort_comes_for_every_service_that_had_init_the_last_one_first() -> None:
    play = Play()
    a = play.join("a", 1, 2, 3, act=False)
    a.slow = {("process", 2)}
    play.settle()
    play.join("b")
    assert round_of(a, 0) == steps("i1 i2 i3 p1 a1 p2 x3 x2")


def test_steps_that_a_member_has_not_received_are_not_run_after_the_view_change() -> None:
    play = Play()
    a = play.join("a", 1, act=False)
    play.join("b", 1, act=False)
    play.now += SHARED  # a has not asked for events
    play.tell(play.model.handle_timer(play.now))
    play.settle()
    assert round_of(a, 0) == [] and round_of(a, 1) == steps("i1 p1 a1 c")


def test_a_member_that_dies_while_others_stand_at_the_barrier_leaves_no_ghost() -> None:
    play = Play()
    a = play.join("a", 1, 2)
    b = play.join("b", 1, 2, act=False)
    b.slow = {("process", 1)}
    play.settle()
    play.restart_hub()
    play.end_client(b)
    play.settle()
    assert round_of(a, 1) == steps("i1 i2 p1 x2 x1")
    assert round_of(a) == steps("i1 i2 p1 a1 p2 a2 c")


def test_init_sees_the_members_of_its_own_view() -> None:
    play = Play(init="in-turn")
    a = play.join("a", 1, 2)
    b = play.join("b", 1, act=False)
    b.slow = {("process", 1)}
    play.settle()
    play.end_client(b)
    play.settle()
    assert a.view is not None and a.view.members == ("a",) and round_of(a)[:2] == steps("i1 p1")


def test_a_report_of_an_old_ring_matches_nothing() -> None:
    play = Play()
    a = play.join("a", 1, act=False)
    a.slow = {"process"}
    play.settle()
    (old,) = a.unreported
    play.join("b")
    a.ask(old.number)
    assert play.state().stale == 1 and play.state().round.waits_for == ("a",)
    a.finish()
    play.settle()
    assert round_of(a)[-1] == DONE


def test_a_failed_process_aborts_on_all_members_and_is_tried_again_with_a_growing_delay() -> None:
    play = Play(backoff=1.0, retries=2)
    a, b = play.join("a", 1), play.join("b", 1, act=False)
    b.results = {("process", 1): [("failed", "no disk")] * 3}
    play.settle()
    assert round_of(a) == round_of(b) == steps("i1 p1 x1 f")
    assert "b: process of service 1 's1' failed: no disk" in play.state().round.why
    assert [one.state for member in play.state().members for one in member.services] == ["aborted", "failed"]
    play.pass_time(0.9)
    assert a.view is not None and a.view.why == ""
    play.pass_time(0.2)
    assert a.view.why == "retry" and round_of(a)[-1] == ("failed", -1)
    play.pass_time(1.8)
    assert len(play.state().rounds) == 3
    play.restart_hub()
    play.pass_time(0.3)
    assert len(play.state().rounds) == 4 and play.groups.next_timer() is None, "the two retries are over"
    play.tell(play.groups.rerun(NS, "net", None, play.now))
    play.settle()
    assert round_of(a)[-1] == DONE and a.view.why == "rerun"


def test_a_member_that_fails_may_be_excluded() -> None:
    play = Play(on_failure="exclude")
    a = play.join("a", 1)
    b = play.join("b", 1, act=False)
    b.results = {("init", 1): [("failed", "")]}
    play.settle()
    assert str(b.inbox.ended).startswith("excluded: ") and b.steps[-2:] == steps("x1 f")
    assert a.view is not None and a.view.members == ("a",) and round_of(a)[-1] == DONE


def test_a_failure_may_stop_the_round_until_somebody_asks_for_another_one() -> None:
    play = Play(on_failure="stop")
    a = play.join("a", 1, act=False)
    a.results = {("activate", 1): [("failed", "")]}
    play.settle()
    assert a.steps == steps("i1 p1 a1 f") and play.groups.next_timer() is None
    play.tell(play.groups.rerun(NS, "net", None, play.now))
    play.settle()
    assert a.steps[-1] == DONE


def test_the_error_names_the_late_step_that_the_member_has_reported_as_running() -> None:
    play = Play(on_failure="stop")
    b = play.join("b", *services(1, 2, 3, timeout=5.0), act=False)
    b.slow = {("init", 2)}
    play.settle()
    (step,) = b.unreported
    b.ask(b.unsent, runs=step.number)
    play.restart_hub()
    play.pass_time(8.0)
    assert b.log[-1] == ("failed", -1)
    assert play.state().round.why == "b: init of service 2 's2' was not done within 6 s"


def test_the_error_names_no_single_late_step_if_the_running_step_is_not_known() -> None:
    play = Play(on_failure="stop")
    b = play.join("b", *services(1, 2, 3, timeout=5.0), act=False)
    b.slow = {("init", 2)}
    play.settle()
    play.pass_time(8.0)
    assert play.state().round.why == "b: init of service 1 's1', or a later step, was not done within 7 s"


def test_a_step_that_is_late_names_the_host_the_service_the_step_and_who_waits() -> None:
    play = Play(on_failure="stop")
    a = play.join("a", 1)
    late = services(1, timeout=5.0)[0]
    b = play.join("b", late, act=False)
    b.slow = {"process"}
    play.settle()
    play.pass_time(4.9)
    assert play.state().round.state == "process"
    play.restart_hub()
    play.pass_time(0.2)
    why = "b: process of service 1 's1' was not done within 5 s; waiting for it: a"
    assert play.state().round.why == why and round_of(a)[-1] == ("failed", -1)


def test_members_take_turns_for_a_service_that_is_serialized() -> None:
    play = Play()
    one = services(1, serialize=True)[0]
    a, b, c = play.join("a", one, act=False), play.join("b", act=False), play.join("c", one, act=False)
    a.slow = c.slow = {"process"}
    play.settle()
    assert round_of(a) == steps("i1 p1") and round_of(c) == steps("i1")
    a.finish()
    play.restart_hub()
    play.settle()
    assert round_of(a) == steps("i1 p1") and round_of(c) == steps("i1 p1")
    c.finish()
    play.settle()
    assert round_of(a)[-1] == round_of(b)[-1] == round_of(c)[-1] == DONE


def test_a_service_that_disappears_is_skipped() -> None:
    play = Play()
    a = play.join("a", 1, 2, 3, act=False)
    b = play.join("b", 1, 2, 3, act=False)
    b.slow = {("process", 2)}
    play.settle()
    b.inbox.skip([1, 3])
    play.tell(play.groups.announce(b.member.number, b.client, services(1, 3, 4), play.now))
    b.ask(b.unsent)
    play.settle()
    assert round_of(a)[-1] == round_of(b)[-1] == DONE
    assert ("activate", 2) in round_of(a) and ("activate", 2) not in round_of(b) and ("init", 4) not in round_of(b)
    play.tell(play.groups.rerun(NS, "net", None, play.now))
    play.settle()
    assert round_of(b) == steps("i1 i3 i4 p1 a1 p3 a3 p4 a4 c")


def test_different_versions_of_a_service_are_named() -> None:
    play = Play()
    a = play.join("a", services(1, version="1.0")[0])
    play.join("b", services(1, version="1.1")[0])
    (mixed,) = play.state().round.mixed
    assert mixed == "service 1 has different versions: 's1' 1.0 on a; 's1' 1.1 on b"
    assert round_of(a)[-1] == DONE


def test_a_rerun_may_have_one_service() -> None:
    play = Play()
    a = play.join("a", 1, 2)
    play.tell(play.groups.rerun(NS, "net", 2, play.now))
    play.settle()
    assert round_of(a) == steps("i2 p2 a2 c")
    with pytest.raises(LinesyncFailed, match="group 'net' has no service 9"):
        play.groups.rerun(NS, "net", 9, play.now)


def test_stopping_runs_the_services_backwards_and_ends_the_group() -> None:
    play = Play()
    a, b = play.join("a", 1, 2, 3), play.join("b", 2, act=False)
    play.settle()
    b.slow = {"stop"}
    play.tell(play.groups.stop(NS, "net", play.now))
    play.settle()
    assert a.steps[-2:] == steps("s3 s2"), "service 1 waits for b"
    with pytest.raises(LinesyncFailed, match="it is being stopped"):
        play.join("c")
    play.restart_hub()
    b.finish()
    play.settle()
    assert a.steps[-3:] == steps("s2 s1 z") and b.steps[-2:] == steps("s2 z")
    assert a.inbox.ended == b.inbox.ended == "the group was stopped" and play.state().members == ()


def test_the_end_of_a_keystone_stops_the_group_and_the_end_of_another_service_does_not() -> None:
    play = Play()
    a = play.join("a", services(1, keystone=True)[0], 2)
    a.ask(2, "ended", "exit code 1")
    assert play.state().round.state == "completed"
    a.ask(1, "ended", "exit code 0")
    play.settle()
    assert a.steps[-3:] == steps("s2 s1 z")


def test_stopping_during_a_round_aborts_it_and_stops_what_was_activated() -> None:
    play = Play()
    a = play.join("a", 1, 2, act=False)
    a.slow = {("process", 2)}
    play.settle()
    play.tell(play.groups.stop(NS, "net", play.now))
    a.finish()
    play.settle()
    assert a.steps[-4:] == steps("p2 x2 s1 z")


def test_the_last_rounds_are_kept() -> None:
    play = Play()
    play.join("a", 1)
    for _ in range(PAST_MAX + 5):
        play.tell(play.groups.rerun(NS, "net", None, play.now))
        play.settle()
    assert len(play.state().rounds) == PAST_MAX


def test_a_service_that_is_announced_during_a_round_takes_part_in_the_next_one() -> None:
    play = Play()
    a, b = play.join("a", 1, 2, act=False), play.join("b", 1, act=False)
    a.slow = {("process", 1)}
    play.settle()
    play.tell(play.groups.announce(b.member.number, b.client, services(1, 2), play.now))
    play.restart_hub()
    a.finish()
    play.settle()
    assert round_of(b) == steps("i1 p1 a1 c")
    play.tell(play.groups.rerun(NS, "net", None, play.now))
    play.settle()
    assert round_of(b) == steps("i1 i2 p1 a1 p2 a2 c")


def test_a_withdrawn_service_is_aborted_once_and_under_its_own_ring() -> None:
    play = Play()
    a = play.join("a", 1, 2, act=False)
    a.slow = {("process", 1)}
    play.settle()
    play.tell(play.groups.announce(a.member.number, a.client, services(2), play.now))
    a.inbox.skip([2])
    a.slow = set()
    play.settle()
    assert a.steps == steps("i1 i2 p1 x1 p2 a2 c")
    play.join("b")
    assert round_of(a) == steps("i2 p2 a2 c")


def test_the_time_in_which_the_hub_was_away_does_not_count() -> None:
    play = Play(on_failure="stop")
    a = play.join("a", services(1, timeout=5.0)[0], act=False)
    a.slow = {"process"}
    play.settle()
    play.now += 60.0
    play.restart_hub()
    play.model.extend_all(play.now)
    play.pass_time(4.5)
    assert play.state().round.state == "process"
    play.pass_time(1.0)
    assert play.state().round.state == "failed"


def test_the_delay_before_a_retry_is_bounded_after_any_number_of_failures() -> None:
    play = Play(backoff=0.0, retries=10**6)
    a = play.join("a", 1, act=False)
    a.results = {("process", 1): [("failed", "")] * 2}
    play.groups._groups[NS, "net"].round.attempts = 5000
    play.groups._groups[NS, "net"].terms = play.terms
    play.settle()
    assert play.state().round.state == "failed"
    play.pass_time(1.0)
    assert round_of(a)[-1] == DONE


def test_the_retry_of_one_service_runs_only_that_one() -> None:
    play = Play()
    a = play.join("a", 1, 2)
    a.results = {("process", 2): [("failed", "")]}
    play.tell(play.groups.rerun(NS, "net", 2, play.now))
    play.settle()
    play.restart_hub()
    play.pass_time(2.0)
    assert round_of(a) == steps("i2 p2 a2 c") and a.view is not None and a.view.why == "retry"


def test_a_service_that_ends_before_it_is_activated_fails_the_round_and_a_keystone_stops_the_group() -> None:
    play = Play(on_failure="stop")
    a = play.join("a", 1, act=False)
    b = play.join("b", services(2, keystone=True)[0], act=False)
    b.slow = {"process"}
    play.settle()
    a.ask(1, "ended", "exit code 1")
    assert play.state().round.state == "process", "service 1 was activated, and it is not a keystone"
    b.ask(2, "ended", "exit code 1")
    play.settle()
    assert a.steps[-2:] == steps("s1 z") and b.steps[-2:] == steps("x2 z")


def test_an_excluded_member_and_the_others_learn_the_reason() -> None:
    play = Play(on_failure="exclude")
    a = play.join("a", 1)
    b = play.join("b", 1, act=False)
    b.results = {("process", 1): [("failed", "no disk")]}
    play.settle()
    why = "excluded: b: process of service 1 's1' failed: no disk; waiting for it: a"
    assert a.view is not None and a.view.left == (("b", why),) and b.inbox.ended == why
