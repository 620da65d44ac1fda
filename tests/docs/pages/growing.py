"""Finds the tables, queues and buffers in source code that can grow and do not have a maximum length."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Table", "growing", "tables"]

_KINDS = {"dict", "list", "set", "deque", "defaultdict", "OrderedDict", "Counter", "bytearray"}
_QUEUES = {"Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"}
_GROWS = {"append", "appendleft", "add", "extend", "extendleft", "insert", "update", "setdefault"}
_BOUND = re.compile(r"#.*\bbound: ([\w.]+(?:, [\w.]+)*)")


@dataclass(frozen=True)
class Table:
    """A table that grows: its name, the first line that creates it, and the bounds that a comment on that line names."""

    name: str
    line: int
    bounds: tuple[str, ...]


def growing(trees: Iterable[ast.AST]) -> set[str]:
    """The names of all attributes and variables to which the code adds elements."""
    found: set[str] = set()
    for tree in trees:
        aliases: dict[str, set[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                aliases.setdefault(node.targets[0].id, set()).update(_names(node.value))
        for node in ast.walk(tree):
            for name in _grown(node):
                found |= {name} | aliases.get(name, set())
    return found


def _grown(node: ast.AST) -> Iterator[str]:
    """The names of the tables to which one statement or expression adds elements."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in _GROWS:
            yield from _names(node.func.value)
        elif _called(node) == "heappush":
            yield from _names(node.args[0])
    elif isinstance(node, ast.AugAssign):
        yield from _names(node.target)
    elif isinstance(node, ast.Assign):
        for target in _flat(node.targets):
            if isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Slice):
                yield from _names(target.value)


def _names(node: ast.AST) -> set[str]:
    """The name of an attribute or a variable; for ``NAME[...]``, this is NAME."""
    while isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Attribute):
        return {node.attr}
    return {node.id} if isinstance(node, ast.Name) else set()


def _flat(targets: Iterable[ast.expr]) -> Iterator[ast.expr]:
    for target in targets:
        if isinstance(target, ast.Tuple):
            yield from _flat(target.elts)
        else:
            yield target


def _is_own(target: ast.expr) -> bool:
    """Whether this is ``self.NAME``. An attribute of another object belongs to the class of that object."""
    return isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self"


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _is_queue(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and _called(value) in _QUEUES and not value.args and not value.keywords


def _is_table(value: ast.expr) -> bool:
    """Whether an expression creates a table, queue or buffer without a maximum length."""
    if isinstance(value, ast.IfExp):
        return _is_table(value.body) or _is_table(value.orelse)
    if isinstance(value, ast.DictComp):
        return _is_table(value.value) or _is_queue(value.value)
    if isinstance(value, ast.ListComp):
        return _is_table(value.elt) or _is_queue(value.elt)
    if isinstance(value, ast.Call):
        return _called(value) in _KINDS and not any(word.arg == "maxlen" for word in value.keywords)
    return isinstance(value, ast.Dict | ast.List | ast.Set) or (
        isinstance(value, ast.Constant) and isinstance(value.value, bytes)
    )


def _made(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Each target of an assignment with its value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node.target, node.value
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    yield from zip(target.elts, node.value.elts, strict=False)
                else:
                    yield target, node.value


def tables(tree: ast.Module, lines: list[str], grown: set[str]) -> list[Table]:
    """The tables of one file that grow.

    A table is an attribute, or a variable of the module or of a class. A queue counts even if it is a local variable, because
    tasks share it.

    :param lines: the lines of the file; the comment with the bound is on the first line of the table or on the line before.
    :param grown: the names to which any file adds elements. A private name counts only if this file adds elements to it.
    """
    grown = {name for name in grown if not name.startswith("_")} | growing([tree])
    classes: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    statements = [node for node in tree.body if not isinstance(node, ast.ClassDef)]
    return [
        table for body in ([each_class] for each_class in classes) for table in _of_scope(body, lines, grown)
    ] + _of_scope(statements, lines, grown)


def _of_scope(body: list[ast.stmt], lines: list[str], grown: set[str]) -> list[Table]:
    """The tables of one class, or of the module outside its classes."""
    top = [statement for node in body for statement in (node.body if isinstance(node, ast.ClassDef) else [node])]
    shared = {id(target) for node in top if isinstance(node, ast.Assign | ast.AnnAssign) for target, _ in _made(node)}
    found: dict[str, Table] = {}
    for target, value in (constructed for node in body for constructed in _made(node)):
        names = _names(target)
        kept = _is_own(target) or (id(target) in shared and "__all__" not in names)
        if not (_is_queue(value) or (kept and _is_table(value) and names & grown)):
            continue
        before = lines[target.lineno - 2] if target.lineno > 1 else ""
        near = [_BOUND.search(lines[target.lineno - 1]), _BOUND.match(before.lstrip())]
        bounds = next((tuple(comment[1].split(", ")) for comment in near if comment), ())
        for name in names:
            if name not in found or (bounds and not found[name].bounds):
                found[name] = Table(name, target.lineno, bounds)
    return list(found.values())
