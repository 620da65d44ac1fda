"""``linesync group`` with commands on serial lines, and a member in Python."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from linesync import connect_blocking
from linesync.client.groups.group import Announced, Message, Step, View
from tests.e2e.kit import SerialSite, serial_site


@pytest.fixture(scope="module")
def duo() -> Iterator[SerialSite]:
    with serial_site() as site:
        yield site


def test_hosts_join_and_leave_and_others_wait_for_them_and_watch(duo: SerialSite) -> None:
    waiting = duo.start("hub", "group", "wait", "net", "--members", "2")
    watching = duo.start("hub", "group", "members", "net", "--watch")
    assert duo.type("c1", "group", "join", "net").code == 0
    again = duo.type("c1", "group", "join", "net")
    assert again.code == 5 and "c1 is already a member of group 'net'" in again.err
    assert duo.type("c2", "--json", "group", "join", "net", "--tag", "x").text == '{"group": "net", "member": "c2#x"}\n'
    done = waiting.wait()
    assert (done.code, done.text) == (0, "c1\nc2#x\n"), done
    late = duo.type("hub", "group", "wait", "net", "--members", "3", "--timeout", "0")
    assert late.code == 124 and "it has 2 of 3 members: c1, c2#x" in late.err
    status = duo.type("hub", "status").text
    assert "GROUP" in status and "c1, c2#x" in status and "completed" in status
    assert duo.type("c2", "group", "leave", "net", "--tag", "x").code == 0
    assert duo.type("hub", "group", "members", "net").text == "c1\n"
    state = json.loads(duo.type("hub", "--json", "group", "members", "net").text)
    assert [member["name"] for member in state["members"]] == ["c1"]
    assert duo.type("c1", "group", "leave", "net").code == 0
    missing = duo.type("c1", "group", "leave", "net")
    assert missing.code == 125 and "c1 is not a member of group 'net'" in missing.err
    lines: list[str] = []
    while not lines or not lines[-1].endswith(": no members"):
        assert watching.process.stdout is not None
        lines.append(watching.process.stdout.readline().decode().rstrip())
    assert {line.partition(": ")[2] for line in lines} <= {"c1", "c1, c2#x", "no members"}, lines
    watching.kill()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("leave", "net", "--quorum", "2"), "--quorum is for 'group join', not for 'group leave'"),
        (("wait", "net"), "'group wait' needs --members N"),
        (("wait", "net", "--members", "0"), "invalid number of members '0'"),
        (("join", "net", "--tag", "a b"), "invalid member tag 'a b'"),
        (("leave", "net", "data"), "DATA is for 'group cast', not for 'group leave'"),
        (("cast", "net", "data", "--watch"), "--watch is for 'group members', not for 'group cast'"),
    ],
)
def test_a_wrong_use_is_explained(duo: SerialSite, words: tuple[str, ...], error: str) -> None:
    done = duo.type("hub", "group", *words)
    assert done.code == 2 and error in done.err, done


def test_a_blocking_script_is_a_member_with_services_and_messages(duo: SerialSite) -> None:
    with connect_blocking(f"unix:{duo.socket('c1')}") as first, connect_blocking(f"unix:{duo.socket('hub')}") as hub:
        assert duo.type("c2", "group", "join", "web").code == 0
        member = first.group("web", services=[Announced(1, "disk")])
        seen: list[object] = []
        for event in member.events():
            match event:
                case View():
                    seen.append(event.members)
                case Message(sender="c2", data=data):
                    seen.append(data)
                    assert len(data) == 25_000 or data == b"as argument"
                    if data == b"as argument":
                        member.leave()
                case Message():
                    seen.append(event.data)
                    sent = duo.type("c2", "--json", "group", "cast", "web", stdin=b"x" * 25_000)
                    assert sent.text == '{"group": "web", "bytes": 25000}\n', sent.err
                    assert duo.type("c2", "group", "cast", "web", "as argument").code == 0
                case Step(kind="completed"):
                    member.cast(b"\x00ready")
                case Step():
                    seen.append((event.kind, event.service))
                    member.done(event)
        steps = [("init", 1), ("process", 1), ("activate", 1)]
        assert seen == [("c2", "c1"), *steps, b"\x00ready", b"x" * 25_000, b"as argument"]
        absent = duo.type("hub", "group", "cast", "web", "lost")
        assert absent.code == 125 and "hub is not a member of group 'web'" in absent.err
        assert duo.type("c2", "group", "leave", "web").code == 0
        assert hub.group_state("web").members == ()
        assert json.loads(json.dumps(hub.group_state("web").as_json()))["rounds"][0]["outcome"] == "completed"
