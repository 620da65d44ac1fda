"""``linesync sem``."""

from __future__ import annotations

import argparse

from ...errors import UsageError
from ..common import connection, namespace_option, option, print_json, timeout_option, whole

HELP = "change a semaphore: -N takes N units and waits for them, +N gives N, 0 prints the value"
EXAMPLES = """\
  linesync sem flash +1                       one unit more; whoever waits first gets it
  linesync sem flash -1 --timeout 300         take it, or exit 124 after five minutes
  linesync sem flash 0                        how many are there
  linesync sem flash -1 --hold -- ./flash.sh  given back when the command ends, or its host dies
  linesync sem flash +1 --bound 4             exit 5 rather than have more than four
"""
HINT = "a command and its options come after --"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the semaphore's name; it starts at 0")
    parser.add_argument("delta", metavar="DELTA", help="-N, +N or 0")
    timeout_option(parser, "sem")
    parser.add_argument("--hold", action="store_true", help="hold the units while the command after -- runs")
    option(parser, "sem", "bound", type=int, metavar="N", fallback=0, help="the most units it may ever have")
    namespace_option(parser, "sem")


def run(args: argparse.Namespace) -> int:
    delta = whole(args.delta)
    if delta is None:
        raise UsageError(f"{args.delta[:32]!r} is no change of a semaphore; give -N, +N or 0")
    if args.hold != bool(args.tail) or (args.hold and delta >= 0):
        raise UsageError("units are held for a command: linesync sem NAME -N --hold -- COMMAND [ARG ...]")
    if args.bound < 0:
        raise UsageError(f"a bound of {args.bound} units is none; give 1 or more")
    with connection(args) as client:
        how = {"timeout": args.timeout, "namespace": args.namespace, "bound": args.bound}
        if args.hold:
            from .holding import run_holding

            held = client.hold(args.name, -delta, **how)
            return run_holding(client, held, args.tail, {})
        value = client.semaphore(args.name, delta, **how)
    if args.json:
        print_json({"name": args.name, "value": value})
    elif delta == 0:
        print(value)
    return 0
