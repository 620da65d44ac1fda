"""The guard of quick tests (tests/conftest.py): forbidden and permitted actions. The limit after failed searches."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

_TESTS = """
import asyncio, socket, subprocess, sys, time
import pytest
from hypothesis.internal.conjecture import engine
from hypothesis.internal.conjecture.engine import MAX_SHRINKING_SECONDS as USUAL

def test_good_a_failed_search_is_shortened_for_a_few_seconds():
    assert engine.MAX_SHRINKING_SECONDS == 20 < USUAL

def test_sleeps():
    time.sleep(0.6)

def test_sleeps_often():
    for _ in range(8):
        time.sleep(0.1)

def test_waits_in_a_loop():
    asyncio.run(asyncio.sleep(0.6))

def test_starts_a_process():
    subprocess.run([sys.executable, "-c", ""])

def test_opens_a_socket():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))

def test_good_computes():
    asyncio.run(asyncio.sleep(0))
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        pass

def test_good_waits_a_little():
    time.sleep(0.1)
    asyncio.run(asyncio.sleep(0.1))

@pytest.mark.live
def test_good_is_live():
    time.sleep(0.6)

@pytest.mark.real
def test_good_is_real():
    time.sleep(0.6)
"""


def test_a_test_that_is_neither_quick_nor_marked_fails_and_a_live_folder_is_not_guarded(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  live\n  real\n")
    (tmp_path / "test_these.py").write_text(_TESTS)
    (tmp_path / "e2e").mkdir()
    (tmp_path / "e2e" / "test_here.py").write_text(_TESTS.replace("def test_", "def test_good_"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rfE", "--tb=no", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    failed = set(re.findall(r"^ERROR .*::test_(\w+)", done.stdout, re.MULTILINE))
    assert failed == {"sleeps", "sleeps_often", "waits_in_a_loop", "starts_a_process", "opens_a_socket"}, done.stdout
    assert "20 passed" in done.stdout, done.stdout
