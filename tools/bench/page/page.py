"""Generates parts of docs/performance.md, and its figures, from the results in docs/measurements/performance.json.

A generated part is between ``<!-- made: NAME -->`` and ``<!-- end -->``. The rest of the page is written by hand.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .figures import FIGURES
from .report import Target, shown
from .results import KEPT, Kept, kept, tables

__all__ = ["PAGE", "draw", "filled", "stale"]

PAGE = KEPT.parents[1] / "performance.md"
_MARK = re.compile(r"(<!-- made: ([a-z0-9-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_HEADS = {
    "cp": "`linesync cp`",
    "zmodem": "ZMODEM",
    "kermit": "Kermit",
    "uucp": "UUCP 'i'",
    "repaired": "ideal, one bit repaired",
}
_NOTHING = "Not measured yet.\n"

Row = Mapping[str, Any]


def filled(page: str, found: Kept) -> str:
    """The page, with all its parts generated again from the results.

    :raises KeyError: the page names a part that does not exist.
    """
    return _MARK.sub(lambda match: f"{match[1]}{_part(match[2], found)}{match[4]}", page)


def draw(page: Path = PAGE, results: Path = KEPT) -> None:
    """Draw the figures, in the folder of the results, and generate the parts of the page again."""
    found = kept(results)
    for name, figure in FIGURES.items():
        results.with_name(name).write_text(figure(found), encoding="utf-8")
    page.write_text(filled(page.read_text(encoding="utf-8"), found), encoding="utf-8")


def stale(page: Path = PAGE, results: Path = KEPT) -> list[str]:
    """The lines of a diff between the page and figures and the results; empty if they agree."""
    found = kept(results)
    lines: list[str] = []
    text = page.read_text(encoding="utf-8")
    files = {page.name: (text, filled(text, found))}
    for name, figure in FIGURES.items():
        path = results.with_name(name)
        files[name] = (path.read_text(encoding="utf-8") if path.exists() else "", figure(found))
    for name, (current, expected) in files.items():
        texts = current.splitlines(), expected.splitlines()
        lines += difflib.unified_diff(*texts, name, "the results", lineterm="", n=0)
    return lines


def _part(name: str, found: Kept) -> str:
    if name in _PARTS:
        return _PARTS[name](found)
    if name.startswith("table-"):
        return _saved(tables(found).get(name.removeprefix("table-")))
    raise KeyError(f"docs/performance.md has a part {name}, which tools.bench does not generate")


# -- tables ------------------------------------------------------------------------------------------------------------


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, ["---"] * len(head), *rows])


def _saved(table: Mapping[str, Any] | None) -> str:
    """A stored table as Markdown, with its title and notes."""
    if not table:
        return _NOTHING
    rows: Mapping[str, Row] = table["rows"]
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    head = ["", *(name.replace("_", " ") for name in columns)]
    saved = _table(head, ([label, *(shown(row.get(name)) for name in columns)] for label, row in rows.items()))
    return f"{table['title']}\n\n{saved}{_notes(table)}"


def _notes(table: Mapping[str, Any]) -> str:
    return "".join(f"\n- {note}" for note in table["notes"]) + "\n" * bool(table["notes"])


def _goodput(found: Kept, baud: int) -> str:
    table = tables(found).get(f"goodput-{baud}")
    if not table:
        return _NOTHING
    columns = ["cp", "client", "zmodem", "kermit", "uucp", "ideal", "repaired"]
    columns = [name for name in columns if any(name in row for row in table["rows"].values())]
    head = ["work", *(_HEADS.get(name, name) for name in columns), "target"]
    lines = []
    for work, row in table["rows"].items():
        lines.append([work, *(shown(row.get(name)) for name in columns), _verdict(row)])
    return _table(head, lines) + _notes(table)


def _verdict(row: Row) -> str:
    after = row.get("resumes_after_s")
    if after is not None:
        return f"continues within 300 ms: {after * 1000:.0f} ms, {'met' if after <= 0.3 else '**missed**'}"
    if row.get("target") is None:
        return "-"
    rate = row.get("cp")
    met = isinstance(rate, float | int) and rate >= row["target"]
    return f"≥ {row['target']:g}, {'met' if met else '**missed**'}"


# -- sentences ---------------------------------------------------------------------------------------------------------


def _targets(found: Kept) -> str:
    """A table of all targets. The missed targets come first."""
    targets = [Target(**_arguments(target)) for _, part in sorted(found.items()) for target in part["targets"]]
    if not targets:
        return _NOTHING
    missed = [target for target in targets if not target.met]
    head = f"{len(targets) - len(missed)} of {len(targets)} targets are met.\n\n"
    sign = {"<=": "≤", ">=": "≥"}
    rows = [
        [
            target.what,
            f"{target.value:.4g} {target.unit}".strip(),
            f"{sign[target.sense]} {target.bound:g} {target.unit}".strip(),
            "met" if target.met else "**missed**",
        ]
        for target in sorted(targets, key=lambda target: target.met)
    ]
    return head + _table(["figure", "measured", "target", ""], rows)


def _arguments(target: Mapping[str, Any]) -> dict[str, Any]:
    return {key: target[key] for key in ("what", "value", "sense", "bound", "unit")}


def _measured(found: Kept) -> str:
    """A table with the time, the machine and the load average of the measurement of each part."""
    if not found:
        return _NOTHING
    rows = []
    for part, result in sorted(found.items()):
        machine = result["machine"]
        began = time.strftime("%Y-%m-%d %H:%M", time.gmtime(result["began"]))
        scheduling = {True: "ahead of others", False: "among others"}.get(result["ahead_of_others"], "-")
        rows.append(
            [
                f"`{part}`",
                f"{began} UTC",
                f"{result['seconds']} s",
                " to ".join(f"{load:.2f}" for load in result["load"]),
                scheduling,
                f"{machine['cpus']} processors, Python {machine['python']}",
            ]
        )
    return _table(["part", "when", "took", "load average", "scheduled", "machine"], rows)


def _noise(found: Kept) -> str:
    """A list with the largest difference between runs of one transfer, for each table."""
    largest: dict[str, tuple[float, str, str]] = {}
    for name, table in tables(found).items():
        for work, by_whom in table.get("runs", {}).items():
            for program, rates in by_whom.items():
                if len(rates) > 1:
                    difference = max(rates) - min(rates)
                    largest[name] = max(largest.get(name, (-1.0, "", "")), (difference, work, program))
    if not largest:
        return _NOTHING
    return "".join(
        f"- {name}: runs of one transfer differ by at most {difference:.3f} ({program}, {work}).\n"
        for name, (difference, work, program) in sorted(largest.items())
    )


def _remarks(found: Kept) -> str:
    sentences = [line for _, part in sorted(found.items()) for line in (*part["failures"], *part["remarks"])]
    return "".join(f"- {sentence}\n" for sentence in sentences) or "Nothing failed.\n"


_PARTS: dict[str, Callable[[Kept], str]] = {
    "goodput-115200": lambda found: _goodput(found, 115200),
    "goodput-921600": lambda found: _goodput(found, 921600),
    "targets": _targets,
    "measured": _measured,
    "noise": _noise,
    "remarks": _remarks,
}
