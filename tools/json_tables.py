"""Generates the tables of fields in docs/reference/json.md from the docstrings of the fields of the records.

    python -m tools.json_tables            shows where the page and the records differ
    python -m tools.json_tables --write    writes the generated tables into the page

A generated table is between ``<!-- made: NAME -->`` and ``<!-- end -->``. NAME is a record, or ``kinds`` for the kinds of
changes.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

from linesync.model.state.change import KINDS, Change
from linesync.model.state.decision import Decision
from linesync.model.state.group import (
    GroupMemberState,
    GroupRoundState,
    GroupServiceState,
    GroupState,
    RoundState,
    Terms,
)
from linesync.model.state.hosts import HostState
from linesync.model.state.namespace import NamespaceState
from linesync.model.state.principal import Principal
from linesync.model.state.process import ProcessState
from linesync.model.state.record import State
from linesync.model.state.status import ClientState, Status
from linesync.model.state.sync.barrier import BarrierState
from linesync.model.state.sync.event import EventState
from linesync.model.state.sync.exchange import ExchangeState
from linesync.model.state.sync.lock import LockState
from linesync.model.state.sync.semaphore import SemaphoreState
from linesync.model.state.sync.topic import TopicState
from linesync.runtime.lines.link_state import LinkState, SessionState, Traffic
from tools.generated_page import GeneratedPage

__all__ = ["PAGE", "RECORDS", "differences", "fields", "fields_under_own_names", "filled"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "json.md"
RECORDS: dict[str, type[State]] = {
    record.__name__: record
    for record in (
        Status,
        HostState,
        BarrierState,
        SemaphoreState,
        LockState,
        ExchangeState,
        EventState,
        TopicState,
        GroupState,
        GroupMemberState,
        GroupServiceState,
        RoundState,
        GroupRoundState,
        Terms,
        ClientState,
        NamespaceState,
        LinkState,
        Traffic,
        SessionState,
        Change,
        Principal,
        Decision,
        ProcessState,
    )
}
"""The records that have a table."""
_KINDS = "kinds"


def fields(record: type[State]) -> dict[str, str]:
    """The fields that the class of a record itself defines (not its base classes): name to docstring, as one line.

    :raises ValueError: a field has no docstring.
    """
    (definition,) = ast.parse(inspect.getsource(record)).body
    assert isinstance(definition, ast.ClassDef)
    texts: dict[str, str] = {}
    for statement, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        text = following.value if isinstance(following, ast.Expr) else None
        if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
            raise ValueError(f"{record.__name__}.{statement.target.id} needs a docstring")
        texts[statement.target.id] = " ".join(text.value.split())
    return texts


def fields_under_own_names(record: type[State]) -> dict[str, str]:
    """The fields that have the same name in the JSON object of a record.

    The JSON object of a link has no ``traffic`` and no ``session``. It contains the fields of these two records directly.
    """
    inline = {"traffic", "session"} if record is LinkState else set()
    return {name: text for name, text in fields(record).items() if name not in inline}


def _table(record: type[State]) -> str:
    rows = [f"| `{name}` | {text.replace('``', '`')} |\n" for name, text in fields_under_own_names(record).items()]
    return "".join(["| field | contents |\n", "| --- | --- |\n", *rows])


def _generate(name: str) -> str:
    if name != _KINDS:
        return _table(RECORDS[name])
    rows = [f"| {', '.join(f'`{kind}`' for kind in kinds)} | {text} |\n" for kinds, text in KINDS.items()]
    return "".join(["| `kind` | meaning |\n", "| --- | --- |\n", *rows])


_PAGE = GeneratedPage(PAGE, _generate, "records")
filled, differences = _PAGE.filled, _PAGE.differences

if __name__ == "__main__":
    sys.exit(_PAGE.main())
