"""Random lives of a link with mixed faults, restarts and lost lines: everything arrives exactly once and in order.

CI runs 500 lives, and LINESYNC_SOAK=1 runs 10,000. ``LINESYNC_SEED=n pytest tests/wire/test_lives.py`` runs one life again.
"""

from __future__ import annotations

import pytest

from .kit.life import Life
from .kit.profiles import SEED, lives

_BATCH = 25


def _seeds() -> list[range]:
    if SEED is not None:
        return [range(SEED, SEED + 1)]
    count = lives(500, 10_000)
    return [range(first, min(first + _BATCH, count)) for first in range(0, count, _BATCH)]


@pytest.mark.parametrize("seeds", _seeds(), ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_everything_arrives_once_and_in_order_in_a_life_of_faults(seeds: range) -> None:
    for seed in seeds:
        life = Life(seed)
        try:
            life.live()
        except Exception as error:
            pytest.fail(
                f"{type(error).__name__}: {error}\n{life.line.cable.ab.faults}\n{life.line.cable.ba.faults}\n"
                f"{life.line.transcript(80)}\n"
                f"run it again: LINESYNC_SEED={seed} pytest tests/wire/test_lives.py",
                pytrace=True,
            )


def test_a_seed_gives_exactly_the_same_life_again() -> None:
    transcripts = []
    for _ in range(2):
        life = Life(11)
        life.live()
        transcripts.append(life.line.transcript(4000))
    assert transcripts[0] == transcripts[1]
