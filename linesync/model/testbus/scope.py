"""The variables and files that an object sees: its own, and those of the objects above it.

1. The *chain* of an object begins with the object and continues with the objects above it. After a claim comes its host, and
   then the test of the claim. The chain of a process is the chain of its command, and then the chain of its claim.
2. The nearest object in the chain wins. An inner variable or tag hides an outer one. Nothing is copied: when the inner one is
   deleted, the outer one is visible again.
3. A host has the values that its agent publishes as variables, and a test has them as ``host_<role>_<key>`` for each host that
   it uses. A variable that was set at the same object hides them. A published key becomes a valid name: each other character
   is an underscore. If two keys then have the same name, the first key in alphabetical order wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain as joined

from .checks import RESERVED, variable_part
from .objects import Claim, File, Host, Node, Process, Test

__all__ = ["Scope", "chain", "file_of", "files_of", "process_chain"]

_LEADING = "_"


def chain(node: Node) -> Iterator[Node]:
    """The chain of an object, the nearest object first."""
    at: Node | None = node
    while at is not None:
        yield at
        if isinstance(at, Claim):
            yield at.host
        at = at.parent
    if isinstance(node, Process):
        yield from chain(node.claim)


def process_chain(command: Node, claim: Claim) -> Iterator[Node]:
    """The chain of a process of a command on a claimed host. An object may occur twice."""
    return joined(chain(command), chain(claim))


def files_of(nodes: Iterator[Node]) -> dict[str, File]:
    """The files that are visible in a chain, by tag."""
    found: dict[str, File] = {}
    for node in nodes:
        for tag, file in node.files.items():
            found.setdefault(tag, file)
    return found


def file_of(nodes: Iterator[Node], tag: str) -> File | None:
    """The nearest file with a tag in a chain, or None."""
    return next((node.files[tag] for node in nodes if tag in node.files), None)


class Scope:
    """The variables of a test bus.

    :param published: returns the values that a host publishes.
    """

    def __init__(self, published: Callable[[str], Mapping[str, str]]) -> None:
        self._published = published

    def variables(self, nodes: Iterator[Node]) -> dict[str, str]:
        """The variables that are visible in a chain."""
        found: dict[str, str] = {}
        for node in nodes:
            for name, value in node.variables.items():
                found.setdefault(name, value)
            for name, value in self._given(node).items():
                found.setdefault(name, value)
        return found

    def variable(self, nodes: Iterator[Node], name: str) -> str | None:
        """The value of a variable in a chain, or None."""
        for node in nodes:
            value = node.variables.get(name)
            if value is None and isinstance(node, Host | Test):
                value = self._given(node).get(name)
            if value is not None:
                return value
        return None

    def _given(self, node: Node) -> dict[str, str]:
        """The published values of a host, or of the hosts of a test, as variables."""
        if isinstance(node, Host):
            return {
                (_LEADING + part if part[0].isdigit() else part): value
                for part, value in self._parts(node.name)
                if not part.startswith(RESERVED)
            }
        if isinstance(node, Test):
            return {
                f"host_{role}_{part}": value
                for role, claim in node.claims.items()
                for part, value in self._parts(claim.host.name)
            }
        return {}

    def _parts(self, host: str) -> list[tuple[str, str]]:
        """The published values of a host, each with its key as a part of a name; the last key that is listed wins."""
        published = self._published(host)
        return [(variable_part(key), published[key]) for key in sorted(published, reverse=True)]
