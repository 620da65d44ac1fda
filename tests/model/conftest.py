"""The number of lives of the searches: 200 in a full run, 10,000 in a soak, fewer with less effort (tests/effort.py)."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

from tests.effort import lives

settings.register_profile(
    "model",
    max_examples=lives(200, 10_000),
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    phases=set(Phase) - {Phase.explain},  # it traces each line, which slows shrinking
    suppress_health_check=list(HealthCheck),
)
