"""Starts a hub and an agent, for clients in the test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import kit
from tests.e2e.kit import Site


@pytest.fixture(scope="module")
def pair() -> Iterator[kit.Site]:
    """A hub and an agent on a Unix socket, for all tests of a module."""
    with kit.site() as place:
        place.hub("--listen", f"unix:{place.folder}/lines").says("listening on")
        place.agent("--port", f"unix:{place.folder}/lines").says("is registered")
        yield place


@pytest.fixture
def site() -> Iterator[Site]:
    with kit.site() as place:
        yield place
