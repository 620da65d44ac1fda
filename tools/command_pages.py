"""Generates the reference page of each command, in reStructuredText, from the parsers of the program.

Sphinx makes web pages and man pages from these pages (docs/conf.py). This module does not need Sphinx.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from linesync.cli import main as program

__all__ = ["MAIN", "man_name", "pages", "write"]

MAIN = "linesync"
"""The name of the page about the whole program."""
ROOT = Path(__file__).resolve().parents[1]
_WIDTH = 78  # columns of a usage line

_ENVIRONMENT = {
    "LINESYNC_HUB": "The endpoint of the hub or agent to talk to, as in ``--hub``.",
    "LINESYNC_NAMESPACE": "The namespace of names, as in ``--namespace``.",
    "LINESYNC_NAME": "An option ``--name`` of any command that has a setting takes its default from the variable "
    "``LINESYNC_NAME``, in capitals, with underscores for hyphens.",
}
_FILES = {
    "./linesync.toml, ~/.config/linesync/linesync.toml, /etc/linesync/linesync.toml": "Settings. The first file that "
    "exists is read. An option ``--name`` has the key ``name``, at the top or in the table of the command.",
    "/run/linesync/linesync.sock, $XDG_RUNTIME_DIR/linesync.sock": "The socket of this machine's hub or agent: the "
    "first for root, the second for other users.",
}


def man_name(command: str) -> str:
    """The name of a command's man page; for an empty command, the name of the program's man page."""
    return f"linesync-{command}" if command else MAIN


def pages() -> dict[str, str]:
    """The texts of all pages, by the names of the pages (``linesync``, ``linesync-barrier`` ...)."""
    root = program.build_parser()
    (commands,) = (action for action in root._actions if isinstance(action, argparse._SubParsersAction))
    page_texts = {MAIN: _page_of_program(root)}
    for name, parser in commands.choices.items():
        parser.prog = f"linesync {name}"
        page_texts[man_name(name)] = _page_of_command(name, parser)
    return page_texts


def write(folder: Path) -> None:
    """Write all pages into a folder, and remove old pages. An unchanged file is not written again."""
    folder.mkdir(exist_ok=True)
    page_texts = {f"{name}.rst": text for name, text in pages().items()}
    for path in folder.glob("*.rst"):
        if path.name not in page_texts:
            path.unlink()
    for name, text in page_texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


# -- pages -------------------------------------------------------------------------------------------------------------


def _page_of_program(parser: argparse.ArgumentParser) -> str:
    listed = {
        f":doc:`{man_name(name)}(1) <{man_name(name)}>`": _escaped(text) for name, text in program.COMMANDS.items()
    }
    return _join_parts(
        _title("linesync", "="),
        _title("Synopsis"),
        _literal(f"{program._USAGE}\nlinesync COMMAND --help"),
        _title("Description"),
        _escaped(parser.description or ""),
        _title("Commands"),
        _definitions(listed.items()),
        _title("Options"),
        _definitions(_options(parser)),
        _title("Exit status"),
        _definitions((f"**{code}**", text) for code, text in _exit_codes()),
        _title("Environment"),
        _definitions((f"``{name}``", text) for name, text in _ENVIRONMENT.items()),
        _title("Files"),
        _definitions((_escaped(name), text) for name, text in _FILES.items()),
    )


def _page_of_command(name: str, parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=_WIDTH)
    usage = re.sub(r"^usage: ", "", parser.format_usage()).rstrip()
    head, _, examples = (parser.epilog or "").partition("examples:\n")
    examples, _, more = examples.partition("\n\n")
    return _join_parts(
        _title(f"linesync {name}", "="),
        _title("Synopsis"),
        _literal(re.sub(r"\n {7}", "\n", usage)),
        _title("Description"),
        _escaped(parser.description or ""),
        _escaped(head.strip()),
        _escaped(more.strip()),
        _title("Arguments and options"),
        _definitions(_options(parser)),
        *([_title("Examples"), _literal(examples)] if examples.strip() else []),
        _title("See also"),
        f":doc:`{MAIN}(1) <{MAIN}>` lists all commands, the exit codes, the environment and the files.",
    )


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """For each argument, its names and its help, in reStructuredText."""
    for action in parser._actions:
        if action.help is argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
            continue
        value = action.metavar if isinstance(action.metavar, str) else (action.dest or "").upper()
        if not action.option_strings:
            name = "|".join(map(str, action.choices)) if action.choices and action.metavar is None else value
            yield f"``{name}``", _escaped(action.help or "")
            continue
        names = [f"{name} {value}" if action.nargs != 0 else name for name in action.option_strings]
        yield ", ".join(f"``{name}``" for name in names), _escaped(action.help or "")


def _exit_codes() -> Iterator[tuple[str, str]]:
    """The codes and their meanings, from the table in docs/reference/exit-codes.md."""
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    for code, meaning in re.findall(r"^\| ([0-9][^|]*|128\+N|any other) \| ([^|]+) \|", page, re.MULTILINE):
        yield code.strip(), re.sub(r"`([^`]+)`", r"``\1``", meaning.strip())


# -- reStructuredText --------------------------------------------------------------------------------------------------


def _escaped(text: str) -> str:
    return re.sub(r"([\\*`|_])", r"\\\1", text).replace("://", "\\://")  # an endpoint is not a link


def _title(text: str, line: str = "-") -> str:
    return f"{text}\n{line * len(text)}"


def _literal(text: str) -> str:
    return "::\n\n" + "\n".join(f"   {line}".rstrip() for line in text.rstrip().splitlines())


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n\n".join(f"{term}\n   {text}" for term, text in pairs)


def _join_parts(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
