"""``linesync hub``."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from ... import limits
from ...errors import LinesyncError, NotAllowed, UsageError
from ...numbers import SECONDS_MAX, read_number
from ..common import argument_type, option, option_values
from .daemon import (
    log,
    log_json,
    mebibytes,
    open_socket,
    process_options,
    require_folder,
    run_until_stopped,
    set_up_processes,
    socket_options,
)

if TYPE_CHECKING:
    from ...hub.hub import Hub
    from ...hub.state.durable import Durable
    from ...hub.state.tokens import Tokens
    from ...model.policy import Policy

DEFAULT_POLICY = "/etc/linesync/policy.toml"
MEMORY = ":memory:"
HELP = "run the hub on the controller: open every line, and serve the hosts at their other ends"
EXAMPLES = """\
  linesync hub --port /dev/ttyS0
      one machine on a null modem at 115200 baud
  linesync hub --port /dev/ttyUSB0,921600 --port /dev/ttyUSB1,auto
      two machines; the second line chooses its baud rate automatically
  linesync hub --port 'exec:ssh sut linesync agent --stdio'
      one machine over ssh
  linesync hub --listen tcp://127.0.0.1:7788
      agents and scripts over TCP
"""


@argument_type
def _lease(text: str) -> float:
    """The lease in seconds."""
    return read_number(text, "lease", 1, SECONDS_MAX, "seconds")


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
        "state",
        metavar="FILE",
        help="store the state in FILE, so that a hub that starts again can continue; with :memory:, the state ends with"
        " the hub (default: %s/hub.db, or PATH.db with --socket PATH)"
        % ("/var/lib/linesync" if os.geteuid() == 0 else "~/.local/state/linesync"),
    )
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
        type=mebibytes,
        fallback=16 << 20,
        metavar="MIB",
        help="the maximum size of the data of a member of an exchange, in MiB (default: 16)",
    )
    option(
        parser,
        "hub",
        "policy",
        metavar="FILE",
        help=f"the file with the permissions of scripts (default: {DEFAULT_POLICY}, if it exists); SIGUSR1 reads it again",
    )
    option(
        parser,
        "hub",
        "audit",
        metavar="FILE",
        help="record each command, copy and change of the policy in FILE, as JSON lines (default: %s/audit.jsonl, or"
        " PATH.audit.jsonl with --socket PATH; none with --state :memory:)"
        % ("/var/lib/linesync" if os.geteuid() == 0 else "~/.local/state/linesync"),
    )
    socket_options(parser, "hub")
    process_options(parser, "hub")


def run(args: argparse.Namespace) -> int:
    from ..asyncio_without_tls import asyncio  # isort: split

    from ...hub.access.audit import Audit
    from ...hub.hub import Hub
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

    policy = _policy(args)

    async def work(stop: asyncio.Event) -> None:
        await require_folder(args)
        failed: list[LinesyncError] = []
        tasks: set[asyncio.Task[None]] = set()

        def fail(error: LinesyncError) -> None:
            failed.append(error)
            stop.set()

        durable = tokens = None
        if args.state == MEMORY:
            tokens = await _tokens(args)
        else:
            durable = await _durable(args, fail)
        audit = Audit(path, log) if (path := _audit_path(args)) else None
        hub = Hub(
            lease=args.lease,
            report=log,
            exchange_limit=args.exchange_limit,
            tokens=tokens,
            durable=durable,
            policy=policy,
            audit=audit,
        )
        hub.on_drained(stop.set)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: tasks.add(loop.create_task(_reload(args, hub))))
        try:
            set_up_processes(hub.runner, args)
            hub.runner.open()
            await open_socket(args, "hub", hub.add_listener)
            for endpoint in listens:
                log(f"listening on {await hub.add_listener(endpoint)}")
            for endpoint in ports:
                hub.add_port(endpoint)
                log(f"waiting for an agent on {endpoint}")
            if not ports and not listens:
                log("this hub has no --port and no --listen: only programs on this machine can connect to it")
            await stop.wait()
            log("stopping")
        finally:
            await hub.aclose(keep=bool(failed) or (hub.drained and durable is not None))
            if durable is not None and not failed and not hub.drained:
                await durable.close()
            if audit is not None:
                await audit.close()
        if failed:
            raise failed[0]

    return run_until_stopped(work, fast=True)


def _policy(args: argparse.Namespace) -> Policy:
    from ...hub.access.policy_file import read_policy

    return read_policy(args.policy or DEFAULT_POLICY, required=bool(args.policy))


async def _reload(args: argparse.Namespace, hub: Hub) -> None:
    """Read the policy file again. If it is not valid, the hub keeps its rules."""
    from ...workers import run_blocking

    try:
        hub.set_policy(await run_blocking(lambda: _policy(args), args.policy or "/etc"))
    except (LinesyncError, OSError) as error:
        log(f"the policy stays as it is: {error}")


def _audit_path(args: argparse.Namespace) -> str:
    """The path of the audit log; empty for none."""
    if args.audit or args.state == MEMORY:
        return args.audit or ""
    return _beside(args, "audit.jsonl")


def _beside(args: argparse.Namespace, kind: str) -> str:
    """The path of a file of the hub: ``PATH.kind`` with ``--socket PATH``; otherwise a file in the directory for state."""
    from ...runtime.identity import state_folder

    return f"{args.socket}.{kind}" if args.socket else os.path.join(state_folder(), kind)


async def _tokens(args: argparse.Namespace) -> Tokens:
    """Reserve fencing tokens for a hub that does not store its state."""
    from ...hub.state.tokens import Tokens

    tokens = Tokens(_beside(args, "tokens"))
    await tokens.begin(log)
    return tokens


async def _durable(args: argparse.Namespace, fail: Callable[[LinesyncError], object]) -> Durable:
    """Open the state file, and restore the state from it.

    :param fail: a function that is called when a write to the file fails.
    :raises BusyError: another hub uses the file.
    :raises LinesyncFailed: the file cannot be used.
    """
    from ...hub.state.durable import restore
    from ...hub.state.tokens import least_token
    from ...runtime.identity import state_folder
    from ...store.state_file import default_path, open_state

    path = args.state or default_path(args.socket, state_folder())
    state, rows = await open_state(path, make_folder=not (args.state or args.socket), on_failure=fail)
    try:
        least = await least_token(_beside(args, "tokens"))
        return restore(state, rows, log, lease=args.lease, first_token=least)
    except BaseException:
        await state.close()
        raise
