"""A test bus that is restored from its rows behaves like the bus that stored them, at any moment of random lives.

This is the search of ``tests/model/kept/test_restore_search.py`` with more inputs for the test bus.
"""

from __future__ import annotations

import pytest

from tests.effort import lives
from tests.model.kept.test_restore_search import Life

INPUTS = 150


class BusLife(Life):
    """A life in which most inputs are for the test bus, and few hosts are lost."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        inputs = self.inputs
        inputs.kinds = [
            *([inputs.register] * 2),
            *([inputs.confirm] * 8),
            *([inputs.end_one] * 1),
            *([inputs.retry] * 2),
            *([inputs.test] * 4),
            *([inputs.claim] * 8),
            *([inputs.attach] * 8),
            *([inputs.delete] * 2),
            *([inputs.run] * 10),
            *([inputs.report] * 8),
            inputs.ended,
            inputs.client_gone,
        ]

    def pass_time(self, seconds: float) -> None:
        super().pass_time(min(seconds, 4.0))


@pytest.mark.parametrize("seed", range(lives(50, 5000)))
def test_a_restored_bus_behaves_like_the_stored_bus(seed: int) -> None:
    BusLife(seed).live(INPUTS)
