"""The program: it finds the command, parses its arguments, runs it, and reports errors as sentences and exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from .. import __version__
from ..errors import LinesyncError, UsageError
from ..program import run_program
from .arguments import Formatter, Parser, parse, parse_verbatim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["COMMANDS", "build_parser", "command_parser", "is_verbatim", "main", "root_parser"]

COMMANDS = {
    "hub": "run the hub on the controller",
    "agent": "run the agent on a machine under test",
    "demo": "show linesync at work on this machine, step by step",
    "drain": "stop the hub for an upgrade when nothing runs any more",
    "policy": "explain whether the hub's policy allows an operation",
    "state": "check, export or import the state file of a hub",
    "barrier": "wait until all parties have arrived",
    "sem": "take, give or read units of a semaphore",
    "lock": "take a lock, for a command or for this host",
    "send": "send a message, which the hub keeps for all receivers",
    "wait": "wait for a message from another member",
    "wait-all": "wait for a message from every other host of the group",
    "event": "set, clear or wait for events",
    "reset": "remove the names that a crashed run left behind",
    "namespace": "begin, end or list namespaces that end with their owner",
    "exchange": "give data and get the data of all members",
    "group": "let this host join a group, show the members, or wait for them",
    "phases": "start the services of a group on all its hosts in order",
    "host": "wait for a host, reboot it, or show its state",
    "run": "run a command on one or more hosts",
    "shell": "start a login shell on a host",
    "proc": "list, attach to, wait for or end detached processes",
    "cp": "copy a file to or from a host",
    "rsh": "run a command line on a host as ssh does, for rsync, git and tar",
    "forward": "forward TCP and unix sockets between this machine and a host",
    "hosts": "list the hosts that the hub knows",
    "status": "show the waiting clients and the holders of each name",
    "links": "show each line with its state and traffic",
    "console": "show the console log of a host's line",
    "trace": "show the frames on a host's line as they pass",
    "conform": "check whether an endpoint follows the rules of the protocol",
    "compat": "run or install commands that replace commands of other tools",
    "completion": "print a shell's completion script",
}
_FOLDERS = {
    "hub": "processes",
    "agent": "processes",
    "demo": "processes",
    "drain": "processes",
    "policy": "processes",
    "state": "processes",
    "barrier": "sync",
    "sem": "sync",
    "lock": "sync",
    "send": "sync",
    "wait": "sync",
    "wait-all": "sync",
    "event": "sync",
    "reset": "sync",
    "namespace": "sync",
    "exchange": "sync",
    "group": "sync",
    "phases": "sync",
    "host": "hosts",
    "run": "hosts",
    "shell": "hosts",
    "proc": "hosts",
    "cp": "hosts",
    "rsh": "hosts",
    "forward": "hosts",
    "hosts": "look",
    "status": "look",
    "links": "look",
    "console": "look",
    "trace": "look",
    "conform": "look",
    "completion": "shell",
}
"""The subfolder of each command's module. A module that is not listed is in this folder."""

_USAGE = "linesync [--hub ENDPOINT] [--json] COMMAND [ARG ...]"


class _Version(argparse.Action):
    """Prints the version. Unlike argparse's own action, it makes the text only when the option is used."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from .. import limits  # a module of the core, so compiled if the core is compiled

        compiled = "" if str(limits.__file__).endswith(".py") else " (compiled)"
        print(f"linesync {__version__}{compiled}")
        parser.exit()


def root_parser() -> Parser:
    """The parser of the arguments before the name of the command."""
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog="linesync",
        usage=_USAGE,
        description="Keep machines in step over a serial line, TCP or ssh.",
        epilog=f"commands:\n{listing}\n\n'linesync COMMAND --help' shows a command's options and examples.",
        formatter_class=Formatter,
    )
    parser.add_argument("--hub", metavar="ENDPOINT", help="the hub or agent to connect to (LINESYNC_HUB)")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--version", action=_Version, help="print the version, and whether the core is compiled")
    return parser


def command_parser(name: str) -> Parser:
    """The parser of the arguments after the name of a command. This function imports the command's module.

    :raises UsageError: a setting has an invalid value.
    """
    module = _module(name)
    parser = Parser(prog=f"linesync {name}", formatter_class=Formatter)
    _fill(parser, module)
    parser.hint = getattr(module, "HINT", "")
    return parser


def is_verbatim(name: str) -> bool:
    """Whether all arguments after the first one of this command belong to another program."""
    return getattr(_module(name), "VERBATIM", False)


def _fill(parser: argparse.ArgumentParser, module: ModuleType) -> None:
    parser.formatter_class = Formatter
    parser.description = f"{module.HELP[0].upper()}{module.HELP[1:]}."
    parser.epilog = f"examples:\n{module.EXAMPLES.rstrip()}"
    module.arguments(parser)
    parser.add_argument("--hub", metavar="ENDPOINT", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, for programs")


def _module(name: str) -> ModuleType:
    folder = f".{_FOLDERS[name]}" if name in _FOLDERS else ""
    return import_module(f"{folder}.{name.replace('-', '_')}", __package__)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the program with all commands, for the reference pages."""
    parser = root_parser()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, text in COMMANDS.items():
        _fill(commands.add_parser(name, help=text), _module(name))
    return parser


def _parse(argv: list[str]) -> tuple[argparse.Namespace, ModuleType | None]:
    root = root_parser()
    root.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    root.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    end = argv.index("--") if "--" in argv else len(argv)
    tail = argv[end + 1 :]
    args = root.parse_args(argv[:end])
    if args.command is None and tail:
        args.command, *tail = tail
    if args.command is None:
        root.print_help(sys.stderr)
        return args, None
    if args.command not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(args.command, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else "see 'linesync --help'"
        raise UsageError(f"there is no command {args.command!r}; {hint}")
    parser, module = command_parser(args.command), _module(args.command)
    merged = argparse.Namespace(hub=args.hub, json=args.json)
    if is_verbatim(args.command):
        return parse_verbatim(parser, [*args.rest, *argv[end : end + 1], *tail], merged), module
    return parse(parser, args.rest, None if end == len(argv) else tail, merged), module


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    :param argv: the arguments without the program's name; by default, the arguments of the process.
    :return: the exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
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
        from .common import print_json

        report = {"error": error.code, "message": error.message, "exit_code": error.exit_code, **error.details}
        print_json(report, file=sys.stderr)
    else:
        print(f"linesync: {error.message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
