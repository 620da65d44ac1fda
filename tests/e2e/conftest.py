"""Every end-to-end test gets a place of its own for its processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import kit


@pytest.fixture
def site() -> Iterator[kit.Site]:
    with kit.site() as place:
        yield place
