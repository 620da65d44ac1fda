"""``linesync state``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from ...errors import UsageError
from ..common import print_json

HELP = "check the state file of a hub, print it as JSON lines, or create it from JSON lines; the hub must not run"
EXAMPLES = """\
  linesync state check /var/lib/linesync/hub.db
  linesync state export hub.db > hub.jsonl      back up the state
  linesync state import new.db < hub.jsonl      create a file that a hub can use
  linesync state export hub.db | jq -r 'select(.kind == "lock") | .key'
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", metavar="check|export|import", choices=("check", "export", "import"), help="the action"
    )
    parser.add_argument("file", metavar="FILE", help="the state file; import creates it from the JSON lines on stdin")


def run(args: argparse.Namespace) -> int:
    return {"check": _check, "export": _export, "import": _import}[args.action](args)


def _check(args: argparse.Namespace) -> int:
    from ...store.state_copy import check
    from ...timestamps import utc

    found = check(args.file)
    written = utc(found.clock.wall)
    if args.json:
        facts = {name: value for name, value in found.as_dict().items() if name != "clock"}
        print_json({"file": args.file, **facts, "written": written})
    else:
        print(
            f"{args.file} is sound: state version {found.version} of the hub {found.hub}, {_count(found.rows, 'row')},"
            f" {_count(found.blobs, 'blob')} with {_count(found.blob_bytes, 'byte')}, written {written}"
        )
    return 0


def _export(args: argparse.Namespace) -> int:
    from ...store.state_copy import export

    for line in export(args.file):
        sys.stdout.write(line)
    return 0


def _import(args: argparse.Namespace) -> int:
    from ...store.state_copy import fill

    rows, pieces = fill(args.file, _lines())
    if args.json:
        print_json({"file": args.file, "rows": rows, "pieces": pieces})
    else:
        print(f"created {args.file} with {_count(rows, 'row')} and {_count(pieces, 'piece')} of blobs")
    return 0


def _lines() -> Iterator[bytes]:
    """The lines of stdin.

    :raises UsageError: a line is too long.
    """
    from ...store.state_copy import LINE

    number = 0
    while line := sys.stdin.buffer.readline(LINE + 1):
        number += 1
        if len(line) > LINE:
            raise UsageError(f"line {number} on stdin is longer than {LINE:,} bytes; export the state again")
        yield line


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
