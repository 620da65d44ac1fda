"""Compare the results of real commands with the state of a hub that is killed with SIGKILL and continues from its file.

The rounds are those of ``test_ledger.py``, but the hub is always the victim. No state may be lost with it: after its restart,
the state must match the reports of the commands. ``LINESYNC_ROUNDS=50`` plays more rounds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.kit import SerialSite, serial_site

from .ledger import Lost
from .test_ledger import Round, measured

ROUNDS = int(os.environ.get("LINESYNC_ROUNDS") or 5)
_SIDES = ("c1", "hub")


class DurableRound(Round):
    HUB = ("--state", "hub.db")

    def _victim_and_side(self, number: int) -> tuple[str, str]:
        return "hub", _SIDES[number // 2 % len(_SIDES)]

    def _lost(self) -> Lost:
        return Lost()


@pytest.fixture(scope="module")
def site() -> Iterator[SerialSite]:
    with serial_site(*DurableRound.HUB, hosts=("c1",)) as place:
        yield place


@pytest.fixture(scope="module")
def start_up(site: SerialSite) -> float:
    return measured(site)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_is_lost_with_a_killed_hub(site: SerialSite, number: int, start_up: float) -> None:
    round = DurableRound(site, number, start_up)
    try:
        round.play()
        decided = all(report.succeeded for report in round.decisions)
        if decided and not round.operation.timeout_options:
            for report in round.reports:
                assert report.succeeded or "connect" in report.err, f"a command that had connected failed: {report}"
    except AssertionError as error:
        pytest.fail(f"{error}\n{round}")
    print(round.title, [report.code for report in round.reports], [report.code for report in round.decisions])
