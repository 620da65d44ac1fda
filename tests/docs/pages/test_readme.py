"""README.md is short and complete, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from linesync.cli import main as program
from tests.docs.pages.examples import ROOT, differences
from tests.real import require

DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.real
def test_the_examples_do_what_the_readme_says(tmp_path: Path) -> None:
    require("bash")
    found = differences("README.md", README, tmp_path)
    assert not found, "\n" + "\n".join(found)


def test_the_readme_has_at_most_200_lines() -> None:
    assert len(README.splitlines()) <= 200


def test_the_readme_names_every_command() -> None:
    for command in program.COMMANDS:
        if command not in ("hub", "agent"):  # these two have a section
            assert re.search(rf"^\| .*`(linesync )?{command}\b", README, re.MULTILINE), command


def test_the_readme_names_the_command_that_runs_the_tests() -> None:
    assert "`make test`" in README


def test_the_readme_links_every_page_of_docs() -> None:
    linked = set(re.findall(r"\(docs/([a-z/-]+\.md)\)", README))
    pages = {str(path.relative_to(DOCS)) for folder in (DOCS, DOCS / "reference") for path in folder.glob("*.md")}
    assert linked == pages - {"index.md", "reference/commands.md"}  # these two pages are only useful on the site
