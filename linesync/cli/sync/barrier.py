"""``linesync barrier``."""

from __future__ import annotations

import argparse

from ...errors import UsageError
from ..common import connection, namespace_option, option, print_json, timeout_option, whole

HELP = "wait at a barrier until COUNT parties, or all of --members, have arrived"
EXAMPLES = """\
  linesync barrier booted 3                    on three machines: all go on together
  linesync barrier booted 3 --timeout 60       exit 124 and say who is missing after a minute
  linesync barrier up --members hub,sut[1-8]   one arrival of each; exit 4 as soon as one of them is lost
  linesync barrier up --members a,b#2 --as b#2  a member of a name of its own on the host b
  linesync barrier up --members a,b --abort 'flash failed'    all of them exit 3 and print the reason
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the barrier's name; nobody has to create it")
    parser.add_argument("count", metavar="COUNT", nargs="?", default="", help="how many parties it takes")
    parser.add_argument("--members", metavar="A,B#1,...", default="", help="who takes part: hosts, or host#tag")
    timeout_option(parser, "barrier")
    option(parser, "barrier", "as", metavar="MEMBER", dest="member", fallback="", help="arrive as this member")
    option(
        parser,
        "barrier",
        "reuse",
        metavar="HOW",
        fallback="cyclic",
        help="cyclic: the next arrival opens the next round; once: it is an error; linger=S: it passes for S seconds",
    )
    parser.add_argument("--tolerate-loss", action="store_true", help="go on without members that are lost")
    parser.add_argument("--abort", metavar="REASON", help="let it fail for all, for this reason")
    namespace_option(parser, "barrier")


def run(args: argparse.Namespace) -> int:
    if bool(args.count) == bool(args.members):
        raise UsageError("give either a COUNT of parties or --members A,B,...; see 'linesync barrier --help'")
    count = whole(args.count or "0")
    if count is None:
        raise UsageError(f"the count {args.count[:32]!r} is not a number; give how many parties the barrier takes")
    if args.count and count < 1:
        raise UsageError(f"a barrier is for 1 or more parties, not for {count}")
    if args.abort == "":
        raise UsageError("an abort is told to all with its reason; give one: --abort 'flash failed'")
    members: tuple[str, ...] = ()
    if args.members:
        from ...model.hosts.members import unfold

        members = unfold(args.members)
    with connection(args) as client:
        result = client.barrier(
            args.name,
            count,
            members=members,
            timeout=args.timeout,
            namespace=args.namespace,
            member=args.member,
            reuse=args.reuse,
            tolerate_loss=args.tolerate_loss,
            abort=args.abort or "",
            all_parties=args.json,
        )
    if args.json:
        print_json(result.as_dict())
    elif result.lost:
        print(f"without {', '.join(result.lost)}")
    return 0
