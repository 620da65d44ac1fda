"""``linesync compat``: writes the drop-in commands, or runs one.

It knows their names and modules as text only: each command is a process of its own that imports no more than it needs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import UsageError

HELP = "drop-in commands for tests written for dissem, LAVA, beaker and restraint"
EXAMPLES = """\
  linesync compat install /usr/local/bin     write them all there
  linesync compat lava-send booted ip=10.1   run one of them without that
"""
HINT = "what belongs to the command stands after its name"
VERBATIM = True  # all that follows the name is the command's own, options too

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
}
"""Command to its module in linesync.compat."""

_MARK = "# written by 'linesync compat install'; it will be written again by it"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="install|NAME", help=f"install, or one of: {', '.join(MODULES)}")
    parser.add_argument(
        "args", metavar="...", nargs=argparse.REMAINDER, help="install: [--force] DIR; else the command's arguments"
    )


def run(args: argparse.Namespace) -> int:
    words = [*args.args, *(["--", *args.tail] if args.tail else [])]
    if args.action == "install":
        return _install([word for word in words if word != "--force"], force="--force" in words)
    if args.action in MODULES:
        if args.hub:
            os.environ["LINESYNC_HUB"] = args.hub
        os.execv(sys.executable, [*_program(args.action), *words])
    raise UsageError(f"there is no drop-in command {args.action!r}; there are: {', '.join(MODULES)}")


def _install(words: list[str], *, force: bool) -> int:
    if len(words) != 1 or words[0].startswith("-"):
        raise UsageError("give the directory to write to: linesync compat install [--force] DIR")
    folder = Path(words[0])
    if not folder.is_dir():
        raise UsageError(f"{folder} is no directory; make it first, or give another")
    if not force:
        strange = [path for name in MODULES if _strange(path := folder / name)]
        if strange:
            raise UsageError(
                f"{', '.join(map(str, strange))} stand there and are not ours; give another directory, or --force to"
                " replace them"
            )
    for name in MODULES:
        _write(folder / name, _script(name))
        print(folder / name)
    return 0


def _strange(path: Path) -> bool:
    """Something stands there that is none of our files."""
    if not os.path.lexists(path):
        return False
    try:
        if not path.is_file():  # a FIFO would keep us waiting
            return True
        with open(path, encoding="utf-8", errors="replace") as file:
            return _MARK not in file.read(1000)
    except OSError:
        return True


def _write(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file; remove it first, or give another directory")
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o755)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}; give another directory") from None


def _script(name: str) -> str:
    program, *options, code, called = _program(name)
    return f"""\
#!/bin/sh
{_MARK}
[ -x {_quoted(program)} ] || {{ echo "{name}: linesync is no longer there; install it again" >&2; exit 125; }}
exec {_quoted(program)} {" ".join(options)} {_quoted(code)} {called} "$@"
"""


def _program(name: str) -> list[str]:
    """What runs a command: this interpreter, this installation, and nothing of the caller's environment or directory.

    Without ``site``, which would cost a third of the start-up.
    """
    code = (
        f"import sys; sys.path += {list(_paths())!r}; from linesync.compat.{MODULES[name]} import main;"
        " sys.exit(main(sys.argv[1], sys.argv[2:]))"
    )
    return [sys.executable, "-I", "-S", "-c", code, name]


def _paths() -> Iterator[str]:
    """Where linesync is, and what it needs."""
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
