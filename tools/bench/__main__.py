"""``python -m tools.bench``: measure, print the tables, keep them, draw the figures.

A part that was measured in full is kept in docs/performance.json, from which the figures and tables of
docs/performance.md are made; what ``--quick`` and the options for less of something measure is only printed. Exits 0
whether targets are met or missed, 1 when something could not be measured at all.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from linesync.errors import LinesyncError

from .measure.goodput import WHO, goodput
from .measure.hub import hub
from .measure.latency import latency
from .measure.members import members
from .measure.sockets import sockets
from .measure.startup import startup
from .measure.works import FAST, WORKS
from .page.page import draw, stale
from .page.report import Report, progress
from .page.results import keep
from .testbed.bytecode import compiled
from .testbed.priority import ahead_of_others
from .testbed.system import BenchError

__all__ = ["main", "quick"]

PARTS = ("latency", "goodput", "fast", "members", "tcp", "hub", "startup")
_ON_A_LINE = ("latency", "goodput", "fast", "members")
_QUICK = ("latency", "goodput", "members", "tcp", "startup")  # what the quick form measures
_BAUDS = (115200, 9600, 19200, 57600, 230400, 460800, 921600)
_QUICK_LIMIT = 100  # seconds after which even the quick form is ended, what it found is printed
_LIMIT = 4 * 3600
_EPILOG = """\
parts: latency (control on a line, idle and under bulk), goodput (files at 115200 baud beside the rivals), fast (the
same at 921600), members (a thousand at a barrier), tcp and hub (in memory), startup; all of them when none is named.
figures: draw docs/*.svg and fill docs/performance.md from what was kept, without measuring (--check: only say whether
they agree with it).
"""

Plan = dict[str, Callable[[Report], None]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description="Measure linesync beside its rivals and the limits set by physics, in one run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all), or figures")
    parser.add_argument("--quick", action="store_true", help="less of everything: below a minute, for CI")
    parser.add_argument("--check", action="store_true", help="with figures: do they agree with what was kept?")
    parser.add_argument("--json", metavar="FILE", type=Path, help="save the figures of this run here too")
    less = parser.add_argument_group("less of goodput (then only printed)")
    less.add_argument("--size", type=int, metavar="KIB", help="of the file (256; fast: 1024)")
    less.add_argument("--works", help=f"kinds of line, by commas: {', '.join(w.name for w in WORKS)} (all)")
    less.add_argument("--who", help="whose, by commas: client and the default, cp,zmodem,kermit,uucp")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each transfer that are averaged (2)")
    parser.add_argument("--at-once", type=int, default=2, help="lines in use at a time for goodput at 115200 (2)")
    return parser


def quick(report: Report, parts: tuple[str, ...] = _QUICK) -> None:
    """The quick form: latency alone on the machine, then goodput on three lines at a time (more
    would keep two processors too busy), then the rest."""
    works = [work for work in WORKS if work.name in ("clean", "BER 1e-5")]
    who = ("client", "zmodem")
    plan: Plan = {
        "latency": lambda found: latency(found, bauds=(115200,), trips=20, bulk_seconds=4.0),
        "goodput": lambda found: goodput(found, baud=115200, size=64 << 10, works=works, who=who, at_once=3),
        "members": lambda found: members(found, count=200, lines=2, rounds=1),
        "tcp": lambda found: sockets(found, seconds=0.6, file_size=16 << 20, clients=100),
        "startup": lambda found: startup(found, runs=5),
    }
    _carry_out(report, {part: plan[part] for part in parts}, kept=False)


def _full(report: Report, args: argparse.Namespace, parts: tuple[str, ...]) -> None:
    names = args.works.split(",") if args.works else [work.name for work in WORKS]
    who = args.who.split(",") if args.who else WHO

    def files(found: Report, baud: int, size: int, wanted: tuple[str, ...], at_once: int) -> None:
        works = [work for work in WORKS if work.name in names and work.name in wanted]
        size = (args.size or size) << 10
        goodput(found, baud=baud, size=size, works=works, seeds=args.seeds, who=who, at_once=at_once)

    plan: Plan = {
        "latency": lambda found: latency(found, bauds=_BAUDS, trips=60, bulk_seconds=30.0),
        "goodput": lambda found: files(found, 115200, 256, tuple(work.name for work in WORKS), args.at_once),
        "fast": lambda found: files(found, 921600, 1024, FAST, 1),
        "members": lambda found: members(found, count=1000, lines=8, rounds=3),
        "tcp": lambda found: sockets(found, seconds=3.0, file_size=128 << 20, clients=1000),
        "hub": hub,
        "startup": lambda found: startup(found, runs=25),
    }
    less = any((args.size, args.works, args.who))
    _carry_out(report, {part: plan[part] for part in parts}, kept=not less)
    if not less:
        draw()


def _carry_out(report: Report, plan: Plan, *, kept: bool) -> None:
    """Measure the parts one after the other; with ``kept`` each is kept as soon as it is done."""
    with compiled():
        for part, work in plan.items():
            found = Report()
            try:
                if part in _ON_A_LINE:
                    with ahead_of_others() as ahead:
                        found.ahead = ahead
                        work(found)
                else:
                    work(found)
            except (BenchError, LinesyncError, OSError, TimeoutError, subprocess.SubprocessError) as error:
                found.failures.append(f"{part}: {' '.join(str(error).split()) or type(error).__name__}")
                progress(found.failures[-1])
            finally:
                report.absorb(part, found)
            if kept and found.tables:
                keep(part, report.parts[part])


class _TooLong(BaseException):
    """The hard limit: nothing below may take it for an error of its own."""


def _give_up(number: int, frame: FrameType | None) -> None:
    raise _TooLong


def main() -> int:
    args = _parser().parse_args()
    unknown = [part for part in args.parts if part not in (*PARTS, "figures")]
    names = [work.name for work in WORKS]
    unknown += [work for work in (args.works or "").split(",") if work and work not in names]
    unknown += [who for who in (args.who or "").split(",") if who and who not in (*WHO, "client")]
    without = [part for part in args.parts if args.quick and part in PARTS and part not in _QUICK]
    if without:
        print(f"bench: {', '.join(without)} has no quick form; leave --quick away", file=sys.stderr)
        return 2
    if unknown:
        print(f"bench: there is no {', '.join(unknown)}; see --help", file=sys.stderr)
        return 2
    if args.check:
        differences = stale()
        print("\n".join(differences) or "docs/performance.md and its figures agree with docs/performance.json")
        return 1 if differences else 0
    if args.parts == ["figures"]:
        draw()
        return 0
    return _measure(args, tuple(part for part in PARTS if part in args.parts or not args.parts))


def _measure(args: argparse.Namespace, parts: tuple[str, ...]) -> int:
    report = Report()
    signal.signal(signal.SIGALRM, _give_up)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.alarm(_QUICK_LIMIT if args.quick else _LIMIT)
    try:
        if args.quick:
            quick(report, tuple(part for part in parts if part in _QUICK))
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
