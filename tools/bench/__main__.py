"""``python -m tools.bench``: measures, prints the tables, stores the results, and draws the figures.

The results of a complete part are stored in docs/measurements/performance.json. The figures and tables of docs/performance.md
are generated from this file. The results of ``--quick`` and of a reduced measurement of goodput are only printed. The exit
status is 1 if a measurement failed, and otherwise 0, even if targets are missed.
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

from .measure.forwarding import forwarding
from .measure.goodput import WHO, goodput
from .measure.hub import hub
from .measure.latency import latency
from .measure.members import members
from .measure.sockets import sockets
from .measure.startup import startup
from .measure.trees import trees
from .measure.workloads import FAST, WORKLOADS
from .page.page import draw, stale
from .page.report import Report, progress
from .page.results import keep
from .testbed.bytecode import with_bytecode
from .testbed.priority import ahead_of_others
from .testbed.system import BenchError

__all__ = ["main", "quick"]

PARTS = ("latency", "goodput", "fast", "trees", "forwarding", "members", "tcp", "hub", "startup")
_ON_A_LINE = ("latency", "goodput", "fast", "trees", "forwarding", "members")
_QUICK = ("latency", "goodput", "trees", "forwarding", "members", "tcp", "startup")  # the parts that --quick measures
_BAUDS = (115200, 9600, 19200, 57600, 230400, 460800, 921600)
_QUICK_LIMIT = 100  # seconds after which a run with --quick ends and prints its results so far
_LIMIT = 4 * 3600  # the same in seconds for a full run
_EPILOG = """\
parts: latency (control messages on a line, idle and under bulk), goodput (files at 115200 baud, and the rivals), fast (the
same at 921600), trees (small files, and tar z | sz), forwarding (sockets, and rsync over rsh), members (a thousand members
at a barrier), tcp and hub (without a serial line), startup; all by default.
figures: draw docs/measurements/*.svg and fill in docs/performance.md from the stored results, without measuring (with
--check: only report whether they agree).
"""

Plan = dict[str, Callable[[Report], None]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description="Measure linesync, its rivals and the physical limits in one run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all), or figures")
    parser.add_argument("--quick", action="store_true", help="a short run of less than a minute, for CI")
    parser.add_argument("--check", action="store_true", help="with figures: report whether they agree with the results")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also save the results of this run in FILE")
    reduced = parser.add_argument_group("a reduced measurement of goodput, whose results are only printed")
    reduced.add_argument("--size", type=int, metavar="KIB", help="size of the file (256; fast: 1024)")
    reduced.add_argument(
        "--workloads", help=f"workloads, with commas between: {', '.join(w.name for w in WORKLOADS)} (all)"
    )
    reduced.add_argument("--who", help="programs, with commas between: client, and the default cp,zmodem,kermit,uucp")
    parser.add_argument("--seeds", type=int, default=2, help="number of runs of each transfer, which are averaged (2)")
    parser.add_argument(
        "--at-once", type=int, default=2, help="lines in use at the same time for goodput at 115200 (2)"
    )
    return parser


def quick(report: Report, parts: tuple[str, ...] = _QUICK) -> None:
    """Run the quick measurements.

    Latency is the first part, while nothing else runs. Goodput uses three lines at the same time; more lines would be too
    much work for two processors.
    """
    works = [work for work in WORKLOADS if work.name in ("clean", "BER 1e-5")]
    programs = ("client", "zmodem")
    plan: Plan = {
        "latency": lambda found: latency(found, bauds=(115200,), trips=20, bulk_seconds=4.0),
        "goodput": lambda found: goodput(found, baud=115200, size=64 << 10, works=works, programs=programs, at_once=3),
        "trees": lambda found: trees(found, files=200),
        "forwarding": lambda found: forwarding(found, trips=20, bulk_seconds=3.0, connections=30, size=64 << 10),
        "members": lambda found: members(found, count=200, lines=2, rounds=1),
        "tcp": lambda found: sockets(found, seconds=0.6, file_size=16 << 20, clients=100),
        "startup": lambda found: startup(found, runs=5),
    }
    _measure_parts(report, {part: plan[part] for part in parts}, kept=False)


def _full(report: Report, args: argparse.Namespace, parts: tuple[str, ...]) -> None:
    names = args.workloads.split(",") if args.workloads else [work.name for work in WORKLOADS]
    programs = args.who.split(",") if args.who else WHO

    def files(found: Report, baud: int, size: int, wanted: tuple[str, ...], at_once: int) -> None:
        works = [work for work in WORKLOADS if work.name in names and work.name in wanted]
        size = (args.size or size) << 10
        goodput(found, baud=baud, size=size, works=works, seeds=args.seeds, programs=programs, at_once=at_once)

    plan: Plan = {
        "latency": lambda found: latency(found, bauds=_BAUDS, trips=60, bulk_seconds=30.0),
        "goodput": lambda found: files(found, 115200, 256, tuple(work.name for work in WORKLOADS), args.at_once),
        "fast": lambda found: files(found, 921600, 1024, FAST, 1),
        "trees": lambda found: trees(found, files=1000),
        "forwarding": lambda found: forwarding(found, trips=60, bulk_seconds=30.0, connections=100, size=1 << 20),
        "members": lambda found: members(found, count=1000, lines=8, rounds=3),
        "tcp": lambda found: sockets(found, seconds=3.0, file_size=128 << 20, clients=1000),
        "hub": hub,
        "startup": lambda found: startup(found, runs=25),
    }
    reduced = any((args.size, args.workloads, args.who))
    _measure_parts(report, {part: plan[part] for part in parts}, kept=not reduced)
    if not reduced:
        draw()


def _measure_parts(report: Report, plan: Plan, *, kept: bool) -> None:
    """Measure the parts one after the other.

    :param kept: store the results of each part as soon as it is measured.
    """
    with with_bytecode():
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
    """The run has reached its time limit. A BaseException is not caught by an ``except Exception`` in a measurement."""


def _raise_too_long(number: int, frame: FrameType | None) -> None:
    raise _TooLong


def main() -> int:
    args = _parser().parse_args()
    unknown = [part for part in args.parts if part not in (*PARTS, "figures")]
    names = [work.name for work in WORKLOADS]
    unknown += [work for work in (args.workloads or "").split(",") if work and work not in names]
    unknown += [who for who in (args.who or "").split(",") if who and who not in (*WHO, "client")]
    not_in_quick = [part for part in args.parts if args.quick and part in PARTS and part not in _QUICK]
    if not_in_quick:
        print(f"bench: --quick does not measure {', '.join(not_in_quick)}; omit --quick", file=sys.stderr)
        return 2
    if unknown:
        print(f"bench: unknown part, workload or program {', '.join(unknown)}; see --help", file=sys.stderr)
        return 2
    if args.check:
        differences = stale()
        print(
            "\n".join(differences)
            or "docs/performance.md and its figures agree with docs/measurements/performance.json"
        )
        return 1 if differences else 0
    if args.parts == ["figures"]:
        draw()
        return 0
    return _measure(args, tuple(part for part in PARTS if part in args.parts or not args.parts))


def _measure(args: argparse.Namespace, parts: tuple[str, ...]) -> int:
    report = Report()
    signal.signal(signal.SIGALRM, _raise_too_long)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.alarm(_QUICK_LIMIT if args.quick else _LIMIT)
    try:
        if args.quick:
            quick(report, tuple(part for part in parts if part in _QUICK))
        else:
            _full(report, args, parts)
    except (_TooLong, KeyboardInterrupt) as why:
        report.failures.append("the rest: " + ("the time limit" if isinstance(why, _TooLong) else "interrupted"))
    finally:
        signal.alarm(0)
        print(report.text())
        if args.json:
            report.save(args.json)
    return 1 if report.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
