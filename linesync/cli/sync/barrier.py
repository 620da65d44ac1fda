"""``linesync barrier``."""

from __future__ import annotations

import argparse

from ...errors import UsageError
from ...numbers import read_whole
from ..common import connection, member_option, namespace_option, option, print_json, timeout_option

HELP = "wait at a barrier until COUNT parties, or all of --members, have arrived"
EXAMPLES = """\
  linesync barrier booted 3
      on three machines: all three continue together
  linesync barrier booted 3 --timeout 60
      after a minute: exit 124, and print the missing parties
  linesync barrier up --members hub,sut[1-8]
      one arrival of each member; exit 4 as soon as one of them is lost
      or restarts after it has arrived
  linesync barrier up --members a,b#2 --as b#2
      on the host b: arrive as the member b#2
  linesync barrier up --members a,b --abort 'flash failed'
      all members exit 3 and print the reason
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the barrier's name; the first arrival creates it")
    parser.add_argument("count", metavar="COUNT", nargs="?", default="", help="the number of parties to wait for")
    parser.add_argument(
        "--members", metavar="A,B#1,...", default="", help="the members to wait for: hosts, or host#tag"
    )
    timeout_option(parser, "barrier")
    member_option(parser, "barrier", "arrive")
    option(
        parser,
        "barrier",
        "reuse",
        metavar="HOW",
        fallback="cyclic",
        help="the effect of an arrival after the release: with cyclic (default), it opens the next generation; with"
        " once, it is an error; with linger=S, it passes immediately for S seconds",
    )
    parser.add_argument(
        "--tolerate-loss", action="store_true", help="release the barrier without members that are lost"
    )
    parser.add_argument(
        "--rejoin",
        action="store_true",
        help="allow a member that had arrived to restart and arrive again (default: exit 4)",
    )
    parser.add_argument("--abort", metavar="REASON", help="end the wait of all parties with this reason (exit code 3)")
    namespace_option(parser, "barrier")


def run(args: argparse.Namespace) -> int:
    if bool(args.count) == bool(args.members):
        raise UsageError("give either a COUNT of parties or --members A,B,...; see 'linesync barrier --help'")
    count = read_whole(args.count, "count", 1, 10_000, "parties") if args.count else 0
    if args.abort == "":
        raise UsageError("the reason after --abort is empty; give a reason, as in --abort 'flash failed'")
    members: tuple[str, ...] = ()
    if args.members:
        from ...model.hosts.members import unfold

        members = unfold(args.members)
    with connection(args) as client:
        result = client.barrier(
            args.name,
            count,
            members=members,
            timeout=args.deadline.left,
            namespace=args.namespace,
            member=args.member,
            reuse=args.reuse,
            tolerate_loss=args.tolerate_loss,
            rejoin=args.rejoin,
            abort=args.abort or "",
            all_parties=args.json,
        )
    if args.json:
        print_json(result.as_dict())
    elif result.lost:
        print(f"without {', '.join(result.lost)}")
    return 0
