"""docs/performance.md agrees with the measurements. Its tables and figures are generated only from
docs/measurements/performance.json, and they show every missed target."""

from __future__ import annotations

import copy
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tools.bench.__main__ import PARTS
from tools.bench.page.figures import FIGURES
from tools.bench.page.page import PAGE, draw, filled, stale
from tools.bench.page.report import Report
from tools.bench.page.results import KEPT, Kept, keep, kept, tables

PAGE_TEXT = PAGE.read_text(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"
BAUDS = (9600, 115200, 921600)


def sample() -> Kept:
    """Results in the form in which a run stores them."""
    goodput = Report()
    table = goodput.table("goodput-115200", "Goodput of 256 KiB at 115200 baud (payload over line rate)")
    for work, cp, rival in (("clean", 0.98, 0.96), ("BER 1e-6", 0.97, 0.9), ("BER 1e-4", 0.6, "fails")):
        table.add(work, cp=cp, zmodem=rival, kermit=rival, uucp="absent", ideal=0.99, repaired=0.99, target=0.95)
        goodput.target(f"goodput at 115200, {work}, cp", cp, ">=", 0.95)
    table.add("cut 3 s", cp=0.6, zmodem=0.5, ideal=0.65, resumes_after_s=0.4)
    table.extra["runs"] = {"clean": {"cp": [0.97, 0.99]}}
    goodput.remarks.append("goodput, BER 1e-4, zmodem failed: not done after 121 s")
    latency = Report()
    for baud in BAUDS:
        latency.table("latency-idle", "Idle").add(f"{baud} asyncio", line_time=35e4 / baud, p50=35e4 / baud + 2.5)
        latency.table("latency-bulk", "Bulk").add(f"{baud}", p50=35e4 / baud + 10.0, p99=35e4 / baud + 30.0)
        quoted = {"qemu_ga": 21.8, "labgrid": 14.8} if baud == 115200 else {}
        latency.table("latency-run", "Run").add(f"{baud}", p50=9e5 / baud + 1.0, **quoted)
    measured = {"began": 1_800_000_000, "seconds": 60, "load": [0.5, 0.6], "ahead_of_others": True}
    return {"goodput": goodput.as_dict() | measured, "latency": latency.as_dict() | measured}


# -- the page and the results ------------------------------------------------------------------------------------------


def test_the_page_and_the_figures_agree_with_the_results() -> None:
    found = stale()
    assert not found, "\n".join(["run python -m tools.bench figures", *found])


def test_every_stored_table_is_on_the_page() -> None:
    made = re.findall(r"<!-- made: ([a-z0-9-]+) -->", PAGE_TEXT)
    assert len(made) == len(set(made))
    for name in tables(kept()):
        assert name in made or f"table-{name}" in made, f"{name} is missing in docs/performance.md"


@pytest.mark.live  # it starts a program
def test_an_unknown_part_in_the_page_is_an_error() -> None:
    with pytest.raises(KeyError, match="does not generate"):
        filled("<!-- made: nonsense -->\n<!-- end -->", sample())


def test_the_commands_on_the_page_name_existing_parts_of_the_benchmark() -> None:
    named = re.findall(r"-m tools\.bench (\w+)", PAGE_TEXT)
    assert named and set(named) <= {*PARTS, "figures"}
    (listed,) = re.findall(r"one part \(([^)]*)\)", PAGE_TEXT)
    assert set(listed.split(", ")) == set(PARTS)


def test_missed_targets_and_failures_are_shown() -> None:
    page = filled(PAGE_TEXT, sample())
    assert "2 of 3 targets are met." in page
    assert re.search(r"\| goodput at 115200, BER 1e-4, cp \| 0\.6 \| ≥ 0\.95 \| \*\*missed\*\* \|", page)
    assert re.search(r"\| clean \| 0\.980 \|.*\| ≥ 0\.95, met \|", page)
    assert re.search(r"\| BER 1e-4 \| 0\.600 \| fails \| fails \| absent \|.*\| ≥ 0\.95, \*\*missed\*\* \|", page)
    assert "continues within 300 ms: 400 ms, **missed**" in page
    assert "- goodput, BER 1e-4, zmodem failed: not done after 121 s" in page
    assert "differ by at most 0.020 (cp, clean)" in page


def test_filling_a_page_twice_has_the_same_result() -> None:
    page = filled(PAGE_TEXT, sample())
    assert filled(page, sample()) == page
    assert filled(page, {}) == filled(PAGE_TEXT, {})


def test_without_results_the_page_says_that_nothing_was_measured() -> None:
    page = filled(PAGE_TEXT, {})
    assert page.count("Not measured yet.") >= 10 and "**missed**" not in page


# -- the figures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_drawing_is_deterministic(name: str, tmp_path: Path) -> None:
    first = FIGURES[name](sample())
    backwards = dict(reversed(list(copy.deepcopy(sample()).items())))
    assert FIGURES[name](backwards) == first
    path = tmp_path / "performance.json"
    for part, found in sample().items():
        keep(part, found, path)
    assert FIGURES[name](kept(path)) == FIGURES[name](kept(path))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_fits_into_its_area_and_has_units_and_two_colour_schemes(name: str) -> None:
    text = FIGURES[name](sample())
    root = ET.fromstring(text)
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    for circle in root.iter(f"{SVG}circle"):
        assert 0 < float(circle.attrib["cx"]) < width and 0 < float(circle.attrib["cy"]) < height
    for label in root.iter(f"{SVG}text"):
        assert 0 < float(label.attrib["x"]) < width and 0 < float(label.attrib["y"]) < height
    words = " ".join(label.text or "" for label in root.iter(f"{SVG}text"))
    for wanted in {"goodput.svg": ("bit error rate", "payload / line rate"), "latency.svg": ("baud", "milliseconds")}[
        name
    ]:
        assert wanted in words
    assert "prefers-color-scheme: dark" in text
    assert len(list(root.iter(f"{SVG}circle"))) > 3


def test_the_figures_show_linesync_the_rivals_and_the_limits() -> None:
    goodput, latency = (FIGURES[name](sample()) for name in ("goodput.svg", "latency.svg"))
    for wanted in ("linesync cp", "ZMODEM", "Kermit", "ideal selective repeat", "one bad bit repaired"):
        assert wanted in goodput
    assert "UUCP" not in goodput, "UUCP was not installed, so it must have no line and no entry in the legend"
    for wanted in ("under two-way bulk, p99", "median", "line time of its own", "qemu-ga and labgrid", "4000 bytes"):
        assert wanted in latency


def test_a_failed_transfer_is_drawn_at_the_bottom_of_the_figure() -> None:
    found = sample()
    circles = [circle.attrib for circle in ET.fromstring(FIGURES["goodput.svg"](found)).iter(f"{SVG}circle")]
    bottom = max(float(circle["cy"]) for circle in circles)
    assert {circle["class"] for circle in circles if float(circle["cy"]) == bottom} == {"orange", "pink"}


# -- stored results ----------------------------------------------------------------------------------------------------


def test_a_repeated_measurement_replaces_only_its_own_part(tmp_path: Path) -> None:
    path = tmp_path / "performance.json"
    for part, found in sample().items():
        keep(part, found, path)
    repeated = sample()["latency"] | {"remarks": ["measured again"]}
    keep("latency", repeated, path)
    assert kept(path)["latency"]["remarks"] == ["measured again"]
    assert kept(path)["goodput"] == json.loads(json.dumps(sample()["goodput"]))


def test_drawing_writes_the_page_and_the_figures_beside_the_results(tmp_path: Path) -> None:
    page, results = tmp_path / PAGE.name, tmp_path / "measurements" / KEPT.name
    results.parent.mkdir()
    for part, found in sample().items():
        keep(part, found, results)
    page.write_text(PAGE_TEXT, encoding="utf-8")
    assert stale(page, results)
    draw(page, results)
    assert stale(page, results) == []
    assert {path.name for path in results.parent.iterdir()} == {KEPT.name, *FIGURES}
