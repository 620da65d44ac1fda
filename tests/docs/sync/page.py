"""Generates parts of docs/sync.md from runs of the program: tables of states, figures, and error messages.

    python -m tests.docs.sync.page            shows where the page and the program differ
    python -m tests.docs.sync.page --write    writes the generated parts into the page

The lines ``<!-- made: NAME -->`` and ``<!-- end -->`` enclose each generated part. The rest of the page is written by hand.
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
from tools.generated_page import GeneratedPage

__all__ = ["PAGE", "PARTS", "differences", "filled"]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sync.md"


def _table(*lines: tuple[str, ...]) -> str:
    head, *body = lines
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, tuple("---" for _ in head), *body])


def states(table: Table) -> str:
    """A table of states, in Markdown."""
    lines = [(row.state, row.event, row.after, row.notified) for row in rows(table)]
    return _table(("state", "event", "next state", "who is notified"), *lines)


def sentences(kind: str) -> str:
    """The table of the failures of one kind of operation, in Markdown."""
    lines = [(event, str(code), f"`{sentence}`") for event, code, sentence in failures(kind)]
    return _table(("what happened", "exit code", "what is printed"), *lines)


PARTS: dict[str, Callable[[], str]] = {
    **{f"states-{name}": partial(states, table) for name, table in TABLES.items()},
    **{name: partial(figure, scenario) for name, scenario in FIGURES.items()},
    **{f"failures-{kind}": partial(sentences, kind) for kind in FAILURES},
}


_PAGE = GeneratedPage(PAGE, lambda name: PARTS[name](), "program")
filled, differences = _PAGE.filled, _PAGE.differences

if __name__ == "__main__":
    sys.exit(_PAGE.main())
