"""``linesync phases check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linesync.cli.main import main

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
