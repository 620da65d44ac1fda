"""The parsers of the command line, based on argparse. Each error is one sentence, and ``--`` always ends the options."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from itertools import groupby

from ..errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["Formatter", "Parser", "parse", "parse_verbatim", "see_help"]

_SHIELD = "\0"
"""A prefix for an argument that argparse must not treat as an option. No argument of a process contains this character."""

_COMMAND_INDENT = 2  # columns by which commands in examples are indented
_COLUMNS = re.compile(r"(\S+(?: \S+)*)(?:( {2,})(\S.*))?$")  # the first column, the gap and the second column
_NARROWEST = 20  # the smallest width of a help text in columns; a narrower terminal wraps the lines itself


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence, like all other errors."""

    hint = ""
    """The advice in the error about an unrecognised argument. A command that runs another command after ``--`` sets it."""

    def error(self, message: str) -> NoReturn:
        hint = self.hint if message.startswith("unrecognized") else ""
        message = message.replace(_SHIELD, "").replace(repr(_SHIELD)[1:-1], "")
        raise UsageError(f"{message}; {hint or see_help(self.prog)}")


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Wraps the help to the width of the terminal, even of a narrow terminal. Lines of examples stay unchanged if they fit.

    This class finds the width itself, because argparse would import ``shutil`` with all archive formats for that.
    """

    def __init__(self, prog: str) -> None:
        self._limit = max(_columns() - 2, _NARROWEST)
        super().__init__(prog, width=self._limit)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(
            line
            for _, lines in groupby(enumerate(text.splitlines()), _paragraph)
            for line in _fitted([indent + line for _, line in lines], width)
        )

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrapped(" ".join(text.split()), width)

    def _format_usage(self, *args: Any) -> str:
        """Break the usage text of a command only between its options."""
        lines = super()._format_usage(*args).splitlines()
        return (
            "\n".join(part for line in lines for part in _wrapped(line, self._limit, 12, keep_brackets=True)) + "\n\n"
        )


def _paragraph(numbered: tuple[int, str]) -> tuple[str, int]:
    """The key of a numbered line for ``groupby``. Lines of prose with the same indent have the same key and may be joined."""
    number, line = numbered
    text = line.lstrip()
    indent = len(line) - len(text)
    separate = not text or indent == _COMMAND_INDENT or "  " in text
    return ("line", number) if separate else ("prose", indent)


def _fitted(lines: list[str], width: int) -> list[str]:
    """Wrap prose, or a line with a command, to at most ``width`` columns. Returns the new lines.

    A command is not broken, so that a user can copy it. A line may have two columns with two or more blanks between them.
    The text of the second column is wrapped within its column, or moves below the first column.
    """
    if max(map(len, lines)) <= width:
        return lines
    line = lines[0]
    indent = len(line) - len(line.lstrip())
    first, gap, second = _COLUMNS.match(line.lstrip()).groups()  # type: ignore[union-attr]  # matches any text
    if not gap and indent == _COMMAND_INDENT:
        return lines
    if not gap:
        return _wrapped(" ".join(part.strip() for part in lines), width, indent, begin=" " * indent)
    second_at = indent + len(first + gap)
    if second_at <= width // 2:
        return _wrapped(second, width, second_at, begin=line[:second_at])
    below = " " * (indent + 4)
    return [line[: indent + len(first)], *_wrapped(second, width, len(below), begin=below)]


def _wrapped(text: str, width: int, hang: int = 0, *, begin: str = "", keep_brackets: bool = False) -> list[str]:
    """Break a text at blanks. Returns its lines.

    :param hang: the number of columns by which the second line and later lines are indented.
    :param begin: the text before the first line.
    :param keep_brackets: do not break within brackets.
    """
    from textwrap import wrap

    depth, marked = 0, []
    for char in text:
        depth += (char == "[") - (char == "]")
        marked.append("\0" if keep_brackets and depth and char == " " else char)
    lines = wrap(
        "".join(marked),
        width,
        initial_indent=begin,
        subsequent_indent=" " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in lines] or [text]


def _columns() -> int:
    """The width of the terminal in columns, as :func:`shutil.get_terminal_size` returns it."""
    try:
        columns = int(os.environ.get("COLUMNS", 0))
        return columns if columns > 0 else os.get_terminal_size(1).columns or 80
    except (AttributeError, ValueError, OSError):  # not a number, stdout is closed, not a terminal
        return 80


def see_help(program: str) -> str:
    """The end of an error text, which refers to the help of the program."""
    return f"see '{program} --help'"


def parse(
    parser: Parser, words: Sequence[str], tail: Sequence[str] | None, merged: argparse.Namespace
) -> argparse.Namespace:
    """Parse the arguments of a command.

    :param words: the arguments before ``--``.
    :param tail: the arguments after ``--``, which are never options; None if there is no ``--``.
    :param merged: the results of the arguments before the command's name; the new results are added to it.
    :raises UsageError: the arguments are wrong.
    """
    if tail is not None and not tail:  # most likely, a variable was empty
        raise UsageError(f"there are no arguments after --; {parser.hint or see_help(parser.prog)}")
    if tail and words and _lacks_value(parser, words[-1]):
        parser.error(f"argument {words[-1]}: expected one argument")
    tail = tail or []
    # parse_intermixed_args allows an option before an optional argument, as in 'exchange NAME --hosts A,B DATA'.
    parsed = _unshielded(parser.parse_intermixed_args([*words, *map(_shielded, tail)], merged))
    command = getattr(parsed, "command", [])
    if len(command) > len(tail):
        parser.error(f"unrecognized arguments: {' '.join(command[: len(command) - len(tail)])}")
    return parsed


def parse_verbatim(parser: Parser, words: Sequence[str], merged: argparse.Namespace) -> argparse.Namespace:
    """Parse the arguments of a command whose first argument takes all following arguments, also options and ``--``. Options of
    the command itself come before its first argument.

    :raises UsageError: the arguments are wrong.
    """
    first = 0
    while first < len(words) and words[first].startswith("-"):
        first += 2 if _lacks_value(parser, words[first]) else 1
    first += 1
    return _unshielded(parser.parse_args([*words[:first], *map(_shielded, words[first:])], merged))


def _lacks_value(parser: Parser, word: str) -> bool:
    """Whether a word is an option that takes the next word as its value."""
    actions = [
        action
        for action in parser._actions
        for name in action.option_strings
        if word == name or (len(word) > 2 and name.startswith(word))
    ]
    return any(action.nargs is None for action in actions)


def _shielded(word: str) -> str:
    return _SHIELD + word if word.startswith("-") else word


def _unshielded(parsed: argparse.Namespace) -> argparse.Namespace:
    def bare(value: Any) -> Any:
        return value.removeprefix(_SHIELD) if isinstance(value, str) else value

    for name, value in vars(parsed).items():
        setattr(parsed, name, list(map(bare, value)) if isinstance(value, list) else bare(value))
    return parsed
