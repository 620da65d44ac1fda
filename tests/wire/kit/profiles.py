"""The settings of random tests; tests/effort.py says how many lives and examples they run."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.effort import SOAK, lives

__all__ = ["SEED", "examples", "lives"]

SEED = int(os.environ["LINESYNC_SEED"]) if os.environ.get("LINESYNC_SEED") else None
"""The only seed to run, or None."""


def examples(ci: int, soak: int = 100_000, steps: int = 50) -> settings:
    """The settings of a Hypothesis test."""
    return settings(
        max_examples=lives(ci, soak),
        stateful_step_count=steps,
        deadline=None,
        derandomize=not SOAK,  # CI runs the same examples each time; the soak looks for new ones
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
