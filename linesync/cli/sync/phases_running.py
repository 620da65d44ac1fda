"""``linesync phases run``: runs the services of a file until the group is stopped."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ...client.settings.places import find_hub
from ...errors import TimedOut
from ...program import FATAL, Terminated, write_output
from ...timestamps import utc
from ..asyncio_without_tls import asyncio
from ..common import bytes_as_json, print_json

if TYPE_CHECKING:
    from ...client.aio import Client
    from ...client.phases.runner import Phases
    from ...model.groups.declarations_file import ServicesFile

__all__ = ["run_services"]


def run_services(args: argparse.Namespace, file: ServicesFile, hosts: Sequence[str]) -> int:
    """Run the services until the group is stopped, or a signal ends this process.

    :param hosts: the hosts for which the controller runs commands; empty to run them on this machine.
    :return: the exit code.
    """
    signals: list[int] = []
    with asyncio.Runner() as runner:
        try:
            runner.run(_main(args, file, hosts, signals))
        except asyncio.CancelledError:
            pass
    if signals[:1] == [signal.SIGINT]:
        raise KeyboardInterrupt
    if signals:
        raise Terminated(signals[0])
    return 0


async def _main(args: argparse.Namespace, file: ServicesFile, hosts: Sequence[str], signals: list[int]) -> None:
    from ...client.aio import connect
    from ...client.deadlines import Deadline

    deadline = Deadline(args.timeout)
    with _handled(signals):
        endpoint = find_hub() if args.hub is None else args.hub
        async with await connect(endpoint, timeout=deadline.to_connect) as client:
            scope = asyncio.timeout(deadline.left)
            try:
                async with scope:
                    if hosts:
                        await _run_for_hosts(client, args, file, hosts)
                    else:
                        await _run_here(client, args, file, endpoint)
            except TimeoutError:
                if not scope.expired():
                    raise
                raise TimedOut(
                    f"the group {file.group} was not stopped within {args.timeout:g} s; its services here were stopped, and"
                    " its members here have left it"
                ) from None


@contextlib.contextmanager
def _handled(signals: list[int]) -> Iterator[None]:
    """Handle signals: a signal cancels this task, so that it ends all commands, stops the services and leaves the group. A
    second signal also ends this clean-up."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None

    def handle(number: int) -> None:
        signals.append(number)
        task.cancel()

    numbers = [number for number in (signal.SIGINT, *FATAL) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


async def _run_here(client: Client, args: argparse.Namespace, file: ServicesFile, endpoint: str) -> None:
    """Run the services of this host. They keep running if the agent of this host is restarted."""
    from ...client.aio import connect
    from ...client.phases.commands import local_services
    from ...client.phases.runner import own_host
    from ...jobs.process import Runner
    from ...transports.endpoint import absolute

    host = await own_host(client)
    show = _Show(as_json=args.json, host="")
    runner = Runner(host, show.say)
    runner.extra["LINESYNC_HUB"] = absolute(endpoint)

    async def connect_again() -> Client:
        return await connect(endpoint)

    phases = _phases(client, args, file, show, tag=args.tag or "", host=host, connect=connect_again)
    for service in local_services(file, runner, show.output):
        phases.register(service)
    try:
        await phases.run()
    finally:
        show.flush()
        await runner.aclose()


async def _run_for_hosts(client: Client, args: argparse.Namespace, file: ServicesFile, hosts: Sequence[str]) -> None:
    """Run the services of hosts that have only an agent."""
    from ...client.phases.commands import remote_services
    from ...client.phases.hosts import HostPhases
    from ..hosts.run import inherited

    shows = {host: _Show(as_json=args.json, host=host) for host in hosts}

    def make(host: str) -> Phases:
        show = shows[host]
        phases = _phases(client, args, file, show, tag=host, host=host)
        for service in remote_services(file, client, host, show.output, inherited()):
            phases.register(service)
        return phases

    try:
        await HostPhases(client, hosts, make, lambda host, error: shows[host].say(error.message)).run()
    finally:
        for show in shows.values():
            show.flush()


def _phases(
    client: Client,
    args: argparse.Namespace,
    file: ServicesFile,
    show: _Show,
    *,
    tag: str,
    host: str,
    connect: Callable[[], Awaitable[Client]] | None = None,
) -> Phases:
    from ...client.phases.runner import Phases

    return Phases(
        client,
        file.group,
        namespace=args.namespace,
        tag=tag,
        host=host,
        quorum=file.quorum,
        init=file.init,
        activate=file.activate,
        on_failure=file.on_failure,
        retries=file.retries,
        backoff=file.backoff,
        say=show.say,
        connect=connect,
    )


class _Show:
    """Prints sentences about steps on stderr, and the output of the commands on stdout, each line with its service.

    :param host: the host that each line names; empty for this machine.
    """

    def __init__(self, *, as_json: bool, host: str) -> None:
        self._json = as_json
        self._host = host
        self._prefix = f"{host} " if host else ""
        self._partial: dict[tuple[str, int], bytes] = {}
        """The incomplete last line of each service and stream."""

    def say(self, sentence: str) -> None:
        """Print a sentence."""
        if self._json:
            host = {"host": self._host} if self._host else {}
            print_json({"time": utc(time.time()), **host, "log": sentence}, file=sys.stderr)
        else:
            print(f"{time.strftime('%H:%M:%S')} {self._prefix}{sentence}", file=sys.stderr, flush=True)

    def output(self, service: str, number: int, data: bytes) -> None:
        """Print output of a command."""
        *lines, rest = (self._partial.pop((service, number), b"") + data).split(b"\n")
        if rest:
            self._partial[service, number] = rest
        for line in lines:
            self._line(service, number, line)

    def flush(self) -> None:
        """Print the incomplete lines."""
        for (service, number), line in self._partial.items():
            self._line(service, number, line)
        self._partial.clear()

    def _line(self, service: str, number: int, line: bytes) -> None:
        if self._json:
            host = {"host": self._host} if self._host else {}
            stream = "stdout" if number == 1 else "stderr"
            print_json({**host, "service": service, stream: bytes_as_json(line)})
            sys.stdout.flush()
        else:
            write_output(1, f"{self._prefix}{service}: ".encode() + line + b"\n")
