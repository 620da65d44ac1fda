"""``python -m tools.bench``: measure, print the tables, save them as JSON. Exits 0 whether targets are met or missed, 1
when something could not be measured at all."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from linesync.errors import LinesyncError

from .bytecode import compiled
from .goodput import WORKS, goodput
from .latency import latency
from .members import members
from .priority import ahead_of_others
from .report import Report, progress
from .sockets import sockets
from .startup import startup
from .system import BenchError

__all__ = ["main", "quick"]

PARTS = ("latency", "goodput", "members", "tcp", "startup")
_ON_A_LINE = ("latency", "goodput", "members")
_QUICK_LIMIT = 100  # seconds after which even the quick form is ended, what it found is printed
_LIMIT = 5400


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description="Measure linesync beside its rivals and the limits set by physics, in one run.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which parts: {', '.join(PARTS)} (all)")
    parser.add_argument("--quick", action="store_true", help="less of everything: below a minute, for CI")
    parser.add_argument("--json", metavar="FILE", type=Path, help="save the figures here too")
    parser.add_argument("--baud", type=int, default=115200, help="of the line that goodput is measured on (115200)")
    parser.add_argument("--size", type=int, metavar="KIB", help="of the file for goodput (256; --quick 64)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each transfer that are averaged (3)")
    parser.add_argument(
        "--works", help=f"kinds of line for goodput, by commas: {', '.join(w.name for w in WORKS)} (all)"
    )
    parser.add_argument("--who", default="cp,client,zmodem,kermit", help="whose goodput, by commas (all four)")
    parser.add_argument("--at-once", type=int, default=2, help="lines in use at a time for goodput (2)")
    return parser


def quick(report: Report, parts: tuple[str, ...] = PARTS) -> None:
    """The quick form: latency alone on the machine, then goodput on three lines at a time (more
    would keep two processors too busy), then the rest."""
    works = [work for work in WORKS if work.name in ("clean", "BER 1e-5")]
    plan: dict[str, Callable[[], None]] = {
        "latency": lambda: latency(report, bauds=(115200,), trips=20, bulk_seconds=6.0),
        "goodput": lambda: goodput(
            report, baud=115200, size=64 << 10, works=works, who=("client", "zmodem"), at_once=3
        ),
        "members": lambda: members(report, count=200, lines=2, rounds=1),
        "tcp": lambda: sockets(report, seconds=0.6, file_size=16 << 20, clients=100),
        "startup": lambda: startup(report, runs=5),
    }
    _carry_out(report, {part: plan[part] for part in parts})


def _full(report: Report, args: argparse.Namespace, parts: tuple[str, ...]) -> None:
    wanted = args.works.split(",") if args.works else [work.name for work in WORKS]
    works = [work for work in WORKS if work.name in wanted]
    size = (args.size or 256) << 10
    plan: dict[str, Callable[[], None]] = {
        "latency": lambda: latency(report, bauds=(115200, 9600, 921600), trips=60, bulk_seconds=30.0),
        "goodput": lambda: goodput(
            report,
            baud=args.baud,
            size=size,
            works=works,
            seeds=args.seeds,
            who=args.who.split(","),
            at_once=args.at_once,
        ),
        "members": lambda: members(report, count=1000, lines=8, rounds=3),
        "tcp": lambda: sockets(report, seconds=3.0, file_size=128 << 20, clients=1000),
        "startup": lambda: startup(report, runs=25),
    }
    _carry_out(report, {part: plan[part] for part in parts})


def _carry_out(report: Report, plan: dict[str, Callable[[], None]]) -> None:
    with compiled():
        for part, work in plan.items():
            try:
                if part in _ON_A_LINE:
                    with ahead_of_others() as ahead:
                        report.ahead = ahead
                        work()
                else:
                    work()
            except (BenchError, LinesyncError, OSError, TimeoutError, subprocess.SubprocessError) as error:
                report.failures.append(f"{part}: {' '.join(str(error).split()) or type(error).__name__}")
                progress(report.failures[-1])


class _TooLong(BaseException):
    """The hard limit: nothing below may take it for an error of its own."""


def _give_up(number: int, frame: FrameType | None) -> None:
    raise _TooLong


def main() -> int:
    args = _parser().parse_args()
    unknown = [part for part in args.parts if part not in PARTS]
    names = [work.name for work in WORKS]
    unknown += [work for work in (args.works or "").split(",") if work and work not in names]
    if unknown:
        print(f"bench: there is no {', '.join(unknown)}; see --help", file=sys.stderr)
        return 2
    parts = tuple(part for part in PARTS if part in args.parts or not args.parts)
    report = Report()
    signal.signal(signal.SIGALRM, _give_up)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.alarm(_QUICK_LIMIT if args.quick else _LIMIT)
    try:
        if args.quick:
            quick(report, parts)
        else:
            _full(report, args, parts)
    except (_TooLong, KeyboardInterrupt) as why:
        report.failures.append("the rest: " + ("the hard limit" if isinstance(why, _TooLong) else "interrupted"))
    finally:
        signal.alarm(0)
        print(report.text())
        if args.json:
            report.save(args.json)
    return 1 if report.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
