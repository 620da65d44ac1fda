"""The results of a run: tables, as text and as JSON, and the targets that were met or missed."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["Cell", "Report", "Table", "Target", "percentile", "progress", "shown"]

Cell = float | int | str | None
"""A number, a word, or None if nothing was measured."""


def progress(sentence: str) -> None:
    """Report the progress on stderr, because the tables are written to stdout."""
    print(f"bench: {sentence}", file=sys.stderr, flush=True)


def percentile(values: list[float], share: float) -> float:
    """The percentile of values by the nearest-rank method; NaN if there are no values.

    :param share: 0 to 1; 0.99 for p99.
    """
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A measured figure and its target."""

    what: str
    """The name of the figure."""
    value: float
    """The measured value."""
    sense: Literal["<=", ">="]
    """Whether the value must be at most, or at least, the bound."""
    bound: float
    unit: str = ""
    """The unit of the value and of the bound."""

    @property
    def met(self) -> bool:
        return self.value <= self.bound if self.sense == "<=" else self.value >= self.bound

    def sentence(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.what}: {self.value:.4g}{unit}, target {self.sense} {self.bound:g}{unit}"


@dataclass(slots=True)
class Table:
    """A table: rows by label. The columns are in the order in which they were first added."""

    title: str
    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    """Data that is saved but not shown: the results of single runs."""

    def add(self, label: str, **cells: Cell) -> None:
        """Add cells to a row: column to value. The table shows an underscore in the name of a column as a space."""
        self.rows.setdefault(label, {}).update(cells)

    def text(self) -> str:
        columns = list(dict.fromkeys(name for cells in self.rows.values() for name in cells))
        lines = [["", *(name.replace("_", " ") for name in columns)]]
        lines += [[label, *(shown(cells.get(name)) for name in columns)] for label, cells in self.rows.items()]
        widths = [max(len(line[n]) for line in lines) for n in range(len(columns) + 1)]
        texts = [
            "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
            for line in lines
        ]
        notes = [f"  {note}" for note in self.notes]
        return "\n".join([self.title, "-" * len(self.title), *(text.rstrip() for text in texts), *notes])


def shown(cell: Cell) -> str:
    """A cell as text."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        if cell != cell:
            return "-"
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3f}" if abs(cell) < 10 else f"{cell:.1f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


class Report:
    """All results of one run."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.targets: list[Target] = []
        self.failures: list[str] = []
        """Sentences about failed measurements."""
        self.remarks: list[str] = []
        """Sentences about rivals that failed, and other remarks for the reader."""
        self.parts: dict[str, dict[str, Any]] = {}
        """For each part, the result of :meth:`as_dict`."""
        self.ahead: bool | None = None
        """Whether the processes on a line had real-time priority; None if no line was measured."""
        self._began = time.time()
        self._load = os.getloadavg()[0]

    def table(self, name: str, title: str) -> Table:
        """The table with this name. It is created if it does not exist."""
        return self.tables.setdefault(name, Table(title))

    def target(self, what: str, value: float, sense: Literal["<=", ">="], bound: float, unit: str = "") -> None:
        """Add a target. The parameters are the fields of :class:`Target`."""
        self.targets.append(Target(what=what, value=value, sense=sense, bound=bound, unit=unit))

    def text(self) -> str:
        """The report as text."""
        parts = [table.text() for table in self.tables.values() if table.rows]
        if self.targets:
            missed = [target for target in self.targets if not target.met]
            head = f"Targets: {len(self.targets) - len(missed)} met, {len(missed)} missed"
            lines = [f"  {'met   ' if target.met else 'MISSED'}  {target.sentence()}" for target in self.targets]
            parts.append("\n".join([head, "-" * len(head), *lines]))
        for head, sentences in (("Not measured", self.failures), ("Remarks", self.remarks)):
            if sentences:
                parts.append("\n".join([head, "-" * len(head), *(f"  {sentence}" for sentence in sentences)]))
        load = f"load average {self._load:.2f} before and {os.getloadavg()[0]:.2f} after, {os.cpu_count()} processors"
        scheduling = {None: "", True: "; lines: scheduled before others", False: "; lines: scheduled among others"}
        return "\n\n".join([*parts, f"({time.time() - self._began:.0f} s; {load}{scheduling[self.ahead]})"])

    def absorb(self, part: str, results: Report) -> None:
        """Add the results of a part."""
        self.parts[part] = results.as_dict()
        self.tables |= results.tables
        self.targets += results.targets
        self.failures += results.failures
        self.remarks += results.remarks
        self.ahead = results.ahead if results.ahead is not None else self.ahead

    def as_dict(self) -> dict[str, Any]:
        """The report as a dictionary for JSON."""
        system = os.uname()  # platform.platform() may start a process
        return {
            "machine": {
                "system": f"{system.sysname}-{system.release}-{system.machine}",
                "python": platform.python_version(),
                "cpus": os.cpu_count(),
            },
            "began": round(self._began),
            "seconds": round(time.time() - self._began),
            "load": [round(load, 2) for load in (self._load, os.getloadavg()[0])],
            "ahead_of_others": self.ahead,
            "tables": {
                name: {"title": t.title, "rows": t.rows, "notes": t.notes, **t.extra}
                for name, t in self.tables.items()
                if t.rows
            },
            "targets": [
                {"what": t.what, "value": t.value, "sense": t.sense, "bound": t.bound, "unit": t.unit, "met": t.met}
                for t in self.targets
            ],
            "failures": self.failures,
            "remarks": self.remarks,
        }

    def save(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(json.dumps(self.as_dict(), indent=1) + "\n")
