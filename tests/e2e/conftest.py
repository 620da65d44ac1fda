"""A separate site for the processes of each end-to-end test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import kit


@pytest.fixture
def site() -> Iterator[kit.Site]:
    with kit.site() as place:
        yield place
