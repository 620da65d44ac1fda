"""Substitution in the arguments of a command: variables, and the paths of files.

=============== ===================================================
``%{NAME}``     the value of a variable
``%{file:TAG}`` the path of a file on the host
``%%``          a percent sign
=============== ===================================================

A value is inserted as it is: a percent sign in it has no meaning. The hub finds most errors when it creates a process. The
host substitutes the paths immediately before it starts the process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ...errors import UsageError

__all__ = ["substitute", "tags_in"]

FILE = "file:"
_SHOWN = 40  # characters of a name in an error
_PART = re.compile(r"%(?:(%)|\{([^{}%]*)(\})|(\{)|)")
"""A percent sign, with: another percent sign, a name and its closing brace, an opening brace, or nothing."""


def substitute(arguments: Iterable[str], variables: Mapping[str, str], paths: Mapping[str, str]) -> tuple[str, ...]:
    """Replace the variables and the files in the arguments of a command.

    :param paths: the path of each file by its tag.
    :raises UsageError: a variable or a file is not known, a percent sign is alone, or a brace is not closed. The error names
        the argument.
    """
    return tuple(
        [
            _PART.sub(lambda found, number=number: _value(found, number, variables, paths), text)  # type: ignore[misc]
            for number, text in enumerate(arguments)
        ]
    )


def tags_in(arguments: Iterable[str]) -> Iterator[str]:
    """The tags of the files in the arguments, in order. A tag occurs once for each use. Errors are ignored."""
    for text in arguments:
        for found in _PART.finditer(text):
            if found[3] and found[2].startswith(FILE):
                yield found[2].removeprefix(FILE)


def _value(found: re.Match[str], number: int, variables: Mapping[str, str], paths: Mapping[str, str]) -> str:
    if found[1]:
        return "%"
    if not found[3]:
        problem = "an opening brace is not closed" if found[4] else "a percent sign is alone"
        raise _error(number, f"{problem} at character {found.start() + 1}; write %% for a percent sign", "")
    name = found[2]
    table: Mapping[str, str] = variables
    missing, advice = f"there is no variable '{name[:_SHOWN]}'", "set it with 'linesync test setenv'"
    if name.startswith(FILE):
        table, name = paths, name.removeprefix(FILE)
        missing, advice = f"there is no file with the tag '{name[:_SHOWN]}'", "add it with 'linesync test put'"
    value = table.get(name)
    if value is None:
        raise _error(number, f"{missing}; {advice}, or write %% for a percent sign", name)
    return value


def _error(number: int, why: str, name: str) -> UsageError:
    where = "the program name" if number == 0 else f"argument {number}"
    return UsageError(f"the command cannot start: in {where}, {why}", details={"argument": number, "name": name})
