"""The length of the searches: 200 lives; 10,000 with LINESYNC_SOAK=1, or the number in LINESYNC_SOAK."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SOAK = int(os.environ.get("LINESYNC_SOAK") or 0)

settings.register_profile(
    "model",
    max_examples={0: 200, 1: 10_000}.get(_SOAK, _SOAK),
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
