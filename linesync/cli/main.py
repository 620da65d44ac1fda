"""The program: finds the command, parses its line, and turns errors into sentences and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from .. import __version__
from ..errors import LinesyncError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["COMMANDS", "build_parser", "main"]

COMMANDS = {
    "hub": "run the hub, the controller's end of every line",
    "agent": "run the agent, this machine's end of its line",
    "demo": "a hub, two agents on null modems, and the main job, told step by step",
    "barrier": "wait until all have arrived",
    "sem": "take, give or read units of a semaphore",
    "lock": "take a lock, for a command or for this host",
    "send": "send a message, kept for all who wait for it",
    "wait": "wait for a message of somebody else",
    "wait-all": "wait for a message of each host of the group",
    "event": "set, clear or wait for events",
    "reset": "forget what a crashed run left",
    "exchange": "give data and get that of all",
    "run": "run a command on one or more hosts",
    "cp": "copy a file from or to a host",
    "hosts": "the hosts that the hub knows",
    "status": "who waits for what",
    "links": "the lines and what has passed them",
    "console": "what else came down a host's line",
    "trace": "frames as they pass, decoded",
    "compat": "drop-in commands for tests written for other tools",
    "completion": "print the shell's completion script",
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
"""The folder of each command's module; the modules of the others are beside this one."""

_USAGE = "linesync [--hub ENDPOINT] [--json] COMMAND [ARG ...]"


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence, as all others are."""

    hint = ""
    """What to do about an option that is not known; only of commands that take what follows ``--`` for themselves."""

    def error(self, message: str) -> NoReturn:
        hint = self.hint if message.startswith("unrecognized") else ""
        raise UsageError(f"{message}; {hint or _see_help(self.prog)}")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Knows its width: argparse imports ``shutil`` and all archive formats to ask, for each usage line it makes."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


class _Version(argparse.Action):
    """Like argparse's own, but finds out what there is to say only when it is asked."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from .. import limits  # compiled with the core, or not

        compiled = "" if str(limits.__file__).endswith(".py") else " (compiled)"
        print(f"linesync {__version__}{compiled}")
        parser.exit()


def _columns() -> int:
    """Of the terminal, as :func:`shutil.get_terminal_size` finds them."""
    try:
        columns = int(os.environ.get("COLUMNS", 0))
        return columns if columns > 0 else os.get_terminal_size(1).columns or 80
    except (AttributeError, ValueError, OSError):  # no number, closed, no terminal
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
        epilog=f"commands:\n{listing}\n\n'linesync COMMAND --help' tells more about each.",
        formatter_class=_Formatter,
    )
    parser.add_argument("--hub", metavar="ENDPOINT", help="the hub or agent to talk to (LINESYNC_HUB)")
    parser.add_argument("--json", action="store_true", help="print for programs")
    parser.add_argument("--version", action=_Version, help="say which version this is, and whether it is compiled")
    return parser


def _fill(parser: argparse.ArgumentParser, module: ModuleType) -> None:
    parser.formatter_class = _Formatter
    parser.description = f"{module.HELP[0].upper()}{module.HELP[1:]}."
    parser.epilog = f"examples:\n{module.EXAMPLES.rstrip()}"
    module.arguments(parser)
    parser.add_argument("--hub", metavar="ENDPOINT", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print for programs")


def _module(name: str) -> ModuleType:
    folder = f".{_FOLDERS[name]}" if name in _FOLDERS else ""
    return import_module(f"{folder}.{name.replace('-', '_')}", __package__)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole program, every command included (for completion scripts)."""
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
    if "--" in argv and not verbatim and list(argv).index("--") == len(argv) - 1:  # a variable was empty, most likely
        raise UsageError(f"nothing follows --; {parser.hint or _see_help(parser.prog)}")
    if "--" in rest and parser.hint:  # what follows belongs to the remote command, options and all
        at = rest.index("--")
        rest, tail = rest[:at], rest[at + 1 :]
    merged = argparse.Namespace(hub=args.hub, json=args.json, tail=tail)
    # Intermixed: an option may stand before the last of some optional words, as in 'exchange NAME --hosts A,B DATA'.
    parse = parser.parse_args if verbatim else parser.parse_intermixed_args
    return parse(rest, merged), module


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    try:
        args, module = _parse(words)
        if module is None:
            return 2
        code: int = module.run(args)
        sys.stdout.flush()
        return code
    except LinesyncError as error:
        _tell(error, as_json="--json" in words[: words.index("--") if "--" in words else len(words)])
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has left; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _tell(error: LinesyncError, *, as_json: bool) -> None:
    if as_json:
        import json

        told = {"error": error.code, "message": error.message, "exit_code": error.exit_code, **error.details}
        print(json.dumps(told, default=str), file=sys.stderr)
    else:
        print(f"linesync: {error.message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
