"""Hostile bytes on one socket of a hub do not stop its other clients."""

from __future__ import annotations

import pytest

from tools.bench.measure.hostile import hostile
from tools.bench.page.report import Report


@pytest.mark.parametrize("attack", ["wrong check, line ends, repairable", "expanded messages"])
def test_another_client_gets_its_answer_after_a_small_part_of_the_hubs_work(attack: str) -> None:
    report = Report()
    hostile(report, [attack])
    (row,) = report.tables["hostile"].rows.values()
    # The hub's processor time does not depend on other processes of the machine.
    share = float(row["cpu_in_stall_ms"] or 0) / 1000 / max(float(row["cpu_s"] or 0), 0.2)
    assert share < 0.12, f"one answer took {share:.0%} of the hub's work for the attack: {report.text()}"
