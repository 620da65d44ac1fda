"""A small run of the benchmarks of the hub fills all its tables. ``make bench`` measures the real figures."""

from __future__ import annotations

import pytest

from tools.bench.measure.hub import hub
from tools.bench.page.report import Report
from tools.bench.rivals.ssh import why_no_ssh
from tools.bench.rivals.stores import DURABLE_STORES, STORES, why_no_store, why_not_compiled

pytestmark = pytest.mark.real


def test_every_table_of_the_hub_is_filled() -> None:
    report = Report()
    hub(report, seconds=0.2, parties=200, lines=4, idle=60, file_size=1 << 20)
    assert not report.failures, report.text()
    expected = {"linesync", *(name for name in STORES if not why_no_store(name))}
    expected |= {name for name in DURABLE_STORES if "redis" in expected or "redis" not in name}
    expected |= set() if why_not_compiled() else {"linesync, compiled"}
    hot = report.tables["hub-hot"].rows
    assert hot.keys() == expected, "only rivals that are not installed may be missing"
    assert all(isinstance(row["20_clients_per_s"], float) and row["20_clients_per_s"] > 10 for row in hot.values())
    missing = [name for name in STORES if name not in expected]
    assert all(any(name in remark for remark in report.remarks) for name in missing), report.remarks
    assert report.tables["hub-barrier"].rows["by count"]["seconds"]
    assert report.tables["hub-idle"].rows["hub"]["clients"] == 60
    assert ("hub-ssh" in report.tables) is (why_no_ssh() == "")


def test_a_missing_rival_is_reported_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt-get install redis-server" in why_no_store("redis")
    assert "apt-get install etcd-server" in why_no_store("etcd")
