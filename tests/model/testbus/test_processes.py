"""Processes: their files, their queues, their ends, lost hosts, and deletions."""

from __future__ import annotations

import pytest

from linesync.errors import Aborted, LinesyncFailed, MemberLost, TimedOut, UsageError
from linesync.model.testbus.objects import STATES
from linesync.model.testbus.processes import NEXT

from .lab import Lab


def lab_with_claim() -> tuple[Lab, str, str]:
    lab = Lab("h1", "h2")
    test = lab.test()
    (claim,) = lab.claim(test, "a=h1")
    return lab, test, claim


def test_a_process_without_files_starts_immediately_and_its_end_is_kept_for_all_waits() -> None:
    lab, test, claim = lab_with_claim()
    process = lab.exec(test, claim, "true")
    assert lab.actions() == [f"start h1 {process}"]
    waits = [lab.wait_for(process), lab.wait_for(process)]
    lab.check()
    lab.ended("h1", process, 3, output=7)
    for wait in [*waits, lab.wait_for(process), lab.wait_for(process, timeout=0)]:
        value = lab.value(wait)
        assert (value.process, value.state, value.status, value.output) == (process, "exited", 3, 7)
    lab.check()


@pytest.mark.parametrize(
    ("state", "report", "shown"),
    [
        ("crashed", {"status": None, "signal": 11, "core": True}, "crashed"),
        ("timed out", {"status": None, "signal": 15}, "timed out"),
        ("could not start", {"status": None, "why": "no such file"}, "could not start"),
        ("confused", {}, "running"),
    ],
)
def test_each_kind_of_end_is_kept(state: str, report: dict[str, object], shown: str) -> None:
    lab, test, claim = lab_with_claim()
    process = lab.exec(test, claim, "true")
    lab.ended("h2", process, 0)  # another host
    lab.ended("h1", process, state=state, **report)  # type: ignore[arg-type]
    assert lab.states() == [shown]
    if shown != "running":
        value = lab.value(lab.wait_for(process))
        assert {name: getattr(value, name) for name in report} == report
        lab.ended("h1", process, 0)
        assert lab.states() == [shown], "the first end counts"
    lab.check()


def test_the_table_of_changes_uses_only_known_states_and_ends() -> None:
    assert {state for state, _ in NEXT} | set(NEXT.values()) == set(STATES)


def test_processes_of_one_host_run_one_after_the_other_unless_they_are_parallel() -> None:
    lab, test, claim = lab_with_claim()
    first, second, third = (lab.exec(test, claim, "true", background=True) for _ in range(3))
    beside = lab.exec(test, claim, "true", parallel=True)
    assert lab.actions() == [f"start h1 {first}", f"start h1 {beside}"]
    lab.check()
    lab.ended("h1", first)
    assert lab.actions() == [f"start h1 {second}"]
    lab.delete(third)
    arrival = lab.arrive(lab.bus.delete, [second])
    assert lab.waits(arrival) and lab.actions() == [f"kill h1 {second}"]
    lab.ended("h1", second, None, "crashed")
    assert not lab.waits(arrival) and lab.states() == ["exited", "running"]


def test_a_file_is_sent_only_when_a_process_needs_it_and_only_once() -> None:
    lab, test, claim = lab_with_claim()
    for tag, digest in (("conf", "a"), ("input", "b"), ("unused", "c"), ("tool", "d"), ("more", "e")):
        lab.put(test, tag, digest)
    command = lab.command(test, "cat", "%{file:conf}", "%{file:conf}%%")
    options = {"stdin": "input", "script": "tool", "files": ("more",), "parallel": True}
    first = lab.run(command, claim, **options)
    assert sorted(lab.actions()) == ["fetch h1 a", "fetch h1 b", "fetch h1 d", "fetch h1 e"]
    second = lab.run(command, claim, **options)
    assert lab.actions() == [] and lab.states() == ["fetching", "fetching"]
    lab.check()
    for digest in "abde":
        assert lab.states() == ["fetching", "fetching"]
        lab.arrived("h1", digest)
    assert lab.actions() == [f"start h1 {first}", f"start h1 {second}"]
    lab.run(command, claim, **options)
    assert not [action for action in lab.actions() if action.startswith("fetch")]
    lab.check()


def test_a_file_leaves_its_host_with_the_last_object_or_process_that_needs_it() -> None:
    lab, test, claim = lab_with_claim()
    file = lab.put(test, "conf", "a")
    lab.put(test, "other", "b")
    process = lab.exec(test, claim, "cat", "%{file:conf}", background=True)
    lab.arrived("h1", "a")
    lab.actions()
    lab.delete(file)
    assert lab.actions() == [], "the process still uses it"
    lab.ended("h1", process)
    assert lab.actions() == ["drop h1 a", "forget - a"]
    lab.check()


def test_a_file_that_cannot_be_sent_prevents_the_start() -> None:
    lab, test, claim = lab_with_claim()
    lab.put(test, "conf", "a")
    process = lab.exec(test, claim, "cat", "%{file:conf}")
    lab.take(lab.bus.processes.file_failed("h1", "a" * 64, "the disk is full", lab.now))
    value = lab.value(lab.wait_for(process))
    assert (value.state, value.why) == ("could not start", "a file could not be sent to host h1: the disk is full")
    lab.actions()
    lab.exec(test, claim, "cat", "%{file:conf}")
    assert lab.actions() == ["fetch h1 a"], "it is sent again"


def test_an_unknown_name_prevents_the_start_and_sends_no_file() -> None:
    lab, test, claim = lab_with_claim()
    lab.put(test, "conf", "a")
    process = lab.exec(test, claim, "cat", "%{file:conf}", "%{NAME}")
    assert lab.actions() == [] and lab.states() == ["could not start"]
    why = lab.value(lab.wait_for(process)).why
    assert why.startswith("the command cannot start: in argument 2, there is no variable 'NAME'")
    lab.exec(test, claim, "cat", stdin="conf2")
    assert lab.states()[-1] == "could not start"
    lab.check()


def test_a_process_sees_the_variables_of_the_time_when_it_was_scheduled() -> None:
    lab, test, claim = lab_with_claim()
    inner = lab.test("inner", within=test)
    command = lab.command(inner, "echo", "%{X}")
    lab.bus.set_variables(claim, {"X": "claim", "Y": "claim"})
    lab.bus.set_variables(test, {"X": "test"})
    first, second = (lab.run(command, claim, background=True) for _ in range(2))
    lab.bus.set_variables(command, {"X": "command"})
    third = lab.run(command, claim, "X=own", background=True)
    started = {}
    for process in (first, second, third):
        (action,) = lab.bus.take_actions()
        started[process] = action.start.variables
        lab.ended("h1", process)
    assert [started[process]["X"] for process in (first, second, third)] == ["test", "test", "own"]
    assert started[first]["Y"] == "claim"
    assert lab.bus.variable(third, "X") == "own" and lab.bus.variable(second, "X") == "command"


def test_a_command_runs_only_on_hosts_of_its_test_and_of_the_tests_above() -> None:
    lab, test, claim = lab_with_claim()
    inner, other = lab.test("inner", within=test), lab.test("other")
    (of_inner,) = lab.claim(inner, "b=h2")
    assert lab.exec(inner, claim, "true")
    assert lab.exec(claim, claim, "true")
    for context, on in ((other, claim), (test, of_inner)):
        with pytest.raises(UsageError, match="the claim belongs to another test"):
            lab.exec(context, on, "true")
    command = lab.command(test, "true")
    with pytest.raises(UsageError, match="expected a command and a claim"):
        lab.run(command, test)
    lab.down("h1")
    with pytest.raises(MemberLost, match=r"cannot run on host h1: the host has no agent \(stopped\)"):
        lab.run(command, claim)
    with pytest.raises(UsageError, match="is not a process"):
        lab.value(lab.wait_for(command))
    lab.check()


def test_a_wait_times_out_and_names_the_state_and_the_host() -> None:
    lab, test, claim = lab_with_claim()
    process = lab.exec(test, claim, "sleep", "9")
    wait = lab.wait_for(process, timeout=2.0)
    lab.pass_time(2.5)
    assert isinstance(lab.error(wait), TimedOut) and "it is running on host h1" in lab.error(wait).message
    with pytest.raises(TimedOut, match="poll failed at process 'sleep'"):
        lab.value(lab.wait_for(process, timeout=0))
    other = lab.wait_for(process)
    lab.take(lab.services.withdraw(other, lab.client(), lab.now))
    assert isinstance(lab.error(other), LinesyncFailed)
    lab.check()


# -- deletions ---------------------------------------------------------------------------------------------------------


def test_a_deletion_is_answered_when_the_host_has_ended_all_processes() -> None:
    lab, test, claim = lab_with_claim()
    processes = [lab.exec(test, claim, "sleep", "9", parallel=True, background=True) for _ in range(2)]
    waits = lab.wait_for(processes[0])
    later = lab.ask(lab.test("later"), "a=h1")
    lab.actions()
    arrival = lab.arrive(lab.bus.delete, [test])
    assert sorted(lab.actions()) == [
        *[f"kill h1 {process}" for process in processes],
        f"release h1 {claim}",
    ]
    assert isinstance(lab.error(waits), Aborted)
    for process in processes:
        assert lab.waits(arrival) and lab.waits(later), "no other test gets the host before that"
        lab.check()
        lab.ended("h1", process, None, "crashed", signal=9)
    assert lab.value(arrival).handles == () and lab.hosts_of(later) == ("h1",)
    lab.check()


def test_shared_tests_do_not_wait_for_the_processes_of_each_other() -> None:
    lab = Lab("h1")
    test = lab.test()
    (claim,) = lab.claim(test, "+a=h1")
    process = lab.exec(test, claim, "sleep", "9", background=True)
    lab.arrive(lab.bus.delete, [test])
    lab.claim(lab.test("shared"), "+a=h1")
    alone = lab.ask(lab.test("alone"), "a=h1")
    lab.delete(str(lab.bus.handle_of("test", "shared")))
    assert lab.waits(alone)
    lab.ended("h1", process)
    assert lab.hosts_of(alone) == ("h1",)


def test_a_release_ends_the_processes_on_the_host_whatever_their_command_is() -> None:
    lab, test, claim = lab_with_claim()
    inner = lab.test("inner", within=test)
    process = lab.exec(inner, claim, "sleep", "9", background=True)
    arrival = lab.arrive(lab.bus.release, [claim])
    assert lab.waits(arrival) and lab.states() == []
    lab.ended("h1", process)
    assert not lab.waits(arrival)
    lab.check()


@pytest.mark.parametrize("background", [True, False])
def test_a_process_in_the_foreground_ends_with_its_client(background: bool) -> None:
    lab, test, claim = lab_with_claim()
    process = lab.run(lab.command(test, "sleep", "9"), claim, who="hub/7", background=background)
    lab.actions()
    lab.take(lab.services.client_gone(lab.client("hub/7"), lab.now))
    assert lab.actions() == ([] if background else [f"kill h1 {process}"])
    lab.check()


# -- lost hosts --------------------------------------------------------------------------------------------------------


def test_a_lost_host_fails_its_processes_and_the_same_system_resumes_them() -> None:
    lab, test, claim = lab_with_claim()
    running, waiting = (lab.exec(test, claim, "sleep", "9", background=True) for _ in range(2))
    waits = [lab.wait_for(running), lab.wait_for(waiting)]
    lab.down("h1")
    for wait in waits:
        value = lab.value(wait)
        assert (value.state, value.why) == ("host lost", "stopped: it says so")
    lab.check()
    lab.up("h1")
    lab.report("h1", running)
    assert lab.states() == ["running", "host lost"], "a process that was not sent stays lost"
    lab.check()
    lab.ended("h1", running, 5)
    assert lab.value(lab.wait_for(running)).status == 5
    lab.check()


def test_a_process_that_ended_while_its_host_was_lost_has_its_result() -> None:
    lab, test, claim = lab_with_claim()
    process = lab.exec(test, claim, "true")
    lab.down("h1")
    lab.up("h1")
    lab.ended("h1", process, 4)
    assert lab.value(lab.wait_for(process)).status == 4
    lab.report("h1")
    assert lab.states() == ["exited"]
    lab.check()


def test_a_host_that_comes_back_without_a_process_fails_it() -> None:
    lab, test, claim = lab_with_claim()
    lab.exec(test, claim, "true")
    lab.report("h1")
    assert lab.states() == ["host lost"]
    lab.check()


def test_a_host_is_not_granted_before_it_has_reported_what_still_runs() -> None:
    lab, test, claim = lab_with_claim()
    process = lab.exec(test, claim, "sleep", "9", background=True)
    lab.down("h1")
    lab.delete(test)
    lab.actions()
    later = lab.ask(lab.test("later"), "a=h1")
    lab.up("h1")
    assert lab.waits(later)
    lab.check()
    lab.report("h1", process)
    assert lab.waits(later) and lab.actions() == [f"kill h1 {process}"]
    lab.check()
    lab.ended("h1", process)
    assert lab.hosts_of(later) == ("h1",)


def test_a_rebooted_host_has_no_processes_and_is_free_immediately() -> None:
    lab, test, claim = lab_with_claim()
    lab.exec(test, claim, "sleep", "9", background=True)
    lab.down("h1")
    lab.delete(test)
    later = lab.ask(lab.test("later"), "a=h1")
    lab.up("h1", system="s2")
    assert lab.hosts_of(later) == ("h1",)
    lab.check()


def test_a_deletion_whose_host_is_lost_says_that_the_process_may_still_run() -> None:
    lab, test, claim = lab_with_claim()
    process = lab.exec(test, claim, "sleep", "9", background=True)
    arrival = lab.arrive(lab.bus.delete, [process])
    lab.down("h1")
    assert isinstance(lab.error(arrival), MemberLost)
    assert "it may still run on host h1" in lab.error(arrival).message
    lab.check()


def test_a_host_that_comes_back_keeps_only_the_files_that_are_needed() -> None:
    lab, test, claim = lab_with_claim()
    lab.put(test, "conf", "a")
    lab.exec(test, claim, "cat", "%{file:conf}")
    lab.arrived("h1", "a")
    lab.down("h1")
    lab.up("h1")
    lab.actions()
    lab.report("h1", digests="ab")
    assert lab.actions() == ["drop h1 b"]
    lab.exec(test, claim, "cat", "%{file:conf}")
    assert [action.split()[0] for action in lab.actions()] == ["start"]
    lab.check()
