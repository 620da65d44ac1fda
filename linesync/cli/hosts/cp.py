"""``linesync cp``."""

from __future__ import annotations

import argparse
import os
import re
import stat
import sys
from contextlib import ExitStack

from ...errors import LinesyncFailed, UsageError
from ..common import argument_type, connection, print_json, print_notice, timeout_option
from ..progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...client.blocking import BlockingClient

HELP = "copy files and folders to, from and between hosts; each file arrives complete and checked by SHA-256, or not at all"
EXAMPLES = """\
  linesync cp Image sut:/boot/Image
  linesync cp sut:/var/log/kern.log .
  linesync cp -r tests lib.so sut:/opt/         folders and files; the same command continues after an interruption
  linesync cp -rp core1:/etc core2:/tmp/        from host to host, with modes, times and owners
  tar c . | linesync cp - sut:/tmp/all.tar      from stdin; a target - is stdout
  linesync cp --device card.img sut:/dev/mmcblk0    overwrite a card, sync it, and read it back to compare
"""
_RATE = re.compile(r"([0-9]{1,12})([kM]?)")
_UNITS = {"": 1, "k": 1000, "M": 1_000_000}


def _read_rate(text: str) -> int:
    found = _RATE.fullmatch(text)
    if found is None or not int(found[1]):
        raise UsageError(f"invalid rate {text!r}: expected bytes in a second, such as 500, 20k or 1M")
    return int(found[1]) * _UNITS[found[2]]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", nargs="+", help="a local path, HOST:PATH, or - for stdin")
    parser.add_argument("target", metavar="DST", help="a local path or folder, HOST:PATH, or - for stdout")
    parser.add_argument(
        "-r",
        "--recursive",
        action="store_true",
        help="copy folders with everything in them, and symbolic links as links; files that are the same are not sent",
    )
    parser.add_argument(
        "-p", "--preserve", action="store_true", help="keep modes and times, and owners if the receiver is root"
    )
    parser.add_argument("-u", "--user", metavar="USER", default="", help="read and write on the hosts as this user")
    parser.add_argument(
        "--bwlimit",
        metavar="B",
        type=argument_type(_read_rate),
        default=0,
        help="send at most B bytes of files in a second; 20k and 1M are 20,000 and 1,000,000",
    )
    parser.add_argument(
        "--device", action="store_true", help="SRC or DST is a block device: read it, or overwrite it in place"
    )
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    sources, target = [_place(source) for source in args.source], _place(args.target)
    _check(args, sources, target)
    with connection(args) as client, ExitStack() as stack:
        progress = Progress() if sys.stderr.isatty() and not args.json else None
        if progress is not None:
            stack.callback(progress.done)
        if len(sources) == 1 and not (args.recursive or args.preserve or args.user or args.bwlimit):
            size = _copy_file(client, args, sources[0], target, progress)
            if args.json:
                print_json({"source": args.source[0], "target": args.target, "bytes": size})
            return 0
        copied = client.copy(
            sources,
            target,
            progress,
            recursive=args.recursive,
            preserve=args.preserve,
            user=args.user,
            rate=args.bwlimit,
            timeout=args.deadline.left,
        )
    if args.json:
        result = {"source": args.source, "target": args.target, "files": copied.files, "bytes": copied.bytes}
        print_json({**result, "failures": list(copied.failures)})
    for sentence in copied.failures:
        print_notice(sentence, as_json=args.json)
    return LinesyncFailed.exit_code if copied.failures else 0


def _check(args: argparse.Namespace, sources: list[tuple[str, str]], target: tuple[str, str]) -> None:
    """Refuse impossible combinations.

    :raises UsageError: the copy is impossible.
    """
    places = [*args.source, args.target]
    for source, (host, _) in zip(args.source, sources, strict=True):
        if not host and not target[0]:
            raise UsageError(
                f"both {source} and {args.target} are local paths; write HOST:PATH for at least one, or use cp"
            )
    several = len(sources) > 1 or args.recursive or args.preserve or args.bwlimit
    if "-" in places and (several or args.user or args.device):
        raise UsageError("stdin and stdout (-) are one file without attributes; omit the other sources and options")
    if args.device and (several or args.user):
        raise UsageError("--device copies one file without attributes; omit the other sources and options")


def _copy_file(
    client: BlockingClient,
    args: argparse.Namespace,
    source: tuple[str, str],
    target: tuple[str, str],
    progress: Progress | None,
) -> int:
    """Copy one file. Returns its size."""
    timeout = args.deadline.left
    if args.source == ["-"]:
        return client.put_stream(0, *target, progress, timeout=timeout)
    if args.target == "-":
        sys.stdout.flush()
        return client.get_stream(*source, 1, progress, timeout=timeout)
    if not args.device and _resumable(source, target):
        from ...client.jobs.trees import NotKnown

        try:
            copied = client.copy([source], target, progress, timeout=timeout)
        except NotKnown:
            pass  # an older host copies the file without continuing
        else:
            if copied.failures:
                raise LinesyncFailed(copied.failures[0])
            return copied.bytes
    options = {"device": args.device, "timeout": timeout}
    if not target[0]:
        return client.get_file(*source, target[1], progress, **options)
    if not source[0]:
        return client.put_file(source[1], *target, progress, **options)
    return client.pass_file(source, target, progress, **options)


def _resumable(source: tuple[str, str], target: tuple[str, str]) -> bool:
    """Whether the copy of one file may be the continuation of an earlier one, or may be continued later.

    False for the first copy from a host: it needs no preparation for that, and the simpler operation is faster.
    """
    from ...jobs.files.parts import LEAST, Part

    if not target[0]:
        path = target[1]
        if os.path.isdir(path):
            path = os.path.join(path, os.path.basename(source[1]))
        part = Part.find(os.path.abspath(os.path.realpath(path)))
        if part is not None:
            part.close()
        return part is not None
    if source[0]:
        return True
    try:
        status = os.stat(source[1])
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size >= LEAST


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
