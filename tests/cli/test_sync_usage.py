"""Wrong usage of the synchronising commands: one sentence on stderr, exit code 2, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from linesync.cli.main import main
from tests.e2e import kit
from tests.e2e.kit import Site

LONG = "n" * 201

WRONG: dict[str, list[tuple[list[str], str]]] = {
    "barrier": [
        ([], "required: NAME"),
        (["x"], "give either a COUNT of parties or --members"),
        (["x", "2", "--members", "a,b"], "give either a COUNT of parties or --members"),
        (["x", "--members", ""], "give either a COUNT of parties or --members"),
        (["x", "two"], "the count 'two' is not a number"),
        (["x", "1_0"], "the count '1_0' is not a number"),
        (["x", "0"], "1 or more parties, not for 0"),
        (["x", "-1"], "1 or more parties, not for -1"),
        (["x", "10001"], "invalid count 10001: a barrier is for 1 to 10000 parties"),
        (["x", "9" * 5000], "is not a number"),
        (["x", "2", "3"], "unrecognized arguments: 3"),
        (["x", "2", "--", "true"], "unrecognized arguments: true"),
        (["x", "2", "--"], "nothing follows --"),
        (["x", "2", "--no-such"], "unrecognized arguments: --no-such"),
        (["", "2"], "invalid barrier name: expected 1 to 200 bytes"),
        ([LONG, "2"], "invalid barrier name: expected 1 to 200 bytes"),
        (["a\nb", "2"], "a barrier name cannot contain control characters"),
        (["x", "--members", "a,,b"], "invalid host name ''"),
        (["x", "--members", "a b"], "invalid host name 'a b'"),
        (["x", "--members", "a#b#c"], "invalid member tag 'b#c'"),
        (["x", "--members", "a[1-"], "its brackets do not match"),
        (["x", "--members", "a[3-1]"], "invalid range 3-1: it is empty"),
        (["x", "2", "--as", "x y"], "invalid host name 'x y'"),
        (["x", "2", "--as", "h#"], "invalid member tag ''"),
        (["x", "2", "--reuse", "sometimes"], "invalid reuse mode 'sometimes': expected cyclic, once or linger=S"),
        (["x", "2", "--reuse", "linger=0"], "invalid reuse mode 'linger=0'"),
        (["x", "2", "--tolerate-loss"], "has no members whose loss it could tolerate"),
        (["x", "2", "--abort", ""], "an abort is told to all with its reason"),
        (["x", "2", "--abort", "r" * 1025], "is longer than 1024 bytes"),
    ],
    "sem": [
        ([], "required: NAME, DELTA"),
        (["x"], "required: DELTA"),
        (["x", "many"], "'many' is no change of a semaphore; give -N, +N or 0"),
        (["x", "1.5"], "'1.5' is no change of a semaphore"),
        (["x", "1_0"], "'1_0' is no change of a semaphore"),
        (["x", "9" * 5000], "is no change of a semaphore"),
        (["x", str(2**53)], f"invalid change by {2**53}: a semaphore has 0 to {2**53 - 1} units"),
        (["x", "1", "--bound", str(2**53)], f"invalid bound {2**53}"),
        (["x", "1", "--bound", "-1"], "a bound of -1 units is none"),
        (["x", "1", "--bound", "few"], "'few'"),
        (["x", "-1", "--hold"], "linesync sem NAME -N --hold -- COMMAND"),
        (["x", "-1", "--hold", "--"], "nothing follows --; a command and its options come after --"),
        (["x", "-1", "--", "true"], "linesync sem NAME -N --hold -- COMMAND"),
        (["x", "+1", "--hold", "--", "true"], "linesync sem NAME -N --hold -- COMMAND"),
        (["x", "0", "--hold", "--", "true"], "linesync sem NAME -N --hold -- COMMAND"),
        (["x", "-1", "--hold", "true"], "unrecognized arguments: true; a command and its options come after --"),
        (["", "1"], "invalid semaphore name: expected 1 to 200 bytes"),
    ],
    "lock": [
        ([], "required: NAME"),
        ([""], "invalid lock name: expected 1 to 200 bytes"),
        (["x", "true"], "unrecognized arguments: true; a command and its options come after --"),
        (["x", "--"], "nothing follows --; a command and its options come after --"),
        (["x", "--release", "abc"], "'abc' is no fencing token"),
        (["x", "--release", ""], "'' is no fencing token"),
        (["x", "--release", "-3"], "'-3' is no fencing token"),
        (["x", "--release", "9" * 40], "is no fencing token"),
        (["x", "--release", "3", "--", "true"], "--release takes no command"),
    ],
    "event": [
        ([], "required: set|wait|clear, NAME"),
        (["set"], "required: NAME"),
        (["toggle", "x"], "invalid choice: 'toggle'"),
        (["set", "--any", "x"], "--any is for waiting"),
        (["clear", "--any", "x"], "--any is for waiting"),
        (["set", "good", ""], "invalid event name: expected 1 to 200 bytes"),
        (["set", "good", "\x07"], "an event name cannot contain control characters"),
        (["wait", *map(str, range(101))], "1 to 100 events, not 101"),
    ],
    "send": [
        ([], "required: ID; see"),
        ([""], "invalid topic name: expected 1 to 200 bytes"),
        (["x", *map(str, range(101))], "at most 100 items"),
        (["x", "v" * 70000], "at most 100 items and 64 KiB"),
        (["x", "a=b", "--as", "b c"], "invalid host name 'b c'"),
        (["x", "--"], "nothing follows --"),
    ],
    "wait": [
        ([], "required: ID"),
        (["x", "y"], "unrecognized arguments: y"),
        (["x", "--after", "-1"], "--after -1 is no number of messages"),
        (["x", "--after", "two"], "--after two is no number of messages"),
        (["x", "--after", "10000"], "invalid range of 1000 messages from number 10001"),
        (["x", "--as", "!"], "invalid host name '!'"),
    ],
    "wait-all": [
        ([], "required: ID"),
        (["x", "y", "z"], "unrecognized arguments: z"),
        (["x", "r\n"], "a role name cannot contain control characters"),
        (["x", "--as", "h#"], "invalid member tag ''"),
    ],
    "reset": [
        ([""], "name: expected 1 to 200 bytes"),
        (["left", "\n"], "name cannot contain control characters"),
        (["--"], "nothing follows --"),
        (["--all"], "unrecognized arguments: --all"),
    ],
    "exchange": [
        ([], "required: --hosts"),
        (["x"], "required: --hosts"),
        (["--hosts", "hub"], "required: NAME"),
        (["x", "--hosts", "", "data"], "invalid host name ''"),
        (["x", "--hosts", "a b", "data"], "invalid host name 'a b'"),
        (["x", "--hosts", "hub", "data", "more"], "unrecognized arguments: more"),
        (["x", "--hosts", "hub", "data", "--", "more"], "more than one thing to give"),
        (["x", "--hosts", "hub", "data", "--file", "f"], "more than one thing to give"),
        (["x", "--hosts", "hub", "--"], "nothing follows --"),
        (["", "--hosts", "hub", "data"], "invalid exchange name: expected 1 to 200 bytes"),
    ],
    "status": [(["x"], "unrecognized arguments: x"), (["--", "x"], "unrecognized arguments: x")],
}
GOOD = {
    "barrier": ["x", "2"],
    "sem": ["x", "-1"],
    "lock": ["taken"],
    "event": ["wait", "x"],
    "wait": ["x"],
    "wait-all": ["x"],
    "exchange": ["x", "data", "--hosts", "hub,sut"],
}
"""Commands that would wait; each is spoilt by one of its common options."""
WRONG_OPTIONS = [
    (["--timeout", "soon"], "'soon' is not a number of seconds"),
    (["--timeout", "-1"], "'-1' is not a number of seconds"),
    (["--timeout", "nan"], "'nan' is not a number of seconds"),
    (["--timeout", "1e9"], "'1e9' is not a number of seconds"),
    (["--namespace", ""], "invalid namespace name: expected 1 to 200 bytes"),
    (["--namespace", LONG], "invalid namespace name: expected 1 to 200 bytes"),
    (["--namespace", "a\tb"], "a namespace name cannot contain control characters"),
]
CASES = [([command, *words], part) for command, cases in WRONG.items() for words, part in cases] + [
    ([command, *words, *option], part) for command, words in GOOD.items() for option, part in WRONG_OPTIONS
]


@pytest.fixture(scope="module")
def left() -> Iterator[Site]:
    """A hub with something of everything, which must still be there afterwards."""
    with kit.site() as place:
        place.hub().says("scripts on this machine")
        for words in (["sem", "left", "+3"], ["event", "set", "left"], ["send", "left", "n=1"], ["lock", "taken"]):
            assert place.type("hub", *words).code == 0
        yield place


def standing(site: Site) -> Any:
    """All that the hub knows, but for times."""
    status = site.json("hub", "status")
    for row in status["locks"]:
        del row["owner"]["since"]
    del status["held"]["results"]
    return status


@pytest.mark.parametrize(("words", "part"), CASES, ids=[" ".join(words)[:60] for words, _ in CASES])
def test_wrong_usage_is_one_sentence_and_changes_nothing(
    left: Site, capsys: pytest.CaptureFixture[str], words: list[str], part: str
) -> None:
    before = standing(left)
    code = main(["--hub", f"unix:{left.socket('hub')}", *words])
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    (line,) = err.splitlines()
    assert line.startswith("linesync: ") and part in line and len(line) < 400, line
    assert "malformed" not in line and "Error" not in line, line
    assert standing(left) == before


def test_wrong_usage_with_json_is_an_object(left: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["barrier", "x", "two", "--json"], ["--json", "sem", "", "1"], ["event", "--json", "set", "\n"]):
        code = main(["--hub", f"unix:{left.socket('hub')}", *words])
        out, err = capsys.readouterr()
        told = json.loads(err)
        assert (code, out) == (2, "") and (told["error"], told["exit_code"]) == ("usage", 2) and told["message"]


def test_the_json_of_a_command_after_two_hyphens_is_its_own(left: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--hub", f"unix:{left.socket('hub')}", "lock", "free", "--", "/no/such/program", "--json"])
    _, err = capsys.readouterr()
    assert code == 127 and err.startswith("linesync: there is no command /no/such/program"), err


RIGHT = [
    (["exchange", "solo", "--hosts", "hub", "data"], '{"hub": "data"}\n'),
    (["exchange", "solo", "--hosts", "hub", "--", "--data"], '{"hub": "--data"}\n'),
    (["barrier", "solo", "--timeout", "9", "1"], ""),
    (["sem", "--timeout", "9", "left", "0"], "3\n"),
    (["send", "words", "a=1", "--as", "hub#x", "b=2"], ""),
    (["send", "words", "--as", "hub#x", "--", "--c=3"], ""),
    (["wait", "--as", "hub#y", "words"], "hub#x:a=1\nhub#x:b=2\nhub#x:--c=3\n"),
    (["event", "wait", "--any", "left", "--timeout", "0", "right"], "left\n"),
    (["lock", "solo", "--", "echo", "--"], ""),
    (["reset", "--namespace", "default", "--", "words"], "forgot 1, failed 0 waits\n"),
    (["sem", "left", "-3"], ""),
]


def test_options_may_stand_anywhere_and_words_may_come_after_two_hyphens(
    left: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, expected in RIGHT:
        code = main(["--hub", f"unix:{left.socket('hub')}", *words])
        out, err = capsys.readouterr()
        assert (code, out, err) == (0, expected, ""), words
