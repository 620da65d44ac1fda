"""Checks the links, blocks and commands of all pages, and runs the examples of the tour."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from linesync import errors
from linesync.cli import common
from linesync.cli import main as program
from linesync.model.groups import declarations_file
from linesync.testing import conform
from tests.docs.pages.examples import (
    LANGUAGES,
    ROOT,
    blocks,
    check_links,
    check_parse,
    check_python_is_run,
    differences,
)
from tests.real import require
from tools import command_pages, conform_rules

DOCS = ROOT / "docs"
PAGES = [*DOCS.glob("*.md"), *(DOCS / "reference").glob("*.md")]
EXECUTED = (
    "README.md",
    *("docs/tour.md", "docs/sync.md", "docs/operations.md", "docs/policy.md", "docs/phases.md", "docs/commands.md"),
    "docs/conform.md",
    "docs/sockets.md",
    "docs/files.md",
)
NAMES = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "firmware-notes/README.md"),
    *(str(path.relative_to(ROOT)) for path in sorted(PAGES)),
]
SPHINX_BLOCKS = {"{toctree}", "{eval-rst}"}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.real
def test_the_examples_do_what_the_tour_says(tmp_path: Path) -> None:
    require("bash")
    found = differences("docs/tour.md", text_of("docs/tour.md"), tmp_path)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.real
def test_the_examples_do_what_the_page_about_operations_says(tmp_path: Path) -> None:
    require("bash")
    found = differences("docs/operations.md", text_of("docs/operations.md"), tmp_path)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.real
def test_the_examples_do_what_the_page_about_commands_says(tmp_path: Path) -> None:
    require("bash")
    found = differences("docs/commands.md", text_of("docs/commands.md"), tmp_path)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.real
def test_the_examples_do_what_the_page_about_services_says(tmp_path: Path) -> None:
    require("bash")
    found = differences("docs/phases.md", text_of("docs/phases.md"), tmp_path)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.real
def test_the_examples_do_what_the_page_about_checking_an_endpoint_says(tmp_path: Path) -> None:
    require("bash")
    found = differences("docs/conform.md", text_of("docs/conform.md"), tmp_path)
    assert not found, "\n" + "\n".join(found)


def test_the_page_about_checking_an_endpoint_has_every_rule() -> None:
    text = text_of("docs/conform.md")
    assert conform_rules.page(text) == text, "run python -m tools.conform_rules --write"
    assert all(f"| `{rule.id}` | {rule.section} |" in text for rule in (*conform.RULES, *conform.WATCHED))


@pytest.mark.real
def test_the_examples_do_what_the_page_about_files_says(tmp_path: Path) -> None:
    require("bash")
    found = differences("docs/files.md", text_of("docs/files.md"), tmp_path)
    assert not found, "\n" + "\n".join(found)


def test_the_page_about_services_has_every_key_of_their_declarations() -> None:
    rows = text_of("docs/phases.md").split("## Declarations")[1].split("## Steps")[0]
    named = {key for row in re.findall(r"^\| (`.*?`) \|", rows, re.MULTILINE) for key in re.findall(r"`([\w-]+)`", row)}
    assert named == {*declarations_file.TOP, *declarations_file.SERVICE}


@pytest.mark.real
def test_the_examples_do_what_the_page_about_the_policy_says(tmp_path: Path) -> None:
    require("bash")
    found = differences("docs/policy.md", text_of("docs/policy.md"), tmp_path)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.real
def test_the_examples_do_what_the_page_about_sockets_says(tmp_path: Path) -> None:
    require("bash", "curl", "dbus-daemon", "dbus-send")
    found = differences("docs/sockets.md", text_of("docs/sockets.md"), tmp_path)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("name", NAMES)
def test_links_into_this_repository_resolve(name: str) -> None:
    check_links(text_of(name), (ROOT / name).parent)


@pytest.mark.parametrize("name", NAMES)
def test_every_block_is_of_a_kind_that_is_checked(name: str) -> None:
    if name != "docs/protocol.md":  # tests/docs/protocol/test_examples.py checks the kinds of its blocks
        assert {block.language for block in blocks(text_of(name))} <= LANGUAGES | SPHINX_BLOCKS


@pytest.mark.parametrize("name", NAMES)
def test_commands_that_are_not_run_can_be_parsed(name: str) -> None:
    if any(
        re.search("^linesync ", block.text, re.MULTILINE) for block in blocks(text_of(name)) if block.language == "sh"
    ):
        check_parse(text_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_python_examples_are_run_or_can_be_compiled(name: str) -> None:
    if name in EXECUTED:
        check_python_is_run(text_of(name))
    for block in blocks(text_of(name)):
        if block.language == "python":
            compile(block.text, f"{name}:{block.line}", "exec")


def test_only_pages_whose_examples_are_run_have_console_blocks() -> None:
    found = [name for name in NAMES if any(block.language == "console" for block in blocks(text_of(name)))]
    assert sorted(found) == sorted(EXECUTED)


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_settings_are_valid_toml(name: str) -> None:
    for block in blocks(text_of(name)):
        if block.language == "toml":
            assert tomllib.loads(block.text)


def test_every_exit_code_is_documented() -> None:
    page = text_of("docs/reference/exit-codes.md")
    for name in errors.__all__:
        error = getattr(errors, name)
        if isinstance(error, type):
            assert re.search(rf"^\| {error.exit_code} \| ", page, re.MULTILINE), name


def test_every_setting_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    names: set[str] = set()
    monkeypatch.setattr(common, "setting", lambda name, command="": names.add(name))
    program.build_parser()
    page = text_of("docs/reference/endpoints.md")
    assert len(names) > 10
    for name in names:
        variable = "LINESYNC_" + name.upper().replace("-", "_")
        assert re.search(rf"^\|.*`{variable}`.*`{name}`.*\|", page, re.MULTILINE), name


def test_every_page_of_docs_is_in_the_table_of_contents() -> None:
    listed = {line for block in blocks(text_of("docs/index.md")) for line in block.text.splitlines()}
    assert listed >= {str(path.relative_to(DOCS).with_suffix("")) for path in PAGES} - {"index"}


# -- the pages of the commands -----------------------------------------------------------------------------------------


def test_each_command_has_a_page_with_its_usage_options_and_examples() -> None:
    made = command_pages.pages()
    assert set(made) == {command_pages.MAIN, *map(command_pages.man_name, program.COMMANDS)}
    for command in program.COMMANDS:
        page = made[command_pages.man_name(command)]
        assert f"\n   linesync {command} " in page.split("Examples")[0]
        assert "\n``--json``\n" in page
        assert page.count(f"   linesync {command}") >= 2, "no example"


def test_the_page_of_the_program_has_every_exit_code() -> None:
    page = command_pages.pages()[command_pages.MAIN]
    for code in (0, 2, 3, 4, 5, 6, 7, 124, 125, 126, 127, 130):
        assert f"\n**{code}**\n" in page


def test_an_unchanged_page_is_not_written_again_and_an_obsolete_page_is_removed(tmp_path: Path) -> None:
    (tmp_path / "linesync-gone.rst").write_text("stale")
    command_pages.write(tmp_path)
    first = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    command_pages.write(tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == first
    assert "linesync-gone.rst" not in first and "linesync-barrier.rst" in first


def test_special_characters_of_a_help_text_are_escaped_in_its_page() -> None:
    assert command_pages._escaped("a*b`c|d_ tcp://h") == r"a\*b\`c\|d\_ tcp\://h"
