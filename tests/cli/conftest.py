"""A hub for the commands under test, and the places that they look at kept apart from this machine's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import kit


@pytest.fixture
def site() -> Iterator[kit.Site]:
    with kit.site() as place:
        yield place


@pytest.fixture(scope="module")
def hub() -> Iterator[kit.Site]:
    """A place where a hub runs, for tests that only ask it."""
    with kit.site() as place:
        place.hub().says("scripts on this machine")
        yield place
