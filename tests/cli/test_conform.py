"""``linesync conform`` on real lines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from linesync.cli.main import main
from linesync.testing.conform import RULES, WATCHED
from tests.docs.protocol.on_virtual_time import ENDPOINT
from tests.real import pty_pair

pytestmark = pytest.mark.live


def _conform(*words: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from linesync.cli.main import main; sys.exit(main())"
    argv = [sys.executable, "-c", program, "conform", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def _check_endpoint(source: str, place: Path, rules: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Check a small endpoint over a pty."""
    path = place / "endpoint.py"
    path.write_text(source)
    with pty_pair() as cable:
        endpoint = subprocess.Popen(
            [sys.executable, "-I", str(path), cable.right, "mcu"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            return _conform(cable.left, "--json", *(word for rule in rules for word in ("--rule", rule)))
        finally:
            endpoint.kill()
            endpoint.wait(10)


@pytest.mark.real
def test_the_small_endpoint_passes_over_a_pty_and_a_mutant_fails_with_code_1(tmp_path: Path) -> None:
    rules = ("registers", "text-around", "retransmits", "unknown-request", "sequence")
    done = _check_endpoint(ENDPOINT.read_text(), tmp_path, rules)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["conforms"], (report, done.stderr)
    assert report["role"] == "caller" and [row["id"] for row in report["rules"]] == list(rules)
    assert {row["result"] for row in report["rules"]} == {"passed"}
    mutant = ENDPOINT.read_text().replace("self.transmit()  # it was sent", "pass  # it was sent")
    done = _check_endpoint(mutant, tmp_path, ("unknown-request", "retransmits"))
    report = json.loads(done.stdout)
    assert done.returncode == 1 and not report["conforms"]
    assert {row["id"]: row["result"] for row in report["rules"]} == {
        "retransmits": "failed",
        "unknown-request": "passed",
    }
    (failed,) = [row for row in report["rules"] if row["result"] == "failed"]
    assert "did not repeat" in failed["reason"] and "^c" in failed["observed"]


def test_a_silent_endpoint_fails_within_the_timeout_with_code_124(tmp_path: Path) -> None:
    done = _conform(f"unix:{tmp_path}/test.sock", "--timeout", "0.2")
    assert (done.returncode, done.stdout) == (124, "")
    assert "was not complete after 0.2 s" in done.stderr


def test_a_port_that_does_not_exist_gives_code_125(tmp_path: Path) -> None:
    done = _conform(f"{tmp_path}/nothing")
    assert done.returncode == 125 and f"{tmp_path}/nothing" in done.stderr


def test_the_rules_of_both_roles_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for role, played in (("caller", "hub"), ("listener", "agent")):
        assert main(["--json", "conform", "/dev/ttyUSB0", "--as", played, "--list"]) == 0
        listed = [row["id"] for row in json.loads(capsys.readouterr().out)]
        assert listed == [rule.id for rule in (*RULES, *WATCHED) if rule.roles in (role, "both")]
    assert main(["conform", "/dev/ttyUSB0", "--list"]) == 0
    assert "answers-polls" in capsys.readouterr().out


def test_an_unknown_rule_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "/dev/ttyUSB0", "--rule", "nonsense"]) == 2
    assert "invalid rule 'nonsense'" in capsys.readouterr().err
