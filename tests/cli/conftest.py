"""A hub for the commands under test, with sockets and settings that are separate from those of this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import kit


@pytest.fixture
def site() -> Iterator[kit.Site]:
    with kit.site() as site:
        yield site


@pytest.fixture(scope="module")
def hub() -> Iterator[kit.Site]:
    """A site where a hub runs, for tests that do not change it."""
    with kit.site() as site:
        site.hub().says("scripts on this machine")
        yield site
