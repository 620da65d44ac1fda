"""Namespaces, ``reset`` and ``status`` with all synchronising operations, with commands on serial lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.kit import LINESYNC, Command, Done, SerialSite, serial_site


@pytest.fixture(scope="module")
def duo() -> Iterator[SerialSite]:
    with serial_site() as site:
        yield site


def wait_in(site: SerialSite, side: str, namespace: str) -> dict[str, Command]:
    """Start one wait of each kind, for one name in one namespace. The keys are those of status."""
    waits = {
        "barriers": ("barrier", "x", "2"),
        "semaphores": ("sem", "x", "-1"),
        "locks": ("lock", "x", "--json"),
        "exchanges": ("exchange", "x", "of " + side, "--hosts", "c1,c2"),
        "events": ("event", "wait", "x"),
        "topics": ("wait", "x"),
    }
    commands = {kind: site.start(side, *words, "--namespace", namespace) for kind, words in waits.items()}
    site.until(lambda: waiting(site, namespace) == dict.fromkeys(waits, 1), f"all waits in {namespace}")
    return commands


def waiting(site: SerialSite, namespace: str) -> dict[str, int]:
    """The number of waits in a namespace, by kind."""
    keys = {"barriers": "arrived", "exchanges": "arrived", "semaphores": "queue", "locks": "queue"}
    found = {}
    for kind, rows in site.json("hub", "status").items():
        count = sum(
            len(row[keys.get(kind, "waiting")])
            for row in rows
            if isinstance(row, dict) and "namespace" in row
            if row["namespace"] == namespace
        )
        if count:
            found[kind] = count
    return found


def take_locks(site: SerialSite, *namespaces: str) -> dict[str, str]:
    """Take lock x on the hub in these namespaces, so that others wait for it. Returns the tokens."""
    return {namespace: site.type("hub", "lock", "x", "--namespace", namespace).text.strip() for namespace in namespaces}


def serve(site: SerialSite, namespace: str, token: str) -> None:
    """End all waits in a namespace successfully."""
    typed = (
        ("barrier", "x", "2"),
        ("sem", "x", "+1"),
        ("lock", "x", "--release", token),
        ("event", "set", "x"),
        ("send", "x", "n=1"),
    )
    commands = [site.start("hub", *words, "--namespace", namespace) for words in typed]
    commands.append(site.start("c2", "exchange", "x", "of c2", "--hosts", "c1,c2", "--namespace", namespace))
    for command in commands:
        done = command.wait()
        assert done.code == 0, done


# -- namespaces --------------------------------------------------------------------------------------------------------


def test_two_namespaces_with_the_same_names_are_separate(duo: SerialSite) -> None:
    tokens = take_locks(duo, "run1", "run2")
    runs = {namespace: wait_in(duo, "c1", namespace) for namespace in tokens}
    before = waiting(duo, "run1")
    serve(duo, "run2", tokens["run2"])
    for kind, command in runs["run2"].items():
        assert command.wait().code == 0, kind
    assert waiting(duo, "run1") == before and all(command.running for command in runs["run1"].values())
    assert waiting(duo, "run2") == {}
    serve(duo, "run1", tokens["run1"])
    ends = {kind: command.wait() for kind, command in runs["run1"].items()}
    assert all(done.code == 0 for done in ends.values()), ends
    assert json.loads(ends["exchanges"].out) == {"c1": "of c1", "c2": "of c2"}
    assert ends["topics"].text == "hub:n=1\n"


def test_the_namespace_of_the_environment_applies_to_every_command(duo: SerialSite) -> None:
    def typed(namespace: str, *words: str) -> Done:
        env: Mapping[str, str] = duo.env | {"LINESYNC_NAMESPACE": namespace}
        return Command([LINESYNC, "--hub", f"unix:{duo.socket('c1')}", *words], env, duo.folder).wait()

    assert typed("env", "sem", "mine", "+3").code == 0
    assert [typed(namespace, "sem", "mine", "0").text for namespace in ("env", "other")] == ["3\n", "0\n"]
    assert duo.type("c2", "sem", "mine", "0").text == "0\n"
    assert duo.type("c2", "sem", "mine", "0", "--namespace", "env").text == "3\n"
    assert typed("other", "sem", "mine", "0", "--namespace", "env").text == "3\n", "the option overrides the variable"
    for words in (("event", "set", "mine"), ("send", "mine", "a=b"), ("lock", "mine")):
        assert typed("env", *words).code == 0
    status = duo.json("hub", "status")
    for kind in ("semaphores", "events", "topics", "locks"):
        assert [row["namespace"] for row in status[kind] if row["name"] == "mine"] == ["env"], kind
    late = typed("env", "barrier", "mine", "2", "--timeout", "0")
    assert late.code == 124 and "barrier 'mine' of namespace 'env'" in late.err, late
    assert json.loads(typed("env", "reset", "--json").out) == {"forgotten": 4, "failed": 0}


# -- reset -------------------------------------------------------------------------------------------------------------


def test_a_reset_ends_waits_and_removes_names_in_its_namespace_only(duo: SerialSite) -> None:
    take_locks(duo, "crashed", "alive")
    crashed, alive = wait_in(duo, "c1", "crashed"), wait_in(duo, "c1", "alive")
    for words in (("sem", "left", "+5"), ("event", "set", "left"), ("send", "left", "n=1")):
        assert duo.type("c2", *words, "--namespace", "crashed").code == 0
    done = duo.type("c2", "reset", "--namespace", "crashed")
    assert done.code == 0 and done.text.endswith("; failed waits: 6\n"), done
    for kind, command in crashed.items():
        done = command.wait()
        assert done.code == 3 and "was reset by c2; arrive again" in done.err and done.out == b"", (kind, done)
    status = duo.json("hub", "status")
    for kind in crashed:
        assert [row for row in status[kind] if row["namespace"] == "crashed"] == [], kind
    assert duo.type("c1", "sem", "left", "0", "--namespace", "crashed").text == "0\n"
    assert duo.type("c1", "wait", "left", "--timeout", "0", "--namespace", "crashed").code == 124
    assert all(command.running for command in alive.values())
    assert json.loads(duo.type("hub", "reset", "x", "--namespace", "alive", "--json").out)["failed"] == 6
    assert {command.wait().code for command in alive.values()} == {3}


def test_a_reset_of_names_does_not_touch_other_names(duo: SerialSite) -> None:
    for name in ("keep", "drop"):
        assert duo.type("c1", "sem", name, "+2").code == 0
        assert duo.type("c1", "event", "set", name).code == 0
    waiting = {name: duo.start("c1", "barrier", name, "2") for name in ("keep", "drop")}
    for name in waiting:
        duo.await_waiting("barriers", name, 1)
    assert duo.type("hub", "reset", "drop").text == "removed: 3; failed waits: 1\n"
    assert waiting["drop"].wait().code == 3
    assert [duo.type("c2", "sem", name, "0").text for name in ("keep", "drop")] == ["2\n", "0\n"]
    assert duo.type("c2", "barrier", "keep", "2").code == 0
    assert waiting["keep"].wait().code == 0
    assert duo.type("hub", "reset", "drop").text == "removed: 0; failed waits: 0\n"


def test_a_reset_of_a_hold_ends_the_command_of_the_hold(duo: SerialSite) -> None:
    assert duo.type("hub", "sem", "units", "+1", "--namespace", "held").code == 0
    commands = [
        duo.start("c1", "sem", "units", "-1", "--hold", "--namespace", "held", "--", "sleep", "100"),
        duo.start("c2", "lock", "flash", "--namespace", "held", "--", "sleep", "100"),
    ]

    def held() -> int:
        status = duo.json("hub", "status")
        owned = [row for row in status["locks"] if row["namespace"] == "held" and row["owner"]]
        return len(owned) + sum(len(row["holders"]) for row in status["semaphores"] if row["namespace"] == "held")

    duo.until(lambda: held() == 2, "both commands under way")
    assert duo.type("hub", "reset", "--namespace", "held").code == 0
    for command in commands:
        done = command.wait()
        assert done.code == 125 and "was reset by hub" in done.err and "the command sleep was ended" in done.err, done
    assert duo.type("c1", "sem", "units", "0", "--namespace", "held").text == "0\n"


# -- status ------------------------------------------------------------------------------------------------------------


def test_status_shows_all_kinds_on_every_side_as_tables_and_as_json(duo: SerialSite) -> None:
    tokens = take_locks(duo, "seen")
    assert duo.type("hub", "sem", "held", "+3", "--namespace", "seen").code == 0
    holder = duo.start("c2", "sem", "held", "-2", "--hold", "--namespace", "seen", "--", "sleep", "100")
    commands = wait_in(duo, "c1", "seen")
    commands["members"] = duo.start("c1", "barrier", "m", "--members", "c1,c2,c9", "--namespace", "seen")

    def rows(side: str) -> dict[str, dict[str, Any]]:
        status = json.loads(duo.type(side, "--json", "status").out)
        return {
            f"{kind}/{row['name']}": row
            for kind, found in status.items()
            if kind not in ("hosts", "held", "clients")
            for row in found
            if row["namespace"] == "seen"
        }

    duo.until(lambda: {"barriers/m", "semaphores/held"} <= set(rows("hub")), "the last of them")
    for side in ("hub", "c1"):
        found = rows(side)
        assert [arrival["name"] for arrival in found["barriers/x"]["arrived"]] == ["c1"]
        assert found["barriers/m"]["missing"] == {"c2": "has not arrived", "c9": "never seen"}
        assert found["semaphores/held"]["value"] == 1
        assert [(hold["name"], hold["units"]) for hold in found["semaphores/held"]["holders"]] == [("c2", 2)]
        assert [(wait["name"], wait["wants"]) for wait in found["semaphores/x"]["queue"]] == [("c1", 1)]
        assert (found["locks/x"]["token"], found["locks/x"]["owner"]["name"]) == (int(tokens["seen"]), "hub")
        assert found["exchanges/x"]["given"] == ["c1"] and found["exchanges/x"]["missing"] == {"c2": "has not arrived"}
        assert not found["events/x"]["set"] and found["topics/x"]["messages"] == 0
    text = duo.type("c1", "status").text
    assert text.count("seen/") == len(rows("hub")), text
    for kind, part in (
        ("BARRIER", "seen/m  1  3  c1 script N (Ts)  c2 (has not arrived), c9 (never seen)"),
        ("BARRIER", "seen/x  1  2  c1 script N (Ts)  -"),
        ("SEMAPHORE", "seen/held  1  c2 script N holds 2  -"),
        ("SEMAPHORE", "seen/x  0  -  c1 script N wants 1 (Ts)"),
        ("LOCK", f"seen/x  {tokens['seen']}  hub (Ts)  c1 script N (Ts)"),
        ("EXCHANGE", "seen/x  1  2  c1  c2 (has not arrived)"),
        ("EVENT", "seen/x  not set  c1 script N (Ts)"),
        ("MESSAGES", "seen/x  0  -  c1 script N (Ts)"),
    ):
        assert part in section(text, kind), (kind, part, text)
    holder.kill()
    assert duo.type("hub", "reset", "--namespace", "seen").code == 0
    assert {command.wait().code for command in commands.values()} == {3}
    assert rows("c2") == {}


def section(text: str, head: str) -> list[str]:
    """The rows of one table of status. Cells have two blanks between them, T replaces seconds, N replaces a script's number and
    user."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    rows = next(block for block in blocks if block[0].startswith(head + " "))
    rows = [re.sub(r" {2,}", "  ", row) for row in rows[1:]]
    return [re.sub(r"script \d+( uid \d+)?", "script N", re.sub(r"\(\d+s\)", "(Ts)", row)) for row in rows]


def test_status_without_names_prints_only_the_hosts(duo: SerialSite) -> None:
    for namespace in {
        row["namespace"] for rows in duo.json("hub", "status").values() for row in rows if "namespace" in row
    }:
        assert duo.type("hub", "reset", "--namespace", namespace).code == 0
    done = duo.type("c1", "status")
    assert (done.code, done.text) == (0, "2 of 2 hosts up: c1, c2\n"), done


# -- json --------------------------------------------------------------------------------------------------------------

RESULTS: dict[tuple[str, ...], dict[str, Any]] = {
    ("barrier", "j", "1"): {"generation": 1, "position": 1, "parties": ["c1"], "count": 1},
    ("sem", "j", "+2"): {"name": "j", "value": 2},
    ("sem", "j", "-1"): {"name": "j", "value": 1},
    ("sem", "j", "0"): {"name": "j", "value": 1},
    ("event", "wait", "--any", "j", "k"): {"set": ["j"]},
    ("event", "wait", "j"): {"set": ["j"]},
    ("send", "j", "a=b"): {"id": "j", "number": 1},
    ("exchange", "j", "mine", "--hosts", "c1"): {"c1": "mine"},
    ("reset", "j"): {"forgotten": 3, "failed": 0},
}


def test_the_json_of_each_command_has_its_result(duo: SerialSite) -> None:
    assert duo.type("hub", "event", "set", "j").code == 0
    for words, expected in RESULTS.items():
        done = duo.type("c1", *words, "--json")
        assert (done.code, done.err) == (0, ""), done
        result = json.loads(done.out)
        assert {key: result[key] for key in expected} == expected, (words, result)
