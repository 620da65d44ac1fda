"""Stores the results of each part of the benchmark in docs/measurements/performance.json.

When a part is measured again, its results replace its old results. The results of the other parts do not change. The figures
and tables of docs/performance.md are generated only from this file, so they can be generated without measuring.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["KEPT", "Kept", "keep", "kept", "tables"]

KEPT = Path(__file__).resolve().parents[3] / "docs" / "measurements" / "performance.json"

Kept = dict[str, Any]
"""For each part, the result of :meth:`tools.bench.page.report.Report.as_dict`."""


def kept(path: Path = KEPT) -> Kept:
    """The stored results; empty if there are none."""
    if not path.exists():
        return {}
    found: Kept = json.loads(path.read_text(encoding="utf-8"))
    return found


def keep(part: str, found: Mapping[str, Any], path: Path = KEPT) -> None:
    """Replace the stored results of a part. Numbers are rounded to five digits."""
    everything = kept(path) | {part: _rounded(dict(found))}
    text = json.dumps({name: everything[name] for name in sorted(everything)}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def tables(found: Kept) -> dict[str, dict[str, Any]]:
    """The tables of all parts by name."""
    return {name: table for _, part in sorted(found.items()) for name, table in part["tables"].items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
