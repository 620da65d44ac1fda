"""Wrong usage of the commands that synchronise: one sentence on stderr, exit code 2, and no change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from linesync.cli.main import main
from tests.e2e import kit
from tests.e2e.kit import Site

pytestmark = pytest.mark.live

LONG = "n" * 201

WRONG: dict[str, list[tuple[list[str], str]]] = {
    "barrier": [
        ([], "required: NAME"),
        (["x"], "give either a COUNT of parties or --members"),
        (["x", "2", "--members", "a,b"], "give either a COUNT of parties or --members"),
        (["x", "--members", ""], "give either a COUNT of parties or --members"),
        (["x", "two"], "invalid count 'two': not a whole number; expected 1 to 10000 parties"),
        (["x", "1_0"], "invalid count '1_0': not a whole number"),
        (["x", "0"], "invalid count '0': out of range; expected 1 to 10000 parties"),
        (["x", "-1"], "invalid count '-1': out of range"),
        (["x", "10001"], "invalid count '10001': out of range"),
        (["x", "9" * 5000], "out of range; expected 1 to 10000 parties"),
        (["x", "2", "3"], "unrecognized arguments: 3"),
        (["x", "2", "--", "true"], "unrecognized arguments: true"),
        (["x", "2", "--"], "there are no arguments after --"),
        (["x", "2", "--no-such"], "unrecognized arguments: --no-such"),
        (["", "2"], "invalid barrier name: expected 1 to 200 bytes"),
        ([LONG, "2"], "invalid barrier name: expected 1 to 200 bytes"),
        (["a\nb", "2"], "a barrier name cannot contain control characters"),
        (["a\udcff", "2"], "invalid barrier name: it is not UTF-8"),
        (["x", "--members", "a\udcff"], r"invalid host name 'a\xff': expected 1 to 64 letters"),
        (["x", "2", "--as", "a#\udcff"], r"invalid member tag '\xff'"),
        (["x", "2", "--namespace", "\udcff"], "invalid namespace name: it is not UTF-8"),
        (["x", "2", "--reuse", "linger=1_0"], "invalid reuse mode 'linger=1_0'"),
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
        (["x", "2", "--abort", ""], "the reason after --abort is empty"),
        (["x", "2", "--abort", "r" * 1025], "is longer than 1024 bytes"),
    ],
    "sem": [
        ([], "required: NAME, DELTA"),
        (["x"], "required: DELTA"),
        (["x", "many"], "invalid change 'many': not a whole number; expected -N, +N or 0"),
        (["x", "1.5"], "invalid change '1.5': not a whole number"),
        (["x", "1_0"], "invalid change '1_0': not a whole number"),
        (["x", "9" * 5000], "out of range; expected -N, +N or 0, with N up to 9007199254740991"),
        (["x", str(2**53)], f"invalid change '{2**53}': out of range"),
        (["x", "1", "--bound", str(2**53)], f"invalid bound '{2**53}': out of range; expected 1 to {2**53 - 1} units"),
        (["x", "1", "--bound", "-1"], "invalid bound '-1': out of range"),
        (["x", "1", "--bound", "few"], "argument --bound: invalid bound 'few': not a whole number"),
        (["\udcff", "1"], "invalid semaphore name: it is not UTF-8"),
        (["x", "-1", "--hold"], "linesync sem NAME -N --hold -- COMMAND"),
        (
            ["x", "-1", "--hold", "--"],
            "there are no arguments after --; write -- before the command, as in: linesync sem",
        ),
        (["x", "-1", "--", "true"], "linesync sem NAME -N --hold -- COMMAND"),
        (["x", "+1", "--hold", "--", "true"], "linesync sem NAME -N --hold -- COMMAND"),
        (["x", "0", "--hold", "--", "true"], "linesync sem NAME -N --hold -- COMMAND"),
        (["x", "-1", "--hold", "true"], "unrecognized arguments: true; write -- before the command"),
        (["", "1"], "invalid semaphore name: expected 1 to 200 bytes"),
    ],
    "lock": [
        ([], "required: NAME"),
        ([""], "invalid lock name: expected 1 to 200 bytes"),
        (["x", "true"], "unrecognized arguments: true; write -- before the command, as in: linesync lock"),
        (["x", "--"], "there are no arguments after --; write -- before the command, as in: linesync lock"),
        (["x", "--release", "abc"], "invalid fencing token 'abc'"),
        (["x", "--release", ""], "invalid fencing token ''"),
        (["x", "--release", "-3"], "invalid fencing token '-3'"),
        (["x", "--release", "9" * 40], "out of range; expected the number that 'linesync lock' printed"),
        (["\udcff"], "invalid lock name: it is not UTF-8"),
        (["x", "--release", "3", "--", "true"], "--release takes no command"),
    ],
    "event": [
        ([], "required: set|wait|clear, NAME"),
        (["set"], "required: NAME"),
        (["toggle", "x"], "invalid choice: 'toggle'"),
        (["set", "--any", "x"], "--any is for 'event wait' only"),
        (["clear", "--any", "x"], "--any is for 'event wait' only"),
        (["set", "good", ""], "invalid event name: expected 1 to 200 bytes"),
        (["set", "good", "\x07"], "an event name cannot contain control characters"),
        (["set", "good", "\udcff"], "invalid event name: it is not UTF-8"),
        (["wait", *map(str, range(101))], "1 to 100 events, not 101"),
    ],
    "send": [
        ([], "required: ID; see"),
        ([""], "invalid topic name: expected 1 to 200 bytes"),
        (["x", *map(str, range(101))], "at most 100 items"),
        (["x", "v" * 70000], "at most 100 items and 64 KiB"),
        (["x", "a=b", "--as", "b c"], "invalid host name 'b c'"),
        (["x", "--"], "there are no arguments after --"),
    ],
    "wait": [
        ([], "required: ID"),
        (["x", "y"], "unrecognized arguments: y"),
        (["x", "--after", "-1"], "invalid value of --after '-1': out of range; expected 0 to 9999 messages"),
        (["x", "--after", "two"], "invalid value of --after 'two': not a whole number"),
        (["x", "--after", "10000"], "invalid value of --after '10000': out of range"),
        (["x", "--after", "9" * 5000], "out of range"),
        (["\udcff"], "invalid topic name: it is not UTF-8"),
        (["x", "--as", "!"], "invalid host name '!'"),
    ],
    "wait-all": [
        ([], "required: ID"),
        (["x", "y", "z"], "unrecognized arguments: z"),
        (["x", "r\n"], "a role name cannot contain control characters"),
        (["x", "--as", "h#"], "invalid member tag ''"),
    ],
    "namespace": [
        ([], "required: new|end|list"),
        (["renew"], "invalid choice: 'renew'"),
        (["new", ""], "the name of the namespace is empty"),
        (["new", LONG], "invalid namespace name: expected 1 to 200 bytes"),
        (["new", "a\nb"], "a namespace name cannot contain control characters"),
        (["new", "--owner", "1x"], "invalid owner '1x': not a whole number; expected the pid of a running process"),
        (["new", "--owner", "0"], "invalid owner '0'"),
        (["end", "a", "b"], "unrecognized arguments: b"),
        (["end", "--owner", "1"], "--owner is for 'namespace new' only"),
        (["end"], "LINESYNC_NAMESPACE is not set"),
        (["list", "x"], "'namespace list' takes no name"),
    ],
    "reset": [
        ([""], "name: expected 1 to 200 bytes"),
        (["left", "\n"], "name cannot contain control characters"),
        (["--"], "there are no arguments after --"),
        (["--all"], "unrecognized arguments: --all"),
    ],
    "exchange": [
        ([], "required: --hosts"),
        (["x"], "required: --hosts"),
        (["--hosts", "hub"], "required: NAME"),
        (["x", "--hosts", "", "data"], "invalid host name ''"),
        (["x", "--hosts", "a b", "data"], "invalid host name 'a b'"),
        (["x", "--hosts", "hub", "data", "more"], "unrecognized arguments: more"),
        (["x", "--hosts", "hub", "data", "--", "more"], "unrecognized arguments: more; write -- before data"),
        (["x", "--hosts", "hub", "data", "--file", "f"], "both DATA and --file are present"),
        (["x", "--hosts", "hub", "--"], "there are no arguments after --"),
        (["", "--hosts", "hub", "data"], "invalid exchange name: expected 1 to 200 bytes"),
    ],
    "drain": [(["x"], "unrecognized arguments: x"), (["--timeout", "-1"], "invalid time '-1'")],
    "status": [(["x"], "unrecognized arguments: x"), (["--", "x"], "unrecognized arguments: x")],
}
WAITING_COMMANDS = {
    "barrier": ["x", "2"],
    "sem": ["x", "-1"],
    "lock": ["taken"],
    "event": ["wait", "x"],
    "wait": ["x"],
    "wait-all": ["x"],
    "exchange": ["x", "data", "--hosts", "hub,sut"],
}
"""Commands that would wait. The tests add one wrong common option to each."""
WRONG_OPTIONS = [
    (["--timeout", "soon"], "invalid time 'soon': not a number; expected 0 to 315360000 seconds"),
    (["--timeout", "-1"], "invalid time '-1': out of range; expected 0 to 315360000 seconds"),
    (["--timeout", "nan"], "invalid time 'nan': not a number; expected 0 to 315360000 seconds"),
    (["--timeout", "1e9"], "invalid time '1e9': out of range; expected 0 to 315360000 seconds"),
    (["--namespace", ""], "invalid namespace name: expected 1 to 200 bytes"),
    (["--namespace", LONG], "invalid namespace name: expected 1 to 200 bytes"),
    (["--namespace", "a\tb"], "a namespace name cannot contain control characters"),
]
CASES = [([command, *words], part) for command, cases in WRONG.items() for words, part in cases] + [
    ([command, *words, *option], part) for command, words in WAITING_COMMANDS.items() for option, part in WRONG_OPTIONS
]


@pytest.fixture(scope="module")
def prepared_hub() -> Iterator[Site]:
    """A hub with a semaphore, an event, a message and a lock, which no test of wrong usage may change."""
    with kit.site() as place:
        place.hub().says("scripts on this machine")
        for words in (["sem", "left", "+3"], ["event", "set", "left"], ["send", "left", "n=1"], ["lock", "taken"]):
            assert place.type("hub", *words).code == 0
        yield place


def state_of_hub(site: Site) -> Any:
    """The status of the hub without its times."""
    status = site.json("hub", "status")
    for row in status["locks"]:
        del row["owner"]["since"]
    del status["held"]["results"]
    return status


@pytest.mark.parametrize(("words", "part"), CASES, ids=[" ".join(words)[:60] for words, _ in CASES])
def test_wrong_usage_is_one_sentence_and_changes_nothing(
    prepared_hub: Site, capsys: pytest.CaptureFixture[str], words: list[str], part: str
) -> None:
    before = state_of_hub(prepared_hub)
    code = main(["--hub", f"unix:{prepared_hub.socket('hub')}", *words])
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    (line,) = err.splitlines()
    assert line.startswith("linesync: ") and part in line and len(line) < 400, line
    assert "malformed" not in line and "Error" not in line, line
    assert state_of_hub(prepared_hub) == before


def test_wrong_usage_with_json_is_an_object(prepared_hub: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["barrier", "x", "two", "--json"], ["--json", "sem", "", "1"], ["event", "--json", "set", "\n"]):
        code = main(["--hub", f"unix:{prepared_hub.socket('hub')}", *words])
        out, err = capsys.readouterr()
        error = json.loads(err)
        assert (code, out) == (2, "") and (error["error"], error["exit_code"]) == ("usage", 2) and error["message"]


def test_json_after_two_hyphens_belongs_to_the_command(prepared_hub: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--hub", f"unix:{prepared_hub.socket('hub')}", "lock", "free", "--", "/no/such/program", "--json"])
    _, err = capsys.readouterr()
    assert code == 127 and err.startswith("linesync: there is no command /no/such/program"), err


CORRECT = [
    (["exchange", "solo", "--hosts", "hub", "data"], '{"hub": "data"}\n'),
    (["exchange", "solo", "--hosts", "hub", "--", "--data"], '{"hub": "--data"}\n'),
    (["barrier", "solo", "--timeout", "9", "1"], ""),
    (["sem", "--timeout", "9", "left", "0"], "3\n"),
    (["send", "words", "a=1", "--as", "hub#x", "b=2"], ""),
    (["send", "words", "--as", "hub#x", "--", "--c=3"], ""),
    (["wait", "--as", "hub#y", "words"], "hub#x:a=1\nhub#x:b=2\nhub#x:--c=3\n"),
    (["event", "wait", "--any", "left", "--timeout", "0", "right"], "left\n"),
    (["lock", "solo", "--", "echo", "--"], ""),
    (["reset", "--namespace", "default", "--", "words"], "removed: 1; failed waits: 0\n"),
    (["sem", "left", "-3"], ""),
]


def test_options_may_be_anywhere_and_arguments_may_follow_two_hyphens(
    prepared_hub: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, expected in CORRECT:
        code = main(["--hub", f"unix:{prepared_hub.socket('hub')}", *words])
        out, err = capsys.readouterr()
        assert (code, out, err) == (0, expected, ""), words
