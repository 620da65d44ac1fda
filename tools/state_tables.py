"""Generates the state tables in docs/groups.md from the tables that the groups of a hub run.

python -m tools.state_tables            shows where the page and the code differ
python -m tools.state_tables --write    writes the generated tables into the page
"""

from __future__ import annotations

import sys
from pathlib import Path

from linesync.model.groups import transitions
from linesync.model.groups.transitions import ACTIONS, CONDITIONS, EVENTS, Rule
from tools.generated_page import GeneratedPage

__all__ = ["PAGE", "differences"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "groups.md"
_TABLES = {"round": transitions.ROUND, "member": transitions.MEMBER}


def table(transitions: dict[tuple[str, str], tuple[Rule, ...]]) -> str:
    """A table with a row for each rule. States with the same rules for an event share the rows."""
    states: dict[tuple[str, tuple[Rule, ...]], list[str]] = {}
    for (state, event), rules in transitions.items():
        states.setdefault((event, rules), []).append(state)
    rows = ["| state | event | condition | next state | actions |", "| --- | --- | --- | --- | --- |"]
    for (event, rules), names in states.items():
        for number, rule in enumerate(rules):
            condition = CONDITIONS[rule.when] if rule.when else "otherwise" if number else ""
            actions = "; ".join(ACTIONS[action] for action in rule.actions)
            shown = ", ".join(f"`{name}`" for name in names)
            rows.append(f"| {shown} | {EVENTS[event]} | {condition} | `{rule.next}` | {actions} |")
    return "\n".join(rows) + "\n"


_page = GeneratedPage(PAGE, lambda name: table(_TABLES[name]), "state tables")
differences = _page.differences

if __name__ == "__main__":
    sys.exit(_page.main())
