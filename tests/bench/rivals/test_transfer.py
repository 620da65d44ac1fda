"""The rivals run on the null modem, and the received files are checked."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from linesync.testing.faults import Faults
from tools.bench.rivals.transfer import RIVALS, transfer, why_missing
from tools.bench.testbed.cable_cut import Cut

pytestmark = pytest.mark.real


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(random.Random(6).randbytes(16384))
    return path


def need(name: str) -> None:
    missing = why_missing(name)
    if missing and os.environ.get("LINESYNC_REQUIRE_ALL") != "1":
        pytest.skip(missing)
    assert not missing


@pytest.mark.parametrize("name", ["zmodem", "kermit", "kermit-tight"])
def test_a_rival_transfers_a_file_over_a_clean_line(name: str, file: Path) -> None:
    need(name)
    outcome = transfer(name, file, baud=921600, timeout=15)
    assert outcome.ok, outcome.why
    assert 0 < outcome.rate < 1
    assert outcome.seconds > 16384 / 92160


@pytest.mark.parametrize(("name", "faults"), [("uucp", Faults()), ("uucp-j", Faults(eat_xonxoff=True))])
def test_uucp_transfers_a_file_if_it_is_installed(name: str, faults: Faults, file: Path) -> None:
    missing = why_missing(name)
    if missing:  # the quick form of the benchmarks does not use UUCP, so it may be missing
        pytest.skip(missing)
    outcome = transfer(name, file, baud=921600, faults=faults, timeout=15)
    assert outcome.ok, outcome.why
    assert outcome.seconds > 2, "uucico sleeps before it closes its port"


def test_a_cut_lengthens_a_transfer_by_at_least_its_duration(file: Path) -> None:
    need("zmodem")
    outcome = transfer("zmodem", file, timeout=30, cut=Cut(0.5, 1.0))
    assert outcome.ok, outcome.why
    assert outcome.seconds > 16384 / 11520 + 1.0


def test_a_rival_that_makes_no_progress_is_killed_and_reported(file: Path) -> None:
    need("zmodem")
    outcome = transfer("zmodem", file, faults=Faults(cuts=((0.0, 60.0),)), timeout=1)
    assert not outcome.ok and outcome.rate == 0.0
    assert outcome.why.startswith("not done after 1 s")
    assert outcome.seconds < 2


def test_every_rival_names_its_package_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for name, rival in RIVALS.items():
        assert rival.package in (why_missing(name) or "")
