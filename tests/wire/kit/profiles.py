"""The number of random examples: few in CI, a night's work with LINESYNC_SOAK=1, n with LINESYNC_SOAK=n."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

__all__ = ["SEED", "examples", "lives"]

_SOAK = int(os.environ.get("LINESYNC_SOAK") or 0)

SEED = int(os.environ["LINESYNC_SEED"]) if os.environ.get("LINESYNC_SEED") else None
"""The seed to run again, or None."""


def lives(ci: int, soak: int) -> int:
    """The number of seeds that a test runs."""
    return {0: ci, 1: soak}.get(_SOAK, _SOAK)


def examples(ci: int, soak: int = 100_000, steps: int = 50) -> settings:
    """The settings of a Hypothesis test."""
    return settings(
        max_examples=lives(ci, soak),
        stateful_step_count=steps,
        deadline=None,
        derandomize=_SOAK == 0,  # CI runs the same examples each time; the soak looks for new ones
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
