"""``linesync hub``."""

from __future__ import annotations

import argparse
import os

from ... import limits
from ...errors import NotAllowed, UsageError
from ...numbers import SECONDS_MAX, read_number
from ..common import argument_type, option, option_values
from .daemon import log, log_json, open_socket, require_folder, run_until_stopped, socket_options

HELP = "run the hub on the controller: open every line, and serve the hosts at their other ends"
EXAMPLES = """\
  linesync hub --port /dev/ttyS0
      one machine on a null modem at 115200 baud
  linesync hub --port /dev/ttyUSB0,921600 --port /dev/ttyUSB1,auto
      two machines; the second line finds its own baud rate
  linesync hub --port 'exec:ssh sut linesync agent --stdio'
      one machine over ssh
  linesync hub --listen tcp://127.0.0.1:7788
      agents and scripts over TCP
"""


@argument_type
def _lease(text: str) -> float:
    """The lease in seconds."""
    return read_number(text, "lease", 1, SECONDS_MAX, "seconds")


@argument_type
def _mebibytes(text: str) -> int:
    """An argument in MiB, converted to bytes."""
    return int(read_number(text, "size", 0.001, 1024, "MiB") * (1 << 20))


def arguments(parser: argparse.ArgumentParser) -> None:
    option(
        parser,
        "hub",
        "port",
        many=True,
        metavar="ENDPOINT",
        help="open a line to a host: /dev/ttyS0[,BAUD|auto], tcp://host:port, exec:COMMAND ...; may be repeated",
    )
    option(
        parser,
        "hub",
        "listen",
        many=True,
        metavar="ENDPOINT",
        help="accept lines on tcp://host:port or unix:/path; may be repeated",
    )
    option(parser, "hub", "insecure", flag=True, help="allow other machines to connect without authentication")
    option(
        parser,
        "hub",
        "lease",
        type=_lease,
        fallback=limits.LEASE,
        metavar="S",
        help="treat a host as lost when it is silent for S seconds (default: 20)",
    )
    option(
        parser,
        "hub",
        "exchange-limit",
        type=_mebibytes,
        fallback=16 << 20,
        metavar="MIB",
        help="the maximum size of the data of a member of an exchange, in MiB (default: 16)",
    )
    socket_options(parser, "hub")


def run(args: argparse.Namespace) -> int:
    from ..asyncio_without_tls import asyncio  # isort: split

    from ...hub.hub import Hub
    from ...hub.tokens import Tokens
    from ...runtime.identity import state_folder
    from ...transports import TcpEndpoint, UnixEndpoint, is_loopback, parse_endpoint

    if args.json:
        log_json()
    ports, listens = option_values(args, "port"), option_values(args, "listen")
    for endpoint in ports + listens:
        parse_endpoint(endpoint)
    for endpoint in listens:
        if not isinstance(parse_endpoint(endpoint), TcpEndpoint | UnixEndpoint):
            raise UsageError(
                f"the hub cannot listen on {endpoint}, because this kind of endpoint does not accept connections; listen on tcp://HOST:PORT"
                " or unix:/PATH, or open it with --port"
            )
        if not is_loopback(endpoint) and not args.insecure:
            raise NotAllowed(
                f"other machines can connect to {endpoint} without authentication; listen on tcp://127.0.0.1:PORT, or"
                " add --insecure if everybody who can connect may run commands here"
            )

    async def work(stop: asyncio.Event) -> None:
        await require_folder(args)
        tokens = Tokens(f"{args.socket}.tokens" if args.socket else os.path.join(state_folder(), "tokens"))
        await tokens.begin(log)
        hub = Hub(lease=args.lease, report=log, exchange_limit=args.exchange_limit, tokens=tokens)
        try:
            hub.runner.open()
            await open_socket(args, "hub", hub.add_listener)
            for endpoint in listens:
                log(f"listening on {await hub.add_listener(endpoint)}")
            for endpoint in ports:
                hub.add_port(endpoint)
                log(f"waiting for an agent on {endpoint}")
            if not ports and not listens:
                log("this hub has no --port and no --listen: only scripts on this machine can reach it; hosts cannot")
            await stop.wait()
            log("stopping")
        finally:
            await hub.aclose()

    return run_until_stopped(work, fast=True)
