"""Fixtures: the installed drop-in commands, and a site (a directory with running hubs and agents)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from linesync.cli.main import main
from tests.e2e import kit


@pytest.fixture
def site() -> Iterator[kit.Site]:
    with kit.site() as place:
        yield place


@pytest.fixture(scope="session")
def shims(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the installed commands."""
    folder = tmp_path_factory.mktemp("shims")
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["compat", "install", str(folder)]) == 0
    return folder
