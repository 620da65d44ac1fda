"""``linesync forward``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Coroutine

from ...client.deadlines import Deadline
from ...client.settings.places import find_hub
from ...errors import UsageError
from ...program import Terminated
from ..common import print_json, print_notice, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...client.aio import Client

HELP = "forward TCP and unix sockets between this machine and a host, until the command ends"
EXAMPLES = """\
  linesync forward -L 8080=localhost:80 sut      port 8080 here is port 80 of sut
  linesync forward -R 3142=localhost:3142 sut    port 3142 of sut is port 3142 here
  linesync forward -L ./bus=/run/dbus/system_bus_socket sut    a unix socket here is a unix socket of sut
  linesync forward -D 1080 sut                   a SOCKS5 proxy here, whose connections start at sut
  ssh -o ProxyCommand='linesync forward --stdio sut localhost:22' root@sut
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = """\
linesync forward [-L LISTEN=TARGET]... [-R LISTEN=TARGET]... [-D LISTEN]... [--timeout S] HOST
       linesync forward --stdio [--timeout S] HOST TARGET"""
    parser.add_argument("host", metavar="HOST", help="the host; 'hub' is the controller")
    parser.add_argument(
        "target", metavar="TARGET", nargs="?", default="", help="with --stdio: the address to connect to"
    )
    parser.add_argument(
        "-L",
        dest="local",
        metavar="LISTEN=TARGET",
        action="append",
        default=[],
        help="listen here, and connect from HOST; an address is PORT, HOST:PORT, a path or unix:@NAME; may be repeated",
    )
    parser.add_argument(
        "-R",
        dest="remote",
        metavar="LISTEN=TARGET",
        action="append",
        default=[],
        help="listen on HOST, and connect from here; may be repeated",
    )
    parser.add_argument(
        "-D", dest="socks", metavar="LISTEN", action="append", default=[], help="listen here as a SOCKS5 proxy"
    )
    parser.add_argument(
        "--stdio", action="store_true", help="connect stdin and stdout to TARGET, as a ProxyCommand of ssh"
    )
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    forwards = [*args.local, *args.remote, *args.socks]
    if args.stdio:
        if not args.target or forwards:
            raise UsageError("--stdio needs exactly HOST and TARGET, as in: linesync forward --stdio sut localhost:22")
        return _run(args, lambda client, deadline: _stdio(client, args, deadline))
    if args.target or not forwards:
        raise UsageError(
            "choose what to forward with -L, -R or -D, or use --stdio HOST TARGET, as in: linesync forward -L"
            f" 8080=localhost:80 {args.host}"
        )
    pairs = [_pair(option, text) for option, texts in (("-L", args.local), ("-R", args.remote)) for text in texts]
    return _run(args, lambda client, deadline: _forward(client, args, pairs, deadline))


def _pair(option: str, text: str) -> tuple[str, str, str]:
    listen, equals, target = text.partition("=")
    if not (listen and equals and target):
        raise UsageError(f"invalid value for {option} {text!r}: expected LISTEN=TARGET, as in 8080=localhost:80")
    return option, listen, target


def _run(args: argparse.Namespace, work: Callable[[Client, Deadline], Coroutine[Any, Any, None]]) -> int:
    """Run work on a connection to the hub or agent, until it ends or a signal arrives."""
    import signal

    from ...client import aio
    from ..asyncio_without_tls import asyncio

    stopped: list[int] = []

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None

        def stop(number: int) -> None:
            if not stopped:
                task.cancel()
            stopped.append(number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, stop, number)
        deadline = Deadline(args.timeout)
        endpoint = find_hub() if args.hub is None else args.hub
        async with await aio.connect(endpoint, timeout=deadline.to_connect) as client:
            await work(client, deadline)

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        if stopped[0] == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise Terminated(stopped[0]) from None
    return 0


async def _stdio(client: Client, args: argparse.Namespace, deadline: Deadline) -> None:
    from ...jobs.sockets.descriptors import standard_streams
    from ...jobs.sockets.sockets import carry

    connection = await client.open_connection(args.host, args.target, timeout=deadline.left)
    await carry(standard_streams(), connection)


async def _forward(
    client: Client, args: argparse.Namespace, pairs: list[tuple[str, str, str]], deadline: Deadline
) -> None:
    from ...client.jobs.forwarding import Forwarding

    def report(sentence: str) -> None:
        print_notice(sentence, as_json=args.json)

    async with Forwarding(client, args.host, report) as forwarding:
        rows = await forwarding.begin(pairs, args.socks, deadline.left)
        for row in rows:
            _show(args, *row)
        await forwarding.until_over()


def _show(args: argparse.Namespace, option: str, listen: str, target: str) -> None:
    """Print a line when a forward is ready."""
    kind = {"-L": "local", "-R": "remote", "-D": "socks"}[option]
    if args.json:
        print_json({"kind": kind, "host": args.host, "listen": listen, "target": target})
    elif option == "-R":
        print(f"{args.host} {listen} is forwarded to {target}")
    elif option == "-L":
        print(f"{listen} is forwarded to {args.host} {target}")
    else:
        print(f"{listen} is a SOCKS5 proxy to {args.host}")
    sys.stdout.flush()
