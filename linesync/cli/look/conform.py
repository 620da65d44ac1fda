"""``linesync conform``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import TimedOut, UsageError
from ..common import print_json, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...testing.conform import Result
    from ...testing.conform.loop_wire import LoopWire

HELP = "check whether an endpoint follows the rules of docs/protocol.md"
EXAMPLES = """\
  linesync conform /dev/ttyUSB0                  a board that calls a hub
  linesync conform exec:./my_endpoint            a program that uses stdin and stdout
  linesync conform unix:/tmp/test.sock           an endpoint that connects to this socket
  linesync conform /dev/ttyUSB0 --rule answers-polls --rule hub-restarts
  linesync conform tcp://lab:5001 --as agent     a hub

The command plays the hub, or with --as agent an agent, and checks one rule
after the other. No hub or agent of linesync may use the port at the same time.
All rules take about three minutes on a serial line. The exit code
is 0 if the endpoint follows all rules with MUST, and 1 otherwise.
"""
_CLOSING = 0.2  # seconds within which the last bytes of the tester are sent


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("port", metavar="PORT", help="the line to the endpoint under test")
    parser.add_argument(
        "--as",
        dest="played",
        choices=("hub", "agent"),
        default="hub",
        help="the role that linesync plays (default: hub)",
    )
    parser.add_argument(
        "--rule", action="append", default=[], metavar="ID", help="check only this rule; may be repeated"
    )
    parser.add_argument(
        "--name", default="conform", metavar="NAME", help="with --as agent: register as this host (default: conform)"
    )
    parser.add_argument("--list", action="store_true", help="list the rules of the role, and do not open the port")
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    from ...client.deadlines import Deadline
    from ...testing.conform import RULES, WATCHED, conforms
    from ...testing.conform import run as check

    role = "caller" if args.played == "hub" else "listener"
    rules = [rule for rule in (*RULES, *WATCHED) if rule.roles in (role, "both")]
    unknown = set(args.rule) - {rule.id for rule in rules}
    if unknown:
        raise UsageError(f"invalid rule {min(unknown)!r}: expected an id of 'linesync conform {args.port} --list'")
    if args.list:
        if args.json:
            print_json([rule.as_json() for rule in rules])
        else:
            for rule in rules:
                print(f"{rule.level:6} {rule.section:13} {rule.id:24} {rule.does}")
        return 0
    deadline = Deadline(args.timeout)

    def check_time() -> None:
        if deadline.over:
            raise TimedOut(
                f"the check of {args.port} was not complete after {args.timeout:g} s; use a longer --timeout"
            )

    results: list[Result] = []
    with _wire(args.port, listens=args.played == "agent") as wire:
        wire.check = check_time
        for result in check(wire, role=role, only=args.rule, name=args.name):
            results.append(result)
            if not args.json:
                _show(result)
    conforming = conforms(results)
    if args.json:
        rows = [result.as_json() for result in results]
        print_json({"port": args.port, "role": role, "conforms": conforming, "rules": rows})
    else:
        _summarise(results, conforming)
    return 0 if conforming else 1


@contextmanager
def _wire(port: str, *, listens: bool) -> Iterator[LoopWire]:
    """Open the line to the endpoint under test.

    :param listens: whether the endpoint accepts connections. Otherwise the tester accepts them, if it is a socket.
    """
    import asyncio

    from ... import transports
    from ...testing.conform.loop_wire import LoopWire

    place = transports.parse_endpoint(port)
    accepts = not listens and isinstance(place, transports.TcpEndpoint | transports.UnixEndpoint)
    loop = asyncio.new_event_loop()
    connect = None if accepts else (lambda factory: transports.connect(place, factory))
    wire = LoopWire(loop, connect, shared=isinstance(place, transports.SerialEndpoint))
    listener = None
    try:
        if accepts:
            listener = loop.run_until_complete(transports.listen(place, wire.receiver))
        wire.open()
        yield wire
    finally:
        wire.close()
        loop.run_until_complete(asyncio.sleep(_CLOSING))
        if listener is not None:
            loop.run_until_complete(listener.aclose())
        loop.close()


def _show(result: Result) -> None:
    rule = result.rule
    print(f"{result.outcome:8} {rule.level:6} {rule.section:13} {rule.id:24} {rule.does}", flush=True)
    if result.reason:
        print(f"         {result.reason}", flush=True)
    if result.observed:
        print(f"         observed: {result.observed}", flush=True)


def _summarise(results: list[Result], conforming: bool) -> None:
    def count(outcome: str, level: str = "") -> int:
        return sum(result.outcome == outcome and result.rule.level.startswith(level) for result in results)

    print(
        f"\n{len(results)} rules: {count('passed')} passed, {count('failed', 'MUST')} MUST and {count('failed', 'SHOULD')}"
        f" SHOULD failed, {count('skipped')} skipped"
    )
    print("the endpoint follows all rules with MUST" if conforming else "the endpoint breaks rules with MUST")
