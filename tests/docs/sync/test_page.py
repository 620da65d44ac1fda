"""docs/sync.md agrees with the program. Its tables and figures show real runs of the program, and its examples are run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from linesync import errors
from linesync.cli import main as program
from tests.docs.pages.examples import blocks
from tests.docs.pages.examples import differences as example_differences
from tests.docs.sync.page import PAGE, PARTS, differences
from tests.docs.sync.states import ModelSetup, rows
from tests.docs.sync.tables import TABLES
from tests.real import require

PAGE_TEXT = PAGE.read_text(encoding="utf-8")


def test_every_generated_part_of_the_page_agrees_with_the_program() -> None:
    found = differences(PAGE_TEXT)
    assert not found, "\n".join(["run python -m tests.docs.sync.page --write", *found])


def test_every_generated_part_is_in_the_page_once() -> None:
    assert sorted(re.findall(r"<!-- made: ([a-z-]+) -->", PAGE_TEXT)) == sorted(PARTS)


@pytest.mark.parametrize("name", TABLES)
def test_every_state_of_a_table_is_reached_and_left(name: str) -> None:
    found = list(rows(TABLES[name]))
    states = set(TABLES[name].paths)
    assert {row.state for row in found} == states or name in _WITH_FINAL_STATE
    assert {row.after for row in found} | {TABLES[name].state(ModelSetup())} >= states


_WITH_FINAL_STATE = {"gather", "lock"}
"""Tables that have a state without a row, because the state equals an earlier state of another client."""


@pytest.mark.real
def test_the_examples_do_what_the_page_says(tmp_path: Path) -> None:
    require("bash")
    found = example_differences("docs/sync.md", PAGE_TEXT, tmp_path)
    assert not found, "\n" + "\n".join(found)


def test_commands_in_the_text_parse() -> None:
    spans = re.findall(r"`(linesync [^`]+)`", PAGE_TEXT)
    assert len(spans) > 25
    for span in spans:
        program._parse(shlex.split(span)[1:])


def test_every_sync_command_is_shown() -> None:
    shown = "\n".join(block.text for block in blocks(PAGE_TEXT) if block.language in ("console", "sh"))
    for command in ("barrier", "sem", "lock", "event", "send", "wait", "wait-all", "exchange", "reset", "status"):
        assert command in program.COMMANDS
        assert re.search(rf"(linesync|on sut\d)( --json)? {command}\b", shown), command


def test_every_exit_code_of_a_wait_is_among_the_failures() -> None:
    codes = {int(code) for code in re.findall(r"^\|[^|]*\| (\d+) \| `", PAGE_TEXT, re.MULTILINE)}
    waits = (errors.Aborted, errors.MemberLost, errors.Mismatch, errors.DeadlockError, errors.TimedOut)
    assert codes >= {error.exit_code for error in (*waits, errors.LinesyncFailed, errors.UsageError, errors.NotAllowed)}
