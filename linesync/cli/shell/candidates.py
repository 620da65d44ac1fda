"""The possible completions of the last word of an unfinished command line.

The argparse parsers contain the commands, the options and the metavars. A metavar determines the values of an option or an
argument (:mod:`linesync.cli.shell.values`). Only the module of the command on the line is imported.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence

from . import values
from .values import Found, HubNames

__all__ = ["complete"]

_NUMBER = re.compile(r"-\d")


def complete(words: Sequence[str], hub_names: Callable[[str], HubNames] = HubNames) -> Found:
    """Complete the last word.

    :param words: the words after the program's name, up to the cursor.
    :param hub_names: makes the :class:`HubNames` for the hub at an endpoint. An empty endpoint means the default endpoint.
    :raises LinesyncError: the settings file is wrong.
    """
    *earlier_words, text = words
    return _complete(earlier_words, text, hub_names).matching(text)


def _complete(earlier_words: Sequence[str], text: str, hub_names: Callable[[str], HubNames]) -> Found:
    from ..main import COMMANDS, command_parser, is_verbatim, root_parser

    line = _Line(root_parser())
    rest = line.read(earlier_words, stop=True)
    if not line.arguments:
        if line.at_argument(text):
            return Found(list(COMMANDS.items()))
        return line.complete("", text, hub_names(line.values.get("hub", "")))
    command = line.arguments[0]
    if command not in COMMANDS:
        return Found()
    inner = _Line(command_parser(command), line)
    inner.read(rest, verbatim=is_verbatim(command))
    return inner.complete(command, text, hub_names(inner.values.get("hub", "")))


class _Line:
    """A command line up to the cursor, as a parser understands it.

    :ivar arguments: the words that are not options.
    :ivar values: the values of the options by their ``dest``.
    :param outer: the part before the name of the command.
    """

    def __init__(self, parser: argparse.ArgumentParser, outer: _Line | None = None) -> None:
        self._actions = parser._actions
        self._used: set[argparse.Action] = set()
        self._pending: argparse.Action | None = None
        self._ended: bool = outer is not None and outer._ended
        self.arguments: list[str] = []
        self.values: dict[str, str] = dict(outer.values) if outer else {}

    def read(self, words: Sequence[str], *, stop: bool = False, verbatim: bool = False) -> Sequence[str]:
        """Read words before the cursor.

        :param stop: stop after the first argument.
        :param verbatim: all words after the first argument are arguments, too.
        :return: the words that were not read.
        """
        for number, word in enumerate(words, 1):
            if self._pending is not None:
                self.values[self._pending.dest] = word
                self._pending = None
            elif self._ended or len(word) < 2 or not word.startswith("-") or _NUMBER.match(word):
                self.arguments.append(word)
                self._ended = self._ended or verbatim
                if stop:
                    return words[number:]
            elif word == "--":
                self._ended = True
            else:
                self._read_option(word)
        return ()

    def _read_option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        action = self._option(name)
        if action is None and not word.startswith("--"):  # several short options in one word, as in -if
            for position in range(1, len(word)):
                action = self._option(f"-{word[position]}")
                equals = value = word[position + 1 :]
                if action is None or action.nargs is None:
                    break
        if action is None:
            return
        self._used.add(action)
        if action.nargs is None and not equals:
            self._pending = action
        elif action.nargs is None:
            self.values[action.dest] = value

    def _option(self, name: str) -> argparse.Action | None:
        """The option with this name, or the only option whose name begins with it."""
        found = {option: action for action in self._actions for option in action.option_strings}
        if name in found:
            return found[name]
        near = {found[option] for option in found if name.startswith("--") and option.startswith(name)}
        return near.pop() if len(near) == 1 else None

    def at_argument(self, text: str) -> bool:
        """Whether a text at the cursor is an argument, and not an option or the value of an option."""
        return self._pending is None and (self._ended or not text.startswith("-"))

    def complete(self, command: str, text: str, hub_names: HubNames) -> Found:
        """Complete the word at the cursor."""
        if self._pending is not None:
            return self._value(command, self._pending, text, hub_names)
        if self.at_argument(text):
            return self._argument(command, text, hub_names)
        name, equals, value = text.partition("=")
        if equals:
            action = self._option(name)
            if action is None or action.nargs is not None:
                return Found()
            return self._value(command, action, value, hub_names).with_prefix(f"{name}=")
        return Found(self._options())

    def _options(self) -> list[tuple[str, str]]:
        """The options that may still follow. A short option is omitted if it has a long form."""
        found = []
        for action in self._actions:
            repeated = isinstance(action, argparse._AppendAction)
            if action.help is argparse.SUPPRESS or (action in self._used and not repeated):
                continue
            for option in action.option_strings:
                if option.startswith("--") or len(action.option_strings) == 1:
                    found.append((option, _summary(action.help or "")))
        return found

    def _argument(self, command: str, text: str, hub_names: HubNames) -> Found:
        position = 0
        for action in self._actions:
            if action.option_strings:
                continue
            if action.nargs not in (None, "?"):
                return self._rest(command, action, position, text, hub_names)
            if position == len(self.arguments):
                return self._value(command, action, text, hub_names)
            position += 1
        return Found([] if self._ended or text else self._options())

    def _rest(self, command: str, action: argparse.Action, first: int, text: str, hub_names: HubNames) -> Found:
        """Complete an argument that takes all following words, the first of them at the index ``first``."""
        if action.metavar != "CMD":
            return self._value(command, action, text, hub_names)
        if not self._ended:
            return Found([("--", "the command follows")] if not text else [])
        return Found(also="commands" if len(self.arguments) == first and "/" not in text else "files")

    def _value(self, command: str, action: argparse.Action, text: str, hub_names: HubNames) -> Found:
        if action.choices is not None:
            return Found([(str(choice), "") for choice in action.choices])
        kind = values.kind(command, str(action.metavar))
        return kind(values.Query(text, self.values.get("namespace", ""), command, self.arguments, hub_names))


def _summary(text: str) -> str:
    """The first clause of an option's help."""
    return " ".join(re.split(r"[;:(]", text, maxsplit=1)[0].split())
