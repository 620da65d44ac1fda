"""``linesync sem``."""

from __future__ import annotations

import argparse

from ...errors import UsageError
from ...numbers import read_whole
from ..common import argument_type, connection, namespace_option, option, print_json, timeout_option

HELP = "change a semaphore: -N takes N units or waits for them, +N gives N units, 0 prints the value"
EXAMPLES = """\
  linesync sem flash +1
      give one unit; the first client in the queue gets it
  linesync sem flash -1 --timeout 300
      take one unit, or exit 124 after five minutes
  linesync sem flash 0
      print the number of units
  linesync sem flash -1 --hold -- ./flash.sh
      hold one unit until the command ends or its host is lost
  linesync sem flash +1 --bound 4
      exit 5 if the semaphore would have more than four units
"""
HINT = "write -- before the command, as in: linesync sem NAME -N --hold -- COMMAND [ARG ...]"


_UNITS_MAX = 2**53 - 1  # the hub has the same limit


@argument_type
def _bound(text: str) -> int:
    return read_whole(text, "bound", 1, _UNITS_MAX, "units")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = """\
linesync sem NAME -N|+N|0 [--bound N] [--timeout S] [--namespace NS]
       linesync sem NAME -N --hold [--bound N] [--timeout S] [--namespace NS]
                    -- CMD [ARG ...]"""
    parser.add_argument("name", metavar="NAME", help="the semaphore's name; a new semaphore has 0 units")
    parser.add_argument("delta", metavar="DELTA", help="-N, +N or 0")
    timeout_option(parser, "sem")
    parser.add_argument("--hold", action="store_true", help="hold the units while the command after -- runs")
    option(
        parser,
        "sem",
        "bound",
        type=_bound,
        metavar="N",
        fallback=0,
        help="the largest number of units that the semaphore may have",
    )
    namespace_option(parser, "sem")
    parser.add_argument("command", metavar="CMD", nargs="*", default=[], help="the command and its arguments, after --")


def run(args: argparse.Namespace) -> int:
    delta = read_whole(
        args.delta, "change", -_UNITS_MAX, _UNITS_MAX, expected=f"-N, +N or 0, with N up to {_UNITS_MAX}"
    )
    if args.hold != bool(args.command) or (args.hold and delta >= 0):
        raise UsageError(
            "--hold needs -N and a command, and a command needs --hold: linesync sem NAME -N --hold -- COMMAND [ARG ...]"
        )
    with connection(args) as client:
        options = {"timeout": args.deadline.left, "namespace": args.namespace, "bound": args.bound}
        if args.hold:
            from .holding import run_holding

            held = client.hold(args.name, -delta, **options)
            return run_holding(client, held, args.command, {}, timeout=args.timeout, as_json=args.json)
        value = client.semaphore(args.name, delta, **options)
    if args.json:
        print_json({"name": args.name, "value": value})
    elif delta == 0:
        print(value)
    return 0
