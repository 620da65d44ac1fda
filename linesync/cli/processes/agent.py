"""``linesync agent``."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ...errors import UsageError
from ..common import option, option_values
from .daemon import (
    log,
    log_json,
    open_socket,
    process_options,
    run_until_stopped,
    set_up_processes,
    socket_options,
)

if TYPE_CHECKING:
    import asyncio

    from ...agent.agent import Agent

HELP = (
    "run the agent on a machine under test: connect to the hub, run remote commands for it, and serve this"
    " machine's scripts"
)
EXAMPLES = """\
  linesync agent --port /dev/ttyS0      connect to the hub over a null modem
  linesync agent --port /dev/ttyS0,921600 --name sut1 --capability kvm
  linesync agent --port tcp://controller:7788 --publish arch=arm64
  linesync agent --stdio                for a hub with --port 'exec:ssh sut ...'
"""
_KERNEL_CMDLINE = "/proc/cmdline"


def arguments(parser: argparse.ArgumentParser) -> None:
    option(
        parser,
        "agent",
        "port",
        metavar="ENDPOINT",
        help="the line to the hub: /dev/ttyS0[,BAUD|auto], tcp://host:port ..., or auto to search for it"
        " (default: linesync.port= on the kernel's command line)",
    )
    parser.add_argument("--stdio", action="store_true", help="use stdin and stdout as the line")
    option(parser, "agent", "name", metavar="NAME", help="this host's name (default: the machine's host name)")
    option(
        parser,
        "agent",
        "capability",
        many=True,
        metavar="C",
        help="declare a capability of this host (something that it can do); may be repeated",
    )
    option(
        parser,
        "agent",
        "publish",
        many=True,
        metavar="K=V",
        help="publish a value that all hosts can see; may be repeated",
    )
    option(parser, "agent", "no-run", flag=True, help="run no commands for other hosts")
    option(parser, "agent", "no-forward", flag=True, help="forward no connections for other hosts")
    option(
        parser,
        "agent",
        "allow-users",
        many=True,
        metavar="USER",
        help="run commands only as this user (run -u USER); may be repeated",
    )
    socket_options(parser, "agent")
    process_options(parser, "agent")


def _kernel_port() -> str | None:
    """The endpoint in ``linesync.port=`` on the kernel's command line, or None."""
    try:
        with open(_KERNEL_CMDLINE, encoding="utf-8", errors="replace") as file:
            words = file.read().split()
    except OSError:
        return None
    found = [word.partition("=")[2] for word in words if word.startswith("linesync.port=")]
    return found[-1] if found else None


async def _call(agent: Agent, name: str, port: str, successors: str) -> None:
    """Connect to the hub, and keep the connection until the coroutine is cancelled, or until the session on stdin and
    stdout is over.

    :param successors: as for :meth:`Agent.run`.
    """
    if port == "auto":
        from ...agent.discover import find_port

        port = await find_port(log)
    log(f"{name} connects to the hub on {port}")
    await agent.run(port, successors=successors)


def _successors(args: argparse.Namespace, name: str) -> str:
    """The path of the socket on which an agent of this name gets the line that replaces its stdin and stdout. It is empty on a
    terminal, which has properties that a socket does not have."""
    if os.isatty(0):
        return ""
    from ...client.settings.places import default_socket

    return f"{args.socket or default_socket(name)}.line"


async def _join_running(path: str, stop: asyncio.Event) -> bool:
    """If an earlier agent on this host waits for a line, give it stdin and stdout, until the line ends or a signal arrives."""
    from ..asyncio_without_tls import asyncio  # isort: split

    from ...agent.stdio_line import join_running

    joining, stopping = asyncio.ensure_future(join_running(path)), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({joining, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return joining.result() if joining.done() else True
    finally:
        joining.cancel()
        stopping.cancel()
        await asyncio.gather(joining, stopping, return_exceptions=True)


def run(args: argparse.Namespace) -> int:
    from ..asyncio_without_tls import asyncio  # isort: split

    from ...agent.agent import Agent
    from ...agent.shutdown import system_goes_down
    from ...jobs.commands.user import own_name
    from ...model.names import check_host
    from ...runtime.identity import system_boot
    from ...transports import parse_endpoint

    if args.json:
        log_json()
    port = "stdio:" if args.stdio else args.port or _kernel_port()
    if not port:
        raise UsageError(
            "the agent has no line to the hub; give --port /dev/ttyS0 (or LINESYNC_PORT, or linesync.port= on the"
            " kernel's command line)"
        )
    if port != "auto":
        parse_endpoint(port)
    for item in option_values(args, "publish"):
        if "=" not in item:
            raise UsageError(f"invalid value for --publish {item}: expected K=V")
    name = os.uname().nodename.partition(".")[0] if args.name is None else args.name
    check_host(name)
    system = system_boot()
    users = frozenset(option_values(args, "allow_users"))
    user = own_name() if users else ""  # not in the event loop, because the look-up may block
    successors = _successors(args, name) if port == "stdio:" else ""

    async def work(stop: asyncio.Event) -> None:
        if successors and await _join_running(successors, stop):
            return
        agent = Agent(
            name=name,
            capabilities=option_values(args, "capability"),
            published=option_values(args, "publish"),
            report=log,
            system=system,
        )
        if users:
            agent.runner.users, agent.runner.user = users, user
        if args.no_run:
            agent.runner.refusal = (
                f"not allowed: {name} runs no commands for others, because its agent was started with --no-run; start it"
                " without this option"
            )
        if args.no_forward:
            agent.services.forward_refusal = (
                f"not allowed: {name} forwards no connections for others, because its agent was started with --no-forward;"
                " start it without this option"
            )
        try:
            set_up_processes(agent.runner, args)
            agent.runner.open()
            await open_socket(args, name, agent.add_listener)
            running = asyncio.ensure_future(_call(agent, name, port, successors))
            stopping = asyncio.ensure_future(stop.wait())
            done, _ = await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
            if running in done:
                running.result()
            else:
                log("stopping")
                await agent.announce_shutdown(system_goes_down)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        finally:
            await agent.aclose()

    return run_until_stopped(work)
