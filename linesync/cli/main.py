"""The program. It finds the command, parses its arguments, and turns errors into sentences and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from .. import __version__
from ..errors import LinesyncError, UsageError
from ..program import run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["COMMANDS", "build_parser", "main"]

COMMANDS = {
    "hub": "run the hub, the controller's end of every line",
    "agent": "run the agent, this machine's end of its line",
    "demo": "show linesync at work on this machine, step by step",
    "barrier": "wait until all parties have arrived",
    "sem": "take, give or read units of a semaphore",
    "lock": "take a lock, for a command or for this host",
    "send": "send a message that is kept for every receiver",
    "wait": "wait for a message from another member",
    "wait-all": "wait for a message from every other host of the group",
    "event": "set, clear or wait for events",
    "reset": "remove what a crashed run left behind",
    "exchange": "give data and get the data of all members",
    "run": "run a command on one or more hosts",
    "cp": "copy a file to or from a host",
    "hosts": "list the hosts that the hub knows",
    "status": "show who waits for what",
    "links": "show each line with its state and traffic",
    "console": "show the console log of a host's line",
    "trace": "show the frames on a host's line as they pass",
    "compat": "run or install drop-in commands for tests of other tools",
    "completion": "print a shell's completion script",
}
_FOLDERS = {
    "hub": "processes",
    "agent": "processes",
    "demo": "processes",
    "barrier": "sync",
    "sem": "sync",
    "lock": "sync",
    "send": "sync",
    "wait": "sync",
    "wait-all": "sync",
    "event": "sync",
    "reset": "sync",
    "exchange": "sync",
    "run": "hosts",
    "cp": "hosts",
    "hosts": "look",
    "status": "look",
    "links": "look",
    "console": "look",
    "trace": "look",
}
"""The folder of each command's module; modules that are not listed are in this folder."""

_USAGE = "linesync [--hub ENDPOINT] [--json] COMMAND [ARG ...]"


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence, like all other errors."""

    hint = ""
    """What to do about an unrecognised argument; set by commands that use the arguments after ``--`` themselves."""

    def error(self, message: str) -> NoReturn:
        hint = self.hint if message.startswith("unrecognized") else ""
        raise UsageError(f"{message}; {hint or _see_help(self.prog)}")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Is given its width. To find it, argparse would import ``shutil`` with all archive formats for each usage line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap a paragraph, but keep the lines of a text that has several, such as the examples."""
        kind = argparse.RawDescriptionHelpFormatter if "\n" in text else argparse.HelpFormatter
        return kind._fill_text(self, text, width, indent)


class _Version(argparse.Action):
    """Like argparse's own version action, but it collects its text only when it is used."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from .. import limits  # compiled with the core, or not

        compiled = "" if str(limits.__file__).endswith(".py") else " (compiled)"
        print(f"linesync {__version__}{compiled}")
        parser.exit()


def _columns() -> int:
    """The width of the terminal in columns, found as :func:`shutil.get_terminal_size` finds it."""
    try:
        columns = int(os.environ.get("COLUMNS", 0))
        return columns if columns > 0 else os.get_terminal_size(1).columns or 80
    except (AttributeError, ValueError, OSError):  # not a number, stdout is closed, not a terminal
        return 80


def _see_help(program: str) -> str:
    return f"see '{program} --help'"


def _root() -> _Parser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
    parser = _Parser(
        prog="linesync",
        usage=_USAGE,
        description="Keep machines in step over a serial line, TCP or ssh.",
        epilog=f"commands:\n{listing}\n\n'linesync COMMAND --help' shows a command's options and examples.",
        formatter_class=_Formatter,
    )
    parser.add_argument("--hub", metavar="ENDPOINT", help="the hub or agent to connect to (LINESYNC_HUB)")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--version", action=_Version, help="print the version, and whether the core is compiled")
    return parser


def _fill(parser: argparse.ArgumentParser, module: ModuleType) -> None:
    parser.formatter_class = _Formatter
    parser.description = f"{module.HELP[0].upper()}{module.HELP[1:]}."
    parser.epilog = f"examples:\n{module.EXAMPLES.rstrip()}"
    module.arguments(parser)
    parser.add_argument("--hub", metavar="ENDPOINT", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, for programs")


def _module(name: str) -> ModuleType:
    folder = f".{_FOLDERS[name]}" if name in _FOLDERS else ""
    return import_module(f"{folder}.{name.replace('-', '_')}", __package__)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole program with all commands, for completion scripts and the reference pages."""
    parser = _root()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, text in COMMANDS.items():
        _fill(commands.add_parser(name, help=text), _module(name))
    return parser


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, ModuleType | None]:
    root = _root()
    root.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    root.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = root.parse_args(list(argv))
    if args.command is None:
        root.print_help(sys.stderr)
        return args, None
    if args.command not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(args.command, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else "see 'linesync --help'"
        raise UsageError(f"there is no command {args.command!r}; {hint}")
    module = _module(args.command)
    parser = _Parser(prog=f"linesync {args.command}", formatter_class=_Formatter)
    _fill(parser, module)
    parser.hint = getattr(module, "HINT", "")
    rest, tail = args.rest, []
    verbatim = getattr(module, "VERBATIM", False)
    if "--" in argv and not verbatim and list(argv).index("--") == len(argv) - 1:  # most likely, a variable was empty
        raise UsageError(f"nothing follows --; {parser.hint or _see_help(parser.prog)}")
    if "--" in rest and parser.hint:  # the command takes all arguments after --, options too
        at = rest.index("--")
        rest, tail = rest[:at], rest[at + 1 :]
    merged = argparse.Namespace(hub=args.hub, json=args.json, tail=tail)
    # Intermixed: an option may stand before an optional argument, as in 'exchange NAME --hosts A,B DATA'.
    parse = parser.parse_args if verbatim else parser.parse_intermixed_args
    return parse(rest, merged), module


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    :param argv: the arguments without the program's name; by default, those of the process.
    :return: the exit code.
    """
    words = sys.argv[1:] if argv is None else argv
    as_json = "--json" in words[: words.index("--") if "--" in words else len(words)]

    def work() -> int:
        args, module = _parse(words)
        if module is None:
            return 2
        code: int = module.run(args)
        return code

    return run_program(work, lambda error: _report(error, as_json=as_json))


def _report(error: LinesyncError, *, as_json: bool) -> None:
    if as_json:
        import json

        report = {"error": error.code, "message": error.message, "exit_code": error.exit_code, **error.details}
        print(json.dumps(report, default=str), file=sys.stderr)
    else:
        print(f"linesync: {error.message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
