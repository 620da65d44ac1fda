"""The workloads of goodput and their targets, and the limits that are calculated for them."""

from __future__ import annotations

import pytest

from linesync.testing.faults import Faults
from tools.bench.measure.workloads import FAST, FRAME_OVERHEAD, LICENCES, WORKLOADS, content, ideal, selective_repeat
from tools.bench.rivals.transfer import RIVALS
from tools.bench.testbed.system import BenchError

BY_NAME = {work.name: work for work in WORKLOADS}
TARGETS = {
    "clean": 0.97,
    "BER 1e-6": 0.955,
    "BER 1e-5": 0.92,
    "BER 1e-4": 0.68,
    "licence texts": 3.9,
    "7-bit": 0.73,
    "printk 1/s": 0.93,
    "100 ms delay": 0.93,
    "XON/XOFF eaten": 0.95,
}
"""The targets of `linesync cp` at 115200 baud."""


def test_every_workload_has_its_target() -> None:
    assert {name: work.targets[115200] for name, work in BY_NAME.items() if 115200 in work.targets} == TARGETS
    assert {name: BY_NAME[name].targets[921600] for name in FAST} == {"clean": 0.96, "BER 1e-6": 0.94, "BER 1e-5": 0.90}
    cut = BY_NAME["cut 3 s"]
    assert cut.cut is not None and (cut.cut.at, cut.cut.duration, cut.max_size, cut.resumes) == (1.0, 3.0, 65536, 0.3)


def test_every_workload_names_rivals_that_exist() -> None:
    assert {name for work in WORKLOADS for name in (work.kermit, work.uucp)} <= set(RIVALS)


def test_workloads_without_a_target_are_error_rates_for_the_figure() -> None:
    without_target = [work for work in WORKLOADS if not work.targets and work.resumes is None]
    assert [work.faults for work in without_target] == [Faults(ber=rate) for rate in (1e-7, 3e-6, 3e-5)]


def test_files_are_reproducible_and_texts_are_never_repeated() -> None:
    clean, texts = BY_NAME["clean"], BY_NAME["licence texts"]
    assert content(clean, 5000, 1) == content(clean, 5000, 1) != content(clean, 5000, 2)
    assert len(content(BY_NAME["cut 3 s"], 1 << 20, 1)) == 65536
    if not LICENCES.exists():
        with pytest.raises(BenchError, match="licence texts"):
            content(texts, 5000, 1)
        return
    complete = content(texts, 1 << 30, 1)
    assert complete[:5000] == content(texts, 5000, 2)
    assert complete.count(complete[:2000]) == 1


def test_the_limit_of_selective_repeat_uses_the_best_frame_length() -> None:
    lengths = range(64, 2049, 16)
    assert selective_repeat(0.0, repair=False) == 1 - FRAME_OVERHEAD / 2048
    for ber in (1e-6, 1e-5, 1e-4):
        best = max((1 - FRAME_OVERHEAD / n) * (1 - ber) ** (8 * n) for n in lengths)
        repaired = max(
            (1 - FRAME_OVERHEAD / n) * ((1 - ber) ** (8 * n) + 8 * n * ber * (1 - ber) ** (8 * n - 1)) for n in lengths
        )
        assert selective_repeat(ber, repair=False) == pytest.approx(best)
        assert selective_repeat(ber, repair=True) == pytest.approx(repaired)


def test_the_limits_of_the_workloads() -> None:
    def limit(name: str) -> float:
        work = BY_NAME[name]
        return ideal(work, repair=True, content=content(work, 256 << 10, 1), byte_rate=11520)

    frames = 1 - FRAME_OVERHEAD / 2048
    assert limit("clean") == limit("XON/XOFF eaten") == pytest.approx(frames)
    assert limit("7-bit") == pytest.approx(frames * 7 / 8)
    assert limit("100 ms delay") == pytest.approx(22.756 / (22.756 / frames + 0.2), rel=1e-4)
    assert limit("cut 3 s") == pytest.approx(5.689 / (5.689 / frames + 3.0), rel=1e-3)
    assert 0.98 < limit("printk 1/s") < frames


@pytest.mark.parametrize("name", TARGETS)
def test_no_target_is_above_its_limit(name: str) -> None:
    work = BY_NAME[name]
    if work.kind == "texts" and not LICENCES.exists():
        pytest.skip("no licence texts here")
    assert TARGETS[name] < ideal(work, repair=True, content=content(work, 256 << 10, 1), byte_rate=11520)
