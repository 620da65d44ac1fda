"""``linesync phases``: its usage, ``check``, and what ``status`` and ``log`` print."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from linesync.cli.main import main
from linesync.cli.sync.phases_state import draw, print_rounds
from linesync.model.state.group import (
    GroupMemberState,
    GroupRoundState,
    GroupServiceState,
    GroupState,
    Ring,
    RoundState,
    Terms,
)

FILE = """
group = "storage"
on-failure = "stop"
[service.client]
hosts = ["sut2", "sut3"]
after = ["server"]
needs = {server = "healthy"}
process = ["mount", "/srv"]
stop = ["umount", "/srv"]
[service.server]
hosts = ["sut1"]
process = "exportfs -a"
check = ["showmount"]
timeout = 20
"""
TABLE = """\
the group storage with 2 services; after a failure: stop

ID  SERVICE         HOSTS      NEEDS           STEPS
10  server          sut1       -               process
19  server:healthy  sut1       -               check
20  client          sut[2-3]   server healthy  process stop
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "nfs.toml"
    path.write_text(FILE)
    return path


def test_check_prints_the_order_with_the_gates(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phases", "check", str(path)]) == 0
    assert capsys.readouterr().out.split() == TABLE.split()


def test_check_prints_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phases", "check", "--json", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {key: found[key] for key in ("group", "on_failure", "quorum")} == {
        "group": "storage",
        "on_failure": "stop",
        "quorum": 0,
    }
    assert [(service["id"], service["name"], service["hosts"]) for service in found["services"]] == [
        (10, "server", ["sut1"]),
        (19, "server:healthy", ["sut1"]),
        (20, "client", ["sut2", "sut3"]),
    ]
    assert found["services"][0]["commands"] == {"process": ["/bin/sh", "-c", "exportfs -a"]}
    assert found["services"][1]["timeout"] == 20
    assert found["services"][2]["needs"] == {"server": "healthy"}


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (b"[service.a]\nzzz = 1\n", 2, "unknown key 'service.a.zzz' in "),
        (b"\xff", 125, "cannot be read: it is not UTF-8"),
        (None, 125, "cannot be read: No such file or directory; check the path"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: bytes | None, code: int, message: str
) -> None:
    path = tmp_path / "wrong.toml"
    if text is not None:
        path.write_bytes(text)
    assert main(["phases", "check", str(path)]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "x", "--hosts", "a"], "--hosts is for 'phases run' only, not for 'phases check'"),
        (["run", "x", "--watch"], "--watch is for 'phases status' only, not for 'phases run'"),
        (["status", "x", "net"], "SERVICE is for 'phases rerun' only, not for 'phases status'"),
        (["log", "x", "--tag", "a"], "--tag is for 'phases run' only, not for 'phases log'"),
        (["run", "FILE", "--hosts", "a", "--tag", "b"], "--hosts and --tag were both given"),
        (["run", "FILE", "--hosts", "a#b"], "invalid host name 'a#b'"),
        (["run", "FILE", "--hosts", ""], "invalid host name ''"),
        (["start", "x"], "invalid choice: 'start'"),
    ],
)
def test_wrong_usage_is_one_sentence(
    path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["phases", *(str(path) if word == "FILE" else word for word in words)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err


def state(**fields: object) -> GroupState:
    """A group in which ``a`` processes the server and ``b`` waits."""
    ring = Ring(7, "hub")
    a = (GroupServiceState(1, "net", "", "ended", None, "no link"), GroupServiceState(2, "web", "", "process", 12.3))
    b = (GroupServiceState(1, "net", "2", "active", None), GroupServiceState(3, "log", "", "waiting", None))
    members = (
        GroupMemberState("a", "1.1", 60.0, 0, False, a),
        GroupMemberState("b", "2.1", 50.0, 0, False, b),
    )
    values = {
        "namespace": "default",
        "name": "g",
        "ring": ring,
        "terms": Terms(quorum=2),
        "short": False,
        "missing": {"c": "lost"},
        "members": members,
        "joining": ("d",),
        "round": RoundState("process", 2, (1, 2, 3), 12.3, "", ("service 1 has different versions",), ("a",)),
        "rounds": (GroupRoundState(ring, ("a", "b"), (1, 2, 9), "failed", "a: broken", 90.4, 1.234),),
        "dropped": 0,
        "stale": 0,
        "waiting": 0,
    }
    return GroupState(**(values | fields))


def test_the_status_names_what_runs_and_what_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    draw(state())
    assert capsys.readouterr().out.splitlines() == [
        "g: 2 members, process of web for 12 s, ring 7@hub; waits for a",
        "service 1 has different versions",
        "c left: lost",
        "waiting for the next view: d",
        "",
        "MEMBER  net     web          log",
        "a       ended   process 12s  -",
        "b       active  -            waiting",
        "net on a ended: no link",
    ]


def test_the_status_of_a_failed_round_and_of_a_short_group_name_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    draw(state(round=RoundState("failed", None, (1,), 3.0, "a: broken", (), ())))
    assert capsys.readouterr().out.startswith("g: 2 members, failed for 3 s, ring 7@hub: a: broken\n")
    draw(state(short=True))
    shown = "g: 2 members, below the quorum of 2, so no service starts; c left: lost"
    assert "; ".join(capsys.readouterr().out.splitlines()[0:3:2]) == shown


def test_the_log_has_the_services_of_each_round_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    print_rounds(state())
    row = re.split(" {2,}", capsys.readouterr().out.splitlines()[1])
    assert row == ["90 s ago", "1.23", "7@hub", "a b", "net web 9", "failed: a: broken"]
