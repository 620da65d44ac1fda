"""Gathering, by example: waiting for a message of every other host of a group."""

from __future__ import annotations

import pytest

from linesync.errors import LinesyncFailed, MemberLost, Mismatch, TimedOut
from linesync.model.participants import Cause
from linesync.model.sync import gathering as gathering_module

from ..helpers import assert_empty, client, failed, only_error
from ..mailbox_harness import MailboxHarness, read


@pytest.fixture
def harness() -> MailboxHarness:
    return MailboxHarness()


def test_gathering_ends_when_every_other_host_of_the_group_has_sent(harness: MailboxHarness) -> None:
    harness.join("a", "b", "c", group="g", size=3)
    harness.join("d", group="elsewhere")
    assert harness.gather("x") == []
    assert read(harness.send("b", "one")) == {}
    assert read(harness.send("d", "not one of us")) == {}
    assert read(harness.send("c", "two")) == {"x": ["1 b: one", "3 c: two"]}
    assert read(harness.gather("y", "a")) == {"y": ["1 b: one", "3 c: two"]}


def test_the_answer_has_the_last_message_of_each_host_in_the_order_of_the_numbers(harness: MailboxHarness) -> None:
    harness.join("a", "b", "c", group="g", size=3)
    for sender, word in (("b", "old"), ("c", "only"), ("b", "new")):
        harness.send(sender, word)
    assert read(harness.gather("x")) == {"x": ["2 c: only", "3 b: new"]}


def test_all_hosts_of_a_group_gather_while_each_sends(harness: MailboxHarness) -> None:
    harness.join("a", "b", group="g", size=2)
    harness.send("a", "from a")
    assert harness.gather("x", "a") == []
    assert read(harness.send("b", "from b")) == {"x": ["2 b: from b"]}
    assert read(harness.gather("y", "b")) == {"y": ["1 a: from a"]}


def test_a_host_has_sent_when_one_of_its_members_has_sent(harness: MailboxHarness) -> None:
    harness.join("a", "b", group="g", size=2)
    harness.gather("x", "a#1")
    assert read(harness.send("a#2", "my own host")) == {}
    assert read(harness.send("b#7", "hello")) == {"x": ["2 b#7: hello"]}


def test_gathering_waits_only_for_the_hosts_of_a_role(harness: MailboxHarness) -> None:
    harness.join("a=client", "b=server", "c=client", "d=server", group="g", size=4)
    harness.gather("x", "a", "server")
    harness.gather("y", "b", "server")
    assert read(harness.send("b")) == {}
    assert list(read(harness.send("d"))) == ["x", "y"]


def test_gathering_waits_until_the_group_is_complete(harness: MailboxHarness) -> None:
    harness.join("a", "b", group="g", size=3)
    harness.gather("x")
    assert read(harness.send("b")) == {}
    assert harness.join("c", group="g") == []
    assert list(read(harness.send("c"))) == ["x"]


def test_a_host_that_sent_before_it_was_known_counts_once_it_is_known(harness: MailboxHarness) -> None:
    harness.join("a", group="g", size=2)
    harness.gather("x")
    harness.send("b", "early")
    assert read(harness.join("b", group="g")) == {"x": ["1 b: early"]}


def test_a_group_without_a_size_consists_of_its_known_hosts(harness: MailboxHarness) -> None:
    harness.join("a")
    assert harness.gather("x") == []  # there is no other host to wait for yet
    assert harness.join("b") == []
    assert list(read(harness.send("b"))) == ["x"]
    harness.join("c")
    assert harness.gather("y") == []


def test_the_hub_gathers_from_the_hosts_without_a_group(harness: MailboxHarness) -> None:
    harness.join("a", "b")
    harness.send("a", "one")
    harness.gather("x", "hub")
    assert read(harness.send("b", "two")) == {"x": ["1 a: one", "2 b: two"]}


def test_a_group_of_one_host_does_not_wait(harness: MailboxHarness) -> None:
    harness.join("a=only", group="g", size=1)
    assert read(harness.gather("x")) == {"x": []}
    assert read(harness.gather("y", "a", "only")) == {"y": []}


def test_a_role_without_hosts_is_refused_when_the_group_is_complete(harness: MailboxHarness) -> None:
    harness.join("a=client", group="g", size=2)
    assert harness.gather("x", "a", "sever") == []
    errors = failed(harness.join("b=server", group="g"))
    assert isinstance(errors["x"], Mismatch)
    assert str(errors["x"]) == (
        "topic 'boot': no host matches group 'g', role 'sever': all 2 hosts of the group are known, and their roles are: "
        "client, server; name one of these roles"
    )
    assert isinstance(only_error(harness.gather("y", "a", "sever", timeout=0)), Mismatch)


def test_without_a_size_a_reader_waits_for_a_role_that_no_host_has_yet(harness: MailboxHarness) -> None:
    harness.join("a=client", "b=client")
    assert harness.gather("x", "a", "server") == []
    harness.join("c=server")
    assert list(read(harness.send("c"))) == ["x"]


def test_the_loss_of_a_host_that_has_not_sent_fails_the_wait(harness: MailboxHarness) -> None:
    harness.join("a", "b", "c", group="g", size=3)
    harness.send("c")
    harness.gather("x", "a")
    harness.gather("y", "c")
    harness.gather("z", "b")
    errors = failed(harness.lose("b", "line lost: nothing heard on /dev/ttyS0 for 20 s"))
    assert list(errors) == ["x", "y"] and isinstance(errors["x"], MemberLost)
    assert str(errors["x"]) == (
        "topic 'boot': b was lost before it had sent (line lost: nothing heard on /dev/ttyS0 for 20 s); have sent: c; "
        "bring the host back and wait again"
    )
    assert errors["x"].details["lost"] == {"b": "line lost: nothing heard on /dev/ttyS0 for 20 s"}
    assert errors["x"].details["sent"] == ["c"]


def test_a_gathering_after_the_loss_fails_immediately(harness: MailboxHarness) -> None:
    harness.join("a", "b", group="g", size=2)
    harness.lose("b")
    assert isinstance(only_error(harness.gather("x", timeout=0)), MemberLost)
    assert isinstance(only_error(harness.gather("y")), MemberLost)
    assert len(harness.mailbox) == 0


def test_the_loss_of_a_host_that_has_sent_or_is_not_needed_has_no_effect(harness: MailboxHarness) -> None:
    harness.join("a", "b=server", "c=client", "d=server", group="g", size=4)
    harness.send("b", "last words")
    harness.gather("x", "a", "server")
    assert harness.lose("b") == [] and harness.lose("c") == []
    assert read(harness.send("d")) == {"x": ["1 b: last words", "2 d: "]}
    assert isinstance(only_error(harness.gather("y")), MemberLost)  # c is lost, and its role does not matter


def test_a_lost_host_that_becomes_needed_ends_the_wait(harness: MailboxHarness) -> None:
    harness.join("a", "b", group="g")
    harness.hosts.dead["c"] = "stopped"
    harness.gather("x")
    assert isinstance(failed(harness.join("c", group="g"))["x"], MemberLost)


def test_a_waiting_reader_stays_in_the_group_in_which_it_started(harness: MailboxHarness) -> None:
    harness.join("a", "b", group="g")
    harness.gather("x")
    harness.join("a", "c", group="h")
    assert read(harness.send("c")) == {}
    assert list(read(harness.send("b"))) == ["x"]


def test_gathering_no_longer_waits_for_a_host_that_left_the_group(harness: MailboxHarness) -> None:
    harness.join("a", "b", "c", group="g")
    harness.gather("x")
    harness.send("b")
    assert list(read(harness.join("c", group="h"))) == ["x"]


def test_the_timeout_of_a_gathering_names_the_hosts_that_sent_and_the_missing_hosts(harness: MailboxHarness) -> None:
    harness.join("a", "b", "c", "d", group="g", size=6)
    harness.send("b")
    harness.gather("x", timeout=5)
    harness.hosts.dead["d"] = "restarted"
    error = failed(harness.waits.handle_timer(5.0))["x"]
    assert isinstance(error, TimedOut)
    assert str(error) == (
        "timed out after 5 s at topic 'boot' (group 'g'): have sent: b; missing: c (has not sent), d (lost: restarted); "
        "2 of 6 hosts never seen"
    )
    assert error.details == {
        "sent": ["b"],
        "missing": {"c": "has not sent", "d": "lost: restarted"},
        "unseen": 2,
        "group": "g",
        "role": "",
    }


def test_a_failed_gathering_poll_leaves_nothing(harness: MailboxHarness) -> None:
    harness.join("a")
    error = only_error(harness.gather("x", "a", "server", timeout=0))
    assert isinstance(error, TimedOut) and len(harness.mailbox) == 0
    assert str(error) == (
        "poll failed at topic 'boot' (the hosts without a group, role 'server'): no host has sent; no other host is known"
    )


def test_a_retry_finds_its_wait_and_its_answer(harness: MailboxHarness) -> None:
    harness.join("a", "b", group="g", size=2)
    harness.gather("x")
    assert harness.gather("x") == []
    harness.send("b", "one")
    harness.send("b", "two")
    assert read(harness.gather("x")) == {"x": ["1 b: one"]}


def test_a_gathering_reader_that_goes_away_leaves_nothing(harness: MailboxHarness) -> None:
    harness.join("a", "b", "c")
    harness.gather("x", "a")
    harness.gather("y", "b")
    harness.waits.host_gone("a", 1.0, Cause.LINE_LOST)
    harness.waits.withdraw("y", client("b"), 1.0, Cause.GAVE_UP)
    assert len(harness.mailbox) == 0 and not harness.mailbox.gatherings
    harness.waits.handle_timer(1000.0)
    assert_empty(harness.waits)


def test_messages_too_large_for_one_answer_are_refused(
    harness: MailboxHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering_module, "ANSWER_ROOM", 100_000)
    harness.join("a", "b", "c", group="g", size=3)
    harness.gather("x", "a")
    harness.gather("y", "b")
    harness.send("b", "x" * 60_000)
    harness.send("a")
    outcomes = harness.send("c", "x" * 60_000)
    assert list(read(outcomes)) == ["y"]
    assert isinstance(failed(outcomes)["x"], LinesyncFailed) and "117 KiB" in str(failed(outcomes)["x"])
    assert isinstance(only_error(harness.gather("z")), LinesyncFailed)
