"""The tables of bounds in docs/operations.md agree with the program, and each growing table of the program has a bound."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import linesync
from linesync.cli.main import command_parser
from tests.docs.pages.growing import Table, growing, tables
from tools.bounds import BOUNDS, PAGE, Bound, constant, differences

_ROOT = Path(linesync.__file__).parent
_PARTS = ("hub", "agent", "runtime", "wire")
_ROWS = [bound for rows in BOUNDS.values() for bound in rows]
_WORDS = {
    "fixed": "its keys are written in the program",
    "options": "one entry for each option of the command",
    "call": "it is emptied before the call that fills it returns, or by the next call",
}
"""The words that a comment may have instead of a bound, and their meanings."""


def test_the_page_shows_the_bounds_of_the_program() -> None:
    found = differences(PAGE.read_text(encoding="utf-8"))
    assert not found, "\n".join(["run python -m tools.bounds --write", *found])


def test_the_page_has_each_table_once() -> None:
    assert sorted(re.findall(r"<!-- made: (\w+) -->", PAGE.read_text(encoding="utf-8"))) == sorted(BOUNDS)


def test_no_bound_is_declared_twice() -> None:
    assert len({bound.name for bound in _ROWS}) == len(_ROWS)


@pytest.mark.parametrize("bound", [bound for bound in _ROWS if bound.option], ids=lambda bound: bound.name)
def test_the_option_of_a_bound_has_its_default(bound: Bound) -> None:
    command, option = bound.option.split()
    (action,) = [found for found in _actions(command_parser(command)) if option in found.option_strings]
    assert f"(default: {bound.value / bound.scale:g})" in (action.help or "")


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions


def _declared(table: Table) -> list[str]:
    """The errors in the bounds that a comment names for a table."""
    if not table.bounds:
        return ["has no comment '# bound: MODULE.NAME'"]
    known = {bound.name for bound in _ROWS} | _WORDS.keys()
    return [
        f"names the bound {name}, which tools/bounds.py does not declare" for name in table.bounds if name not in known
    ]


def _found() -> Iterator[str]:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(_ROOT.rglob("*.py"))}
    grown = growing(trees.values())
    for path, tree in trees.items():
        if path.relative_to(_ROOT).parts[0] in _PARTS:
            for table in tables(tree, path.read_text(encoding="utf-8").splitlines(), grown):
                for wrong in _declared(table):
                    yield f"{path.relative_to(_ROOT.parent)}:{table.line}: {table.name} {wrong}"


def test_each_growing_table_of_the_hub_the_agent_and_the_wire_has_a_bound() -> None:
    found = list(_found())
    assert not found, "\n".join(["give each table a bound, and name it", *found])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("self.t = []\n  self.t.append(1)", [("t", ())]),
        ("self.t = []", []),
        ("self.t: dict[int, int] = {}  # bound: limits.CHANNELS\n  self.t[1] = 2", [("t", ("limits.CHANNELS",))]),
        ("# the peers; bound: limits.A, b.C\n  self.t = set()\n  self.t.add(1)", [("t", ("limits.A", "b.C"))]),
        ("self.t = deque(maxlen=3)\n  self.t.append(1)", []),
        ("self.t = deque()\n  self.t.append(1)", [("t", ())]),
        ("self.t = asyncio.Queue(3)", []),
        ("self.t = asyncio.Queue()", [("t", ())]),
        ("queue = asyncio.Queue()", [("queue", ())]),
        ("self.t = {1: deque() for _ in range(3)}\n  self.t[1].append(2)", [("t", ())]),
        ("self.t = b''\n  self.t += b'x'", [("t", ())]),
        ("self.t = OrderedDict()\n  alias = self.t\n  alias[1] = 2", [("t", ())]),
        ("self.t = 0\n  self.t += 1", []),
        ("self.t = [] if self else {}\n  self.t.append(1)", [("t", ())]),
        ("self.u = 1  # bound: limits.A\n  self.t = []\n  self.t.append(1)", [("t", ())]),
        ("local = []\n  local.append(1)", []),
    ],
)
def test_a_table_that_grows_is_found(code: str, expected: list[tuple[str, tuple[str, ...]]]) -> None:
    source = f"class A:\n def f(self):\n  {code}\n"
    tree = ast.parse(source)
    assert [(table.name, table.bounds) for table in tables(tree, source.splitlines(), growing([tree]))] == expected


def test_a_name_that_is_not_one_constant_is_refused() -> None:
    with pytest.raises(LookupError):
        constant("limits.NOTHING")
