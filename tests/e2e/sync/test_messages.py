"""Events and messages with commands on serial lines: waits, published roles and groups, deadlines."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from linesync import connect_blocking
from tests.e2e.kit import Done, SerialSite, serial_site, text_when_written
from tests.real import require


@pytest.fixture(scope="module")
def trio() -> Iterator[SerialSite]:
    """Two hosts of a group of two, and a host without a group."""
    published = {
        "c1": ("--publish", "group=g", "--publish", "role=server", "--publish", "group_size=2"),
        "c2": ("--publish", "group=g", "--publish", "role=client"),
        "c3": ("--publish", "role=watcher"),
    }
    with serial_site("--lease", "3", hosts=("c1", "c2", "c3"), agents=published) as site:
        yield site


# -- events ------------------------------------------------------------------------------------------------------------


def test_an_event_ends_all_waits_and_stays_set_until_it_is_cleared(trio: SerialSite) -> None:
    waiting = [trio.start(side, "event", "wait", "up") for side in ("c1", "c2", "hub")]
    trio.await_waiting("events", "up", 3)
    done = trio.type("c2", "event", "set", "up")
    assert (done.code, done.out, done.err) == (0, b"", "")
    for command in waiting:
        done = command.wait()
        assert (done.code, done.out, done.err) == (0, b"", "")
    assert trio.type("c3", "event", "wait", "up", "--timeout", "0").code == 0
    assert trio.type("c1", "event", "clear", "up").code == 0
    poll = trio.type("c3", "event", "wait", "up", "--timeout", "0")
    assert poll.code == 124 and "missing: up" in poll.err, poll


def test_a_wait_is_for_all_events_or_for_any_of_them(trio: SerialSite) -> None:
    for_all = trio.start("c1", "event", "wait", "left", "right")
    any_wait = trio.start("c2", "event", "wait", "--any", "left", "right")
    trio.await_waiting("events", "left", 2)
    assert trio.type("hub", "event", "set", "right").code == 0
    assert any_wait.wait().text == "right\n"
    assert for_all.running
    late = trio.type("c3", "event", "wait", "left", "right", "--timeout", "0.2", "--json")
    error = json.loads(late.err)
    assert late.code == 124 and (error["set"], error["missing"]) == (["right"], ["left"]), late
    assert trio.type("c3", "event", "set", "left").code == 0
    assert for_all.wait().code == 0
    found = trio.type("c1", "event", "wait", "--any", "none", "left", "right", "--json")
    assert json.loads(found.out) == {"set": ["left", "right"]}


def test_several_events_change_together(trio: SerialSite) -> None:
    assert trio.type("c1", "event", "set", "one", "two").code == 0
    rows = {row["name"]: row["set"] for row in trio.json("hub", "status")["events"]}
    assert rows["one"] and rows["two"]
    assert trio.type("c2", "event", "clear", "one", "two", "three").code == 0
    rows = {row["name"]: row["set"] for row in trio.json("hub", "status")["events"]}
    assert not {"one", "two", "three"} & set(rows)


# -- messages ----------------------------------------------------------------------------------------------------------


def test_waiting_and_later_receivers_get_a_message(trio: SerialSite) -> None:
    waiting = trio.start("c2", "wait", "ready")
    trio.await_waiting("topics", "ready", 1)
    done = trio.type("c1", "send", "ready", "ip=10.0.0.2", "--json", "port=5001")
    assert json.loads(done.out) == {"id": "ready", "number": 1}
    assert waiting.wait().text == "c1:ip=10.0.0.2\nc1:port=5001\n"
    assert trio.type("hub", "wait", "ready").text == "c1:ip=10.0.0.2\nc1:port=5001\n"
    late = json.loads(trio.type("c3", "wait", "ready", "--timeout", "0", "--json").out)
    assert late == [{"number": 1, "sender": "c1", "items": ["ip=10.0.0.2", "port=5001"]}]


def test_a_sender_does_not_receive_its_own_messages(trio: SerialSite) -> None:
    assert trio.type("c1", "send", "own", "mine").code == 0
    poll = trio.type("c1", "wait", "own", "--timeout", "0")
    assert poll.code == 124 and "from a sender other than c1 is not there yet" in poll.err, poll
    waiting = trio.start("c1", "wait", "own")
    trio.await_waiting("topics", "own", 1)
    assert trio.type("c1", "send", "own", "mine too").code == 0
    assert waiting.running
    assert trio.type("c1", "send", "own", "of another script", "--as", "c1#b").code == 0
    assert waiting.wait().text == "c1#b:of another script\n"


def test_a_wait_after_a_number_gets_the_next_message(trio: SerialSite) -> None:
    assert trio.type("c1", "send", "rounds").code == 0
    assert trio.type("c2", "wait", "rounds").text == "c1\n", "an empty message is its sender"
    waiting = trio.start("c2", "wait", "rounds", "--after", "1")
    trio.await_waiting("topics", "rounds", 1)
    assert trio.type("c3", "send", "rounds", "n=2").code == 0
    assert waiting.wait().text == "c3:n=2\n"
    late = trio.type("c2", "wait", "rounds", "--after", "2", "--timeout", "0.2")
    assert (
        late.code == 124
        and "message 3 of topic 'rounds' from a sender other than c2: 2 so far, from c1, c3" in late.err
    ), late


def test_wait_all_waits_only_for_the_other_hosts_of_the_group(trio: SerialSite) -> None:
    waiting = trio.start("c1", "wait-all", "booted")
    trio.await_waiting("topics", "booted", 1)
    for side in ("c3", "hub", "c1"):
        assert trio.type(side, "send", "booted", f"from={side}").code == 0
    assert waiting.running, "the other host of its group is c2"
    assert trio.type("c2", "send", "booted", "try=1").code == 0
    assert waiting.wait().text == "c2:try=1\n"
    assert trio.type("c2", "send", "booted", "try=2").code == 0
    second_result = json.loads(trio.type("c1", "wait-all", "booted", "--json").out)
    assert [(message["sender"], message["items"]) for message in second_result] == [("c2", ["try=2"])], (
        "the last of each"
    )


def test_wait_all_waits_for_the_hosts_that_publish_a_role(trio: SerialSite) -> None:
    waiting = trio.start("c2", "wait-all", "listening", "--timeout", "60", "server")
    trio.await_waiting("topics", "listening", 1)
    assert trio.type("c1", "send", "listening", "port=1").code == 0
    assert waiting.wait().text == "c1:port=1\n"
    nobody = trio.type("c2", "wait-all", "listening", "nurse")
    assert nobody.code == 5 and "all 2 hosts of the group are known, and their roles are: " in nobody.err, nobody
    late = trio.type("c1", "wait-all", "listening", "client", "--timeout", "0.2")
    assert late.code == 124 and "missing: c2 (has not sent)" in late.err, late


def test_wait_all_waits_for_hosts_that_were_never_seen_if_the_size_is_known() -> None:
    published = {"c1": ("--publish", "group=g", "--publish", "group_size=2"), "c2": ("--publish", "group=g")}
    with serial_site(agents=published, hosts=("c1",)) as site:
        poll = site.type("c1", "wait-all", "up", "--timeout", "0")
        assert poll.code == 124 and "1 of 2 hosts never seen" in poll.err, poll
        waiting = site.start("c1", "wait-all", "up")
        site.await_waiting("topics", "up", 1)
        lines = f"unix:{site.folder}/lines"
        site.daemons[0].stop()
        site.start_hub("--listen", lines)
        assert waiting.wait().code == 125
        site.await_host("c1")
        waiting = site.start("c1", "wait-all", "up")
        site.await_waiting("topics", "up", 1)
        site.agent("--port", lines, *published["c2"], name="c2").says("is registered")
        assert waiting.running
        assert site.type("c2", "send", "up").code == 0
        assert waiting.wait().text == "c2\n"


def test_a_host_that_is_lost_before_it_sends_fails_only_the_waits_for_it(trio: SerialSite) -> None:
    assert trio.type("c2", "send", "sent", "before=1").code == 0
    waiting = trio.start("c1", "wait-all", "unsent")
    anyone = trio.start("c1", "wait", "unsent")
    trio.await_waiting("topics", "unsent", 2)
    trio.agents["c2"].kill()
    done = waiting.wait()
    assert done.code == 4 and "c2 was lost before it had sent (line lost" in done.err, done
    assert trio.type("c1", "wait-all", "unsent").code == 4
    assert trio.type("c1", "wait-all", "sent").text == "c2:before=1\n"
    assert anyone.running
    trio.start_agent("c2")
    trio.await_host("c2")
    assert trio.type("c2", "send", "unsent").code == 0
    assert anyone.wait().text == trio.type("c1", "wait-all", "unsent").text == "c2\n"


# -- deadlines ---------------------------------------------------------------------------------------------------------

LATE = [
    (("barrier", "late", "3"), "1 of 3 arrived: c1; 2 missing"),
    (("barrier", "late-m", "--members", "c1,c3,x"), "missing: c3 (has not arrived), x (never seen)"),
    (("sem", "late", "-2"), "2 wanted, its value is 0"),
    (("sem", "late-h", "-1", "--hold", "--", "true"), "1 wanted, its value is 0"),
    (("lock", "late", "--", "true"), "hub has it (token"),
    (("lock", "late"), "hub has it (token"),
    (("exchange", "late", "--hosts", "c1,c3,x", "data"), "missing: c3 (has not arrived), x (never seen)"),
    (("event", "wait", "late"), "missing: late"),
    (("event", "wait", "--any", "late", "later"), "missing: late, later; any of them is enough"),
    (("wait", "late"), "no other sender has sent one"),
    (("wait-all", "late"), "(group 'g'): no host has sent; missing: c2 (has not sent)"),
]


@pytest.fixture(scope="module")
def late(trio: SerialSite) -> dict[str, list[Done]]:
    """The results of all these commands on c1, by timeout. The hub owns the lock."""
    assert trio.type("hub", "lock", "late").code == 0
    held = trio.json("hub", "status")["held"]["waits"]
    ends = {}
    for seconds in ("0", "2"):
        commands = []
        for words, _ in LATE:
            position = words.index("--") if "--" in words else len(words)
            commands.append(trio.start("c1", *words[:position], "--timeout", seconds, "--json", *words[position:]))
        ends[seconds] = [command.wait() for command in commands]
        trio.until(lambda: trio.json("hub", "status")["held"]["waits"] == held, "nothing left")
    return ends


@pytest.mark.parametrize("seconds", ["0", "2"])
@pytest.mark.parametrize("number", range(len(LATE)), ids=[" ".join(words[:2]) for words, _ in LATE])
def test_the_error_of_a_timeout_names_the_missing_parts(late: dict[str, list[Done]], number: int, seconds: str) -> None:
    done = late[seconds][number]
    error = json.loads(done.err)
    assert done.code == error["exit_code"] == 124 and done.out == b"" and error["error"] == "timeout", done
    assert error["message"].startswith("timed out after 2 s ") == (seconds != "0"), error
    assert LATE[number][1] in error["message"] and "late" in error["message"], error


# -- separate runs of one script ---------------------------------------------------------------------------------------

RUN = """
eval "$(linesync namespace new || echo false)" || exit
linesync run c2 -- "$LINESYNC" send ready run=$1
(linesync event wait never; echo $? > code.$1) &
linesync wait ready --timeout 20
echo $LINESYNC_NAMESPACE
(eval "$(linesync namespace new)" && linesync namespace list --json)
until [ -e go ]; do sleep 0.05; done
kill -KILL $$
"""


@pytest.mark.real
def test_two_runs_of_one_script_are_separate_and_leave_nothing_behind(trio: SerialSite) -> None:
    require("bash")
    runs = [trio.script(side, RUN, number) for side, number in (("hub", "1"), ("c1", "2"))]

    def owned() -> list[tuple[int | None, int]]:
        """For each namespace with an owner: the pid of the owner, and the number of names in it."""
        with connect_blocking(f"unix:{trio.socket('c3')}") as client:
            return sorted((space.owner.pid, space.things) for space in client.namespaces() if space.owner is not None)

    trio.until(lambda: owned() == sorted((run.process.pid, 2) for run in runs), "a topic and an event of each run")
    (trio.folder / "go").touch()
    names = []
    for number, run in enumerate(runs, 1):
        done = run.wait()
        message, name, listed = done.text.splitlines()
        assert (done.code, message) == (-9, f"c2:run={number}"), done
        owners = {row["owner"]["pid"] for row in json.loads(listed) if row["owner"] is not None}
        assert owners - {script.process.pid for script in runs}, "a subshell owns its own namespace"
        assert text_when_written(trio.folder / f"code.{number}").strip() == "3", "the wait ended with its namespace"
        names.append(name)
    assert len(set(names)) == 2 and owned() == []
    assert trio.type("c3", "event", "set", "never", "--namespace", names[0]).code == 3


def test_a_script_has_no_namespace_if_its_creation_failed(trio: SerialSite) -> None:
    require("bash")
    run = trio.script("nobody", 'eval "$(linesync namespace new)"; echo $?; linesync namespace end; echo $?')
    done = run.wait()
    assert done.text.split() == ["125", "2"] and "LINESYNC_NAMESPACE" in done.err, done
    owner = trio.script("c1", "linesync namespace new mine && sleep 300")
    trio.until(lambda: trio.type("hub", "namespace", "end", "mine").code == 0, "the new namespace")
    owner.kill()
