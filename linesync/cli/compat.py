"""``linesync compat``: installs the drop-in commands, or runs one of them.

This module knows only the names of the commands and of their modules. Each command is a separate process that imports only
the modules that it needs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import UsageError
from ..jobs.files.leftovers import replace_file
from .common import print_json

HELP = "run or install drop-in commands for tests that were written for dissem, LAVA, beaker, restraint and testbus"
EXAMPLES = """\
  linesync compat install /usr/local/bin     install all commands there
  linesync compat lava-send booted ip=10.1   run a command without installing it
"""
VERBATIM = True  # all arguments after the name belong to the drop-in command, including options and --

MODULES = {
    "dissem": "dissem",
    "lava-self": "lava",
    "lava-role": "lava",
    "lava-group": "lava",
    "lava-send": "lava",
    "lava-wait": "lava",
    "lava-wait-all": "lava",
    "lava-sync": "lava",
    "rhts-sync-set": "beaker",
    "rhts-sync-block": "beaker",
    "rstrnt-sync-set": "beaker",
    "rstrnt-sync-block": "beaker",
    "dbus-proxy": "dbus_proxy",
}
"""The module in linesync.compat of each command."""

_MARK = "# written by 'linesync compat install'"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="install|NAME", help=f"install, or one of: {', '.join(MODULES)}")
    parser.add_argument(
        "args", metavar="...", nargs=argparse.REMAINDER, help="for install: [--force] DIR; or the command's arguments"
    )


def run(args: argparse.Namespace) -> int:
    if args.action == "install":
        return _install(args.args, as_json=args.json)
    if args.action in MODULES:
        if args.hub:
            os.environ["LINESYNC_HUB"] = args.hub
        os.execv(sys.executable, [*_program(args.action), *args.args])
    raise UsageError(f"there is no drop-in command {args.action!r}; use install, or one of {', '.join(MODULES)}")


def _install(words: list[str], *, as_json: bool) -> int:
    from getopt import GetoptError, gnu_getopt

    usage = "linesync compat install [--force] [--json] DIR"
    try:
        options, words = gnu_getopt(words, "", ["force", "json"])
    except GetoptError as error:
        raise UsageError(f"{error.msg}; usage: {usage}") from None
    if len(words) != 1 or not words[0]:
        raise UsageError(f"'compat install' needs one directory: {usage}")
    force, as_json = ("--force", "") in options, as_json or ("--json", "") in options
    folder = Path(words[0])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot create the directory {folder}: {error.strerror}; give another directory") from None
    if not force:
        foreign = [str(path) for name in MODULES if _is_foreign(path := folder / name)]
        if foreign:
            raise UsageError(
                f"linesync did not write {', '.join(foreign)}; give another directory, or replace"
                f" {'it' if len(foreign) == 1 else 'them'} with --force"
            )
    for name in MODULES:
        _write(folder / name, _script(name))
        print_json({"installed": str(folder / name)}) if as_json else print(folder / name)
    return 0


def _is_foreign(path: Path) -> bool:
    """Whether there is something at this path that linesync did not write."""
    if not os.path.lexists(path):
        return False
    try:
        if not path.is_file():  # reading a FIFO would block
            return True
        with open(path, encoding="utf-8", errors="replace") as file:
            return _MARK not in file.read(1000)
    except OSError:
        return True


def _write(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file; remove it first, or give another directory")
    try:
        replace_file(str(path), text, 0o755)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; give another directory") from None


def _script(name: str) -> str:
    program, *options, code, called = _program(name)
    return f"""\
#!/bin/sh
{_MARK}, which may overwrite this file
[ -x {_quoted(program)} ] || {{ echo "{name}: linesync was moved or removed; install it again" >&2; exit 125; }}
exec {_quoted(program)} {" ".join(options)} {_quoted(code)} {called} "$@"
"""


def _program(name: str) -> list[str]:
    """The argv of a command, which uses this interpreter and this installation in any environment and directory.

    The command runs without the module ``site`` of Python, which would take a third of the start-up time.
    """
    code = (
        f"import sys; sys.path += {list(_paths())!r}; from linesync.compat.{MODULES[name]} import main;"
        " sys.exit(main(sys.argv[1], sys.argv[2:]))"
    )
    return [sys.executable, "-I", "-S", "-c", code, name]


def _paths() -> Iterator[str]:
    """The directories of linesync and of the packages that it needs."""
    from importlib.util import find_spec

    found = {str(Path(__file__).resolve().parents[2])}
    yield from found
    for package in ("serial", "serial_asyncio", "crcmod"):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            folder = str(Path(spec.origin).parents[1])
            if folder not in found:
                found.add(folder)
                yield folder


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
