"""The parts of docs/sync.md that are made by running the program: tables of states, figures, and error messages.

    python -m tests.docs.sync.page            shows where the page and the program differ
    python -m tests.docs.sync.page --write    writes what the program does into the page

A part that is made here stands between ``<!-- made: NAME -->`` and ``<!-- end -->``; the rest is written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.docs.sync.failures import FAILURES, failures
from tests.docs.sync.figures import FIGURES, figure
from tests.docs.sync.states import Table, rows
from tests.docs.sync.tables import TABLES
from tools.made_page import MadePage

__all__ = ["PAGE", "PARTS", "differences", "filled"]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sync.md"


def _table(*lines: tuple[str, ...]) -> str:
    head, *body = lines
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, tuple("---" for _ in head), *body])


def states(table: Table) -> str:
    """Each row of a table of states."""
    lines = [(row.state, row.event, row.after, row.notified) for row in rows(table)]
    return _table(("state", "event", "next state", "who is notified"), *lines)


def sentences(kind: str) -> str:
    """The failures of a service."""
    lines = [(what, str(code), f"`{sentence}`") for what, code, sentence in failures(kind)]
    return _table(("what happened", "exit code", "what is printed"), *lines)


PARTS: dict[str, Callable[[], str]] = {
    **{f"states-{name}": partial(states, table) for name, table in TABLES.items()},
    **{name: partial(figure, play) for name, play in FIGURES.items()},
    **{f"failures-{kind}": partial(sentences, kind) for kind in FAILURES},
}


_PAGE = MadePage(PAGE, lambda name: PARTS[name](), "program")
filled, differences = _PAGE.filled, _PAGE.differences

if __name__ == "__main__":
    sys.exit(_PAGE.main())
