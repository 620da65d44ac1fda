"""``linesync cp``."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack

from ...errors import UsageError
from ..common import connection, print_json, timeout_option
from ..progress import Progress

HELP = "copy a file to or from a host; the file arrives complete and checked by SHA-256, or not at all"
EXAMPLES = """\
  linesync cp Image sut:/boot/Image
  linesync cp sut:/var/log/kern.log .
  linesync cp core1:/tmp/x core2:/tmp/x    from host to host, through this machine
  linesync cp --device card.img sut:/dev/mmcblk0    overwrite a card, sync it, and read it back to compare
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="a local path, or HOST:PATH")
    parser.add_argument("target", metavar="DST", help="a local path or directory, or HOST:PATH")
    parser.add_argument(
        "--device", action="store_true", help="SRC or DST is a block device: read it, or overwrite it in place"
    )
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    source, target = _place(args.source), _place(args.target)
    if not source[0] and not target[0]:
        raise UsageError(
            f"both {args.source} and {args.target} are local paths; write HOST:PATH for at least one, or use cp"
        )
    with connection(args) as client, ExitStack() as stack:
        progress = Progress() if sys.stderr.isatty() and not args.json else None
        if progress is not None:
            stack.callback(progress.done)
        options = {"device": args.device, "timeout": args.deadline.left}
        if not target[0]:
            size = client.get_file(*source, target[1], progress, **options)
        elif not source[0]:
            size = client.put_file(source[1], *target, progress, **options)
        else:
            size = client.pass_file(source, target, progress, **options)
    if args.json:
        print_json({"source": args.source, "target": args.target, "bytes": size})
    return 0


def _place(text: str) -> tuple[str, str]:
    """The host and the path of ``HOST:PATH``. The host is empty for a local path.

    A path with a slash before its first colon is local, as in scp.
    """
    if not text:
        raise UsageError("the source or the target is empty; write a local path, or HOST:PATH")
    host, colon, path = text.partition(":")
    if not colon or "/" in host or not host:
        return "", text
    return host, path or "."
