"""Messages, by example; the search against a reference model is in search/test_mailbox_search.py."""

from __future__ import annotations

import json

import pytest

from linesync import limits
from linesync.errors import LinesyncFailed, TimedOut, UsageError
from linesync.model.decisions import Message, Messages, Posted
from linesync.model.participants import Cause
from linesync.model.sync import gathering as gathering_module
from linesync.model.sync import mailbox as mailbox_module
from linesync.model.sync import topic as topic_module
from linesync.model.sync import waits as waits_module
from linesync.protocol import escaping

from ..helpers import client, failed, granted, only_error
from ..mailbox_harness import MailboxHarness, read


@pytest.fixture
def harness() -> MailboxHarness:
    return MailboxHarness()


# -- send and receive ----------------------------------------------------------------------------------------------------


def test_messages_are_numbered_from_one_in_each_topic(harness: MailboxHarness) -> None:
    assert granted(harness.send("a", "k=v", arrival="x")) == {"x": Posted(number=1)}
    assert granted(harness.send("b", arrival="y")) == {"y": Posted(number=2)}
    assert granted(harness.send("b", arrival="z", topic="other")) == {"z": Posted(number=1)}


def test_a_retry_after_a_lost_reply_adds_nothing(harness: MailboxHarness) -> None:
    first = harness.send("a", "once", arrival="x")
    assert harness.send("a", "once", arrival="x") == first
    assert read(harness.receive("r")) == {"r": ["1 a: once"]}


def test_reading_removes_no_messages(harness: MailboxHarness) -> None:
    harness.send("a", "k=v")
    for reader in ("b", "c", "b"):
        assert read(harness.receive(f"r{next(harness.numbers)}", reader)).popitem()[1] == ["1 a: k=v"]


def test_a_reader_waits_for_a_message_and_gets_it(harness: MailboxHarness) -> None:
    assert harness.receive("r", "b", 2) == []
    assert read(harness.send("a", "one")) == {}
    assert read(harness.send("a", "two")) == {"r": ["2 a: two"]}


def test_an_answer_has_later_messages_up_to_the_requested_number(harness: MailboxHarness) -> None:
    for word in ("one", "two", "three", "four"):
        harness.send("a", word)
    assert read(harness.receive("r", first=2, most=2)) == {"r": ["2 a: two", "3 a: three"]}
    assert read(harness.receive("q", first=4, most=1000)) == {"q": ["4 a: four"]}


def test_readers_are_served_in_order_of_arrival(harness: MailboxHarness) -> None:
    harness.receive("x", "a", 2)
    harness.receive("y", "b", 1, others=True)
    harness.receive("z", "c", 2)
    harness.send("b", "own")  # y waits for the second message now, too
    assert list(granted(harness.send("c", arrival="s"))) == ["s", "x", "y", "z"]


def test_a_reader_may_count_only_the_messages_of_others(harness: MailboxHarness) -> None:
    harness.send("a", "mine")
    assert harness.receive("r", "a", 2, others=True) == []
    assert read(harness.send("b", "one")) == {}
    assert read(harness.send("a", "mine")) == {}
    assert read(harness.send("c", "two")) == {"r": ["2 c: two"]}
    assert read(harness.receive("q", "a", 1, others=True)) == {"q": ["1 b: one", "2 c: two"]}
    assert read(harness.receive("p", "b", 1, others=True, most=2)) == {"p": ["1 a: mine", "2 a: mine"]}
    assert read(harness.receive("o", "d", 4, others=True)) == {"o": ["4 c: two"]}


def test_another_member_of_the_same_host_is_another_sender(harness: MailboxHarness) -> None:
    harness.send("a#1", "one")
    assert read(harness.receive("r", "a", others=True)) == {"r": ["1 a#1: one"]}
    assert harness.receive("q", "a#1", others=True) == []


def test_the_own_messages_of_a_reader_are_those_of_its_member_name(harness: MailboxHarness) -> None:
    harness.receive("x", "a", others=True)
    harness.receive("y", "b", others=True)
    assert list(read(harness.send("a", "hello"))) == ["y"]
    assert read(harness.send("b", "hello")) == {"x": ["1 b: hello"]}


def test_a_poll_answers_immediately(harness: MailboxHarness) -> None:
    error = only_error(harness.receive("r", timeout=0))
    assert isinstance(error, TimedOut) and len(harness.mailbox) == 0
    harness.send("b")
    assert list(read(harness.receive("q", timeout=0))) == ["q"]


def test_a_timeout_names_the_missing_message_and_the_existing_messages(harness: MailboxHarness) -> None:
    harness.send("b")
    harness.send("a")
    harness.receive("x", "a", 2, others=True, timeout=5)
    harness.receive("y", "a", 3, timeout=5)
    assert harness.waits.next_timer() == 5.0
    errors = failed(harness.waits.handle_timer(5.0))
    assert isinstance(errors["x"], TimedOut)
    assert str(errors["x"]) == (
        "timed out after 5 s waiting for message 2 of topic 'boot' from a sender other than a: 1 so far, from b"
    )
    assert errors["x"].details == {"first": 2, "messages": 1, "senders": ["b"]}
    assert "message 3 of topic 'boot': 2 so far, from b, a" in str(errors["y"])


def test_a_reader_that_goes_away_is_not_served_and_leaves_nothing(harness: MailboxHarness) -> None:
    harness.receive("x", "a")
    harness.receive("y", "b", 2, others=True)
    harness.waits.host_gone("a", 1.0, Cause.LINE_LOST)
    harness.waits.withdraw("y", client("b"), 1.0, Cause.GAVE_UP)
    assert len(harness.mailbox) == 0
    assert read(harness.send("c")) == {}


def test_an_answer_is_limited_but_always_has_the_first_message(
    harness: MailboxHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        harness.send("a", "x" * 60_000)
    (event,) = harness.receive("r", most=1000)
    (answer,) = granted([event]).values()
    assert isinstance(answer, Messages) and len(answer.messages) == 8
    monkeypatch.setattr(topic_module, "ANSWER_ROOM", 1)
    assert len(read(harness.receive("q", first=3))["q"]) == 1


@pytest.mark.parametrize("char", ["x", " ", "%", "\0", "é", "漢", "🐙", "\udcff", '"', "\\", "\x7f"])
def test_an_answer_with_any_text_fits_into_one_reply(harness: MailboxHarness, char: str) -> None:
    sender = "h" * 64 + "#" + "t" * 64
    size = len(char.encode(errors="surrogatepass"))
    for items in ((char * (65_536 // size),), (char,) * 100):
        for _ in range(500):
            harness.send(sender, *items)
        (answer,) = granted(harness.receive(f"r{len(items)}", most=1000)).values()
        assert isinstance(answer, Messages)
        for ascii_only in (True, False):
            rows = [[message.number, message.sender, list(message.items)] for message in answer.messages]
            text = escaping.quote(json.dumps(rows, ensure_ascii=ascii_only))
            assert len(text) <= gathering_module.ANSWER_ROOM < limits.MESSAGE_MAX
        harness.reset()


# -- reset, bounds, status -----------------------------------------------------------------------------------------------


def test_a_reset_forgets_topics_and_fails_their_waits(harness: MailboxHarness) -> None:
    harness.join("a", "b")
    harness.send("a", topic="boot")
    harness.send("a", topic="done")
    harness.receive("x", "b", 2, topic="boot")
    harness.gather("y", "a", topic="boot")
    harness.receive("z", "b", 2, topic="done")
    forgotten, errors = harness.reset("boot", "nobody's")
    assert forgotten == 1 and list(errors) == ["x", "y"]
    assert [row.name for row in harness.mailbox.status(0.0)] == ["done"] and not harness.mailbox.gatherings
    assert granted(harness.send("a", arrival="s")) == {"s": Posted(number=1)}
    forgotten, errors = harness.reset()
    assert forgotten == 2 and list(errors) == ["z"] and len(harness.mailbox) == 0


def test_the_reset_of_a_namespace_does_not_change_other_namespaces(harness: MailboxHarness) -> None:
    harness.send("a")
    harness.mailbox.send("n", "night", "boot", (), "a", client("a"), 0.0)
    assert harness.reset()[0] == 1
    assert [row.namespace for row in harness.mailbox.status(0.0)] == ["night"]


@pytest.mark.parametrize(
    "items", [("x" * 65_537,), ("é" * 32_769,), ("x" * 40_000, "x" * 40_000), tuple("x" for _ in range(101))]
)
def test_a_message_that_is_too_large_is_refused(harness: MailboxHarness, items: tuple[str, ...]) -> None:
    error = only_error(harness.send("a", *items))
    assert isinstance(error, UsageError) and len(harness.mailbox) == 0


def test_the_largest_message_is_accepted(harness: MailboxHarness) -> None:
    assert granted(harness.send("a", "x" * 32_768, "é" * 16_384, arrival="s")) == {"s": Posted(number=1)}


@pytest.mark.parametrize(("first", "most"), [(0, 1), (10_001, 1), (1, 0), (1, 1001)])
def test_an_invalid_message_number_is_refused(harness: MailboxHarness, first: int, most: int) -> None:
    assert isinstance(only_error(harness.receive("r", first=first, most=most)), UsageError)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201])
def test_invalid_names_are_refused_and_change_nothing(harness: MailboxHarness, name: str) -> None:
    assert isinstance(only_error(harness.send("a", topic=name)), UsageError)
    assert isinstance(only_error(harness.send(f"a#{name}")), UsageError)
    assert isinstance(only_error(harness.receive("r1", topic=name)), UsageError)
    assert isinstance(only_error(harness.receive("r2", f"a#{name}")), UsageError)
    assert isinstance(only_error(harness.gather("g1", topic=name)), UsageError)
    assert isinstance(only_error(harness.gather("g2", f"a#{name}")), UsageError)
    assert isinstance(only_error(harness.gather("g3", timeout=-1)), UsageError)
    assert isinstance(only_error(harness.receive("r3", timeout=-1)), UsageError)
    if name:
        assert isinstance(only_error(harness.gather("g4", role=name)), UsageError)
    assert len(harness.mailbox) == 0 and harness.waits.sizes().waits == 0


def test_the_error_of_a_full_topic_says_to_reset_it(harness: MailboxHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_module, "MESSAGES_MAX", 2)
    harness.send("a")
    harness.send("a")
    error = only_error(harness.send("a"))
    assert isinstance(error, LinesyncFailed) and "reset" in str(error)
    harness.reset("boot")
    assert granted(harness.send("a", arrival="s")) == {"s": Posted(number=1)}


def test_too_many_topics_are_refused(harness: MailboxHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_module, "TOPICS_MAX", 1)
    harness.receive("r", topic="waited for")
    harness.send("a", topic="one")
    error = only_error(harness.send("a", topic="waited for"))
    assert isinstance(error, LinesyncFailed) and "reset" in str(error)
    harness.reset("one")
    assert list(read(harness.send("a", topic="waited for"))) == ["r"]


def test_the_total_size_of_all_messages_is_limited() -> None:
    harness = MailboxHarness(room=100_000)
    harness.send("a", "x" * 60_000)
    error = only_error(harness.send("b", "x" * 60_000, topic="other"))
    assert isinstance(error, LinesyncFailed) and "reset" in str(error) and len(harness.mailbox) == 1
    harness.reset()
    harness.send("b", "x" * 60_000, topic="other")
    assert isinstance(only_error(harness.send("a", "x" * 60_000)), LinesyncFailed)


def test_messages_without_text_count_too() -> None:
    harness = MailboxHarness(room=1000)
    assert [len(granted(harness.send("a"))) for _ in range(7)] == [1, 1, 1, 1, 1, 0, 0]


def test_too_many_waits_leave_nothing_behind(harness: MailboxHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits_module, "WAITS_PER_HOST", 1)
    harness.receive("x", topic="one")
    assert isinstance(only_error(harness.receive("y")), LinesyncFailed)
    assert isinstance(only_error(harness.gather("z")), LinesyncFailed)
    assert [row.name for row in harness.mailbox.status(0.0)] == ["one"] and not harness.mailbox.gatherings


def test_status_shows_messages_and_waits(harness: MailboxHarness) -> None:
    harness.join("a=client", "b=server", "c=server", group="g", size=3)
    harness.send("b#1")
    harness.receive("x", "a", 3, others=True, now=1.0)
    harness.gather("y", "b", "server", now=2.0)
    assert [topic.as_json() for topic in harness.mailbox.status(4.0)] == [
        {
            "namespace": "default",
            "name": "boot",
            "messages": 1,
            "senders": ["b#1"],
            "waiting": [
                {"name": "a", "client": "1", "waiting": 3.0, "first": 3, "others": True},
                {"name": "b", "client": "1", "waiting": 2.0, "group": "g", "role": "server", "missing": ["c"]},
            ],
        }
    ]


def test_ten_thousand_readers_are_served_in_one_call(harness: MailboxHarness) -> None:
    for number in range(10_000):
        harness.receive(f"r{number}", f"h{number % 10}", others=True)
    assert len(harness.send("h0")) == 9_001


def test_five_hundred_hosts_gather_from_each_other(harness: MailboxHarness) -> None:
    hosts = [f"h{number}" for number in range(500)]
    harness.join(*hosts, group="g", size=500)
    served = 0
    for host in hosts:
        served += len(read(harness.gather(f"x{host}", host))) + len(read(harness.send(host)))
    assert served == 500


def test_a_reader_of_all_messages_gets_the_numbers_of_the_topic() -> None:
    harness = MailboxHarness()
    harness.send("a", "k=v")
    (answer,) = granted(harness.receive("r", "b")).values()
    assert answer == Messages(messages=(Message(number=1, sender="a", items=("k=v",)),))
