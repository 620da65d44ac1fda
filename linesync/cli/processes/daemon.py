"""What the hub's and the agent's processes share: the log, the socket's place, and a clean stop."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from ...client.places import default_socket
from ...errors import BusyError, LinesyncFailed
from ..asyncio_without_tls import asyncio
from ..common import option

__all__ = ["log", "open_socket", "run_until_stopped", "socket_options"]


def log(sentence: str) -> None:
    """Write a line to the log, which is stderr."""
    with suppress(OSError):  # its terminal was closed, which must not keep us from a clean stop
        print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


def socket_options(parser: argparse.ArgumentParser, command: str) -> None:
    option(parser, command, "socket", metavar="PATH", help="put the socket for this machine's scripts here")
    option(parser, command, "socket-group", metavar="G", help="let this group use the socket too")


async def open_socket(args: argparse.Namespace, name: str, listen: Callable[..., Awaitable[str]]) -> None:
    """Open the socket for scripts: the one asked for, else the default, else the one with our name beside it.

    :raises BusyError: the one asked for is in use.
    """
    path = args.socket or default_socket()
    try:
        endpoint = await _listen_at(path, args, listen)
    except BusyError:
        if args.socket:
            raise
        path = default_socket(name)
        endpoint = await _listen_at(path, args, listen)
        log(f"{default_socket()} is in use by another hub or agent; scripts reach this one with --hub {endpoint}")
        return
    log(f"scripts on this machine reach it at {endpoint}")


async def _listen_at(path: str, args: argparse.Namespace, listen: Callable[..., Awaitable[str]]) -> str:
    from ...workers import run_blocking  # after the lean asyncio

    folder = os.path.dirname(path)
    try:
        if folder:
            await run_blocking(lambda: os.makedirs(folder, _folder_mode(), exist_ok=True), path)
    except OSError as error:
        raise LinesyncFailed(
            f"cannot make the directory {folder}: {error.strerror}; choose another place with --socket"
        ) from None
    return await listen(f"unix:{path}", group=args.socket_group)


def _folder_mode() -> int:
    return 0o755 if os.geteuid() == 0 else 0o700


def run_until_stopped(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]], *, fast: bool = False) -> int:
    """Run a process's main coroutine; its event is set by SIGINT, SIGTERM and SIGHUP (not under nohup).

    :param fast: on uvloop where it is installed (the extra ``fast``): it takes a third off each message of many clients,
        and costs more memory than an agent should.
    """

    async def main() -> None:
        from ...workers import SPOOL  # after the lean asyncio

        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, stop.set)
        SPOOL.clean(_remove_leftovers, "")
        await work(stop)

    with asyncio.Runner(loop_factory=_quicker_loop() if fast else None) as runner:
        runner.run(main())
    return 0


def _remove_leftovers() -> None:
    from ...jobs.leftovers import remove_leftovers

    remove_leftovers()


def _quicker_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes a loop of uvloop's, None where it is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
