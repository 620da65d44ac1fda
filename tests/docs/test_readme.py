"""README.md says what the program does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from linesync import errors
from linesync.cli import main as program
from tests.docs.pages import LANGUAGES, ROOT, blocks, check_links, check_parse, check_python_is_run, differences
from tests.real import require

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.real
def test_the_examples_do_what_the_readme_says(tmp_path: Path) -> None:
    require("bash", "socat")
    told = differences("README.md", README, tmp_path)
    assert not told, "\n" + "\n".join(told)


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    assert {block.language for block in blocks(README)} <= LANGUAGES


def test_every_python_example_is_run() -> None:
    check_python_is_run(README)


def test_commands_for_other_machines_parse() -> None:
    check_parse(README)


def test_settings_are_toml() -> None:
    for block in blocks(README):
        if block.language == "toml":
            assert tomllib.loads(block.text)


def test_every_command_is_named() -> None:
    for command in program.COMMANDS:
        if command not in ("hub", "agent"):  # these two have a section
            assert re.search(rf"^\| .*`(linesync )?{command}\b", README, re.MULTILINE), command


def test_every_exit_code_is_named() -> None:
    table = README.split("## Exit codes")[1].split("\n## ")[0]
    for name in errors.__all__:
        error = getattr(errors, name)
        if isinstance(error, type):
            assert re.search(rf"^\|.*\b{error.exit_code}\b.*\|.*\|", table, re.MULTILINE), name


def test_links_into_this_repository_lead_somewhere() -> None:
    check_links(README, ROOT)
