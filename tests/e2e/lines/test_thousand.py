"""A thousand members meet at one hub over eight serial lines."""

from __future__ import annotations

import pytest

from tools.bench.measure.members import members
from tools.bench.page.report import Report


@pytest.mark.real
def test_a_thousand_members_over_eight_lines_are_all_released() -> None:
    report = Report()
    members(report, count=1000, lines=8, rounds=1)
    rows = report.tables["members"].rows
    assert {label: row["released"] for label, row in rows.items()} == {"by members": 1000, "by count": 1000}
    for label, row in rows.items():  # the list of names is not sent once for each member
        assert isinstance(row["bytes_up_a_member"], float) and row["bytes_up_a_member"] < 200, label
        assert isinstance(row["bytes_down_a_member"], float) and row["bytes_down_a_member"] < 100, label
