"""Shared by the processes of the hub and the agent: the log, the path of the socket, and a clean stop."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ...client.settings.places import default_socket
from ...errors import BusyError, LinesyncFailed
from ...numbers import read_number
from ..common import argument_type, option

if TYPE_CHECKING:
    import asyncio  # loaded only when a process runs

    from ...jobs.commands.process import Runner

__all__ = [
    "log",
    "log_json",
    "mebibytes",
    "open_socket",
    "process_options",
    "require_folder",
    "run_until_stopped",
    "set_up_processes",
    "socket_options",
]

_CLEANING_INTERVAL = 3600.0  # seconds between two searches for files that earlier copies have left
_as_json = False


def log(sentence: str, *, peer: str = "", burst: int = 0) -> None:
    """Write a line to the log, which is stderr.

    The parameters are those of :class:`linesync.runtime.listening.reports.Report`. This function ignores ``peer`` and
    ``burst``, because it has no limit.
    """
    line = f"{time.strftime('%H:%M:%S')} {sentence}"
    if _as_json:
        import json

        from ...timestamps import utc

        line = json.dumps({"time": utc(time.time()), "log": sentence})
    print(line, file=sys.stderr, flush=True)


def log_json() -> None:
    """Write all later lines of the log as JSON."""
    global _as_json
    _as_json = True


def socket_options(parser: argparse.ArgumentParser, command: str) -> None:
    option(parser, command, "socket", metavar="PATH", help="the path of the socket for this machine's scripts")
    option(parser, command, "socket-group", metavar="G", help="let this Unix group use the socket, too")


@argument_type
def mebibytes(text: str) -> int:
    """An argument in MiB, converted to bytes."""
    return int(read_number(text, "size", 0.001, 1024, "MiB") * (1 << 20))


def process_options(parser: argparse.ArgumentParser, command: str) -> None:
    option(
        parser,
        command,
        "output-limit",
        type=mebibytes,
        fallback=4 << 20,
        metavar="MIB",
        help="keep at most this much output of each detached process, in MiB (default: 4)",
    )


def set_up_processes(runner: Runner, args: argparse.Namespace) -> None:
    """Set the directory and the output limit of detached processes. With ``--socket PATH``, the directory is beside the
    socket."""
    runner.output_limit = args.output_limit
    if args.socket:
        runner.processes_folder = f"{os.path.abspath(args.socket)}.processes"


async def open_socket(args: argparse.Namespace, name: str, listen: Callable[..., Awaitable[str]]) -> None:
    """Open the socket for scripts, at the path of ``--socket`` or else at the default path.

    This function creates the directory of the default path, but no other directory. If another process uses the default
    path, the socket gets a path in the same directory that contains our name.

    :param name: the host name of this process, or ``hub``.
    :param listen: opens a listener at an endpoint and returns the endpoint with its absolute path.
    :raises BusyError: the path of ``--socket`` is in use.
    :raises LinesyncFailed: the socket, or the directory of the default path, cannot be created.
    """
    if args.socket is not None:
        endpoint = await listen(f"unix:{args.socket}", group=args.socket_group)
        log(f"scripts on this machine reach {name} at {endpoint}")
        return
    await _make_folder(os.path.dirname(default_socket()))
    try:
        endpoint = await listen(f"unix:{default_socket()}", group=args.socket_group)
    except BusyError:
        endpoint = await listen(f"unix:{default_socket(name)}", group=args.socket_group)
        log(f"{default_socket()} is in use by another hub or agent; scripts reach {name} with --hub {endpoint}")
        return
    log(f"scripts on this machine reach {name} at {endpoint}")


async def require_folder(args: argparse.Namespace) -> None:
    """Check the directory of ``--socket`` before a file is created beside the socket.

    :raises LinesyncFailed: there is no such directory.
    """
    from ...workers import run_blocking  # imported late, because it imports asyncio: see asyncio_without_tls.py

    folder = os.path.dirname(args.socket or "")
    if folder and not await run_blocking(lambda: os.path.isdir(folder), folder):
        raise LinesyncFailed(
            f"cannot listen on unix:{args.socket}: there is no directory {folder}; create it or choose another path"
        )


async def _make_folder(folder: str) -> None:
    from ...workers import run_blocking  # imported late, because it imports asyncio: see asyncio_without_tls.py

    try:
        await run_blocking(lambda: os.makedirs(folder, _folder_mode(), exist_ok=True), folder)
    except OSError as error:
        raise LinesyncFailed(
            f"cannot create the directory {folder}: {error.strerror}; choose another path with --socket"
        ) from None


def _folder_mode() -> int:
    return 0o755 if os.geteuid() == 0 else 0o700


def run_until_stopped(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]], *, fast: bool = False) -> int:
    """Run the main coroutine of a process until it ends.

    :param work: the coroutine function. Its argument is an event, which SIGINT, SIGTERM and SIGHUP (but not under nohup)
        set.
    :param fast: use uvloop if it is installed (the extra ``fast``). A hub with many clients is a third faster with it. An
        agent does not use it, because it needs too much memory.
    :return: exit code 0.
    """

    from ..asyncio_without_tls import asyncio

    async def main() -> None:
        import logging

        from ...open_files import raise_limit
        from ...runtime.listening.reports import RepeatFilter, Reports
        from ...workers import SPOOL

        raise_limit()
        failures = Reports(log)
        logging.getLogger("asyncio").addFilter(RepeatFilter(failures))
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, stop.set)

        def clean() -> None:
            SPOOL.clean(_remove_leftovers, "")
            loop.call_later(_CLEANING_INTERVAL, clean)

        clean()
        try:
            await work(stop)
        finally:
            failures.close()

    with asyncio.Runner(loop_factory=_uvloop_factory() if fast else None) as runner:
        runner.run(main())
    return 0


def _remove_leftovers() -> None:
    from ...jobs.files.leftovers import remove_leftovers
    from ...jobs.files.parts import expire

    remove_leftovers()
    expire()


def _uvloop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The function that creates an event loop of uvloop, or None if uvloop is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
