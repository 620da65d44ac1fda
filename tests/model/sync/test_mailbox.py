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
from ..mailbox_room import Room, read


@pytest.fixture
def room() -> Room:
    return Room()


# -- send and receive ----------------------------------------------------------------------------------------------------


def test_messages_are_numbered_from_one_in_each_topic(room: Room) -> None:
    assert granted(room.send("a", "k=v", arrival="x")) == {"x": Posted(number=1)}
    assert granted(room.send("b", arrival="y")) == {"y": Posted(number=2)}
    assert granted(room.send("b", arrival="z", topic="other")) == {"z": Posted(number=1)}


def test_a_retry_after_a_lost_reply_adds_nothing(room: Room) -> None:
    first = room.send("a", "once", arrival="x")
    assert room.send("a", "once", arrival="x") == first
    assert read(room.receive("r")) == {"r": ["1 a: once"]}


def test_reading_removes_no_messages(room: Room) -> None:
    room.send("a", "k=v")
    for reader in ("b", "c", "b"):
        assert read(room.receive(f"r{next(room.numbers)}", reader)).popitem()[1] == ["1 a: k=v"]


def test_a_reader_waits_for_a_message_and_gets_it(room: Room) -> None:
    assert room.receive("r", "b", 2) == []
    assert read(room.send("a", "one")) == {}
    assert read(room.send("a", "two")) == {"r": ["2 a: two"]}


def test_an_answer_has_later_messages_up_to_the_requested_number(room: Room) -> None:
    for word in ("one", "two", "three", "four"):
        room.send("a", word)
    assert read(room.receive("r", first=2, most=2)) == {"r": ["2 a: two", "3 a: three"]}
    assert read(room.receive("q", first=4, most=1000)) == {"q": ["4 a: four"]}


def test_readers_are_served_in_order_of_arrival(room: Room) -> None:
    room.receive("x", "a", 2)
    room.receive("y", "b", 1, others=True)
    room.receive("z", "c", 2)
    room.send("b", "own")  # y waits for the second message now, too
    assert list(granted(room.send("c", arrival="s"))) == ["s", "x", "y", "z"]


def test_a_reader_may_count_only_the_messages_of_others(room: Room) -> None:
    room.send("a", "mine")
    assert room.receive("r", "a", 2, others=True) == []
    assert read(room.send("b", "one")) == {}
    assert read(room.send("a", "mine")) == {}
    assert read(room.send("c", "two")) == {"r": ["2 c: two"]}
    assert read(room.receive("q", "a", 1, others=True)) == {"q": ["1 b: one", "2 c: two"]}
    assert read(room.receive("p", "b", 1, others=True, most=2)) == {"p": ["1 a: mine", "2 a: mine"]}
    assert read(room.receive("o", "d", 4, others=True)) == {"o": ["4 c: two"]}


def test_another_member_of_the_same_host_is_another_sender(room: Room) -> None:
    room.send("a#1", "one")
    assert read(room.receive("r", "a", others=True)) == {"r": ["1 a#1: one"]}
    assert room.receive("q", "a#1", others=True) == []


def test_the_own_messages_of_a_reader_are_those_of_its_member_name(room: Room) -> None:
    room.receive("x", "a", others=True)
    room.receive("y", "b", others=True)
    assert list(read(room.send("a", "hello"))) == ["y"]
    assert read(room.send("b", "hello")) == {"x": ["1 b: hello"]}


def test_a_poll_answers_immediately(room: Room) -> None:
    error = only_error(room.receive("r", timeout=0))
    assert isinstance(error, TimedOut) and len(room.mailbox) == 0
    room.send("b")
    assert list(read(room.receive("q", timeout=0))) == ["q"]


def test_a_timeout_names_the_missing_message_and_those_that_exist(room: Room) -> None:
    room.send("b")
    room.send("a")
    room.receive("x", "a", 2, others=True, timeout=5)
    room.receive("y", "a", 3, timeout=5)
    assert room.waits.next_timer() == 5.0
    errors = failed(room.waits.handle_timer(5.0))
    assert isinstance(errors["x"], TimedOut)
    assert str(errors["x"]) == (
        "timed out after 5 s waiting for message 2 of topic 'boot' from a sender other than a: 1 so far, from b"
    )
    assert errors["x"].details == {"first": 2, "messages": 1, "senders": ["b"]}
    assert "message 3 of topic 'boot': 2 so far, from b, a" in str(errors["y"])


def test_a_reader_that_goes_away_is_not_served_and_leaves_nothing(room: Room) -> None:
    room.receive("x", "a")
    room.receive("y", "b", 2, others=True)
    room.waits.host_gone("a", 1.0, Cause.LINE_LOST)
    room.waits.withdraw("y", client("b"), 1.0, Cause.GAVE_UP)
    assert len(room.mailbox) == 0
    assert read(room.send("c")) == {}


def test_an_answer_is_limited_but_always_has_the_first_message(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(20):
        room.send("a", "x" * 60_000)
    (event,) = room.receive("r", most=1000)
    (answer,) = granted([event]).values()
    assert isinstance(answer, Messages) and len(answer.messages) == 8
    monkeypatch.setattr(topic_module, "ANSWER_ROOM", 1)
    assert len(read(room.receive("q", first=3))["q"]) == 1


@pytest.mark.parametrize("char", ["x", " ", "%", "\0", "é", "漢", "🐙", "\udcff", '"', "\\", "\x7f"])
def test_an_answer_with_any_text_fits_into_one_reply(room: Room, char: str) -> None:
    sender = "h" * 64 + "#" + "t" * 64
    size = len(char.encode(errors="surrogatepass"))
    for items in ((char * (65_536 // size),), (char,) * 100):
        for _ in range(500):
            room.send(sender, *items)
        (answer,) = granted(room.receive(f"r{len(items)}", most=1000)).values()
        assert isinstance(answer, Messages)
        for ascii_only in (True, False):
            rows = [[one.number, one.sender, list(one.items)] for one in answer.messages]
            text = escaping.quote(json.dumps(rows, ensure_ascii=ascii_only))
            assert len(text) <= gathering_module.ANSWER_ROOM < limits.MESSAGE_MAX
        room.reset()


# -- reset, bounds, status -----------------------------------------------------------------------------------------------


def test_a_reset_forgets_topics_and_fails_their_waits(room: Room) -> None:
    room.join("a", "b")
    room.send("a", topic="boot")
    room.send("a", topic="done")
    room.receive("x", "b", 2, topic="boot")
    room.gather("y", "a", topic="boot")
    room.receive("z", "b", 2, topic="done")
    forgotten, errors = room.reset("boot", "nobody's")
    assert forgotten == 1 and list(errors) == ["x", "y"]
    assert [row.name for row in room.mailbox.status(0.0)] == ["done"] and not room.mailbox.gatherings
    assert granted(room.send("a", arrival="s")) == {"s": Posted(number=1)}
    forgotten, errors = room.reset()
    assert forgotten == 2 and list(errors) == ["z"] and len(room.mailbox) == 0


def test_the_reset_of_a_namespace_does_not_change_other_namespaces(room: Room) -> None:
    room.send("a")
    room.mailbox.send("n", "night", "boot", (), "a", client("a"), 0.0)
    assert room.reset()[0] == 1
    assert [row.namespace for row in room.mailbox.status(0.0)] == ["night"]


@pytest.mark.parametrize(
    "items", [("x" * 65_537,), ("é" * 32_769,), ("x" * 40_000, "x" * 40_000), tuple("x" for _ in range(101))]
)
def test_a_message_that_is_too_large_is_refused(room: Room, items: tuple[str, ...]) -> None:
    error = only_error(room.send("a", *items))
    assert isinstance(error, UsageError) and len(room.mailbox) == 0


def test_the_largest_message_is_accepted(room: Room) -> None:
    assert granted(room.send("a", "x" * 32_768, "é" * 16_384, arrival="s")) == {"s": Posted(number=1)}


@pytest.mark.parametrize(("first", "most"), [(0, 1), (10_001, 1), (1, 0), (1, 1001)])
def test_an_invalid_message_number_is_refused(room: Room, first: int, most: int) -> None:
    assert isinstance(only_error(room.receive("r", first=first, most=most)), UsageError)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201])
def test_invalid_names_are_refused_and_change_nothing(room: Room, name: str) -> None:
    assert isinstance(only_error(room.send("a", topic=name)), UsageError)
    assert isinstance(only_error(room.send(f"a#{name}")), UsageError)
    assert isinstance(only_error(room.receive("r1", topic=name)), UsageError)
    assert isinstance(only_error(room.receive("r2", f"a#{name}")), UsageError)
    assert isinstance(only_error(room.gather("g1", topic=name)), UsageError)
    assert isinstance(only_error(room.gather("g2", f"a#{name}")), UsageError)
    assert isinstance(only_error(room.gather("g3", timeout=-1)), UsageError)
    assert isinstance(only_error(room.receive("r3", timeout=-1)), UsageError)
    if name:
        assert isinstance(only_error(room.gather("g4", role=name)), UsageError)
    assert len(room.mailbox) == 0 and room.waits.sizes().waits == 0


def test_the_error_of_a_full_topic_says_to_reset_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_module, "MESSAGES_MAX", 2)
    room.send("a")
    room.send("a")
    error = only_error(room.send("a"))
    assert isinstance(error, LinesyncFailed) and "reset" in str(error)
    room.reset("boot")
    assert granted(room.send("a", arrival="s")) == {"s": Posted(number=1)}


def test_too_many_topics_are_refused(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_module, "TOPICS_MAX", 1)
    room.receive("r", topic="waited for")
    room.send("a", topic="one")
    error = only_error(room.send("a", topic="waited for"))
    assert isinstance(error, LinesyncFailed) and "reset" in str(error)
    room.reset("one")
    assert list(read(room.send("a", topic="waited for"))) == ["r"]


def test_the_total_size_of_all_messages_is_limited() -> None:
    room = Room(room=100_000)
    room.send("a", "x" * 60_000)
    error = only_error(room.send("b", "x" * 60_000, topic="other"))
    assert isinstance(error, LinesyncFailed) and "reset" in str(error) and len(room.mailbox) == 1
    room.reset()
    room.send("b", "x" * 60_000, topic="other")
    assert isinstance(only_error(room.send("a", "x" * 60_000)), LinesyncFailed)


def test_messages_without_text_count_too() -> None:
    room = Room(room=1000)
    assert [len(granted(room.send("a"))) for _ in range(7)] == [1, 1, 1, 1, 1, 0, 0]


def test_too_many_waits_leave_nothing_behind(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits_module, "WAITS_PER_HOST", 1)
    room.receive("x", topic="one")
    assert isinstance(only_error(room.receive("y")), LinesyncFailed)
    assert isinstance(only_error(room.gather("z")), LinesyncFailed)
    assert [row.name for row in room.mailbox.status(0.0)] == ["one"] and not room.mailbox.gatherings


def test_status_shows_messages_and_waits(room: Room) -> None:
    room.join("a=client", "b=server", "c=server", group="g", size=3)
    room.send("b#1")
    room.receive("x", "a", 3, others=True, now=1.0)
    room.gather("y", "b", "server", now=2.0)
    assert [topic.as_json() for topic in room.mailbox.status(4.0)] == [
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


def test_ten_thousand_readers_are_served_in_one_call(room: Room) -> None:
    for number in range(10_000):
        room.receive(f"r{number}", f"h{number % 10}", others=True)
    assert len(room.send("h0")) == 9_001


def test_five_hundred_hosts_gather_from_each_other(room: Room) -> None:
    hosts = [f"h{number}" for number in range(500)]
    room.join(*hosts, group="g", size=500)
    served = 0
    for host in hosts:
        served += len(read(room.gather(f"x{host}", host))) + len(read(room.send(host)))
    assert served == 500


def test_a_reader_of_all_messages_gets_the_numbers_of_the_topic() -> None:
    room = Room()
    room.send("a", "k=v")
    (answer,) = granted(room.receive("r", "b")).values()
    assert answer == Messages(messages=(Message(number=1, sender="a", items=("k=v",)),))
